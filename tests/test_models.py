"""The contract of a model, held by every one that the vocabulary names: one test finds them all."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from locution.errors import UserError
from locution.vocabulary.lookup import find, names, part

sys.path.insert(0, str(Path(__file__).parent))

from models_alone import ODD, Problem, answer, batches, build, engine, fitting, generic, outputs_of, settings

MODELS = generic()
CASES = [(name, problem) for name in MODELS for problem in fitting(name)]
IDS = [f"{name}-{problem.name}" for name, problem in CASES]
CERTAIN = {"linear", "bayesian_linear"}  # they have one best answer, whatever they begin with
each_case = pytest.mark.parametrize(("name", "problem"), CASES, ids=IDS)


def test_every_model_is_found_and_those_of_speech_have_tests_of_their_own() -> None:
    others = [name for name in names("model") if name not in MODELS]
    assert all(find(name).code.startswith("locution.speech.") for name in others)
    assert len(MODELS) >= 10


@pytest.mark.parametrize("name", MODELS)
def test_it_builds_from_its_defaults(name: str) -> None:
    assert fitting(name), f"{name} takes none of the problems"
    assert dataclasses.is_dataclass(part("model", name))


@each_case
def test_its_first_weights_come_of_torchs_own_generator_alone(name: str, problem: Problem) -> None:
    one, same, other = (build(name, problem, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one) != (name in CERTAIN)


@each_case
def test_it_answers_each_example_for_itself_and_twice_alike(name: str, problem: Problem) -> None:
    model, inputs = build(name, problem).eval(), problem.inputs()
    before = inputs.clone()
    whole = answer(model, inputs)
    assert torch.equal(inputs, before)
    assert all(torch.equal(a, b) for a, b in zip(whole, answer(model, inputs), strict=True))
    alone = answer(model, inputs[:2])
    for every, two in zip(whole, alone, strict=True):
        assert every.shape[0] == len(inputs)
        torch.testing.assert_close(every[:2], two, rtol=1e-4, atol=1e-5)


@each_case
def test_it_trains_one_step(name: str, problem: Problem) -> None:
    before = build(name, problem).state_dict()
    trained = engine(name, problem).fit(batches(problem), steps=1)
    after = trained.model.state_dict()
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    assert moved
    assert all(bool(torch.isfinite(value).all()) for value in after.values())


@each_case
def test_it_is_resumed_to_the_bit(name: str, problem: Problem) -> None:
    straight = engine(name, problem).fit(batches(problem), steps=5).model.state_dict()
    first = engine(name, problem).fit(batches(problem), steps=3)
    again = engine(name, problem)
    again.load_state_dict(first.state_dict())
    resumed = again.fit(batches(problem), steps=5).model.state_dict()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


@each_case
def test_it_is_kept_and_read_back_to_the_bit(name: str, problem: Problem, tmp_path: Path) -> None:
    model = engine(name, problem).fit(batches(problem), steps=1).trained()
    save_file({key: value.clone() for key, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    other = build(name, problem, seed=9).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    inputs = problem.inputs()
    assert all(torch.equal(a, b) for a, b in zip(answer(model, inputs), answer(other, inputs), strict=True))


@each_case
def test_it_moves_between_precisions(name: str, problem: Problem) -> None:
    model, inputs = build(name, problem).eval(), problem.inputs()
    plain = answer(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = answer(model, inputs)
    for a, b in zip(plain, half, strict=True):
        assert a.shape == b.shape
        assert bool(torch.isfinite(b).all())
    double = answer(model.double(), inputs.double() if inputs.is_floating_point() else inputs)
    for a, b in zip(plain, double, strict=True):
        if b.is_floating_point():
            torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-4)
    back = answer(model.float(), inputs)
    assert all(torch.equal(a, b) for a, b in zip(plain, back, strict=True))


@each_case
def test_it_trains_in_bf16(name: str, problem: Problem) -> None:
    trained = engine(name, problem, precision="bf16").fit(batches(problem), steps=1).model
    floats = [value for value in trained.state_dict().values() if value.is_floating_point()]
    assert all(value.dtype == torch.float32 for value in floats)
    assert all(bool(torch.isfinite(value).all()) for value in floats)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", ODD, ids=str)
def test_a_shape_that_does_not_fit_is_one_line(name: str, shape: tuple[int, ...]) -> None:
    kind = part("model", name)
    problem = fitting(name)[0]
    try:
        model = kind(**settings(kind, problem)).build(shape, outputs_of(name, problem))
    except UserError as refused:
        said = str(refused)
        assert "\n" not in said
        assert "allowed" in said
        assert str(shape) in said or " x ".join(map(str, shape[1:])) in said
    else:  # what it builds for such a shape must answer it
        assert answer(model.eval(), torch.zeros(2, *shape))


def numbers(name: str) -> list[tuple[str, Any]]:
    """The settings of a model that are numbers, each with a value that no such setting takes."""
    found: list[tuple[str, Any]] = []
    for field in dataclasses.fields(part("model", name)):
        if isinstance(field.default, bool):
            continue
        if isinstance(field.default, int):
            found.append((field.name, -1))
        elif isinstance(field.default, float):
            found.append((field.name, math.nan))
    return found


@pytest.mark.parametrize(
    ("name", "setting", "value"), [(name, setting, value) for name in MODELS for setting, value in numbers(name)]
)
def test_a_setting_out_of_range_is_one_line(name: str, setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"model\.{setting} is {value}; allowed: ") as refused:
        part("model", name)(**{setting: value})
    assert "\n" not in str(refused.value)
