"""Models and recipes train, answer and are judged on another device: no tensor is made on the wrong one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Engine, TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap
from locution.inference.diffusion import fresh_noise
from locution.losses.coral import coral_align
from locution.losses.sinkhorn import sinkhorn, sinkhorn_divergence, transport_plan
from locution.losses.wasserstein import matching_distance, wasserstein_distance
from locution.models.noise_levels import NoiseLevels
from locution.runs import train
from locution.vocabulary.lookup import part

sys.path.insert(0, str(Path(__file__).parent))

from another_device import ELSEWHERE, Elsewhere, another_device
from models_alone import ROWS, Problem, answer, build, fitting, generic, outputs_of, settings, squares

CASES = [(name, problem) for name in generic() for problem in fitting(name)]
each_case = pytest.mark.parametrize(("name", "problem"), CASES, ids=[f"{name}-{one.name}" for name, one in CASES])


def trained(name: str, problem: Problem) -> nn.Module:
    """Train a model for a step, in numbers so fine that no rounding grows large."""
    inputs = problem.inputs()
    data = TensorBatches(inputs.double() if inputs.is_floating_point() else inputs, batch_size=ROWS // 2)
    turn = Turn(squares, partial(torch.optim.SGD, lr=1e-3))
    return Engine(build(name, problem).double(), turn, device="cpu", seed=3).fit(data, steps=1).trained()


def close(here: Tensor, there: Tensor) -> None:
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-5)


@each_case
def test_a_model_answers_on_another_device(name: str, problem: Problem) -> None:
    here = answer(build(name, problem).eval(), problem.inputs())
    with another_device():
        there = answer(build(name, problem).to(ELSEWHERE).eval(), problem.inputs().to(ELSEWHERE))
        assert all(one.device == ELSEWHERE for one in there)
        for one, other in zip(here, there, strict=True):
            close(one, other)


@each_case
def test_a_model_trains_on_another_device(name: str, problem: Problem) -> None:
    here = trained(name, problem).state_dict()
    with another_device(fine=True):
        there = trained(name, problem)
        assert all(parameter.device == ELSEWHERE for parameter in there.parameters())
        for key, value in there.state_dict().items():
            close(here[key], value)


def other_settings(name: str) -> list[tuple[str, Any]]:
    """Every other choice of a model's settings: words of those that are listed, and yes where it is no."""
    kind = part("model", name)
    hints, found = get_type_hints(kind), []
    for field in fields(kind):
        choices = get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal else ()
        choices = (True, False) if hints[field.name] is bool else choices
        found += [(field.name, choice) for choice in choices if choice != field.default]
    return found


OTHERS = [(name, *other) for name in generic() for other in other_settings(name)]


@pytest.mark.parametrize(("name", "setting", "choice"), OTHERS, ids=["-".join(map(str, one)) for one in OTHERS])
def test_a_model_of_other_settings_answers_on_another_device(name: str, setting: str, choice: Any) -> None:
    def built(problem: Problem) -> nn.Module:
        torch.manual_seed(0)
        kind = part("model", name)(**settings(part("model", name), problem), **{setting: choice})
        model: nn.Module = kind.build(problem.shape, outputs_of(name, problem)).eval()
        return model

    for problem in fitting(name):
        try:
            here = answer(built(problem), problem.inputs())
        except UserError:
            continue  # a choice that is not for inputs of this kind
        with another_device():
            there = answer(built(problem).to(ELSEWHERE), problem.inputs().to(ELSEWHERE))
            for one, other in zip(here, there, strict=True):
                close(one, other)


RECIPES = {
    "adding": [],
    "bayesian": [],
    "cartpole": [],
    "copying": [],
    "digits/autoencoder": [],
    "digits/clip": [],
    "digits/convnet": [],
    "digits/deep": ["model.layers=8"],
    "digits/experts": [],
    "digits/spiking": [],
    "digits/transformer": [],
    "digits/turned": [],
    "digits/vae": [],
    "mixture/flow": [],
    "ring": [],
    "sinusoids": [],
    "sprites": [],
    "table": [],
    "tangent": [],
    "two_moons": [],
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_and_is_judged_on_another_device(recipe: str, tmp_path: Path) -> None:
    def run(where: str) -> dict[str, Any]:
        metrics: dict[str, Any] = train(
            recipe, *RECIPES[recipe], "steps=2", f"run_dir={tmp_path / where}", quiet=True
        ).results["metrics"]
        return metrics

    here = run("here")
    with another_device():
        there = run("there")
    assert there.keys() == here.keys()
    for name, metric in here.items():
        assert there[name]["value"] == pytest.approx(metric["value"], rel=1e-3, abs=1e-5), name


CLOUDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "wasserstein_distance": lambda x, y: wasserstein_distance(x.flatten(), y[:5].flatten()),
    "wasserstein_distance, weighed": lambda x, y: wasserstein_distance(x.T, y.T, 2.0, x[:, 0].abs(), y[:, 1].abs()),
    "matching_distance": matching_distance,
    "sinkhorn": lambda x, y: sinkhorn(x, y, 0.5),
    "sinkhorn, weighed": lambda x, y: sinkhorn(x, y, 0.5, x_weights=x[:, 0].abs()),
    "sinkhorn_divergence": lambda x, y: sinkhorn_divergence(x, y, 0.5),
    "transport_plan": lambda x, y: transport_plan(x, y, 0.5),
    "coral": coral_align,
    "fresh_noise": lambda x, _: fresh_noise(NoiseLevels(x[:3, 0].abs(), x[:3, 1].abs()), 2, 1),
    "bootstrap": lambda x, _: torch.tensor(list(bootstrap(x[:, 0]).values())),
}


@pytest.mark.parametrize("measure", CLOUDS.values(), ids=CLOUDS)
def test_what_is_counted_finely_here_is_counted_there_as_well_as_can_be(
    measure: Callable[[Tensor, Tensor], Tensor],
) -> None:
    draw = generator(3, "clouds")
    x, y = (torch.randn(12, 2, generator=draw) for _ in range(2))
    with another_device():
        close(measure(x, y), measure(x.to(ELSEWHERE), y.to(ELSEWHERE)))


WRONG = {
    "numbers beside them": lambda x: x + torch.ones(3),
    "numbers to be multiplied by": lambda x: x @ torch.ones(3, 2),
    "numbers to be joined": lambda x: torch.cat([x, torch.zeros(1, 3)]),
    "numbers that are indexed": lambda x: torch.ones(2, 3)[x.argmax(1)],
    "numbers put in": lambda x: x.index_put((torch.tensor([0]),), torch.ones(1, 3)),
    "a layer that stayed behind": nn.Linear(3, 2),
    "a generator of the processor": lambda x: torch.randn(3, device=x.device, generator=torch.Generator()),
    "numpy": lambda x: x.numpy(),
    "numbers of 64 bits": lambda x: x.double().cpu(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_an_accelerator_refuses_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with another_device(), pytest.raises((RuntimeError, TypeError)):
        wrong(torch.rand(2, 3).to(ELSEWHERE))


RIGHT = {
    "a number beside them": lambda x: x * torch.tensor(2.0),
    "indices": lambda x: x[torch.tensor([1, 0])],
    "what is made beside them": lambda x: x + torch.ones_like(x) + x.new_tensor([1.0, 2.0, 3.0]),
    "what is brought": lambda x: torch.ones(3).to(x) + x,
    "Python's own numbers": lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=x.device),
    "a part that is written to": lambda x: x.clone()[0].add_(1),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=RIGHT)
def test_what_it_grants_is_granted_and_the_numbers_are_right(right: object) -> None:
    assert callable(right)
    x = torch.rand(2, 3)
    with another_device():
        there = right(x.to(ELSEWHERE))
        assert isinstance(there, Elsewhere)
        assert torch.equal(there.cpu(), right(x))


def test_nothing_of_it_is_left_behind() -> None:
    with another_device():
        pass
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2).to(ELSEWHERE).tolist()
