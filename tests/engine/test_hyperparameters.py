"""Hyperparameters: every setting of every part can be listed, and a misspelt one is refused."""

from __future__ import annotations

import pytest

from locution.engine.hyperparameters import hyperparameters
from locution.errors import UserError
from locution.models.mlp import MLPModel
from locution.optimizers.basic import SGD
from locution.recipe import resolve
from locution.typed import build


def test_settings_are_listed_of_a_part_and_of_its_kind() -> None:
    assert hyperparameters(SGD) == hyperparameters(SGD())
    assert hyperparameters(MLPModel(widths=(3,)))["widths"] == (3,)


def test_every_setting_of_a_part_is_a_key_of_the_recipe() -> None:
    for name, value in hyperparameters(SGD).items():
        assert resolve("line", [f"optimizer.{name}={value}"]).optimizer[name] == value


def test_a_misspelt_hyperparameter_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(UserError, match=r"'optimizer\.leaning_rate' is no key\..*lr"):
        resolve("digits", ["optimizer.leaning_rate=0.1"])
    with pytest.raises(UserError, match=r"Did you mean 'optimizer\.momentum'"):
        build(SGD, {"momentun": 0.9}, "optimizer")
