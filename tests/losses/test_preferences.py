"""Preferences held to closed forms: DPO's gradient where it begins, its optimum, sums of log-probabilities by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine import Batch
from locution.errors import UserError
from locution.losses.preferences import (
    DPO,
    RewardLoss,
    answer_log_probs,
    dpo_loss,
    implicit_reward,
    preference,
    preference_loss,
)


def test_the_loss_is_written_as_in_the_paper() -> None:
    draw = torch.Generator().manual_seed(0)
    now, before = (torch.randn(20, 2, generator=draw, dtype=torch.float64) * 5 for _ in range(2))
    for beta in (0.1, 0.5):
        ratios = beta * (now[:, 0] - before[:, 0]) - beta * (now[:, 1] - before[:, 1])  # equation 7
        by_hand = torch.tensor([-math.log(1 / (1 + math.exp(-x))) for x in ratios.tolist()], dtype=torch.float64)
        torch.testing.assert_close(dpo_loss(now, before, beta), by_hand)


def test_where_training_begins_the_gradient_is_half_of_beta_and_later_weighed_by_how_wrong_the_rewards_are() -> None:
    # equation 8 of the paper: minus beta sigmoid(reward of the worse less that of the better)
    before = torch.tensor([[-3.0, -7.0]])
    for moved in (0.0, 2.0, -4.0):
        now = (before + torch.tensor([[moved, 0.0]])).requires_grad_()
        (gradient,) = torch.autograd.grad(dpo_loss(now, before, 0.2).sum(), now)
        weight = 0.2 * torch.tensor(-0.2 * moved).sigmoid().item()
        torch.testing.assert_close(gradient, torch.tensor([[-weight, weight]]))
    (gradient,) = torch.autograd.grad(dpo_loss(before.requires_grad_(), before.detach(), 0.2).sum(), before)
    torch.testing.assert_close(gradient, torch.tensor([[-0.1, 0.1]]))


def test_the_optimum_is_the_reference_times_the_exponential_of_the_reward() -> None:
    # a problem of four answers: preferences as likely as Bradley-Terry says of given rewards, all pairs, in closed form
    # (Rafailov et al., equation 4)
    beta, rewards = 0.5, torch.tensor([0.0, 1.0, -0.5, 0.3], dtype=torch.float64)
    reference = torch.tensor([0.4, 0.1, 0.3, 0.2], dtype=torch.float64)
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    better, worse = torch.tensor([(i, j) for i in range(4) for j in range(4) if i != j]).T
    weight = preference(rewards[better], rewards[worse])
    optimizer = torch.optim.LBFGS([logits], lr=1.0, max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> Tensor:
        optimizer.zero_grad()
        logs, old = functional.log_softmax(logits, -1), reference.log()
        pairs = torch.stack([logs[better], logs[worse]], 1), torch.stack([old[better], old[worse]], 1)
        loss = (weight * dpo_loss(*pairs, beta)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    exact = reference * (rewards / beta).exp()
    torch.testing.assert_close(logits.detach().softmax(-1), exact / exact.sum(), atol=1e-6, rtol=0)


def test_rewards_are_found_again_from_preferences_up_to_a_constant() -> None:
    truth = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    found = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    better, worse = torch.tensor([(i, j) for i in range(3) for j in range(3) if i != j]).T
    weight = preference(truth[better], truth[worse])
    for _ in range(3000):
        loss = (weight * preference_loss(found[better], found[worse])).sum()
        (gradient,) = torch.autograd.grad(loss, found)
        found = (found - 0.3 * gradient).detach().requires_grad_()
    torch.testing.assert_close(found.detach() - found.detach().mean(), truth - truth.mean(), atol=1e-5, rtol=0)


def test_a_reward_that_is_far_too_low_costs_as_much_and_still_has_a_slope() -> None:
    better = torch.tensor([-200.0, 200.0], requires_grad=True)
    losses = preference_loss(better, torch.zeros(2))
    assert losses.tolist() == [200.0, 0.0]
    assert torch.autograd.grad(losses.sum(), better)[0].tolist() == [-1.0, 0.0]


class Table(nn.Module):
    """What comes next depends on the last token alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = nn.Parameter(torch.randn(5, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scores[tokens]


def test_an_answer_is_as_likely_as_its_tokens_one_behind_another() -> None:
    model = Table()
    tokens = torch.tensor([[0, 3, 1, 4, 0], [2, 2, 1, 0, 0]])
    answer = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 1, 0]]).bool()
    logs = functional.log_softmax(model.scores, -1)
    by_hand = torch.stack([logs[3, 1] + logs[1, 4], logs[2, 2] + logs[2, 1] + logs[1, 0]])
    torch.testing.assert_close(answer_log_probs(model(tokens), tokens, answer), by_hand)
    assert answer_log_probs(model(tokens).bfloat16(), tokens, answer).dtype == torch.float32


def pairs(count: int = 5) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    answer = torch.zeros(count, 2, 6, dtype=torch.bool)
    for row in range(count):
        answer[row, 0, 2 : 4 + row % 3], answer[row, 1, 2:5] = True, True
    return {"tokens": torch.randint(5, (count, 2, 6), generator=draw), "answer": answer}


def test_the_objective_takes_both_answers_in_one_pass_and_micro_batches_add_up() -> None:
    model, inputs, reference = Table(), pairs(), torch.randn(5, 2)
    objective = DPO(beta=0.3)
    judged, loss = objective(model, Batch(inputs, {"reference": reference}))
    for place in range(2):
        tokens, answer = inputs["tokens"][:, place], inputs["answer"][:, place]
        torch.testing.assert_close(judged[:, place], answer_log_probs(model(tokens), tokens, answer))
    torch.testing.assert_close(loss, dpo_loss(judged, reference, 0.3).mean())
    parts = Batch(inputs, {"reference": reference}).split(2)
    torch.testing.assert_close(sum(share * objective(model, part)[1] for part, share in parts), loss)
    torch.testing.assert_close(objective.rewards(judged, reference), implicit_reward(judged, reference, 0.3))


def test_the_likelihood_of_the_preferred_answer_is_added_for_each_of_its_tokens() -> None:
    model, inputs, reference = Table(), pairs(), torch.randn(5, 2)
    batch = Batch(inputs, {"reference": reference})
    (judged, plain), (_, more) = (DPO(beta=0.3, likelihood=weight)(model, batch) for weight in (0.0, 0.7))
    lengths = inputs["answer"][:, 0].sum(1)
    assert len(set(lengths.tolist())) == 3
    torch.testing.assert_close(more, plain + 0.7 * (-judged[:, 0] / lengths).mean())


def test_the_reward_is_the_one_at_the_last_token_of_the_answer() -> None:
    class Places(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return torch.arange(6.0).expand(tokens.shape)

    inputs = pairs()
    judged, loss = RewardLoss()(Places(), Batch(inputs))
    assert judged[:, 0].tolist() == [3 + row % 3 for row in range(5)]
    assert judged[:, 1].tolist() == [4.0] * 5
    torch.testing.assert_close(loss, preference_loss(judged[:, 0], judged[:, 1]).mean())
    assert torch.equal(RewardLoss().rewards(judged, torch.ones(5, 2)), judged)


def test_pairs_count_by_their_weights_and_sums_are_of_fp32() -> None:
    model, inputs, reference = Table(), pairs(), torch.randn(5, 2)
    weights, rows = torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0]), torch.tensor([0, 2, 2, 4])

    class Places(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return model(tokens)[..., 0]

    class Short(Places):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens).bfloat16()

    picked = Batch({name: values[rows] for name, values in inputs.items()}, {"reference": reference[rows]})
    for objective, net in ((DPO(likelihood=0.5), model), (RewardLoss(), Places())):
        heavy = Batch(inputs, {"reference": reference}, weights)
        torch.testing.assert_close(objective(net, heavy)[1], objective(net, picked)[1])
    judged, loss = RewardLoss()(Short(), picked)
    assert (judged.dtype, loss.dtype) == (torch.float32, torch.float32)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"objective\.beta is 0; allowed: "):
        DPO(beta=0)
    with pytest.raises(UserError, match=r"objective\.likelihood is -1; allowed: "):
        DPO(likelihood=-1)
    with pytest.raises(UserError, match="the batch holds no pairs of answers; allowed: data of pairs"):
        DPO()(Table(), Batch(torch.zeros(2, 3, dtype=torch.int64)))
    with pytest.raises(UserError, match=r"answered with \(10, 6, 5\); allowed: \(10, 6\), a reward a place"):
        RewardLoss()(Table(), Batch(pairs()))
