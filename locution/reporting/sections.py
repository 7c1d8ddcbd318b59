"""The sections of a report that every run has: figures, curves, gradients, cost, recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from locution.reporting import heat_maps
from locution.reporting.charts import Line, interval_chart, legend, line_chart
from locution.reporting.curves import LAYER, ROUTER, TURN, Curve, layers, lowest, smooth
from locution.reporting.markup import Html, join, tag
from locution.reporting.results import Cost, Metric, RunResults, Table
from locution.reporting.units import count, duration, figure, memory

HELD_OUT = ("development_loss", "validation_loss", "held_out_loss")
LONG = 60  # letters that half a page has no room for
WRITTEN = re.compile(r"[-+]?\d[\d,]*(\.\d+(e[-+]?\d+)?( ?%)?| ?%)")
DRAWN_ELSEWHERE = ("loss", "epoch_loss", "learning_rate", "gradient_norm", *HELD_OUT)


@dataclass(frozen=True)
class Section:
    """A section of a report: where links lead to, its heading, and what stands in it."""

    anchor: str
    title: str
    body: Html


def drawing(title: str, picture: Html, *, key: Html | None = None, note: str = "", wide: bool = False) -> Html:
    """Set a picture under its title, with its key and a note."""
    head = tag("figcaption", tag("b", title), key, tag("span", note, class_="note") if note else None)
    return tag("figure", head, tag("div", picture, class_="canvas"), class_="wide" if wide else None)


def facts(pairs: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> Html:
    """Set names beside their values."""
    listed = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
    rows = [tag("div", tag("dt", name), tag("dd", value, class_="user")) for name, value in listed]
    long = any(len(str(value)) > 40 for _, value in listed)
    return tag("dl", *rows, class_="facts long" if long else "facts")


def headline(results: RunResults) -> Section | None:
    """The figures: of each group the first large, and the group beside each other where it has several."""
    groups: dict[str, list[Metric]] = {}
    for metric in results.metrics:
        groups.setdefault(metric.group or f"\0{metric.name}", []).append(metric)
    if not groups:
        return None
    tiles = [_tile(members[0]) for members in groups.values()]
    charts = []
    for name, members in groups.items():
        if len(members) > 1:
            alt = "; ".join(f"{metric.title}: {metric}" for metric in members)
            better = f"{members[0].better} is better" if members[0].better else ""
            title = f"{spoken(name)} side by side"
            charts.append(drawing(title, interval_chart(members, alt=alt), note=better))
    body = join(tag("div", *tiles, class_="tiles"), tag("div", *charts, class_="charts") if charts else None)
    return Section("figures", "Figures", body)


def _tile(metric: Metric) -> Html:
    between = f"95 % interval {metric.interval}" if metric.interval else None
    parts = (
        tag("p", metric.title, class_="label user"),
        tag("p", figure(metric.value), class_="big"),
        tag("p", between, class_="quiet") if between else None,
        tag("p", metric.note, class_="quiet user") if metric.note else None,
    )
    return tag("div", *parts, class_="tile")


def notices(results: RunResults, found: Mapping[str, Curve]) -> Html | None:
    """What a reader must know before the figures: warnings first, then notes."""
    warnings, notes = heat_maps.remarks(layers(found))
    kept = [line for line in warnings if not any("gradient" in said.lower() for said in results.warnings)]
    boxes = [tag("p", tag("b", "Warning "), line, class_="notice warn") for line in (*results.warnings, *kept[:3])]
    boxes += [tag("p", tag("b", "Note "), line, class_="notice") for line in (*results.notes, *notes[:3])]
    return tag("div", *boxes, class_="notices") if boxes else None


def learning(found: Mapping[str, Curve]) -> Section | None:
    """The curves: training and held-out loss, learning rate, and whatever else was measured."""
    charts = [_turns(found) or _loss(found)]
    if "learning_rate" in found:
        line = Line("learning rate", found["learning_rate"], 1)
        rates = found["learning_rate"].values
        ends = f"first {figure(rates[0])}, highest {figure(max(rates))}, last {figure(rates[-1])}"
        alt = f"The learning rate: {ends}."
        charts.append(drawing("Learning rate", line_chart([line], alt=alt)))
    others = [name for name in found if name not in DRAWN_ELSEWHERE and not name.startswith((LAYER, ROUTER, TURN))]
    for number, name in enumerate(others[:12]):
        words, values = spoken(name), found[name].values
        note = f"first {figure(values[0])}, last {figure(values[-1])}"
        picture = line_chart([Line(words, found[name], 1 + number % 4)], alt=f"{words}: {note}.")
        charts.append(drawing(words, picture, note=f"last {figure(values[-1])}"))
    drawn = [chart for chart in charts if chart is not None]
    return Section("learning", "Learning", tag("div", *drawn, class_="charts")) if drawn else None


def _turns(found: Mapping[str, Curve]) -> Html | None:
    """Draw the loss of each of several turns, such as those of a critic and a generator."""
    turns = {name.removeprefix(TURN): curve for name, curve in found.items() if name.startswith(TURN)}
    if not turns:
        return None
    lines = [
        Line(spoken(name), smooth(curve) if len(curve) > 60 else curve, 1 + n % 4)
        for n, (name, curve) in enumerate(turns.items())
    ]
    ends = [
        f"{spoken(name)}: first {figure(curve.values[0])}, last {figure(curve.values[-1])}"
        for name, curve in turns.items()
    ]
    alt = f"Training loss of each turn: {'; '.join(ends)}."
    return drawing("Loss of each turn", line_chart(lines, alt=alt), key=legend(lines), note="; ".join(ends))


def _loss(found: Mapping[str, Curve]) -> Html | None:
    steps, means = found.get("loss"), found.get("epoch_loss")
    training = steps or means
    if training is None:
        return None
    if steps and means and len(means) >= 3 and len(means) >= len(steps) / 40:
        lines = [Line("single steps", steps, 1, "faint"), Line("training, mean", means, 1)]
    elif len(training) > 60:
        lines = [Line("single steps", training, 1, "faint"), Line("training, smoothed", smooth(training), 1)]
    else:
        lines = [Line("training", training, 1)]
    said = f"Training loss: first {figure(training.values[0])}, last {figure(training.values[-1])}."
    note = ""
    held = next((found[name] for name in HELD_OUT if name in found), None)
    if held is not None:
        best = lowest(held)
        lines.append(Line("held-out", held, 2, dot=best))
        note = f"held-out loss is lowest at step {held.steps[best]:,.0f}: {figure(held.values[best])}"
        said += f" Held-out loss: {note}; last {figure(held.values[-1])}."
    values = [value for line in lines for value in line.curve.values]
    log = min(values) > 0 and max(values) / min(values) > 20
    title = "Loss, on a logarithmic scale" if log else "Loss"
    return drawing(title, line_chart(lines, alt=said, log=log), key=legend(lines), note=note)


def spoken(name: str) -> str:
    """Write the name of a value for people.

    >>> spoken("development_wer"), spoken("gradient_norm")
    ('development WER', 'gradient norm')
    """
    return " ".join("WER" if word == "wer" else word for word in name.split("_"))


def gradients(found: Mapping[str, Curve]) -> Section | None:
    """How strong the gradients were, in all and layer by layer."""
    rows, drawn = layers(found), []
    if "gradient_norm" in found:
        curve = found["gradient_norm"]
        peak = max(range(len(curve)), key=curve.values.__getitem__)
        where = f"largest {figure(curve.values[peak])}, at step {curve.steps[peak]:,.0f}"
        log = min(curve.values) > 0 and max(curve.values) / min(curve.values) > 20
        line = [Line("gradient norm", curve, 3)]
        picture = line_chart(line, alt=f"Gradient norm: {where}.", log=log, limit=heat_maps.EXPLODING)
        drawn.append(drawing("Gradient norm of the whole model", picture, note=where))
    if rows:
        ends = [(name, curve.values[-1]) for name, curve in rows.items()]
        said = "; ".join(f"{name} {figure(value)}" for name, value in ends[:12])
        alt = f"Gradient norms of {len(rows)} layers through training. At the end: {said}."
        title = "Gradient norm of each layer"
        note = "from the first layer down to the last" + (
            f"; {len(rows)} layers in {heat_maps.MOST} rows, each the largest of its neighbours"
            if len(rows) > heat_maps.MOST
            else ""
        )
        drawn.append(drawing(title, heat_maps.heat_map(rows, alt=alt), note=note, wide=True))
    return Section("gradients", "Gradients", tag("div", *drawn, class_="charts")) if drawn else None


def costs(cost: Cost) -> Section | None:
    """What the run cost: time, memory, rate, and how much of the model was trained."""
    shown = [
        ("training", duration(cost.seconds) if cost.seconds is not None else None),
        ("evaluation", duration(cost.evaluation_seconds) if cost.evaluation_seconds is not None else None),
        ("peak memory", memory(cost.peak_memory) if cost.peak_memory is not None else None),
        (f"{cost.unit} a second", figure(cost.rate) if cost.rate is not None else None),
        ("steps", f"{cost.steps:,}" if cost.steps is not None else None),
        ("epochs", f"{cost.epochs:,}" if cost.epochs else None),
        ("gradients", f"{asked:,}" if (asked := cost.gradient_evaluations) not in (None, cost.steps) else None),
        ("device", cost.device or None),
        *cost.more.items(),
    ]
    kept = [(name, value) for name, value in shown if value is not None]
    trained, frozen = cost.parameters_trained, cost.parameters_frozen
    if not kept and trained is None:
        return None
    bar = None
    if trained is not None:
        whole = max(1, trained + (frozen or 0))
        words = f"{count(trained)} of {count(whole)} parameters are trained ({100 * trained / whole:.3g} %)"
        words += f", {count(frozen)} stay frozen" if frozen else ""
        filled = tag("span", style=f"--v:{max(0.4, 100 * trained / whole):.2f}%")
        bar = tag("div", tag("p", words), tag("div", filled, class_="share"), class_="parameters")
    return Section("cost", "Cost", join(facts(kept), bar))


def tables(listed: Sequence[Table]) -> Section | None:
    """Tables that the task added."""
    drawn = []
    for one in listed:
        longest = max((len(str(value)) for row in one.rows for value in row), default=0)
        wide = len(one.columns) > 4 or longest > LONG
        drawn.append(drawing(one.title, table(one.columns, one.rows), note=one.note, wide=wide))
    return Section("tables", "In detail", tag("div", *drawn, class_="charts")) if drawn else None


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """Write a table; numbers stand to the right."""
    numbers = [bool(rows) and all(is_number(row[i]) for row in rows) for i in range(len(columns))]
    heads = []
    for name, number in zip(columns, numbers, strict=True):
        heads.append(tag("th", name, class_="user number" if number else "user", scope="col"))
    head = tag("tr", *heads)
    body = [tag("tr", *[_cell(value) for value in row]) for row in rows]
    return tag("table", tag("thead", head), tag("tbody", *body), class_="plain")


def is_number(value: Any) -> bool:
    """Say whether a value is a number, or a text that writes a measured one; "5" may as well be a class.

    >>> [is_number(value) for value in (2, "0.673", "-1,024.5", "83 %", True, "1.0 [0.9, 1.1]", "5", "")]
    [True, True, True, True, False, False, False, False]
    """
    if isinstance(value, str):
        return bool(WRITTEN.fullmatch(value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> Html:
    if is_number(value):
        said = value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else figure(value)
        return tag("td", said, class_="number")
    return tag("td", value, class_="user", dir="auto")
