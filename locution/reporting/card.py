"""The model card of a run: what it is, what it was judged by, what it is no good for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from locution.engine.durable import write_text
from locution.reporting.markup import clean
from locution.reporting.origin import as_yaml, plain
from locution.reporting.results import Cost, RunResults
from locution.reporting.units import count, duration, figure, memory

FILE = "README.md"
# what Markdown or the HTML in it would take for an order
ORDER = re.compile(r"([\\`*_{}\[\]<>()#|~$&!]|(?<=[:/])/|^[-+=](?=\s)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s))")


def escape(value: object) -> str:
    """Write a value so that Markdown shows it as it stands, on one line.

    >>> print(escape("a|b *c* <img src=x>"))
    a\\|b \\*c\\* \\<img src=x\\>
    """
    text = " ".join(clean(value).split())
    return ORDER.sub(r"\\\1", text)


def write_card(folder: str | Path, results: RunResults) -> Path:
    """A model card says what a model is, how it was made, how good it is and where it must not be trusted.

    It is written as Markdown to `README.md` in the run's folder, the name under which hubs look for it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = write_card(folder, RunResults("speech", limits=["no human speech"])).read_text()
    >>> "- no human speech" in card
    True

    Reference: M. Mitchell et al., 2019, "Model Cards for Model Reporting", section 4.
    """
    path = Path(folder) / FILE
    text = render(results, Path(folder).name)
    write_text(path, text.encode("utf-8", errors="replace").decode("utf-8"))
    return path


def render(results: RunResults, run: str) -> str:
    """Make the text of the card."""
    limits = results.limits or ["Nobody has written down where this model fails; judge it on your own data first."]
    told = [f"- **warning:** {escape(line)}" for line in results.warnings]
    told += [f"- {escape(line)}" for line in results.notes]
    name = re.sub("[^A-Za-z0-9 ._:-]", "?", run)
    parts = [
        _front(results),
        f"# {escape(results.title)}",
        escape(results.summary),
        f"Run `{name}`, made with locution. Curves and errors are in `report.html` beside this card.",
        _section("How good it is", [_figures(results)] if results.metrics else []),
        _section("Limits", [f"- {escape(line)}" for line in limits]),
        _section("What was noticed", told),
        _section("Data", _pairs(results.data)),
        _section("Methods", _methods(results)),
        _section("Cost", _pairs(_cost(results.cost))),
        _section("Recipe", _fenced(as_yaml(results.recipe)) if results.recipe else []),
        _section("Environment", _pairs(results.environment)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(results: RunResults) -> str:
    task = re.sub("[^a-z0-9-]+", "-", str(results.recipe.get("task", "")).lower()).strip("-")
    tags = ["locution", *([task] if task else [])]
    front = yaml.safe_dump({"library_name": "locution", "tags": tags}, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---"


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _figures(results: RunResults) -> str:
    rows = ["| metric | value | 95 % interval | measured on |", "|---|---:|---|---|"]
    for one in results.metrics:
        cells = (escape(one.title), figure(one.value), escape(one.interval), escape(one.note))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _pairs(pairs: Mapping[str, Any]) -> list[str]:
    return [f"- {escape(name)}: {escape(value)}" for name, value in pairs.items()]


def _methods(results: RunResults) -> list[str]:
    lines = []
    for one in results.methods:
        settings = ", ".join(f"{escape(key)} = {escape(plain(value))}" for key, value in one.settings.items())
        lines.append(f"- **{escape(one.name)}**{f' ({settings})' if settings else ''}: {escape(one.sentence)}")
    return lines


def _cost(cost: Cost) -> dict[str, str]:
    trained, frozen = cost.parameters_trained, cost.parameters_frozen
    shown = {
        "training": None if cost.seconds is None else duration(cost.seconds),
        "peak memory": None if cost.peak_memory is None else memory(cost.peak_memory),
        "steps": None if cost.steps is None else f"{cost.steps:,}",
        "parameters trained": None if trained is None else count(trained),
        "parameters frozen": count(frozen) if frozen else None,
        "device": cost.device or None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _fenced(text: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}yaml", text.rstrip("\n"), fence]
