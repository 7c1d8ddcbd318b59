"""The section of a report on a mixture of experts: who did the work while it learnt."""

from __future__ import annotations

from collections.abc import Mapping

from locution.reporting.charts import Line, legend, line_chart
from locution.reporting.curves import Curve
from locution.reporting.markup import Html, tag
from locution.reporting.sections import Section, drawing
from locution.reporting.units import figure

EXPERT = "router/expert_"
ENTROPY, ENTROPY_SHARE = "router/entropy", "router/entropy_share"
MOST = 8  # lines that an eye can still tell apart
IDLE = 0.1  # of an even share: an expert below it does next to nothing


def routing(found: Mapping[str, Curve]) -> Section | None:
    """Draw which share of the frames each expert got, and how undecided the router was, over training."""
    experts = {int(name.removeprefix(EXPERT)): curve for name, curve in found.items() if name.startswith(EXPERT)}
    if not experts:
        return None
    drawn = [_shares(dict(sorted(experts.items())))]
    if ENTROPY_SHARE in found:
        drawn.append(_entropy(found[ENTROPY_SHARE], found.get(ENTROPY)))
    return Section("routing", "Experts", tag("div", *drawn, class_="charts"))


def idle(experts: Mapping[int, Curve]) -> list[int]:
    """Name the experts that ended with less than a tenth of an even share.

    >>> idle({1: Curve([1], [0.98]), 2: Curve([1], [0.02])})
    [2]
    """
    return [number for number, curve in experts.items() if curve.values[-1] < IDLE / len(experts)]


def _shares(experts: Mapping[int, Curve]) -> Html:
    lines = [
        Line(f"expert {number}", curve, 1 + place % 4, "" if place < 4 else "dashed")
        for place, (number, curve) in enumerate(list(experts.items())[:MOST])
    ]
    ends = ", ".join(f"expert {number} {figure(curve.values[-1])}" for number, curve in experts.items())
    even = f"even would be {figure(1 / len(experts))}"
    asleep = idle(experts)
    note = f"at the end: {ends}; {even}"
    if asleep:
        note += f"; next to idle: {', '.join(str(number) for number in asleep)}"
    if len(experts) > MOST:
        note += f"; {MOST} of {len(experts)} are drawn"
    picture = line_chart(lines, alt=f"Share of the frames that each expert got. At the end: {ends}; {even}.")
    return drawing("Share of the frames", picture, key=legend(lines), note=note)


def _entropy(share: Curve, nats: Curve | None) -> Html:
    note = f"last {figure(share.values[-1])} of the largest there can be"
    note += f", {figure(nats.values[-1])} nats a frame" if nats is not None else ""
    picture = line_chart([Line("entropy", share, 1)], alt=f"Entropy of the router: {note}.")
    return drawing("How undecided the router is", picture, note=note)
