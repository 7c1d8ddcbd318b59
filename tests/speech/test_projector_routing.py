"""Routers: closed forms of their losses, one number whatever the accumulation, fp32 whatever the precision."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from locution.engine.loop import Engine, Turn
from locution.models.routing import Routing, balance_loss, mean_over, router_logits, top_gates, z_loss
from locution.speech.projectors import build_projector
from locution.speech.recogniser import Recogniser, auxiliary_loss, token_loss, transcript_objective
from locution.speech.utterances import Utterances

TEXTS = ["one two three", "turn the light on", "nine", "off off six seven eight one one", "the light", "five four"]
LENGTHS = (30, 41, 9, 77, 3, 30)
ROUTED: list[tuple[str, dict[str, Any]]] = [
    ("mosa", {"hidden": 16, "router": 8}),
    ("mosa", {"hidden": 16, "router": 8, "gate": "downsampled", "stride": 2}),
    ("shared_moe", {"stack": 2}),
    ("shared_moe", {"stack": 2, "top": 1, "experts": 3}),
    ("shared_moe", {"stack": 2, "smear": True}),
]


def clips() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(length, 24, generator=draw) for length in LENGTHS]


def together() -> tuple[Tensor, Tensor]:
    return torch.nn.utils.rnn.pad_sequence(clips(), batch_first=True), torch.tensor(LENGTHS)


def everything(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_the_balance_loss_is_one_where_all_is_even_and_e_where_all_goes_to_one(experts: int) -> None:
    even = 60.0 * torch.eye(experts)[None]
    assert balance_loss(even, everything(1, experts)).item() == pytest.approx(1.0)
    assert balance_loss(torch.zeros(1, 5, experts), everything(1, 5)).item() == pytest.approx(1.0)
    one = torch.zeros(1, 5, experts)
    one[..., 1] = 60.0
    assert balance_loss(one, everything(1, 5)).item() == pytest.approx(experts)


def test_the_balance_loss_sees_a_collapse_that_the_mean_probability_cannot() -> None:
    """Every frame a hair in favour of expert 1: the mean probabilities are even, the work is not."""
    logits = torch.zeros(1, 8, 4)
    logits[..., 0] = 0.1
    logits.requires_grad_(True)
    loss = balance_loss(logits, everything(1, 8))
    mean = logits.softmax(-1).mean((0, 1))
    assert loss.item() == pytest.approx(4 * mean[0].item())
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert (gradient[..., 0] > 0).all()  # less of the one that has it all
    assert (gradient[..., 1:] < 0).all()


def test_the_z_loss_is_the_squared_log_of_the_summed_exponentials() -> None:
    assert z_loss(torch.zeros(2, 3, 8), everything(2, 3)).tolist() == pytest.approx([math.log(8) ** 2] * 2)
    logits = torch.tensor([[[math.log(2.0), math.log(6.0)], [0.0, 0.0]]])
    assert z_loss(logits, everything(1, 2)).item() == pytest.approx((math.log(8) ** 2 + math.log(2) ** 2) / 2)


def test_padding_counts_nowhere() -> None:
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 9, 4, generator=draw)
    counted = torch.arange(9)[None] < 6
    dirty = torch.where(counted[..., None], logits, torch.nan)
    for loss in (balance_loss, z_loss):
        torch.testing.assert_close(loss(dirty, counted), loss(logits[:, :6], everything(1, 6)))
    assert mean_over(torch.ones(1, 3), ~everything(1, 3)).item() == 0.0


def test_the_auxiliary_loss_is_each_utterances_own() -> None:
    """Against the formula by hand: first choices counted, probabilities averaged, frame by frame."""
    torch.manual_seed(1)
    projector: Any = build_projector("shared_moe", 24, 32, gain=1.0, stack=2, balance=0.3, z=0.05)
    projector.router.data *= 20
    found = projector.auxiliary(*together())
    for row, clip in enumerate(clips()):
        pairs = clip[: len(clip) // 2 * 2].reshape(-1, 48)
        scores = (pairs / (pairs.square().mean(-1, keepdim=True) + 1e-6).sqrt()) @ projector.router.T
        first, held, z = [0.0] * 4, [0.0] * 4, 0.0
        for score in scores:
            share = score.exp() / score.exp().sum()
            first[int(share.argmax())] += 1 / len(scores)
            held = [h + float(s.detach()) / len(scores) for h, s in zip(held, share, strict=True)]
            z += float(score.detach().exp().sum().log() ** 2) / len(scores)
        expected = 0.3 * 4 * sum(f * p for f, p in zip(first, held, strict=True)) + 0.05 * z
        assert found[row].item() == pytest.approx(expected, rel=1e-4)


def test_smear_has_no_load_to_balance_and_mosa_no_loss_of_its_own() -> None:
    smear: Any = build_projector("shared_moe", 24, 32, gain=1.0, stack=2, smear=True, balance=5.0, z=1.0)
    smear.router.data.zero_()
    assert smear.auxiliary(*together()).tolist() == pytest.approx([math.log(4) ** 2] * 6)
    assert not hasattr(build_projector("mosa", 24, 32, gain=1.0), "auxiliary")


@pytest.mark.parametrize(("kind", "settings"), ROUTED, ids=str)
def test_routing_of_clips_together_is_that_of_clips_apart(kind: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(4)
    projector: Any = build_projector(kind, 24, 32, gain=1.0, **settings)
    routing: Routing = projector.routing(*together())
    experts = settings.get("experts", 4)
    assert routing.experts == experts
    assert routing.share().sum().item() == pytest.approx(1.0)
    assert 0 <= routing.entropy().item() <= math.log(experts) + 1e-6
    for row, clip in enumerate(clips()):
        alone: Routing = projector.routing(clip[None], torch.tensor([len(clip)]))
        counted = routing.counted[row]
        assert counted.sum() == alone.counted.sum()
        torch.testing.assert_close(routing.dispatch[row, counted], alone.dispatch[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(routing.probabilities[row, counted], alone.probabilities[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(alone.dispatch.sum(-1), torch.ones_like(alone.dispatch[..., 0]))


def test_what_routing_says_is_what_the_forward_pass_does() -> None:
    """With experts that each write their own number, the output shows who worked and how much."""
    torch.manual_seed(4)
    projector: Any = build_projector("shared_moe", 24, 4, gain=1.0, stack=2)
    projector.shared[2].weight.data.zero_()
    projector.experts.leave.data.zero_()
    for i in range(4):
        projector.experts.leave.data[i, i] = 1.0
    out, _ = projector(*together())
    routing: Routing = projector.routing(*together())
    assert torch.equal((out != 0)[routing.counted], (routing.dispatch > 0)[routing.counted])


def test_gates_of_chosen_experts() -> None:
    held = torch.tensor([0.1, 0.4, 0.2, 0.3])
    gates, chosen = top_gates(held.log(), 2)
    assert chosen.tolist() == [1, 3]
    assert gates.tolist() == pytest.approx([4 / 7, 3 / 7])
    gates, chosen = top_gates(held.log(), 1)  # renormalised it would be 1, and the router would learn nothing
    assert (gates.item(), chosen.item()) == (pytest.approx(0.4), 1)


def test_the_router_and_its_losses_stay_in_fp32_under_autocast() -> None:
    torch.manual_seed(4)
    projector: Any = build_projector("shared_moe", 24, 32, gain=1.0, stack=2)
    x = torch.randn(7, 48)
    plain, losses = router_logits(x, projector.router), projector.auxiliary(*together())
    routes = projector.routing(*together())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(router_logits(x, projector.router), plain)
        assert torch.equal(projector.auxiliary(*together()), losses)
        again = projector.routing(*together())
        assert (x @ projector.router.T).dtype == torch.bfloat16  # else this test shows nothing
    assert torch.equal(again.probabilities, routes.probabilities)
    assert torch.equal(again.dispatch, routes.dispatch)


@pytest.mark.parametrize("smear", [False, True])
def test_the_whole_objective_is_the_same_however_it_is_accumulated(
    language_model: Any, tokenizer: Any, smear: bool
) -> None:
    def trained(accumulate: int) -> tuple[float, dict[str, Tensor]]:
        torch.manual_seed(6)
        projector: Any = build_projector("shared_moe", 24, 32, gain=0.02, stack=2, balance=2.0, z=1.0, smear=smear)
        projector.router.data *= 20  # far from even, so that the loss of the router says something
        recogniser = Recogniser(projector, language_model, tokenizer)
        data = Utterances.of(recogniser, clips(), TEXTS, batch_size=6)
        batch = data.batch(range(6))
        parts = batch.split(accumulate)
        loss = sum(transcript_objective(recogniser, part)[1].item() * share for part, share in parts)
        turn = Turn(transcript_objective, partial(torch.optim.SGD, lr=0.05))
        Engine(recogniser, turn, device="cpu", accumulate=accumulate).fit(data, steps=2)
        return loss, projector.state_dict()

    loss, whole = trained(1)
    for accumulate in (2, 3, 4, 6):  # 4: ragged
        other, weights = trained(accumulate)
        assert other == pytest.approx(loss, rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(value, whole[name], atol=2e-5, rtol=1e-4, msg=name)


@torch.no_grad()
def test_the_objective_is_the_words_loss_plus_the_routers(language_model: Any, tokenizer: Any) -> None:
    torch.manual_seed(6)
    projector: Any = build_projector("shared_moe", 24, 32, gain=0.02, stack=2, balance=2.0, z=1.0)
    recogniser = Recogniser(projector, language_model, tokenizer)
    data = Utterances.of(recogniser, clips(), TEXTS, batch_size=6)
    batch = data.batch(range(6))
    logits, loss = transcript_objective(recogniser, batch)
    each = projector.auxiliary(*together())
    tokens = torch.tensor([len(data.tokens[i]) for i in range(6)])
    expected = float((each * tokens).sum() / tokens.sum())
    assert float(auxiliary_loss(recogniser, batch)) == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(token_loss(logits, batch.targets).item() + expected, rel=1e-5)


def test_the_balance_loss_wakes_experts_that_lie_idle(language_model: Any, tokenizer: Any) -> None:
    """From a router that sends everything to one, with the loss and without it."""

    def largest(balance: float) -> float:
        torch.manual_seed(6)
        projector: Any = build_projector("shared_moe", 24, 32, gain=0.02, stack=2, balance=balance, z=0.0, hidden=8)
        projector.router.data[0] += 0.1 * clips()[3].mean(0).repeat(2).sign()
        recogniser = Recogniser(projector, language_model, tokenizer)
        turn = Turn(transcript_objective, partial(torch.optim.Adam, lr=1e-2))
        data = Utterances.of(recogniser, clips(), TEXTS, batch_size=6)
        Engine(recogniser, turn, device="cpu").fit(data, steps=40)
        routing: Routing = projector.routing(*together())
        first = torch.nn.functional.one_hot(routing.probabilities.argmax(-1), 4)
        return float(Routing(routing.probabilities, first, routing.counted).share().max())

    assert largest(1.0) < 0.4
    assert largest(1.0) < largest(0.0)
