"""What a term was measured to be worth: kept beside the vocabulary, and written for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from locution.reporting.paired import Paired, differences_chart
from locution.reporting.units import figure
from locution.vocabulary.lookup import Term, terms

EFFECTS = Path(__file__).with_name("effects")
COLUMNS = ("variant", "figure", "without", "with", "change", "95 % interval", "p", "time", "memory", "verdict")
VERDICTS = {
    "helps": "helps",
    "hurts": "hurts",
    "differs": "makes a difference",
    "cannot tell": "cannot be told from chance",
}
Stored = Mapping[str, Any]


def read(name: str, folder: Path = EFFECTS) -> Stored | None:
    """Read what was measured of a term; None where nothing was.

    >>> read("batch") is None
    True
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return None
    stored: Stored = json.loads(path.read_text(encoding="utf-8"))
    return stored


def current(term: Term, stored: Stored) -> bool:
    """Say whether a measurement is the one that the term asks for.

    >>> current(Term("sam", 22, "SAM", "method", "", effect="digits +sam"), {"effect": "digits +mixup"})
    False
    """
    return bool(stored["effect"] == term.effect)


def sentences(stored: Stored) -> list[str]:
    """Say in a sentence a variant and figure what came out, with what it costs.

    >>> one = {"name": "sam", "metric": "wer", "better": "lower", "mean": -0.02, "low": -0.03, "high": -0.01}
    >>> one |= {"baseline": 0.2, "value": 0.18, "adjusted": 0.002, "time": 2.0, "verdict": "helps", "failed": 0}
    >>> sentences({"effects": [one]})
    ['sam helps: wer 0.200 to 0.180, -0.020 [-0.030, -0.010], p 0.002; 2.00x the training time']
    """
    said = []
    for one in stored["effects"]:
        change = f"{_signed(one['mean'])} [{figure(one['low'])}, {figure(one['high'])}]"
        time = f"; {one['time']:.2f}x the training time" if one.get("time") is not None else ""
        failed = f"; {one['failed']} runs failed" if one["failed"] else ""
        moved = f"{figure(one['baseline'])} to {figure(one['value'])}"
        said.append(
            f"{one['name']} {VERDICTS[one['verdict']]}: {one['metric']} {moved}, {change}, p {one['adjusted']:.3f}"
            f"{time}{failed}"
        )
    return said + [diverged(one) for one in stored.get("endings", [])]


def diverged(one: Mapping[str, Any]) -> str:
    """Say in a sentence how many runs diverged with a change and without it.

    >>> diverged({"name": "clip", "diverged": 0, "plain": 9, "pairs": 10, "adjusted": 0.004, "verdict": "helps"})
    'clip keeps training from diverging: 0 of 10 runs diverged, 9 without it, p 0.004'
    """
    words = {"helps": "keeps training from diverging", "hurts": "makes training diverge"}
    what = words.get(one["verdict"], "is not known to change how often training diverges")
    counts = f"{one['diverged']} of {one['pairs']} runs diverged, {one['plain']} without it"
    return f"{one['name']} {what}: {counts}, p {one['adjusted']:.3f}"


def conditions(stored: Stored) -> str:
    """Say under which conditions it was measured."""
    first, last = stored["first"], stored["first"] + stored["seeds"] - 1
    where = ", ".join(part for part in (stored["machine"], f"torch {stored['environment']['torch']}") if part)
    plain = "the recipe as it is" if stored["plain"] == "plain" else stored["plain"]
    asked = len(stored["effects"])
    correction = f", corrected for {asked} questions (Holm)" if asked > 1 else ""
    equal = f" Equal {stored['equal']}: each variant has the budget of the plain recipe." if stored["equal"] else ""
    return (
        f"Recipe {' '.join([stored['recipe'], *stored['shared']])}, against {plain}; {stored['seeds']} seeds ({first} "
        f"to {last}), each pair with the same first weights, order of data and noise.{equal} Interval: BCa bootstrap "
        f"of the mean paired difference; p: sign-flip test{correction}. Measured on {stored['date']}: {where}."
    )


def markdown(term: Term, stored: Stored) -> list[str]:
    """Write the section of a page: the command, what came out, the figures, the pictures, the conditions.

    Nothing is left out where a method does not help.
    """
    rows = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for one in stored["effects"]:
        better = f"{one['metric']} ({one['better']} is better)" if one["better"] else one["metric"]
        failed = f" ({one['failed']} failed)" if one["failed"] else ""
        cells = (
            *(one["name"], better, figure(one["baseline"]), figure(one["value"]), _signed(one["mean"])),
            *(f"[{figure(one['low'])}, {figure(one['high'])}]", f"{one['adjusted']:.3f}"),
            *(_times(one["time"]), _times(one["memory"]), one["verdict"] + failed),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    pictures = [f"![{alt}]({name})" for name, alt in _alts(term, stored)]
    command = f"```bash\n{stored['command']}\n```"
    endings = [f"{diverged(one)} (sign test)." for one in stored.get("endings", [])]
    return ["## What it is worth", command, "\n".join(rows), *pictures, *endings, conditions(stored)]


def pictures(term: Term, stored: Stored) -> Iterator[tuple[str, str]]:
    """Draw the paired differences, one picture a figure: its file and the SVG."""
    for metric, rows in _by_metric(stored).items():
        yield _file(term, metric), differences_chart(rows, alone=True) + "\n"


def _alts(term: Term, stored: Stored) -> Iterator[tuple[str, str]]:
    for metric, rows in _by_metric(stored).items():
        words = [
            f"{row.name} {_signed(row.mean)}, 95 % between {figure(row.low)} and {figure(row.high)}, {row.verdict}"
            for row in rows
        ]
        yield _file(term, metric), f"differences of {metric}, a dot a seed: {'; '.join(words)}"


def _file(term: Term, metric: str) -> str:
    return f"effects/{term.name}-{metric}.svg"


def _by_metric(stored: Stored) -> dict[str, list[Paired]]:
    found: dict[str, list[Paired]] = {}
    for one in stored["effects"]:
        row = Paired(
            one["name"], one["differences"], one["mean"], one["low"], one["high"], one["verdict"], one["seeds"]
        )
        found.setdefault(one["metric"], []).append(row)
    return found


def _signed(value: float) -> str:
    return f"+{figure(value)}" if value > 0 else figure(value)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def overview(folder: Path = EFFECTS) -> list[str]:
    """Write all that was measured as one Markdown table, in the order of the vocabulary, whatever came out."""
    head = ("", "recipe", "figure", "without", "with", "change", "95 % interval", "time", "verdict")
    rows = ["| " + " | ".join(head) + " |", "|---|---|---|---:|---:|---:|---|---:|---|"]
    for term in terms().values():
        stored = read(term.name, folder)
        for one in stored["effects"] if stored is not None else []:
            assert stored is not None
            name = f"[{term.title}](vocabulary/{term.name}.md)"
            name += "" if one["name"] in (term.name, term.title) else f": {one['name']}"
            where = "`" + " ".join([stored["recipe"], *stored["shared"]]) + "`"
            moved = (one["metric"], figure(one["baseline"]), figure(one["value"]), _signed(one["mean"]))
            between = f"[{figure(one['low'])}, {figure(one['high'])}]"
            rows.append("| " + " | ".join((name, where, *moved, between, _times(one["time"]), one["verdict"])) + " |")
    return rows


if __name__ == "__main__":
    print("\n".join(overview()))
