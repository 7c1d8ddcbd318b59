"""Policy gradients held to sums written out, to the exact gradient of an expected return, and to what clipping is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch
from locution.errors import UserError
from locution.losses.policy_gradient import (
    PolicyGradient,
    advantages,
    clipped_surrogate,
    entropy,
    log_prob,
    policy_and_values,
    reinforce,
    returns,
    surprises,
)


def several(count: int, width: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    rewards, values, later = (torch.randn(count, width, generator=draw, dtype=torch.float64) for _ in range(3))
    return rewards, values, later, torch.rand(count, width, generator=draw) < 0.2


def test_returns_are_the_sums_of_what_comes_until_the_end() -> None:
    rewards, _, later, over = several(12)
    for column in range(3):
        for begin in range(12):
            total, weight = 0.0, 1.0
            for step in range(begin, 12):
                total += weight * float(rewards[step, column])
                weight *= 0.9
                if over[step, column]:
                    break
            else:
                total += weight * float(later[-1, column])
            assert returns(rewards, over, 0.9, later[-1])[begin, column].item() == pytest.approx(total)


def test_advantages_are_the_weighed_mean_of_estimates_of_every_reach() -> None:
    # equation 16 of the paper, from its definition: (1 - trace) times the sum of trace^(k-1) times the k-step estimate
    rewards, values, later, _ = several(8, width=1)
    later[:-1] = values[1:]
    never = torch.zeros(8, 1, dtype=torch.bool)
    found = advantages(surprises(rewards, values, later, never, 0.9), never, 0.9, 0.7)
    estimates = []
    for reach in range(1, 9):
        ahead = sum(0.9**k * rewards[k, 0] for k in range(reach)) + 0.9**reach * later[reach - 1, 0]
        estimates.append(float(ahead - values[0, 0]))
    mixed = sum(0.3 * 0.7 ** (reach - 1) * estimates[reach - 1] for reach in range(1, 8)) + 0.7**7 * estimates[7]
    assert found[0, 0].item() == pytest.approx(mixed)


def test_a_trace_of_one_is_the_return_less_the_value_and_of_zero_one_step() -> None:
    rewards, values, later, over = several(10)
    later[:-1] = values[1:]
    steps = surprises(rewards, values, later, over, 0.9)
    whole = advantages(steps, over, 0.9, 1.0)
    torch.testing.assert_close(whole, returns(rewards, over, 0.9, later[-1]) - values)
    torch.testing.assert_close(advantages(steps, over, 0.9, 0.0), steps)


def test_behind_an_end_nothing_is_to_be_had_and_behind_a_cut_what_the_critic_expects() -> None:
    one = torch.ones(1)
    assert surprises(one, one, 10 * one, torch.tensor([True]), 0.5).item() == 0.0  # 1 - 1
    assert surprises(one, one, 10 * one, torch.tensor([False]), 0.5).item() == 5.0  # 1 + 5 - 1


def test_reinforce_has_the_gradient_of_the_expected_return() -> None:
    # the expectation over all actions is written out, so that nothing is left to chance
    worth = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    logits = torch.tensor([[0.3, -0.1, 0.7]], dtype=torch.float64, requires_grad=True)
    expected = (logits.softmax(-1)[0] * worth).sum()
    (exact,) = torch.autograd.grad(-expected, logits)
    chances = logits.detach().softmax(-1)[0]
    for baseline in (0.0, 3.0):  # any baseline leaves the expectation as it is
        losses = reinforce(log_prob(logits.expand(3, 3), torch.arange(3)), worth - baseline)
        (found,) = torch.autograd.grad((chances * losses).sum(), logits)
        torch.testing.assert_close(found, exact)


def test_where_nothing_has_moved_the_clipped_surrogate_has_the_gradient_of_reinforce() -> None:
    logs = torch.tensor([-0.5, -1.0, -2.0], requires_grad=True)
    worth = torch.tensor([1.0, -1.0, 0.3])
    (clipped,) = torch.autograd.grad(clipped_surrogate(logs, logs.detach(), worth).sum(), logs)
    (plain,) = torch.autograd.grad(reinforce(logs, worth).sum(), logs)
    torch.testing.assert_close(clipped, plain)


@pytest.mark.parametrize(
    ("ratio", "worth", "moves"),
    [(1.3, 1.0, False), (0.7, 1.0, True), (1.3, -1.0, True), (0.7, -1.0, False), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_beyond_the_clip_what_pays_moves_nothing_and_what_costs_still_does(
    ratio: float, worth: float, moves: bool
) -> None:
    log = torch.tensor([ratio]).log().requires_grad_()
    (gradient,) = torch.autograd.grad(clipped_surrogate(log, torch.zeros(1), torch.tensor([worth])).sum(), log)
    assert gradient.item() == pytest.approx(-ratio * worth if moves else 0.0)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.actor, self.critic = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.actor(x), "values": self.critic(x)[:, 0]}


def tried(count: int = 6) -> Batch:
    draw = torch.Generator().manual_seed(1)
    targets = {
        "action": torch.randint(3, (count,), generator=draw),
        "before": -torch.rand(count, generator=draw) - 0.5,
        "advantage": torch.randn(count, generator=draw),
        "return": torch.randn(count, generator=draw),
    }
    return Batch(torch.randn(count, 4, generator=draw), targets)


@pytest.mark.parametrize("clip", [0.0, 0.05, 0.2])
def test_the_objective_is_the_sum_of_its_three_terms(clip: float) -> None:
    model, batch = Linear(), tried()
    (output, loss), of = PolicyGradient(clip, 0.7, 0.03)(model, batch), batch.targets
    logs = log_prob(output["logits"], of["action"])
    acts = clipped_surrogate(logs, of["before"], of["advantage"], clip) if clip else reinforce(logs, of["advantage"])
    error = (output["values"] - of["return"]) ** 2
    expected = (acts + 0.7 * error - 0.03 * entropy(output["logits"])).mean()
    torch.testing.assert_close(loss, expected)


def test_the_entropy_has_the_gradient_of_a_sum_over_all_actions() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    value = entropy(logits)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    chances = logits.detach().softmax(-1)
    assert value.item() == pytest.approx(-float((chances * chances.log()).sum()))
    torch.testing.assert_close(gradient, -chances * (chances.log() + value.detach()))


def test_micro_batches_add_up_to_the_whole() -> None:
    model, batch, objective = Linear(), tried(7), PolicyGradient(entropy_weight=0.01)
    parts = sum(share * objective(model, part)[1] for part, share in batch.split(3))
    torch.testing.assert_close(parts, objective(model, batch)[1])


def test_steps_count_by_their_weights_and_sums_are_of_fp32() -> None:
    model, batch, objective = Linear(), tried(4), PolicyGradient(entropy_weight=0.01)
    rows = torch.tensor([0, 2, 2, 3])
    picked = Batch(batch.inputs[rows], {name: values[rows] for name, values in batch.targets.items()})
    heavy = Batch(batch.inputs, batch.targets, torch.tensor([1.0, 0.0, 2.0, 1.0]))
    torch.testing.assert_close(objective(model, heavy)[1], objective(model, picked)[1])
    short = policy_and_values({name: values.bfloat16() for name, values in model(batch.inputs).items()})
    assert [values.dtype for values in short] == [torch.float32] * 2


@pytest.mark.parametrize(
    ("setting", "value"), [("clip", 1.0), ("clip", -0.1), ("value_weight", -1.0), ("entropy_weight", -1.0)]
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"objective\.{setting} is {value}; allowed: "):
        PolicyGradient(**{setting: value})


def test_a_model_without_a_critic_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="the model answered with Tensor; allowed: a dict of logits and values"):
        PolicyGradient()(nn.Linear(4, 2), tried())
