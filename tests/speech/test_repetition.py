"""Noisy repetition: the mistakes come at their rates, the clean case can be read back, and nothing depends
on the past."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError
from locution.speech.babble import Texts
from locution.speech.repetition import (
    CODES,
    IGNORE,
    Noise,
    Repetitions,
    align,
    blur,
    confusable,
    damage,
    letters,
    repetition,
    written,
)
from locution.speech.tokenizer import EARLY, EOS, LETTERS, PAD, SEP, train_tokenizer

TEXTS = ["turn on the light", "hello", "", "a", "book keeper's committee"]


def collapse(frames: Tensor) -> str:
    """Read frames as connectionist temporal classification does: merge equal neighbours, then drop
    silence."""
    codes = frames.tolist()
    kept = [code for place, code in enumerate(codes) if code and (place == 0 or codes[place - 1] != code)]
    return "".join(LETTERS[code - 1] for code in kept)


def test_undamaged_frames_can_be_read_back() -> None:
    for seed in range(30):
        batch = repetition(TEXTS, generator(seed, "data"), Noise(), level=0.0)
        assert [collapse(row) for row in batch.inputs["frames"]] == TEXTS


def test_frames_are_even_and_no_longer_than_silence_asks() -> None:
    frames = repetition(TEXTS, generator(0, "data"), Noise(), level=0.0).inputs["frames"]
    assert frames.shape[1] % 2 == 0
    longest = max(
        int((row > 0).nonzero().max() - (row > 0).nonzero().min()) + 1 for row in frames if (row > 0).any()
    )
    assert longest <= frames.shape[1]
    assert not frames[2].any()  # a text without letters is silence alone


def test_mistakes_come_at_their_rates() -> None:
    noise = Noise(dropped=0.05, substituted=0.2, inserted=0.1)
    codes = torch.randint(1, CODES, (100, 200), generator=generator(0, "codes"))
    heard, kept, extra = damage(codes, torch.full((100, 1), 0.5), noise, generator(1, "data"))
    count = codes.numel()
    for share, rate in (((heard != codes), 0.1), ((~kept), 0.025), ((extra > 0), 0.05)):
        assert abs(float(share.float().mean()) - rate) < 4 * (rate * (1 - rate) / count) ** 0.5


def test_nothing_is_damaged_at_level_zero_nor_behind_the_end() -> None:
    codes = letters(["abc", "a"])
    heard, kept, extra = damage(codes, torch.zeros(2, 1), Noise(), generator(0, "data"))
    assert torch.equal(heard, codes)
    assert torch.equal(kept, codes > 0)
    assert not extra.any()
    _, kept, extra = damage(codes, torch.ones(2, 1), Noise(dropped=1.0, inserted=1.0), generator(0, "data"))
    assert not kept.any()
    assert torch.equal(extra > 0, codes > 0)


def test_a_dropped_letter_is_not_heard_and_an_inserted_one_is() -> None:
    codes = letters(["abc"])
    kept = torch.tensor([[True, False, True]])
    extra = torch.tensor([[0, 0, 26]])
    frames = align(codes, kept, extra, Noise(), generator(0, "data"))
    assert collapse(frames[0]) == "ac" + LETTERS[25]


def test_speakers_are_fast_and_slow() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    spans = []
    for row in repetition([text] * 200, generator(0, "data"), Noise(), level=0.0).inputs["frames"]:
        places = (row > 0).nonzero()
        spans.append(int(places.max() - places.min() + 1) / len(text))
    assert 1.0 <= min(spans) < 1.6  # frames a letter: up to about 18 letters a second
    assert max(spans) > 2.4


def test_blur_mixes_in_less_than_half_of_another_code() -> None:
    frames = torch.randint(0, CODES, (50, 40), generator=generator(0, "codes"))
    others, mix = blur(frames, torch.zeros(50, 1), Noise(blurred=0.3), generator(0, "data"))
    assert float(mix.min()) >= 0
    assert float(mix.max()) < 0.45
    strong = float((mix > 0.05).float().mean()) / (0.4 / 0.45)  # the strong ones draw from 0 to 0.45
    assert abs(strong - 0.3) < 0.04
    assert int(others.min()) >= 0
    assert int(others.max()) < CODES


def test_letters_are_mistaken_for_what_sounds_alike() -> None:
    table = confusable()
    assert table.shape == (CODES, 8)
    assert not table[0].any()
    assert {LETTERS[code - 1] for code in table[1 + LETTERS.index("t")].tolist()[:6]} == {"d"}
    for code in range(1, CODES):
        assert code not in table[code].tolist()[:6]


def test_targets_are_the_tokenizer_s() -> None:
    tokenizer = train_tokenizer()
    read, write = written(TEXTS)
    for text, heard, wanted in zip(TEXTS, read.tolist(), write.tolist(), strict=True):
        tokens = tokenizer.encode(text) if text else []
        assert [token for token in heard if token != PAD] == [SEP, *tokens]
        assert [token for token in wanted if token != IGNORE] == [*tokens, EOS]
    assert read.shape == write.shape
    assert int(read.max()) <= EARLY + len(LETTERS)


def test_the_weight_counts_what_is_to_be_written() -> None:
    batch = repetition(TEXTS, generator(0, "data"), Noise())
    assert batch.weight() == sum(len(text) + 1 for text in TEXTS)


def test_a_share_of_the_texts_is_spared() -> None:
    level = Noise(clean=0.4).levels(4000, generator(0, "data"))
    assert abs(float((level == 0).float().mean()) - 0.4) < 0.03
    assert 0.35 < float(level[level > 0].mean()) < 0.45  # the mean of u ** 1.5 is 0.4


def source(**settings: int) -> Repetitions:
    return Repetitions(Texts(["go home", "turn on the light"]), **{"tokens": 300, "batches": 6, **settings})


def same(one: object, two: object) -> bool:
    return all(torch.equal(one.inputs[name], two.inputs[name]) for name in one.inputs) and torch.equal(
        one.targets, two.targets
    )  # type: ignore[attr-defined]


def test_a_batch_depends_on_its_place_alone() -> None:
    data = source()
    once = list(data.epoch(2, seed=5))
    assert data.steps() == len(once) == 6
    assert all(same(one, two) for one, two in zip(once[4:], data.epoch(2, 5, skip=4), strict=True))
    assert not same(once[0], next(data.epoch(3, 5)))
    assert not same(once[0], next(data.epoch(2, 6)))


def test_short_texts_come_first() -> None:
    def longest(number: int) -> int:
        batches = islice(source(batches=20, ramp=20, longest=60).epoch(number, 0), 20)
        return max(batch.targets.shape[1] for batch in batches)

    first = next(source(batches=20, ramp=20).epoch(0, 0))
    assert first.targets.shape[1] <= 16 + 1
    assert longest(0) <= 60 + 1
    assert longest(3) > 40


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match="dropped"):
        Noise(dropped=1.5)
    with pytest.raises(UserError, match=r"data\.tokens"):
        source(tokens=0)
