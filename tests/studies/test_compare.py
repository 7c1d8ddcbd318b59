"""Compare: pairs differ by the change alone, a study is taken up where it was left, and no verdict comes too early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from locution.cli import run as command
from locution.errors import LocutionError, UserError
from locution.studies.compare import compare
from locution.studies.effects import Outcome, effect, fewest, judged
from locution.studies.page import write_page
from locution.studies.variants import read_words


def outcomes(values: list[float], seconds: float = 1.0) -> dict[int, Outcome]:
    return {seed: Outcome({"wer": value}, seconds, 10.0) for seed, value in enumerate(values)}


def test_the_words_of_a_command_line() -> None:
    shared, variants = read_words(["steps=2", "+a+b", "+c.rho=0.1", "n=1 +d", "far.1: -clipping k=v"])
    assert shared == ["steps=2"]
    assert [(one.name, one.words) for one in variants] == [
        ("a+b", ("+a", "+b")),
        ("c.rho=0.1", ("+c.rho=0.1",)),
        ("n=1 +d", ("n=1", "+d")),
        ("far.1", ("-clipping", "k=v")),
    ]
    with pytest.raises(UserError, match="'sam' is neither"):
        read_words(["sam"])
    with pytest.raises(UserError, match="came twice"):
        read_words(["+sam", "+sam"])
    quoted = read_words(["t: +distillation +distillation.teacher='digits epochs=1'"])[1][0]
    assert quoted.words == ("+distillation", "+distillation.teacher=digits epochs=1")
    with pytest.raises(UserError, match="cannot be read: no closing quotation; allowed: quotes in pairs"):
        read_words(["t: +distillation.teacher='digits"])


def test_a_change_of_nothing_makes_no_difference(tmp_path: Path) -> None:
    """The same weights, order of data and masks to the bit: what differs in a pair is the change alone."""
    words = ("epochs=1", "same: log_every=7", "+label_smoothing")
    found, _ = compare("digits", *words, seeds=2, metric="cross_entropy", out=tmp_path, quiet=True)
    same, smooth = found.effects
    assert same.differences == (0.0, 0.0)
    assert 0.0 not in smooth.differences


def test_a_bad_change_hurts_and_a_study_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    words = ("steps=20", "same: log_every=7", "slow: optimizer.lr=1e-5")
    found, folder = compare("line", *words, seeds=7, out=tmp_path, quiet=True)
    same, slow = found.effects
    assert (same.verdict, same.p) == ("cannot tell", 1.0)
    assert (slow.verdict, slow.p, slow.adjusted) == ("hurts", 2 / 2**7, 4 / 2**7)
    assert found.better == "lower"
    assert folder == tmp_path

    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")}
    assert len(kept) == 21
    gone = sorted(kept)[0]
    gone.unlink()
    again, _ = compare("line", *words, seeds=7, out=tmp_path, quiet=True)
    assert [one.differences for one in again.effects] == [one.differences for one in found.effects]
    assert {path for path in kept if path.stat().st_mtime_ns != kept[path]} == {gone}, "only what is missing is done"

    page = write_page(tmp_path, again).read_text(encoding="utf-8")
    assert "hurts" in page
    assert page.count("<circle") == 14 + 3, "a dot a seed and variant; and gain over cost, with the plain recipe"
    assert json.loads((tmp_path / "comparison.json").read_text())["effects"][1]["verdict"] == "hurts"


def test_processes_give_what_one_gives(tmp_path: Path) -> None:
    words = ("line", "steps=20", "slow: optimizer.lr=0.001")
    one, _ = compare(*words, seeds=2, out=tmp_path / "one", quiet=True)
    two, _ = compare(*words, seeds=2, workers=2, out=tmp_path / "two", quiet=True)
    assert [effect.differences for effect in one.effects] == [effect.differences for effect in two.effects]


def test_runs_that_fail_are_named_and_the_others_count(tmp_path: Path) -> None:
    found, _ = compare("line", "steps=50", "wild: optimizer.lr=1e9", seeds=2, out=tmp_path, quiet=True)
    assert set(found.failures) == {"wild, seed 0", "wild, seed 1"}
    assert found.effects == []
    with pytest.raises(LocutionError, match="nothing can be compared"):
        compare(
            "line", "steps=50", "optimizer.lr=1e9", "more: optimizer.lr=1e10", seeds=2, out=tmp_path / "b", quiet=True
        )


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        ((), {}, "without a variant"),
        (("+samm",), {}, "'samm' is no method. Did you mean 'sam'"),
        (("+sam",), {"seeds": 1}, "seeds is 1"),
        (("+sam",), {"workers": 0}, "workers is 0"),
        (("a: steps=2", "b: steps=3"), {"against": "c"}, "'c' is no variant"),
        (("a: steps=2",), {"metric": "mean"}, "'mean' is no figure of this recipe"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    words: tuple[str, ...], settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        compare("line", "steps=2", *words, **{"seeds": 2, "out": tmp_path, "quiet": True, **settings})


def test_verdicts_need_the_corrected_p_and_the_interval() -> None:
    base = outcomes([0.2, 0.21, 0.19, 0.2, 0.22, 0.18])
    good = effect("good", base, outcomes([0.1, 0.1, 0.1, 0.1, 0.1, 0.1], seconds=3.0), "wer")
    none = effect("none", base, outcomes([0.21, 0.2, 0.19, 0.21, 0.22, 0.17]), "wer")
    assert [one.verdict for one in judged([good], "lower")] == ["helps"]
    assert [one.verdict for one in judged([good], "higher")] == ["hurts"]
    assert [one.verdict for one in judged([good], "")] == ["differs"]
    assert [one.verdict for one in judged([good, none], "lower")] == ["cannot tell"] * 2, "two questions, six seeds"
    assert good.time == 3.0
    assert fewest(1) == 6
    assert fewest(2) == 7
    unpaired = effect("few", base, {3: Outcome({"wer": 0.1}), 99: Outcome({"wer": 0.0})}, "wer")
    assert unpaired.differences == pytest.approx((-0.1,))


def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "line", "steps=3", "slow: optimizer.lr=0.001", "--seeds", "2", "--out", str(tmp_path)]
    assert command(words) == 0
    out = capsys.readouterr().out
    assert "cannot tell" in out
    assert "fewer than 6 seeds" in out
    assert command([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["effects"][0]["name"] == "slow"
    assert command(["compare", "line", "slow"]) == 2


def test_variants_that_ask_for_one_teacher_share_it_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "epochs=1 data.limit=64 model.widths=[4]"
    taught = f"+distillation +distillation.teacher='digits {small}' +distillation.temperature"
    found, _ = compare("digits", *small.split(), f"cool: {taught}=2", f"warm: {taught}=8", seeds=2, quiet=True)
    assert {one.name for one in found.effects} == {"cool", "warm"}
    kept = sorted(folder.name.rpartition("-seed-")[2] for folder in Path("runs/kept").iterdir())
    assert kept == ["0", "1"], "one teacher a seed, whoever asks for it"
