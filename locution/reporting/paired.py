"""Pictures of paired differences: what a change is worth seed by seed, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from locution.reporting.charts import HEIGHT, WIDTH, dot, letters, rule, scale, short, svg, ticks
from locution.reporting.markup import Html, tag
from locution.reporting.units import figure

ROW, SIDE, FOOT = 46.0, 8.0, 30.0
LETTER = 7.0  # how wide a letter of a name is, about
COLOURS = {"helps": "c3", "hurts": "c2"}
# what a picture needs that stands in no page: the colours of the report, light and dark
STYLE = """
:root { --paper: #ffffff; --ink: #1c1e23; --quiet: #5d626c; --grid: #ece9e2; --warn: #b03a00;
  --c0: #6d727c; --c2: #c9480a; --c3: #00795a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --ink: #e9e7e2; --quiet: #a0a5ae; --grid: #292d33;
  --warn: #f7a878; --c0: #9298a3; --c2: #f3925a; --c3: #4cc9a0; } }
svg { background: var(--paper); }
text { fill: var(--ink); font-family: ui-sans-serif, system-ui, "Segoe UI", "Noto Sans", sans-serif; font-size: 13px; }
.tick { fill: var(--quiet); font-size: 11px; }
.grid { stroke: var(--grid); } .limit { stroke: var(--warn); stroke-width: 1.25; stroke-dasharray: 2 4; }
.between { stroke-width: 9; opacity: .3; } .value { stroke-width: 3; }
.c0 { stroke: var(--c0); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.dot { stroke: var(--paper); stroke-width: 1.5; }
.dot.c0 { fill: var(--c0); } .dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); }
"""


@dataclass(frozen=True)
class Paired:
    """What one variant is worth: its differences a seed, their mean with its interval, a verdict, and its time."""

    name: str
    differences: Sequence[float]
    mean: float
    low: float
    high: float
    verdict: str = ""
    seeds: Sequence[int] = ()
    time: float = math.nan

    @property
    def colour(self) -> str:
        """Green helps, orange hurts, grey cannot tell."""
        return COLOURS.get(self.verdict, "c0")

    @property
    def words(self) -> str:
        """Say it in words."""
        return f"{self.name}: {figure(self.mean)} [{figure(self.low)}, {figure(self.high)}], {self.verdict}"


def differences_chart(rows: Sequence[Paired], *, alone: bool = False) -> Html:
    """Draw each variant's differences as dots, one a seed, over the interval of their mean.

    alone: bring the colours along, for a picture that stands in no page.

    >>> drawing = differences_chart([Paired("sam", [0.01, 0.03], 0.02, 0.01, 0.03, "cannot tell")])
    >>> drawing.count("<circle"), drawing.count("between")
    (2, 1)
    """
    height = ROW * len(rows) + FOOT
    ends = [end for row in rows for end in (row.low, row.high, *row.differences) if math.isfinite(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    pad = 0.04 * ((high - low) or 1.0)
    x = scale(low - pad, high + pad, SIDE, WIDTH - SIDE)
    drawn: list[Html] = [tag("style", Html(STYLE))] if alone else []
    for value in ticks(low - pad, high + pad):
        drawn.append(rule(x(value), 4, x(value), height - 22, "limit" if value == 0 else "grid"))
        drawn.append(letters(x(value), height - 6, short(value), anchor="middle"))
    for index, row in enumerate(rows):
        top = ROW * index
        seeds = row.seeds or range(len(row.differences))
        drawn.append(letters(SIDE, top + 16, f"{row.name}: {row.verdict}", "row"))
        mean = f"+{figure(row.mean)}" if row.mean > 0 else figure(row.mean)
        drawn.append(letters(WIDTH - SIDE, top + 16, mean, "row number", "end"))
        drawn.append(rule(x(row.low), top + 30, x(row.high), top + 30, f"between {row.colour}"))
        pairs = zip(seeds, row.differences, strict=True)
        drawn += [dot(x(value), top + 30, row.colour, f"seed {seed}: {figure(value)}") for seed, value in pairs]
        drawn.append(rule(x(row.mean), top + 22, x(row.mean), top + 38, f"value {row.colour}"))
    alt = "; ".join(row.words for row in rows)
    if not alone:
        return svg(WIDTH, height, alt, *drawn)
    frame = {"viewBox": f"0 0 {WIDTH:g} {height:g}", "width": f"{WIDTH:g}", "height": f"{height:g}"}
    return tag("svg", *drawn, xmlns="http://www.w3.org/2000/svg", role="img", aria_label=alt, **frame)


def cost_chart(rows: Sequence[Paired], *, better: str, plain: str = "plain") -> Html:
    """Draw what each variant gains, upwards whichever side is better, over how many times as long it trains.

    >>> rows = [Paired("sam", [0.02], 0.02, 0.01, 0.03, "helps", time=2.0)]
    >>> cost_chart(rows, better="higher").count("<circle")  # the plain recipe, and the variant
    2
    """
    kept = [row for row in rows if math.isfinite(row.time) and math.isfinite(row.mean)]
    times = [1.0, *(row.time for row in kept)]
    ends = [0.0, *(end for row in kept for end in (row.low, row.high))]
    far, wide = 0.08 * ((max(times) - min(times)) or 1.0), 0.06 * ((max(ends) - min(ends)) or 1.0)
    least, most, low, high = min(times) - far, max(times) + far, min(ends) - wide, max(ends) + wide
    left, bottom = 50.0, HEIGHT - 36
    x = scale(least, most, left, WIDTH - 14)
    y = scale(low, high, 12.0, bottom) if better == "lower" else scale(low, high, bottom, 12.0)
    drawn = []
    for value in ticks(low, high):
        drawn.append(rule(left, y(value), WIDTH - 14, y(value), "limit" if value == 0 else "grid"))
        drawn.append(letters(left - 7, y(value) + 3.5, short(value), anchor="end"))
    for value in ticks(least, most):
        drawn.append(letters(x(value), bottom + 16, f"{short(value)}x", anchor="middle"))
    drawn.append(letters((left + WIDTH - 14) / 2, HEIGHT - 4, "time of training", "tick quiet", "middle"))
    taken: list[tuple[float, float, float]] = []
    for row in [Paired(plain, (), 0.0, 0.0, 0.0, time=1.0), *sorted(kept, key=lambda row: row.time)]:
        across, down = x(row.time), y(row.mean)
        drawn.append(rule(across, y(row.low), across, y(row.high), f"between thin {row.colour}"))
        drawn.append(dot(across, down, row.colour, f"{row.words}; {row.time:.2f}x"))
        wide = LETTER * len(row.name)
        late = across + 9 + wide > WIDTH - 14
        start = across - 9 - wide if late else across + 9
        beside = free(taken, start, start + wide, down + 4.0, bottom)
        taken.append((start, start + wide, beside))
        drawn.append(letters(across + (-9 if late else 9), beside, row.name, "row", "end" if late else "start"))
    alt = "; ".join(f"{row.words}, {row.time:.2f} times as long" for row in kept)
    return svg(WIDTH, HEIGHT, alt, *drawn)


def free(taken: Sequence[tuple[float, float, float]], start: float, stop: float, at: float, bottom: float) -> float:
    """Find a height near the one wanted at which a name from start to stop lies on no other, as long as there is room.

    >>> free([(0.0, 50.0, 100.0)], 40.0, 90.0, 101.0, 200.0), free([(0.0, 50.0, 100.0)], 60.0, 90.0, 101.0, 200.0)
    (114.0, 101.0)
    """
    for _ in range(20):
        if all(stop < left or right < start or abs(at - other) >= 13 for left, right, other in taken):
            break
        at = at + 13.0 if at < bottom - 17 else 16.0
    return at
