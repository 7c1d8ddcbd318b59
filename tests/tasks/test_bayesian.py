"""Bayesian regression as a run: near the exact posterior, too sure as a mean field, taken back, drawn and asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from locution.errors import UserError
from locution.recipe import resolve
from locution.runs import Run, train
from locution.tasks.bayesian import Bayesian


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    words = ("seed=100", "steps=1200", "optimizer.lr=0.06")
    full = train("bayesian", *words, f"run_dir={folder}/full", quiet=True)
    return full, train("bayesian", *words, "model.covariance=diagonal", f"run_dir={folder}/field", quiet=True)


def test_the_posterior_is_found_and_a_mean_field_is_too_sure(pair: tuple[Run, Run]) -> None:
    full, field = ({name: one["value"] for name, one in run.results["metrics"].items()} for run in pair)
    assert full["divergence_from_exact"] < 0.02
    assert full["mean_error"] < 0.1
    assert 0.93 < full["spread_ratio"] < 1.07
    assert field["mean_error"] < 0.1
    assert field["spread_ratio"] < 0.75
    assert field["divergence_from_exact"] > 0.3
    assert 0.9 < full["held_by_band"] <= 1.0


def test_a_run_is_taken_back_drawn_and_asked(pair: tuple[Run, Run]) -> None:
    run = pair[0]
    assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for title in ("The line and how sure it is", "The posterior of the slope", "The posterior, weight by weight"):
        assert title in page
    near, far = (answer.split(" +- ") for answer in run.predict(["1", "40"]))
    assert 0 < float(near[0]) < 3
    assert 0.5 < float(near[1]) < float(far[1]), "less sure where nothing was seen"


def test_data_that_do_not_say_how_many_they_are_are_counted() -> None:
    assert Bayesian().prepare(resolve("bayesian", ["data={name: line}"])).model.examples == 5
    assert Bayesian().prepare(resolve("bayesian", ["data.points=7"])).model.examples == 7


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    for words, line in (
        (["objective={name: mse}"], "allowed for a Bayesian regression: {name: elbo"),
        (["objective.explains=inputs"], "allowed for a Bayesian regression: {name: elbo"),
        (["objective.likelihood=bernoulli"], "allowed for a Bayesian regression: {name: elbo"),
        (["data={name: digits}"], "allowed for a Bayesian regression: one number to answer"),
        (["model={name: mlp}"], "model 'mlp' has no posterior; allowed here: bayesian_linear"),
    ):
        with pytest.raises(UserError, match=line) as refused:
            Bayesian().prepare(resolve("bayesian", words))
        assert "\n" not in str(refused.value)
