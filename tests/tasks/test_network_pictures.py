"""Every picture of the list is drawn of some network, and drawing leaves the network and torch's draws as they were."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from locution.recipe import resolve
from locution.reporting.results import Drawn, RunResults
from locution.tasks.network_pictures import PICTURES, Shown, show_network

NETWORKS = [
    ["two_moons"],
    ["digits/convnet"],
    ["digits/deep", "model.layers=8"],
    ["digits/experts", "data.limit=100"],
    ["digits/spiking"],
    ["digits/transformer"],
    ["digits/turned"],
    ["copying", "data.train=10", "data.test=10"],
]
of_networks = pytest.mark.parametrize("words", NETWORKS, ids=lambda words: words[0])


@cache
def shown_of(*words: str) -> Shown:
    """A network of a recipe before it has learnt anything, with some held-out inputs."""
    recipe = resolve(words[0], list(words[1:]))
    data = recipe.part("data").load(0)
    torch.manual_seed(0)
    model = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
    return Shown(recipe, model, data, data.test.inputs[:20])


def plain(value: Any) -> Any:
    """Write a value that was drawn in a form that can be compared."""
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value.tolist() if hasattr(value, "tolist") else value


def test_every_picture_is_drawn_of_some_network() -> None:
    drawn = [any(draw(shown_of(*words)) != Drawn() for words in NETWORKS) for draw in PICTURES]
    assert drawn == [True] * len(PICTURES)


@of_networks
def test_a_network_of_a_kind_has_its_picture(words: list[str]) -> None:
    drawn = [draw(shown_of(*words)) for draw in PICTURES]
    assert any(one != Drawn() for one in drawn)
    results = RunResults("a run")
    shown = shown_of(*words)
    show_network(results, shown.recipe, shown.model, shown.data, shown.inputs)
    for kind in plain(Drawn()):
        assert plain(getattr(results, kind)) == [value for one in drawn for value in plain(getattr(one, kind))], kind


@of_networks
@pytest.mark.parametrize("training", [True, False])
def test_drawing_changes_nothing_and_draws_nothing_at_random(words: list[str], training: bool) -> None:
    shown = shown_of(*words)
    shown.model.train(training)
    before = {name: value.clone() for name, value in shown.model.state_dict().items()}
    chance = torch.get_rng_state()
    first = plain([draw(shown) for draw in PICTURES])
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(module.training == training for module in shown.model.modules())
    assert all(parameter.grad is None for parameter in shown.model.parameters())
    assert before.keys() == shown.model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in shown.model.state_dict().items())
    torch.manual_seed(1)
    assert plain([draw(shown) for draw in PICTURES]) == first


def test_of_a_network_that_nobody_draws_nothing_is_shown() -> None:
    shown = shown_of("digits/convnet")
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    recipe = resolve("digits")
    assert [draw(Shown(recipe, mlp, shown.data, shown.inputs)) for draw in PICTURES] == [Drawn()] * len(PICTURES)
