"""Whatever model a recipe is given, its task builds it or refuses it in one line: nobody is shown a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from locution.beginning import build_task
from locution.engine import Engine
from locution.errors import UserError
from locution.recipe import resolve
from locution.runs import prepare

sys.path.insert(0, str(Path(__file__).parents[1]))

from models_alone import generic

RECIPES = {
    "digits": ["data.limit=80"],
    "digits/autoencoder": ["data.limit=80"],
    "digits/boltzmann": ["data.limit=80"],
    "digits/diffusion": ["data.limit=80"],
    "digits/gan": ["data.limit=80"],
    "copying": ["data.train=20", "data.development=5", "data.test=5"],
    "mixture/flow": [],
    "sinusoids": [],
}
"""A recipe of each task whose data are ready in no time, and the words that make them few."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_of_any_kind_is_trained_or_refused_in_one_line(recipe: str) -> None:
    said = {name: outcome(recipe, name) for name in generic()}
    assert not said[resolve(recipe).model["name"]], "the recipe's own model is trained"
    assert all("\n" not in line and len(line) < 700 for line in said.values())


def outcome(recipe: str, name: str) -> str:
    """Train a recipe with another model for a step or two, and say why it is refused, if it is."""
    own = resolve(recipe).model["name"] == name  # with the settings that the recipe gives it
    asked = resolve(recipe, [*([] if own else [f"model={{name: {name}}}"]), *RECIPES[recipe]])
    try:
        job = prepare(asked, build_task(asked), quiet=True)
        steps = max(turn.every for turn in job.turns)  # that each acts
        Engine(job.model, job.turns, seed=0, device="cpu").fit(job.batches, steps=steps)
    except UserError as refused:
        return str(refused)
    return ""
