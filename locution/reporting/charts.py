"""Charts as SVG that stands in the page: they take the page's colours, light or dark, and its letters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from locution.reporting.curves import Curve, thin
from locution.reporting.markup import Html, join, tag, text
from locution.reporting.results import Metric
from locution.reporting.units import figure

WIDTH, HEIGHT = 460.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 12.0, 36.0


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its points, which of the page's colours, and how it is drawn.

    `style` is "" (solid), "dashed", or "faint" (drawn pale behind the others). `dot` is the point to mark.
    """

    name: str
    curve: Curve
    colour: int = 1
    style: str = ""
    dot: int | None = None


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Choose round numbers to write at an axis.

    >>> ticks(0.0, 1.0), ticks(3.0, 97.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [20.0, 40.0, 60.0, 80.0])
    """
    span = (high - low) or 1.0
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Choose powers of ten to write at an axis, with twos and fives where there are too few of them.

    >>> log_ticks(0.02, 200.0), log_ticks(0.15, 2.5), log_ticks(2.0, 8.0)
    ([0.1, 1.0, 10.0, 100.0], [0.2, 0.5, 1.0, 2.0], [2.0, 4.0, 6.0, 8.0])
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, -(-(last - first + 1) // (wanted + 1)))
    powers = [10.0**power for power in range(first, last + 1, every)]
    if len(powers) >= 3:
        return powers
    between = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    kept = [float(f"{value:.10g}") for value in between if low <= value <= high]
    return kept if len(kept) >= 3 else [tick for tick in ticks(low, high) if tick > 0]


def short(value: float) -> str:
    """Write a number at an axis.

    >>> short(0.25), short(2000.0), short(1e-6), short(0.0), short(2.5e6)
    ('0.25', '2k', '1e-6', '0', '2.5M')
    """
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-4:
        mantissa, power = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(power)}"
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if size >= 1e3 else f"{value:g}"


def scale(low: float, high: float, start: float, stop: float, log: bool = False) -> Callable[[float], float]:
    """Make the function that takes a value to its place on the page.

    >>> place = scale(0.0, 10.0, 100.0, 0.0)
    >>> place(2.5)
    75.0
    """
    if log:
        inner = scale(math.log10(low), math.log10(high), start, stop)
        return lambda value: inner(math.log10(value))
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def svg(width: float, height: float, alt: str, *children: object) -> Html:
    """Make a picture that scales with the page and says in words what it shows."""
    return tag("svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=alt)


def letters(x: float, y: float, content: object, class_: str = "tick", anchor: str = "start") -> Html:
    """Write letters into a picture."""
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_, text_anchor=anchor)


def rule(x1: float, y1: float, x2: float, y2: float, class_: str = "grid") -> Html:
    """Draw a straight line."""
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def dot(x: float, y: float, colour: str, words: str = "", size: float = 4.0) -> Html:
    """Draw a dot of a radius of `size`; `words` are shown to whoever points at it."""
    inside = tag("title", words) if words else None
    return tag("circle", inside, cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{size:.3g}", class_=f"dot {colour}")


def line_chart(lines: Sequence[Line], *, alt: str, log: bool = False, limit: float | None = None) -> Html:
    """Draw curves over the steps of training; `limit` draws a value that should not be passed.

    >>> drawing = line_chart([Line("loss", Curve([0, 1], [2.0, 1.0]))], alt="loss falls")
    >>> drawing[:60]
    '<svg viewBox="0 0 460 240" role="img" aria-label="loss falls'
    """
    usable = [replace(one, curve=_above_zero(one.curve)) if log else one for one in lines]
    usable = [one for one in usable if len(one.curve)]
    if not usable:
        return tag("p", "Nothing was measured.", class_="quiet")
    values = [value for one in usable for value in one.curve.values]
    low, high = _padded(min(values), max(values), log)
    first = min(one.curve.steps[0] for one in usable)
    last = max(one.curve.steps[-1] for one in usable)
    x = scale(first, last, LEFT, WIDTH - RIGHT)
    y = scale(low, high, HEIGHT - BOTTOM, TOP, log)
    drawn = [_frame(x, y, first, last, log_ticks(low, high) if log else ticks(low, high))]
    if limit is not None and low <= limit <= high:
        drawn.append(rule(LEFT, y(limit), WIDTH - RIGHT, y(limit), "limit"))
        drawn.append(letters(WIDTH - RIGHT, y(limit) - 4, short(limit), "tick warn", "end"))
    drawn += [_path(one, x, y) for one in usable]
    return svg(WIDTH, HEIGHT, alt, *drawn)


def _above_zero(curve: Curve) -> Curve:
    pairs = [(step, value) for step, value in zip(curve.steps, curve.values, strict=True) if value > 0]
    return Curve([step for step, _ in pairs], [value for _, value in pairs])


def _padded(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.2, high * 1.2
    if low == high:
        return (min(0.0, 1.5 * low), max(0.0, 1.5 * high)) if low else (-1.0, 1.0)
    pad = 0.06 * (high - low)
    bottom = low - pad
    return (0.0 if low >= 0 > bottom or 0 <= low < 0.35 * high else bottom), high + pad


def _frame(
    x: Callable[[float], float], y: Callable[[float], float], first: float, last: float, at: Sequence[float]
) -> Html:
    drawn = []
    for value in at:
        drawn.append(rule(LEFT, y(value), WIDTH - RIGHT, y(value)))
        drawn.append(letters(LEFT - 7, y(value) + 3.5, short(value), anchor="end"))
    for value in ticks(first, last):
        drawn.append(rule(x(value), HEIGHT - BOTTOM, x(value), HEIGHT - BOTTOM + 4, "axis"))
        drawn.append(letters(x(value), HEIGHT - BOTTOM + 16, short(value), anchor="middle"))
    drawn.append(rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "step", "tick quiet", "middle"))
    return join(*drawn)


def _path(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> Html:
    curve = thin(line.curve)
    places = [(x(step), y(value)) for step, value in zip(curve.steps, curve.values, strict=True)]
    if len(places) == 1:
        return dot(*places[0], f"c{line.colour}")
    steps = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
    drawn = [tag("path", d=steps, class_=f"line c{line.colour} {line.style}".strip())]
    if line.dot is not None and line.dot < len(line.curve):
        step, value = line.curve.steps[line.dot], line.curve.values[line.dot]
        words = f"{line.name}: {figure(value)} at step {step:,.0f}"
        drawn.append(dot(x(step), y(value), f"c{line.colour}", words))
    return join(*drawn)


def legend(lines: Sequence[Line]) -> Html:
    """Name the lines of a chart beside the way they are drawn."""
    keys = []
    for line in lines:
        stroke = rule(1, 5, 23, 5, f"line c{line.colour} {line.style}".strip())
        key = tag("svg", stroke, viewBox="0 0 24 10", aria_hidden="true")
        keys.append(tag("span", key, text(line.name)))
    return tag("span", *keys, class_="legend")


def interval_chart(metrics: Sequence[Metric], *, alt: str) -> Html:
    """Draw figures of one scale under each other, each a mark on a band that spans its interval.

    >>> drawing = interval_chart([Metric("wer", 0.12, 0.1, 0.14)], alt="word error rates")
    >>> drawing.count("between"), drawing.count("value")
    (1, 1)
    """
    row, width, side = 42.0, WIDTH, 8.0
    height = row * len(metrics) + 30
    known = [end for m in metrics for end in (m.value, m.low, m.high) if end is not None]
    ends = [end for end in known if math.isfinite(end)]
    low, high = min([0.0, *ends]), max([*ends, 1e-9])
    x = scale(low, high * 1.04, side, width - side)
    drawn = []
    for value in ticks(low, high * 1.04):
        drawn.append(rule(x(value), 4, x(value), height - 22))
        drawn.append(letters(x(value), height - 6, short(value), anchor="middle"))
    for index, metric in enumerate(metrics):
        top = row * index
        colour = "c1" if index == 0 else "c0"
        name = tag("tspan", metric.title, class_="strong" if index == 0 else None)
        drawn.append(tag("text", name, x=f"{side}", y=f"{top + 16:.1f}", class_="row"))
        drawn.append(letters(width - side, top + 16, str(metric), "row number", "end"))
        if not math.isfinite(metric.value):
            continue
        middle = top + 28
        if metric.low is not None and metric.high is not None:
            drawn.append(rule(x(metric.low), middle, x(metric.high), middle, f"between {colour}"))
        drawn.append(rule(x(metric.value), middle - 7, x(metric.value), middle + 7, f"value {colour}"))
    return svg(width, height, alt, *drawn)
