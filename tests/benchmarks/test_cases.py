"""The cases of the vocabulary's rows: recipes that are there, figures that are judged, pictures that are kept."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.cases import Case, keep_pictures, read_cases, run, written
from locution.recipe import resolve
from locution.vocabulary.lookup import terms


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.recipe)
def test_a_case_is_a_recipe_that_is_there_of_a_row_that_is_there(case: Case) -> None:
    recipe, *words = shlex.split(case.recipe)
    assert resolve(recipe, words)
    assert int(case.row) in {term.row for term in terms().values()}


def test_a_case_is_run_and_judged_by_its_bar(tmp_path: Path) -> None:
    case = Case("1", "line", "mse", at_most=0.01)
    found = run(case, tmp_path / "run")
    assert found["met"]
    assert "| met |" in written(case, found)
    assert not Case("1", "line", "x", at_least=0.5).met(found["value"])
    assert "no figure nothing among" in run(Case("1", "line steps=1", "nothing"), tmp_path / "other")["error"]
    assert "'liine' is no recipe" in run(Case("1", "liine", "nothing"), tmp_path / "none")["error"]


def test_the_pictures_that_are_named_are_kept_and_old_ones_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "run" / "pictures"
    made.mkdir(parents=True)
    (made / "two-filters.png").write_bytes(b"filters")
    (made / "a-map.svg").write_bytes(b"map")
    place = tmp_path / "kept"
    place.mkdir()
    (place / "digits-some--old.png").write_bytes(b"old")
    keep_pictures(Case("1", "digits/some", "x", pictures=("Two filters", "none")), tmp_path / "run", place)
    assert [path.name for path in place.iterdir()] == ["digits-some--two-filters.png"]
    assert "no picture 'none'" in capsys.readouterr().err
