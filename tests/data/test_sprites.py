"""Sprites: areas and places in closed form, every combination once, and the parts apart."""

from __future__ import annotations

import math

import pytest
import torch

from locution.data.sprites import SpritesData, draw_sprites
from locution.errors import UserError

SIDE = 64


def picture(shape: float, size: float = 0.55, turn: float = 0.0, x: float = 0.5, y: float = 0.5) -> torch.Tensor:
    return draw_sprites(torch.tensor([[shape, size, turn, x, y]]), SIDE)[0, 0]


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.2])
@pytest.mark.parametrize("size", [0.3125, 0.55])
def test_a_shape_covers_its_area_however_it_is_turned(size: float, turn: float) -> None:
    unit = (SIDE / 2 * size) ** 2
    assert float(picture(0, size, turn).sum()) == pytest.approx(1.6**2 * unit, rel=0.02)  # a square of side 1.6
    assert float(picture(1, size, turn).sum()) == pytest.approx(math.pi * 0.5 * unit, rel=0.02)  # half axes 1 and 0.5
    heart = 3.6616 / 1.2**2 * unit  # the area of (x^2 + y^2 - 1)^3 = x^2 y^3, scaled by 1 / 1.2 either way
    assert float(picture(2, size, turn).sum()) == pytest.approx(heart, rel=0.02)


def test_a_sprite_lies_where_it_is_put() -> None:
    across = (torch.arange(SIDE) + 0.5) / SIDE
    drawn = picture(1, x=0.3, y=0.6)
    assert float((drawn.sum(0) * across).sum() / drawn.sum()) == pytest.approx(0.3, abs=0.003)
    assert float((drawn.sum(1) * across).sum() / drawn.sum()) == pytest.approx(0.6, abs=0.003), "from the top down"
    torch.testing.assert_close(picture(0, x=0.5 + 2 / SIDE), picture(0).roll(2, 1))


def test_it_turns_against_the_clock_and_the_heart_stands_upright() -> None:
    torch.testing.assert_close(picture(2, turn=math.pi / 2), picture(2).rot90(), atol=0.26, rtol=0)
    assert float((picture(2, turn=math.pi / 2) - picture(2).rot90()).abs().mean()) < 0.003
    heart = picture(2)
    assert float(heart[:32].sum()) > float(heart[32:].sum()), "broader above"
    torch.testing.assert_close(heart, heart.flip(1))


def test_every_combination_is_there_once_and_in_one_part_alone() -> None:
    settings = SpritesData(scales=2, rotations=3, positions=4, side=8)
    data = settings.load(0)
    parts = (data.train, data.development, data.test)
    factors = torch.cat([part.targets for part in parts])
    assert len(factors) == 3 * 2 * 3 * 4 * 4 == len({tuple(row) for row in factors.tolist()})
    assert (factors.amin(0).tolist(), factors.amax(0).tolist()) == ([0, 0, 0, 0, 0], [2, 1, 2, 3, 3])
    for part in parts:
        torch.testing.assert_close(part.inputs, draw_sprites(settings.places(part.targets), 8))
    assert data.factors == ("shape", "scale", "rotation", "x", "y")


def test_the_split_is_its_own_seeds_affair() -> None:
    def held(seed: int, split: int) -> torch.Tensor:
        return SpritesData(scales=1, rotations=2, positions=4, side=8, split=split).load(seed).test.targets

    assert torch.equal(held(0, 0), held(1, 0))
    assert not torch.equal(held(0, 0), held(0, 1))


def test_larger_scales_are_larger_and_at_the_rim_hardly_a_corner_is_cut_off() -> None:
    settings = SpritesData()
    factors = torch.tensor(
        [[shape, 3, turn, x, y] for shape in range(3) for turn in (0, 4, 7) for x in (0, 7) for y in (0, 7)]
    )
    corners = draw_sprites(settings.places(factors), SIDE)
    middle = draw_sprites(
        settings.places(factors * torch.tensor([1, 1, 1, 0, 0])) * torch.tensor([1, 1, 1, 0, 0])
        + torch.tensor([0, 0, 0, 0.5, 0.5]),
        SIDE,
    )
    torch.testing.assert_close(corners.sum((1, 2, 3)), middle.sum((1, 2, 3)), rtol=0.1, atol=0)
    sizes = settings.places(torch.tensor([[0, scale, 0, 0, 0] for scale in range(4)]))[:, 1]
    assert bool((sizes.diff() > 0.05).all())


def test_settings_that_are_none_are_refused() -> None:
    for settings, line in (
        ({"side": 4}, r"data\.side is 4; allowed: 8 to 64"),
        ({"rotations": 0}, r"data\.rotations is 0; allowed: "),
        ({"batch_size": 0}, r"data\.batch_size is 0; allowed: "),
        ({"test": 1.0}, r"data\.test is 1\.0; allowed: "),
    ):
        with pytest.raises(UserError, match=line):
            SpritesData(**settings)
