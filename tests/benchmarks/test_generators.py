"""The tables of what is made and of what pretraining is worth: their rows, means and blanks."""

from __future__ import annotations

import pytest
import torch

from benchmarks import generators, pretraining
from locution.evaluation.generated import PictureJudge
from locution.recipe import resolve
from locution.vocabulary.lookup import part


def row(lines: list[str], name: str) -> list[str]:
    (found,) = [line for line in lines if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_figures_are_means_over_the_seeds_and_what_nobody_knows_is_blank() -> None:
    figures = dict.fromkeys(generators.SHOWN, 0.25)
    runs = [figures | {"seconds": 10.0, "bits": 2.0}, figures | {"recall": 0.75, "seconds": 20.0, "bits": 2.5}]
    lines = generators.table({"flow": runs, "held out": [figures]})
    assert len({line.count("|") for line in lines}) == 1
    flow, held = row(lines, "flow"), row(lines, "held out")
    assert flow == ["flow", "0.250", "0.250", "0.500", "0.250", "0.250", "0.250", "0.250", "2.250", "15 s"]
    assert held == ["held out", "0.250", "0.250", "", "", "0.250", "0.250", "0.250", "", ""]


@pytest.mark.parametrize("name", generators.MAKERS)
def test_every_maker_is_a_recipe_and_takes_the_wishes(name: str) -> None:
    (recipe, *words), ways = generators.MAKERS[name]
    task = part("task", resolve(recipe, words).task)()
    for wishes in ways.values():
        assert task.sampling(**wishes)


def test_pictures_are_judged_between_0_and_1() -> None:
    draw = torch.Generator().manual_seed(0)
    known, held = torch.rand(60, 1, 4, 4, generator=draw).round(), torch.rand(20, 1, 4, 4, generator=draw).round()
    judge = PictureJudge(known, torch.arange(60) % 2, held, steps=5)
    assert generators.judged(judge, 3 * held - 1) == generators.judged(judge, held)
    assert set(generators.beside(judge)) == {"held out", "learnt from", "Gaussian fit"}


def test_what_the_stack_gains_is_the_mean_over_pairs_of_seeds() -> None:
    found = {
        seed: {"stack first": {20: 0.8 + seed / 10}, "from scratch": {20: 0.5}, "ReLUs from scratch": {20: 0.75}}
        for seed in (0, 1)
    }
    lines = pretraining.table(found, [20])
    cells = row(lines, "20")
    assert cells[:4] == ["20", "0.850", "0.500", "0.750"]
    assert cells[4].startswith("+0.350 [")
    assert row(pretraining.table({0: {side: {0: 0.5} for side in pretraining.SIDES}}, [0]), "all")[1] == "0.500"


@pytest.mark.parametrize("side", pretraining.SIDES)
def test_every_side_is_a_network_of_the_same_widths(side: str) -> None:
    recipe = resolve("digits/belief", list(pretraining.SIDES[side]))
    assert list(recipe.model["widths"]) == [256, 256, 256]
    assert bool(recipe.start) == (side == "stack first")
