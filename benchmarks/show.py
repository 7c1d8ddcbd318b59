"""Print the measured results as Markdown tables: `python -m benchmarks.show`."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def table(title: str, rows: list[dict[str, object]]) -> list[str]:
    """Write one comparison as a table, a ratio a line."""
    lines = [f"### {title}", "", "| | ratio | middle half | goal | |", "|---|---:|---|---:|---|"]
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']:.2f}"
        spread = f"{row['low']:.2f} to {row['high']:.2f}"
        met = "" if row["goal"] is None else "met" if row["met"] else "missed"
        lines.append(f"| {row['name']} | {row['median']:.2f} | {spread} | {goal} | {row['note'] or met} |")
    return [*lines, ""]


def main() -> None:
    """Print every result there is, with the machine it was measured on."""
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        machine = found["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        print(f"## {found['benchmark']}\n")
        print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}; {versions}\n")
        for title, rows in found["tables"].items():
            print("\n".join(table(title, rows)))


if __name__ == "__main__":
    main()
