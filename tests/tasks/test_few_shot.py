"""The task of tasks: judged alike whatever the method, asked with points, and MAML learns from one step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from locution.data.sinusoids import SinusoidsData
from locution.engine import Batch, TensorBatches
from locution.errors import UserError
from locution.models.few_shot import FewShot
from locution.recipe import resolve
from locution.runs import Run, train
from locution.tasks.few_shot import RATES, STEPS, FewShotTask, errors, read_task, said, tune
from locution.tasks.supervised import Supervised

FEW = ("data.test=60", "data.development=30")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    words = (*FEW, "steps=400", "seed=100")
    plain = train("sinusoids", *words, f"run_dir={folder}/plain", quiet=True)
    return plain, train("sinusoids", "+maml", *words, f"run_dir={folder}/maml", quiet=True)


def test_one_step_of_maml_is_worth_more_than_ten_of_plain_pretraining(pair: tuple[Run, Run]) -> None:
    plain, maml = (run.results["metrics"] for run in pair)
    assert list(plain) == [f"error_after_{steps}" for steps in STEPS]
    assert maml["error_after_1"]["high"] < 0.6 * plain["error_after_1"]["low"]
    assert maml["error_after_1"]["value"] < plain["error_after_10"]["value"]
    assert maml["error_after_10"]["value"] < maml["error_after_5"]["value"] < maml["error_after_1"]["value"]


def test_a_run_is_taken_back_and_answers_points_and_tasks_held_out(pair: tuple[Run, Run]) -> None:
    run = pair[1]
    points = " ".join(f"{x}={2 * math.sin(x - 1):.4f}" for x in (-4.5, -3.2, -2, -1.1, 0, 0.9, 2, 3, 4, 4.8))
    one, two = run.predict([f"{points} ? 2.5 -1", "test:3"])
    values = [float(value) for value in one.split(", ")]
    for value, x in zip(values, (2.5, -1), strict=True):
        assert abs(value - 2 * math.sin(x - 1)) < 1.0
    assert two.startswith("mean squared error ")
    again = run.evaluate().as_json()["metrics"]
    assert again == run.results["metrics"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("after 10 steps</title>") == 3


@pytest.mark.parametrize("text", ["1,2", "1=2", "? 3", "1=2=3 ? 4", "a=1 ? 2", "1=nan ? 2", "1=2 ? inf", "test:60"])
def test_what_is_no_task_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="allowed: ") as refused:
        read_task(text, SinusoidsData(test=60, development=1).load(0))
    assert "\n" not in str(refused.value)


def test_pictures_are_asked_about_by_number_only() -> None:
    data = resolve("digits/few_shot", ["data.held=2"]).part("data").load(0)
    task = read_task("test:1", data)
    assert said(torch.eye(4)[task.targets[0]], task) == "60 of 60 right"
    with pytest.raises(UserError, match="allowed: test:3"):
        read_task("0=1 ? 2", data)


@pytest.mark.parametrize("name", ["vae", "gan", "bayesian_linear", "actor_critic", "boltzmann"])
def test_a_model_that_answers_with_something_else_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"model '{name}' answers two examples with .*; allowed: \(2, 1\), as of"):
        FewShotTask().prepare(resolve("sinusoids", [f"model={{name: {name}}}"]), quiet=True)


@pytest.mark.parametrize("data", ["sinusoids", "few_shot_digits"])
def test_tasks_are_no_examples_to_answer_one_by_one(data: str) -> None:
    with pytest.raises(UserError, match=f"data '{data}' bring .* at once, no examples to answer one by one; allowed"):
        Supervised().prepare(resolve("digits", [f"data={{name: {data}}}"]), quiet=True)


def test_data_without_tasks_are_refused() -> None:
    with pytest.raises(UserError, match="data 'digits' holds examples; allowed: data of tasks"):
        FewShotTask().prepare(resolve("digits/few_shot", ["data={name: digits}"]), quiet=True)


def test_the_rate_is_the_best_on_the_tasks_for_it() -> None:
    """One weight, one example x = 1: a step of rate r leaves (1 - 2 r) of the error, so 0.3 is best, 1 the worst."""
    line = FewShot(nn.Linear(1, 1, bias=False))
    nn.init.zeros_(line.network.weight)
    one, three = torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0)
    held = TensorBatches({"support": one, "answers": three, "query": one}, three)
    assert tune(line, held)[1] == 0.3
    found = errors(line, Batch(held.inputs, held.targets), [0, 1, 2], 0.3)
    assert [round(float(error[0]), 4) for error in found] == [9.0, 1.44, 0.2304]  # 9 (1 - 0.6)^(2 k)
    far = {"support": 1e12 * one, "answers": three, "query": 1e12 * one}
    assert tune(line, TensorBatches(far, three))[10] == min(RATES), "where all rates run away, the smallest"


def test_few_shot_digits_are_learnt_from_one_picture_each(tmp_path: Path) -> None:
    words = ("data.held=60", "steps=150", "seed=100")
    run = train("digits/few_shot", "+maml", "+maml.inner_lr=0.3", *words, f"run_dir={tmp_path}/run", quiet=True)
    found = run.results["metrics"]
    assert found["error_after_1"]["high"] < 0.5 < 0.65 < found["error_after_0"]["low"]  # 0.75 is to guess
    assert run.predict(["test:0"])[0].endswith(" of 60 right")
