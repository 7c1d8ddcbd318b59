"""What was measured of terms, as one table: everything that is kept, whatever came out."""

from __future__ import annotations

import json
from pathlib import Path

from locution.studies.effects import Outcome, effect
from locution.vocabulary.measured import EFFECTS, overview, read


def test_the_table_has_a_row_for_each_figure_that_is_kept() -> None:
    kept = [json.loads(path.read_text()) for path in sorted(EFFECTS.glob("*.json"))]
    rows = overview()[2:]
    assert len(rows) == sum(len(one["effects"]) for one in kept)
    assert sum("| hurts |" in row for row in rows) == sum(
        e["verdict"] == "hurts" for one in kept for e in one["effects"]
    )


def test_a_row_says_what_it_was_measured_on_and_what_it_costs(tmp_path: Path) -> None:
    one = {
        "name": "sam", "metric": "sharpness", "baseline": 2.0, "value": 1.0, "mean": -1.0, "low": -1.5, "high": -0.5,
        "time": 2.0, "verdict": "helps",
    }  # fmt: skip
    two = {**one, "name": "strong", "time": None, "verdict": "hurts"}
    stored = {"recipe": "digits", "shared": ["epochs=5"], "effects": [one, two]}
    (tmp_path / "sam.json").write_text(json.dumps(stored))
    assert read("sam", tmp_path) == stored
    rows = overview(tmp_path)[2:]
    assert len(rows) == 2
    assert rows[0].endswith(
        "| `digits epochs=5` | sharpness | 2.000 | 1.000 | -1.000 | [-1.500, -0.500] | 2.00x | helps |"
    )
    assert ": strong |" in rows[1]
    assert rows[1].endswith("|  | hurts |")


def test_rounding_errors_are_no_differences() -> None:
    plain = {seed: Outcome({"accuracy": 0.1 * (seed + 1)}) for seed in range(8)}
    varied = {seed: Outcome({"accuracy": 0.1 * seed + 0.1}) for seed in range(8)}  # 0.1 * 3 is not 0.1 * 2 + 0.1
    found = effect("same", plain, varied, "accuracy")
    assert found.differences == (0.0,) * 8
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)
