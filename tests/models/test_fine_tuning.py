"""Weights that are taken over, layers that begin anew, layers that are left alone, and how they are kept."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from locution.engine import Plan
from locution.errors import UserError
from locution.models.fine_tuning import fine_tune
from locution.models.freezing import FreezeMethod, last_layer, matching, set_trained
from locution.models.surgery import lies_in
from locution.recipe import resolve
from locution.tasks.supervised import Supervised


def network(seed: int = 0, last: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, last))


def equal(one: nn.Module, other: nn.Module) -> list[str]:
    theirs = other.state_dict()
    return [name for name, tensor in one.state_dict().items() if torch.equal(tensor, theirs[name])]


def test_several_patterns_with_blanks_between_begin_anew() -> None:
    model = fine_tune(network(1), network(0).state_dict(), fresh="2 , 1.0,")
    assert equal(model, network(0)) == ["0.weight", "0.bias"]
    assert equal(model, network(1)) == ["1.0.weight", "1.0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize(
    ("weights", "fresh", "said"),
    [
        (network(0, last=5).state_dict(), "", r"2.weight is \(5, 4\) where .* and \(2, 4\) here; allowed: fresh=2, or"),
        ({"0.weight": torch.zeros(4, 3)}, "", r"0.bias is not there where .* allowed: fresh=0, or"),
        (network(0).state_dict(), "0,7", "'7' is no layer that could begin anew"),
    ],
)
def test_what_is_refused_leaves_the_model_as_it_was(weights: dict[str, torch.Tensor], fresh: str, said: str) -> None:
    model = network(1)
    with pytest.raises(UserError, match=said):
        fine_tune(model, weights, fresh)
    assert len(equal(model, network(1))) == 6


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("1", True),
        ("1.0", True),
        ("1.0.weight", True),
        ("*.weight", True),
        ("1.?", True),
        ("0", False),
        ("1.0.w", False),
    ],
)
def test_a_pattern_fits_a_parameter_or_a_layer_that_holds_it(pattern: str, fits: bool) -> None:
    assert lies_in("1.0.weight", pattern) is fits


def test_what_matches_comes_in_the_order_of_the_model_and_every_pattern_must() -> None:
    assert matching(network(), ["2", "0"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(UserError, match="'nothing' matches no parameter"):
        matching(network(), ["0", "nothing"])


def trains(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_which_parameters_train() -> None:
    assert last_layer(nn.Sequential(network(), nn.ReLU())) == "0.2"
    assert trains(FreezeMethod().model(network(), Plan())) == ["2.weight", "2.bias"]
    assert trains(FreezeMethod("0").model(network(), Plan())) == trains(network())[2:]
    assert trains(FreezeMethod(("0", "2.bias")).model(network(), Plan())) == ["1.0.weight", "1.0.bias", "2.weight"]
    assert trains(set_trained(network(), "0")) == ["0.weight", "0.bias"]
    assert trains(set_trained(network(), ())) == []


def test_frozen_layers_are_kept_beside_those_that_moved_and_come_back(tmp_path: Path) -> None:
    recipe = resolve("digits", ["model.widths=[8]", "data.limit=64", "+freeze.layers=layers.0"])
    task = Supervised()
    job = task.prepare(recipe, quiet=True)
    model = FreezeMethod("layers.0").model(copy.deepcopy(job.model), Plan())
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    task.save(recipe, model.train(), tmp_path)
    frozen, moved = (load_file(tmp_path / name) for name in ("frozen.safetensors", "model.safetensors"))
    assert set(frozen) == {"layers.0.weight", "layers.0.bias"}
    assert set(moved) == set(model.state_dict()) - set(frozen)
    back = task.load(recipe, job, tmp_path)
    assert len(equal(back, model)) == len(model.state_dict())
    assert not back.training
    plain = resolve("digits", ["model.widths=[8]", "data.limit=64"])
    (tmp_path / "plain").mkdir()
    task.save(plain, task.prepare(plain, quiet=True).model, tmp_path / "plain")
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["model.safetensors"]
