"""Print the measured results as Markdown tables: `python -m benchmarks.show`."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.side_by_side import AUDIO

RESULTS = Path(__file__).with_name("results")


def table(title: str, rows: list[dict[str, object]]) -> list[str]:
    """Write one comparison as a table, a ratio a line."""
    heard = any(row.get("unit") == AUDIO for row in rows)
    head, rule = ("| | s of audio a second | ", "|---|---:|") if heard else ("| | ", "|---|")
    lines = [f"### {title}", "", f"{head}ratio | middle half | goal | |", f"{rule}---:|---|---:|---|"]
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']:.2f}"
        spread = f"{row['low']:.2f} to {row['high']:.2f}"
        met = "" if row["goal"] is None else "met" if row["met"] else "missed"
        speed = f" {1e6 / float(str(row['microseconds'])):,.4g} |" if heard else ""
        lines.append(f"| {row['name']} |{speed} {row['median']:.2f} | {spread} | {goal} | {row['note'] or met} |")
    return [*lines, ""]


def main() -> None:
    """Print every result there is, with the machine it was measured on."""
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if "tables" not in found:
            continue  # the cases of the vocabulary: `python -m benchmarks.cases --show`
        machine = found["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        print(f"## {found['benchmark']}\n")
        chip = f"{machine['accelerator']}; " if machine.get("accelerator") else ""
        print(
            f"{chip}{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}; {versions}\n"
        )
        for title, rows in found["tables"].items():
            print("\n".join(table(title, rows)))
        if found.get("facts"):
            print("\n".join([*found["facts"], ""]))


if __name__ == "__main__":
    main()
