"""Learners without gradients from a recipe: judged, drawn, kept without pickle, taken back to the bit, refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.neighbors import KNeighborsClassifier

from locution import runs
from locution.data.digits import DigitsData
from locution.errors import LocutionError, UserError
from locution.estimators.neighbours import NearestNeighbours
from locution.estimators.som import SelfOrganisingMap, quantisation_error, topographic_error
from locution.recipe import resolve
from locution.reporting.results import RunResults
from locution.runs import Run
from locution.tasks.estimated import judge_search, units_named
from locution.tasks.estimation import Estimation, flat, plain
from locution.tasks.keeping import WEIGHTS

FEW = ("data.limit=300",)


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("neighbours") / "run"
    return runs.train("digits/neighbours", f"run_dir={folder}", quiet=True)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("map") / "run"
    words = ("estimator.rows=8", "estimator.columns=9", *FEW)
    return runs.train("digits/map", *words, f"run_dir={folder}", quiet=True)


def test_neighbours_are_judged_as_scikit_learns_are_and_find_with_hnsw_what_is_near(neighbours: Run) -> None:
    data = DigitsData().load(seed=0)
    train, test = data.train, data.test
    assert test is not None
    plainly = KNeighborsClassifier(5).fit(flat(train.inputs), train.targets)  # type: ignore[attr-defined]
    score = plainly.score(flat(test.inputs), test.targets)
    figures = neighbours.results["metrics"]
    assert figures["accuracy"]["value"] == pytest.approx(score, abs=6e-4)
    assert figures["accuracy"]["low"] < score < figures["accuracy"]["high"]
    assert figures["same_as_scikit_learn"]["value"] == 1
    assert figures["recall_of_hnsw"]["low"] >= 0.95
    report = (neighbours.folder / "report.html").read_text()
    assert "parameters are trained" not in report, "there are none"
    assert "gradients" not in report
    assert "Queries a second against recall@10" in report


def test_a_map_is_judged_and_drawn(laid_out: Run) -> None:
    task: Any = laid_out.task
    job = laid_out.job()
    learnt: Any = laid_out.load(job).estimator
    assert isinstance(learnt, SelfOrganisingMap)
    held = job.data.dataset.test
    rows, figures = flat(held.inputs), laid_out.results["metrics"]
    assert figures["quantisation_error"]["value"] == pytest.approx(quantisation_error(rows, learnt.weights_), abs=6e-4)
    torn = topographic_error(rows, learnt.weights_, learnt.places_)
    assert figures["topographic_error"]["value"] == pytest.approx(torn, abs=6e-4)
    table = job.data
    names = units_named(learnt, table.train, table.classes, table.dataset.labels)
    right = [names[unit] == str(int(true)) for unit, true in zip(learnt.predict(rows), held.targets, strict=True)]
    assert figures["map_accuracy"]["value"] == pytest.approx(np.mean(right), abs=6e-4)
    assert figures["map_accuracy"]["value"] > 0.75
    assert "The map, and the walls between its units" in (laid_out.folder / "report.html").read_text()
    assert "what most that fall there are" in (laid_out.folder / "report.html").read_text()
    assert (laid_out.folder / "pictures").is_dir()
    assert tuple(task.embed(laid_out.recipe, laid_out.folder, [], "test").vectors.shape) == (270, 2)


@pytest.mark.parametrize("which", ["neighbours", "laid_out"])
def test_what_was_learnt_comes_back_to_the_bit_and_answers_alike(which: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(which)
    job = run.job()
    assert job.fit is not None
    job.fit()
    fresh: Any = job.model
    kept: Any = run.load(run.job())
    ours, theirs = fresh.estimator.state_dict(), kept.estimator.state_dict()
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, theirs[name])
            assert value.dtype == theirs[name].dtype
        else:
            assert value == theirs[name]
    rows = flat(job.data.dataset.test.inputs)
    assert np.array_equal(fresh.estimator.predict(rows), kept.estimator.predict(rows))
    written = json.loads((run.folder / "results.json").read_text())["metrics"]
    assert run.evaluate().as_json()["metrics"] == written


@pytest.mark.parametrize("which", ["neighbours", "laid_out"])
def test_the_folder_holds_arrays_and_json_and_nothing_that_runs(which: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(which)
    assert load_file(run.folder / WEIGHTS)
    assert isinstance(json.loads((run.folder / "model.json").read_text()), dict)
    assert not [path for path in run.folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".joblib")]


def other_learner(folder: Path, other: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        shutil.copy(other / name, folder / name)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder, _: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is damaged: "),
        (lambda folder, _: (folder / "model.safetensors").unlink(), "holds no model.safetensors"),
        (lambda folder, _: (folder / "model.json").unlink(), "model.json cannot be read: No such file"),
        (lambda folder, _: (folder / "model.json").write_text("{"), "model.json is damaged: Expecting"),
        (lambda folder, _: (folder / "model.json").write_text("{}"), "holds nothing that 'self_organising_map' has"),
        (lambda folder, _: (folder / "model.json").write_text("[1]"), "holds nothing that 'self_organising_map' has"),
        (other_learner, "holds nothing that 'self_organising_map' has learnt"),
    ],
)
def test_a_damaged_file_or_that_of_another_learner_is_one_line(
    harm: Callable[[Path, Path], Any], said: str, laid_out: Run, neighbours: Run, tmp_path: Path
) -> None:
    folder = shutil.copytree(laid_out.folder, tmp_path / "run")
    harm(folder, neighbours.folder)
    with pytest.raises(LocutionError) as refused:
        Run.open(folder).predict(["test:0"])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_answers_in_words(neighbours: Run, laid_out: Run) -> None:
    data = DigitsData().load(seed=0)
    assert data.test is not None
    label, share = neighbours.predict(["test:3"])[0].split()
    assert label == str(int(data.test.targets[3]))
    assert share in ("(0.400)", "(0.600)", "(0.800)", "(1.000)")
    (said,) = laid_out.predict(["test:3"])
    row, column = (int(word.strip(",:").split()[-1]) for word in said.split(": ")[0].split(", "))
    job = laid_out.job()
    learnt: Any = laid_out.load(job)
    assert row * 9 + column == learnt.estimator.predict(flat(data.test.inputs[3:4]))[0]


def test_the_seed_of_the_run_is_that_of_a_learner_that_draws(tmp_path: Path) -> None:
    words = ("estimator.start=examples", "estimator.rows=3", "estimator.columns=3", *FEW)
    first, again, other, said = (
        Estimation().prepare(resolve("digits/map", [*words, *more]), quiet=True).model.estimator
        for more in (("seed=3",), ("seed=3",), ("seed=4",), ("seed=4", "estimator.random_state=3"))
    )
    assert [one.random_state for one in (first, again, other, said)] == [3, 3, 4, 3]  # type: ignore[union-attr]


def test_other_classifiers_are_judged_too(tmp_path: Path) -> None:
    recipe = replace(resolve("digits/neighbours", ["data.classes=[0,1]"]), estimator={"name": "perceptron"})
    task = Estimation()
    job = task.prepare(recipe, quiet=True)
    assert job.fit is not None
    job.fit()
    results = task.evaluate(recipe, job, job.model)
    assert {one.name for one in results.metrics} == {"accuracy", "macro_f1"}
    assert results.metrics[0].value > 0.95
    task.save(recipe, job.model, tmp_path)
    kept: Any = task.load(recipe, job, tmp_path)
    learnt: Any = job.model
    assert np.array_equal(kept.estimator.coef_, learnt.estimator.coef_)


def test_without_faiss_neighbours_are_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve("digits/neighbours", FEW)
    task = Estimation()
    job = task.prepare(recipe, quiet=True)
    assert job.fit is not None
    job.fit()
    monkeypatch.setattr("locution.tasks.estimated.find_spec", lambda name: None)
    results = task.evaluate(recipe, job, job.model)
    assert not results.graphs
    assert "pip install 'locution[neighbours]'" in results.notes[0]


def test_answers_that_are_not_scikit_learns_are_counted_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.tasks.estimated.find_spec", lambda name: None)
    data = DigitsData(limit=300).load(seed=0)
    train, test = data.train, data.test
    assert test is not None
    rows, classes = flat(train.inputs), train.targets.numpy()  # type: ignore[attr-defined]
    results, forgetful = RunResults("few"), NearestNeighbours().fit(rows[:40], classes[:40])
    judge_search(results, forgetful, rows, classes, flat(test.inputs))
    assert results.metrics[0].value < 0.95


def test_a_unit_on_which_nothing_fell_bears_the_name_of_the_nearest_that_has_one() -> None:
    rows = np.array([[0.0], [0.0], [0.2], [9.0]])
    learnt = SelfOrganisingMap(rows=1, columns=6).fit(rows)
    learnt.weights_ = np.array([[[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]]])
    assert units_named(learnt, rows, np.array([1, 1, 0, 0]), ["a", "b"]) == ["b", "b", "b", "a", "a", "a"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"estimator": {}}, r"came without an estimator; allowed: estimator: \{name: nearest_neighbours\}"),
        ({"data": {"name": "sinusoids"}}, "allowed: examples in memory"),
        ({"data": {"name": "captioned_digits"}}, "allowed: examples in memory"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    recipe = resolve("digits/neighbours")
    for name, value in changed.items():
        setattr(recipe, name, value)
    with pytest.raises(UserError, match=said):
        Estimation().prepare(recipe, quiet=True)


def test_settings_out_of_range_and_data_that_do_not_fit_are_one_line() -> None:
    job = Estimation().prepare(resolve("digits/neighbours", ["estimator.neighbours=0"]), quiet=True)
    assert job.fit is not None
    with pytest.raises(UserError, match=r"neighbours.neighbours is 0; allowed"):
        job.fit()
    recipe = replace(resolve("digits/neighbours"), estimator={"name": "perceptron"})
    job = Estimation().prepare(recipe, quiet=True)
    assert job.fit is not None
    with pytest.raises(UserError) as error:
        job.fit()
    assert "\n" not in str(error.value)


def test_a_learner_that_holds_what_cannot_be_kept_says_so() -> None:
    with pytest.raises(LocutionError, match="holds a module, which cannot be kept: numbers, text and arrays can"):
        plain(sys)
    assert plain(np.float64(0.1)) == 0.1
    assert plain(np.array(["a", "b"])) == ["a", "b"]


def test_classes_that_are_words_come_back_as_words() -> None:
    learnt = NearestNeighbours(neighbours=1).fit([[0.0], [1.0]], ["no", "yes"])
    state = {name: plain(value) for name, value in learnt.state_dict().items()}
    other = NearestNeighbours(neighbours=1)
    other.load_state_dict(json.loads(json.dumps(state)))
    assert other.predict([[0.9]]).tolist() == ["yes"]


def test_damaged_settings_are_one_line(neighbours: Run, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(LocutionError, match=r"model.json is damaged"):
        Estimation().load(neighbours.recipe, neighbours.job(), tmp_path)
