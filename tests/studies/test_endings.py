"""Runs that diverge: counted on both sides, weighed by a sign test, and told wherever the comparison is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rich.console import Console
from scipy.stats import binomtest

from locution.errors import LocutionError, UserError
from locution.evaluation.significance import sign_test
from locution.studies.compare import Comparison, compare, conclude
from locution.studies.endings import diverged, ending, weighed
from locution.studies.outcomes import Found, Results
from locution.studies.page import write_page
from locution.studies.table import ending_rows, print_comparison, remarks
from locution.studies.worth import kept
from locution.vocabulary.lookup import Term
from locution.vocabulary.measured import markdown, sentences

GONE = "the loss became nan at step 7; usual causes: a learning rate too high"


def results(value: float) -> Results:
    return {"metrics": {"wer": {"value": value}}, "better": {"wer": "lower"}, "cost": {"seconds": 1.0, "steps": 7}}


def made(plain: set[int], varied: dict[str, set[int]], seeds: int = 10) -> Comparison:
    """A comparison in which runs of some seeds diverged and all others came to a figure."""
    off = {"plain": plain, **varied}
    failures = {f"{name}, seed {seed}": GONE for name, gone in off.items() for seed in gone}
    found: Found = {n: {seed: results(0.2 + seed / 100) for seed in range(seeds) if seed not in off[n]} for n in off}
    return conclude("r", [], "plain", list(off), found, ["wer"], failures, range(seeds))


@pytest.mark.parametrize("pair", [(6, 0), (0, 6), (5, 0), (7, 1), (9, 1), (3, 3), (0, 0), (12, 5)])
def test_the_sign_test_is_the_binomial_test_of_a_fair_coin(pair: tuple[int, int]) -> None:
    expected = binomtest(pair[0], sum(pair), 0.5).pvalue if sum(pair) else 1.0
    assert sign_test(*pair) == pytest.approx(expected, abs=1e-12)


def test_half_a_pair_less_than_none_is_refused() -> None:
    with pytest.raises(UserError, match="pairs is"):
        sign_test(-1, 3)


def test_what_keeps_training_from_diverging_helps() -> None:
    found = made({0, 1, 2, 3, 4, 5, 6}, {"clip": {6}})
    (one,) = found.endings
    assert (one.diverged, one.plain, one.pairs, one.saved, one.lost) == (1, 7, 10, 6, 0)
    assert (one.p, one.adjusted, one.verdict) == (2 / 64, 2 / 64, "helps")
    assert found.effects[0].seeds == (7, 8, 9)
    (back,) = made({6}, {"wild": {0, 1, 2, 3, 4, 5, 6}}).endings
    assert (back.saved, back.lost, back.verdict) == (0, 6, "hurts")


def test_five_pairs_prove_nothing_and_more_variants_need_more() -> None:
    found = made({0, 1, 2, 3, 4}, {"clip": set()})
    assert (found.endings[0].p, found.endings[0].verdict) == (2 / 32, "cannot tell")
    assert "With fewer than 6 such pairs nothing can be said of it." in " ".join(remarks(found))
    two = made({0, 1, 2, 3, 4, 5}, {"clip": set(), "same": {0, 1, 2, 3, 4, 5}})
    assert [(one.p, one.adjusted, one.verdict) for one in two.endings] == [
        (2 / 64, 4 / 64, "cannot tell"),
        (1.0, 1.0, "cannot tell"),
    ]
    assert "corrected for 2 variants (Holm)" in " ".join(remarks(two))
    assert "With fewer than 6" not in " ".join(remarks(two)).split("Diverged:")[1]
    mixed = weighed([ending("clip", {9}, set(range(7)), range(10))])[0]
    assert (mixed.p, mixed.verdict) == (2 * (1 + 8) / 2**8, "cannot tell")  # seven saved and one lost


def test_a_run_that_was_killed_says_nothing_of_divergence() -> None:
    why = {f"plain, seed {seed}": "its process was ended by SIGKILL; usual cause: memory" for seed in range(9)}
    done: Found = {"plain": {9: results(0.2)}, "clip": {seed: results(0.1) for seed in range(10)}}
    assert conclude("r", [], "plain", ["plain", "clip"], done, ["wer"], why, range(10)).endings == []
    why["clip, seed 9"] = GONE
    (one,) = conclude("r", [], "plain", ["plain", "clip"], done, ["wer"], why, range(10)).endings
    assert (one.pairs, one.plain, one.diverged) == (1, 0, 1)
    with pytest.raises(LocutionError, match="nothing can be compared"):
        conclude("r", [], "plain", ["plain", "clip"], {"clip": done["clip"]}, ["wer"], why, range(9))


def test_a_figure_that_is_no_number_counts_as_diverged_and_one_not_measured_does_not() -> None:
    assert diverged("a", range(4), {"a, seed 0": "its wer is nan", "a, seed 1": "its wer is inf"}) == {0, 1}
    assert diverged("a", range(4), {"a, seed 0": "its wer is not measured", "b, seed 1": GONE}) == set()
    done: Found = {"plain": {0: results(math.nan), 1: results(0.2)}, "clip": {0: results(0.1), 1: results(0.1)}}
    found = conclude("r", [], "plain", ["plain", "clip"], done, ["wer"], {}, range(2))
    assert (found.endings[0].plain, found.endings[0].saved) == (1, 1)


def test_where_every_plain_run_diverges_that_is_what_is_said(tmp_path: Path) -> None:
    found = made(set(range(8)), {"<clip>": set()}, seeds=8)
    assert found.effects == []
    assert found.endings[0].verdict == "helps"
    assert ending_rows(found) == [
        ("plain diverged", "8 of 8", "", "", "", "", "baseline"),
        ("<clip> diverged", "0 of 8", "-8", "", "0.008", "", "helps"),
    ]
    console = Console(width=120, record=True, quiet=True)
    print_comparison(found, console)
    page = write_page(tmp_path, found).read_text()
    assert "&lt;clip&gt; keeps training from diverging: 0 of 8 runs diverged, 8 without it, p 0.008." in page
    assert "8 of 8" in page
    assert "<clip>" not in page


def test_the_terminal_and_the_json_tell_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("line", "steps=50", "optimizer.lr=1e9", "slow: optimizer.lr=0.01")
    found, _ = compare(*words, seeds=6, out=tmp_path, quiet=True)
    print_comparison(found)
    table = capsys.readouterr().out
    assert "slow diverged" in table
    assert "0 of 6" in table
    assert "6 of 6" in table
    told = json.loads((tmp_path / "comparison.json").read_text())
    assert told["effects"] == []
    assert told["endings"] == [
        {
            "name": "slow", "diverged": 0, "plain": 6, "pairs": 6, "saved": 6, "lost": 0, "p": 2 / 64,
            "adjusted": 2 / 64, "verdict": "helps",
        }
    ]  # fmt: skip


def test_where_nothing_diverges_nothing_is_told_of_it() -> None:
    found = made(set(), {"sam": set()})
    assert found.endings == []
    assert ending_rows(found) == []
    assert not any("Diverged" in line for line in remarks(found))


def test_what_is_kept_of_a_measurement_holds_it() -> None:
    term = Term("clip", 22, "clipping", "method", "", effect="digits +clip")
    stored = json.loads(json.dumps(kept(term, made(set(range(8)), {"clip": set()}, seeds=8), {})))
    said = "clip keeps training from diverging: 0 of 8 runs diverged, 8 without it, p 0.008"
    assert sentences(stored) == [said]
    stored["environment"] = {"torch": "2"}
    assert f"{said} (sign test)." in markdown(term, stored)
