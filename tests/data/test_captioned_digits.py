"""Captions of digits say what is to be seen, and nothing of the test set decides what thin or bold means."""

from __future__ import annotations

import pytest
import torch

from locution.data.augmentation.image.rotation import rotate
from locution.data.captioned_digits import (
    FORMS,
    INKS,
    LEANS,
    LENGTH,
    NUMBERS,
    WORDS,
    CaptionedDigitsData,
    caption,
    encode,
    slant,
)
from locution.data.dataset import Dataset
from locution.data.digits import DigitsData
from locution.errors import UserError


@pytest.fixture(scope="module")
def data() -> Dataset:
    return CaptionedDigitsData().load(seed=0)


def words_of(row: torch.Tensor) -> list[str]:
    return [WORDS[one] for one in row.tolist() if one]


def test_each_caption_names_its_digit_its_ink_and_its_lean(data: Dataset) -> None:
    train = data.train
    inks: dict[str, list[float]] = {ink: [] for ink in INKS}
    leans: dict[str, list[float]] = {lean: [] for lean in LEANS}
    tilt = slant(train.inputs["pictures"])  # type: ignore[attr-defined]
    for row, text in enumerate(train.inputs["texts"]):  # type: ignore[attr-defined]
        words = words_of(text)
        assert NUMBERS[int(train.targets[row])] in words  # type: ignore[attr-defined]
        inks[next(ink for ink in INKS if ink in words)].append(float(train.inputs["pictures"][row].sum()))  # type: ignore[attr-defined]
        leans[next(lean for lean in LEANS if lean in words)].append(float(tilt[row]))
    for found in (list(inks.values()), list(leans.values())):
        assert max(found[0]) <= min(found[1]) <= max(found[1]) <= min(found[2])
        assert all(len(third) == pytest.approx(1257 / 3, abs=12) for third in found)


def test_pictures_and_parts_are_those_of_digits(data: Dataset) -> None:
    plain = DigitsData().load(seed=0)
    assert data.test is not None
    assert plain.test is not None
    assert torch.equal(data.test.inputs["pictures"], plain.test.inputs)
    assert torch.equal(data.test.targets, plain.test.targets)
    assert data.sizes == {"words": len(WORDS)}


def test_the_seed_of_the_run_changes_no_caption_and_that_of_the_split_does(data: Dataset) -> None:
    again, other = CaptionedDigitsData().load(seed=5), CaptionedDigitsData(split=1).load(seed=0)
    assert torch.equal(again.train.inputs["texts"], data.train.inputs["texts"])  # type: ignore[attr-defined]
    assert not torch.equal(other.train.inputs["texts"], data.train.inputs["texts"])  # type: ignore[attr-defined]


def test_what_is_turned_to_the_right_leans_to_the_right() -> None:
    upright = torch.zeros(1, 1, 9, 9)
    upright[..., 1:8, 4] = 1.0
    for degrees, sign in ((20.0, -1), (-20.0, 1)):  # counter-clockwise is to the left
        turned = rotate(upright, torch.tensor([degrees]))
        assert slant(turned).item() * sign > 0.2
    assert slant(upright).item() == pytest.approx(0.0, abs=1e-6)


def test_every_caption_can_be_written_and_read() -> None:
    every = [
        caption(number, ink, lean, form)
        for number in range(10)
        for ink in range(3)
        for lean in range(3)
        for form in range(len(FORMS))
    ]
    assert len(set(every)) == len(every)
    assert [" ".join(words_of(row)) for row in encode(every)] == every


@pytest.mark.parametrize("text", ["a bold horse", "", " ".join(["a"] * (LENGTH + 1))])
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="allowed: up to 9 of a, bold, digit"):
        encode([text])


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.batch_size is 1; allowed: a whole number from 2"):
        CaptionedDigitsData(batch_size=1)
