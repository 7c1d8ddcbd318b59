"""How learning from preferences is judged and drawn: who is ahead, by how much, and how a model answers now."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from locution.data.dataset import Dataset
from locution.data.preferences import KINDS
from locution.evaluation.intervals import bootstrap
from locution.losses.preferences import BETTER, DPO, RewardLoss, surprise
from locution.reporting.results import Graph, Metric, Table
from locution.tasks.answering import ended, written
from locution.tasks.reference import margins

SHOWN = 8  # questions of the report


def figures(objective: DPO | RewardLoss, now: Tensor, before: Tensor) -> list[Metric]:
    """Measure by how much the preferred answers are ahead, and how often."""
    ahead, note = margins(objective.rewards(now, before)), f"{len(now)} pairs whose questions are new"
    found = [
        Metric(
            "preferred",
            **bootstrap((ahead > 0).float()),
            label="preferred answer ahead",
            group="preferred",
            better="higher",
            note=note,
        ),
        Metric("margin", **bootstrap(ahead), label="margin of reward", group="margin", better="higher", note=note),
    ]
    if isinstance(objective, DPO):
        gained = margins(now) - margins(before)
        more = f"{note}; how much likelier, in nats, the preferred has become than the other, pair by pair"
        found.append(
            Metric("gain", **bootstrap(gained), label="gained on the other", group="gain", better="higher", note=more)
        )
    return found


def surprises(now: Tensor, before: Tensor, data: Dataset) -> list[Metric]:
    """Measure how surprising the preferred answers are to a model that learnt from pairs, and were to it before.

    Nobody asks of it to speak the language as well as before; here is seen whether it does.
    """
    assert data.test is not None
    answer, note = data.test.inputs["answer"][:, BETTER], f"preferred answers of {len(now)} pairs, nats a token"
    rows = (("surprise", "surprise at the preferred", now), ("surprise_before", "before it learnt", before))
    return [
        Metric(
            name,
            **bootstrap(surprise(judged[:, BETTER], answer)),
            label=label,
            group="surprise",
            better="lower" if judged is now else "",
            note=note,
        )
        for name, label, judged in rows
    ]


def endings(before: Tensor, after: Tensor) -> list[Metric]:
    """Measure how many of its own answers a model brings to an end, before and after, and the difference in pairs."""
    note = f"{len(after)} new questions, answers drawn"
    rows = (
        ("ends", "its own answers that end", ended(after), "higher"),
        ("ended_before", "before it learnt", ended(before), ""),
        ("more_end", "more of them", ended(after) - ended(before), "higher"),
    )
    return [
        Metric(name, **bootstrap(values), label=label, group="answers that end", better=better, note=note)
        for name, label, values, better in rows
    ]


def by_kinds(rewards: Tensor, data: Dataset) -> Table:
    """Say for each two kinds of answers how often the better is ahead, and by how much."""
    asked = asked_of(data)
    rows = []
    for better, worse in ((a, b) for i, a in enumerate(KINDS) for b in KINDS[i + 1 :]):
        where = torch.tensor([kinds == (better, worse) for kinds in asked.kinds])
        ahead = margins(rewards)[where]
        if len(ahead):
            share = f"{float((ahead > 0).float().mean()):.3f}"
            rows.append([better, worse, len(ahead), share, f"{float(ahead.mean()):.3f}"])
    note = "whole: ends the sentence and stops; elsewhere: ends another sentence; rambling: goes on and on"
    return Table("Which answer is ahead", ["better", "worse", "pairs", "better ahead", "margin"], rows, note)


def asked_of(data: Dataset) -> Any:
    """Take what is known of the pairs that a model is judged by."""
    pairs: Any = data.train
    return pairs.asked


def spread(objective: DPO | RewardLoss, now: Tensor, before: Tensor, rewards: Tensor, data: Dataset) -> Graph:
    """Draw the share of answers, or of pairs, up to each reward or margin."""

    def rising(values: Tensor) -> tuple[list[float], list[float]]:
        ordered = values.sort().values.tolist()
        return ordered, [(place + 1) / len(ordered) for place in range(len(ordered))]

    if isinstance(objective, DPO):
        lines = {"before": rising(margins(before)), "after": rising(margins(now))}
        across = "how much likelier the preferred answer is, in nats"
        return Graph("Preferred answers move ahead", lines, across=across, note="up: the share of pairs up to there")
    lines = {}
    for kind in KINDS:
        of = torch.tensor([[one == kind for one in kinds] for kinds in asked_of(data).kinds])
        if of.any():
            lines[kind] = rising(rewards[of])
    return Graph("Rewards of answers by kind", lines, across="reward", note="up: the share of answers up to there")


def side_by_side(before: Tensor, after: Tensor, data: Dataset) -> Table:
    """Set how a model answered before and after beside each other."""
    tokenizer = data.reader.tokenizer
    texts = zip(asked_of(data).begins, written(before, tokenizer), written(after, tokenizer), strict=False)
    rows = [[" ".join(begins.split()), one, other] for begins, one, other in list(texts)[:SHOWN]]
    return Table("Answers before and after", ["question", "before", "after"], rows, "drawn alike, from the test")
