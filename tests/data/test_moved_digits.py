"""Digits on a sheet: whole, anywhere, aslant and pale as they are said to be."""

from __future__ import annotations

import pytest
import torch

from locution.data.augmentation.image.rotation import rotate
from locution.data.digits import read_digits
from locution.data.moved_digits import MovedDigitsData, moved
from locution.errors import UserError


def test_a_digit_is_on_its_sheet_whole_and_anywhere() -> None:
    pictures = torch.ones(3000, 1, 3, 2)
    sheets = moved(pictures, side=6, degrees=0.0, paler=0.0, seed=1)
    assert sheets.shape == (3000, 1, 6, 6)
    places = sheets.flatten(1).argmax(1)
    for row, place in enumerate(places.tolist()):
        top, left = divmod(place, 6)
        expected = torch.zeros(6, 6)
        expected[top : top + 3, left : left + 2] = 1
        assert torch.equal(sheets[row, 0], expected)
    counts = torch.bincount(places, minlength=36).view(6, 6) / 3000
    even = torch.zeros(6, 6)
    even[:4, :5] = 1 / 20  # 4 rows by 5 columns in which it has room
    torch.testing.assert_close(counts, even, rtol=0, atol=0.02)


def test_it_is_turned_and_paler_within_bounds() -> None:
    pictures, _ = read_digits()
    ink = moved(pictures[:400], 12, 0.0, 0.5, seed=0).sum((1, 2, 3)) / pictures[:400].sum((1, 2, 3))
    assert 0.5 <= ink.min() < 0.52
    assert 0.98 < ink.max() <= 1.0
    aslant = moved(pictures[:1].expand(200, -1, -1, -1), 8, 20.0, 0.0, seed=0)  # no room to move
    angles = torch.linspace(-20, 20, 401)
    turned = rotate(pictures[:1].expand(401, -1, -1, -1), angles)
    nearest = torch.cdist(aslant.flatten(1), turned.flatten(1)).min(1)
    assert nearest.values.max() < 0.02
    assert angles[nearest.indices].min() < -19
    assert angles[nearest.indices].max() > 19


def test_the_parts_are_the_same_for_every_seed_of_a_run() -> None:
    one, other = (MovedDigitsData().load(seed) for seed in (0, 7))
    assert one.test is not None
    assert other.test is not None
    assert torch.equal(one.test.inputs, other.test.inputs)
    few = MovedDigitsData(limit=50).load(0)
    assert len(few.train) == 50  # type: ignore[arg-type]
    assert torch.equal(few.test.inputs, one.test.inputs)  # type: ignore[union-attr]
    assert torch.bincount(one.test.targets).min() > 80
    assert len(MovedDigitsData(limit=0).load(0).train) == 629  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"side": 7}, r"data\.side is 7"),
        ({"degrees": -1.0}, r"data\.degrees is -1\.0"),
        ({"paler": 1.1}, r"data\.paler is 1\.1"),
        ({"limit": -1}, r"data\.limit is -1"),
        ({"batch_size": 0}, r"data\.batch_size is 0"),
        ({"development": 0.6, "test": 0.5}, r"data\.development \+ data\.test is 1\.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], line: str) -> None:
    with pytest.raises(UserError, match=line):
        MovedDigitsData(**settings)  # type: ignore[arg-type]
