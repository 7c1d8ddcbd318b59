"""The cases of the vocabulary's rows: recipes that are there, figures that are judged, pictures that are kept."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.cases import Case, judge, keep_pictures, read_cases, train, written
from locution.recipe import resolve
from locution.vocabulary.lookup import terms


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.key)
def test_a_case_is_a_recipe_that_is_there_of_a_row_that_is_there(case: Case) -> None:
    recipe, *words = shlex.split(case.recipe)
    assert resolve(recipe, words)
    assert int(case.row) in {term.row for term in terms().values()}


def test_a_case_is_run_and_judged_by_its_bar(tmp_path: Path) -> None:
    case = Case("1", "line", "mse", at_most=0.01)
    trained = train(case.recipe, tmp_path / "run")
    found = judge(case, trained)
    assert found["met"]
    assert found["processor_seconds"] > 0
    assert "| met |" in written(case, found)
    assert not judge(Case("1", "line", "mse", at_least=0.5), trained)["met"]
    assert "no figure nothing among mse, rmse, mae, r2" in judge(Case("1", "line", "nothing"), trained)["error"]
    failed = judge(case, train("liine", tmp_path / "none"))
    assert "'liine' is no recipe" in failed["error"]
    assert "| failed |" in written(case, failed)


def test_words_pick_cases_by_row_or_recipe() -> None:
    case = Case("37", "digits/convnet", "accuracy")
    assert case.asked_by([])
    assert case.asked_by(["37"])
    assert case.asked_by(["tours", "convnet"])
    assert not case.asked_by(["3"])


def test_one_recipe_may_promise_several_figures() -> None:
    keys = [case.key for case in read_cases()]
    assert len(keys) == len(set(keys))


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
    keep_pictures("digits/some", ["Two filters", "none"], tmp_path / "run", place)
    assert [path.name for path in place.iterdir()] == ["digits-some--two-filters.png"]
    assert "no picture 'none'" in capsys.readouterr().err
    keep_pictures("digits/some", [], tmp_path / "run", place)
    assert [path.name for path in place.iterdir()] == ["digits-some--a-map.svg"]
    keep_pictures("digits/some model.width=3", [], tmp_path / "run", place)
    assert [path.name for path in place.iterdir()] == ["digits-some--a-map.svg"]
