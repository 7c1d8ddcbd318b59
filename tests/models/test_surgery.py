"""Surgery finds what a pattern names, and changes nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.models.surgery import lean_copy, match_layers, replace_layers


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3)), nn.Conv1d(1, 1, 1), nn.Linear(3, 1)
    )


def test_patterns_name_layers_of_a_kind() -> None:
    assert list(match_layers(network())) == ["0.0", "0.2", "2"]
    assert list(match_layers(network(), "0.*")) == ["0.0", "0.2"]
    assert list(match_layers(network(), ["2", "0.0"])) == ["0.0", "2"]
    assert list(match_layers(network(), "*", (nn.Conv1d,))) == ["1"]


def test_no_match_says_what_there_is() -> None:
    with pytest.raises(UserError, match=r"'0\.3' matches no layer\. Did you mean '0\.\d'\? There are: 0\.0, 0\.2, 2\."):
        match_layers(network(), "0.3")
    with pytest.raises(UserError, match="none, this model has no layer of that kind"):
        match_layers(nn.ReLU())


def test_layers_are_replaced_where_they_stand() -> None:
    model = replace_layers(network(), lambda name, layer: nn.Identity() if name == "0.2" else layer, "0.*")
    assert [type(m).__name__ for m in model[0]] == ["Linear", "ReLU", "Identity"]
    assert isinstance(replace_layers(nn.Linear(1, 1), lambda name, layer: nn.Identity()), nn.Identity)


def test_a_lean_copy_shares_what_is_frozen_only() -> None:
    model = network()
    model[0].requires_grad_(False)
    copied = lean_copy(model)
    assert copied[0][0].weight is model[0][0].weight
    assert copied[2].weight is not model[2].weight
    assert torch.equal(copied[2].weight, model[2].weight)
