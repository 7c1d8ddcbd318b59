"""The watch on routers: what it measures, that it touches nothing, and the section of the report."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch

from locution.engine.batch import Batch
from locution.engine.loop import Engine, Turn
from locution.engine.observer import Observer, Record
from locution.errors import UserError
from locution.reporting.curves import Curve, curves
from locution.reporting.routing import idle, routing
from locution.speech.projectors import build_projector
from locution.speech.recogniser import Recogniser, transcript_objective
from locution.speech.routers import Routers, is_routed, routed_values
from locution.speech.utterances import Utterances

TEXTS = ["one two three", "turn the light on", "nine", "the light"]
MOMENT = Record("epoch", 1, 1, 0.0, 0.1, 4, 1.0)


class Kept(Observer):
    def __init__(self) -> None:
        self.records: list[Record] = []

    def watch(self, record: Record) -> None:
        self.records.append(record)


def make(language_model: Any, tokenizer: Any, kind: str = "shared_moe", **settings: Any) -> tuple[Recogniser, Any]:
    torch.manual_seed(0)
    projector = build_projector(kind, 24, 32, gain=0.02, **settings)
    recogniser = Recogniser(projector, language_model, tokenizer)
    clips = [torch.randn(length, 24) for length in (30, 41, 9, 17)]
    return recogniser, Utterances.of(recogniser, clips, TEXTS, batch_size=4)


def collapse(projector: Any, expert: int, data: Any) -> None:
    """Make a router that sends every frame of these clips to one expert first."""
    projector.router.data.zero_()
    inputs = data.batch(range(4)).inputs
    rows, _, counted = projector.rows(inputs["frames"], inputs["lengths"])
    solution = torch.linalg.lstsq(rows[counted], torch.full((int(counted.sum()), 1), 30.0)).solution
    projector.router.data[expert] = solution.detach()[:, 0]


def test_a_collapsed_router_is_seen(language_model: Any, tokenizer: Any) -> None:
    recogniser, data = make(language_model, tokenizer, stack=2, top=1)
    collapse(recogniser.projector, 2, data)
    values = Routers(data.batch(range(4))).measure(recogniser, MOMENT)
    assert values["router/expert_3"] == 1.0
    assert [values[f"router/expert_{i}"] for i in (1, 2, 4)] == [0.0] * 3
    assert values["router/entropy"] == pytest.approx(0.0, abs=1e-6)


def test_a_router_that_does_not_care_has_the_largest_entropy(language_model: Any, tokenizer: Any) -> None:
    recogniser, data = make(language_model, tokenizer, "mosa", hidden=8, router=8, experts=5)
    for layer in (0, 2):
        torch.nn.init.zeros_(recogniser.projector.router[layer].weight)  # type: ignore[index,union-attr]
        torch.nn.init.zeros_(recogniser.projector.router[layer].bias)  # type: ignore[index,union-attr]
    values = Routers(data.batch(range(4))).measure(recogniser, MOMENT)
    assert [values[f"router/expert_{i}"] for i in range(1, 6)] == pytest.approx([0.2] * 5)
    assert values["router/entropy"] == pytest.approx(math.log(5))
    assert values["router/entropy_share"] == pytest.approx(1.0)


def test_the_shares_are_counts_of_frames_over_the_batch_without_padding(language_model: Any, tokenizer: Any) -> None:
    recogniser, data = make(language_model, tokenizer, stack=2)
    batch: Batch = data.batch(range(4))
    values = Routers(batch).measure(recogniser, MOMENT)
    sent, frames = torch.zeros(4), 0
    projector: Any = recogniser.projector
    for row in range(4):
        length = int(batch.inputs["lengths"][row])
        clip = batch.inputs["frames"][row, : length // 2 * 2].reshape(-1, 48)
        scores = clip / (clip.square().mean(-1, keepdim=True) + 1e-6).sqrt() @ projector.router.T
        for score in scores:
            sent[score.topk(2).indices] += 1
            frames += 1
    assert [values[f"router/expert_{i}"] for i in range(1, 5)] == pytest.approx((sent / (2 * frames)).tolist())


def test_one_expert_alone_is_certain() -> None:
    projector: Any = build_projector("shared_moe", 24, 32, gain=1.0, stack=2, experts=1, top=1)
    values = routed_values(projector.routing(torch.randn(1, 8, 24), torch.tensor([8])))
    assert values == {"router/expert_1": 1.0, "router/entropy": 0.0, "router/entropy_share": 0.0}


def test_it_is_measured_while_it_learns_and_touches_nothing(language_model: Any, tokenizer: Any) -> None:
    def weights(watched: bool) -> tuple[torch.Tensor, list[Record]]:
        recogniser, data = make(language_model, tokenizer, stack=2)
        kept = Kept()
        observers = [*([Routers(data.batch(range(4)))] if watched else []), kept]
        turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-2))
        Engine(recogniser, turn, observers=observers, device="cpu", measure_every=3).fit(data, steps=9)
        return recogniser.projector.router.detach(), kept.records  # type: ignore[operator,union-attr]

    watched, records = weights(True)
    alone, _ = weights(False)
    assert torch.equal(watched, alone)
    measured = [record.values for record in records if "router/entropy" in record.values]
    assert len(measured) == 3
    for values in measured:
        assert sum(value for name, value in values.items() if "expert" in name) == pytest.approx(1.0)


def test_a_projector_without_a_router_is_refused_in_one_line(language_model: Any, tokenizer: Any) -> None:
    recogniser, data = make(language_model, tokenizer, "mlp", stack=2)
    assert not is_routed(recogniser.projector)
    with pytest.raises(UserError, match="the projector mlp has no router; allowed: mosa, shared_moe"):
        Routers(data.batch(range(4))).measure(recogniser, MOMENT)
    with pytest.raises(UserError, match=r"routers\.batch is empty"):
        Routers(Batch(torch.zeros(0, 2)))


def records_of(experts: int) -> list[dict[str, Any]]:
    def share(i: int, step: int) -> float:
        return 1 / experts if step == 1 else (1.0 if i == 2 else 0.0)

    return [
        {"kind": "epoch", "step": step, "loss": 1.0, "router/entropy": 1.2 / step, "router/entropy_share": 0.9 / step}
        | {f"router/expert_{i}": share(i, step) for i in range(1, experts + 1)}
        for step in (1, 2)
    ]


def test_the_report_draws_who_did_the_work_and_names_the_idle() -> None:
    section = routing(curves(records_of(4)))
    assert section is not None
    assert section.body.count("<path") == 5  # four experts and the entropy
    assert "expert 2 1.000, expert 3 0.000" in section.body
    assert "even would be 0.250; next to idle: 1, 3, 4" in section.body
    assert "last 0.450 of the largest there can be, 0.600 nats a frame" in section.body


def test_the_report_of_a_run_without_a_router_says_nothing_of_one() -> None:
    assert routing({"loss": Curve([1], [2.0]), "router/entropy": Curve([1], [1.0])}) is None


def test_many_experts_are_drawn_in_order_up_to_eight() -> None:
    section = routing(curves(records_of(12)))
    assert section is not None
    assert section.body.count("<path") == 9
    assert section.body.index("expert 9 ") < section.body.index("expert 10 ") < section.body.index("expert 12 ")
    assert "8 of 12 are drawn" in section.body
    assert idle({1: Curve([1, 2], [0.01, 0.5]), 2: Curve([1, 2], [0.99, 0.5])}) == []
    assert idle({1: Curve([1], [0.06]), 2: Curve([1], [0.94])}) == []  # a tenth of an even share is 0.05
