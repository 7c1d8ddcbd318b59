"""Where somebody speaks: known stretches are found, whatever the noise and however the sound comes in."""

from __future__ import annotations

import numpy as np
import pytest

from locution.errors import UserError
from locution.speech.microphone import utterances
from locution.speech.voice_activity import Cutting, Pieces, activity, cut_blocks, levels, next_cut

RATE = 16000


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that swells and fades four times a second, as syllables do."""
    t = np.arange(int(seconds * RATE)) / RATE
    carrier = sum(np.sin(2 * np.pi * f * t + seed) for f in (200, 430, 910, 1800)) / 8
    return (carrier * np.abs(np.sin(np.pi * 4 * t)) ** 2).astype(np.float32)


def conversation(stretches: list[tuple[float, float]], seconds: float, noise: float = 0.0) -> np.ndarray:
    sound = (noise * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)
    for start, end in stretches:
        part = voice(end - start)
        sound[int(start * RATE) : int(start * RATE) + len(part)] += part
    return sound


STRETCHES = [(1.0, 3.5), (5.0, 6.5), (12.0, 16.0), (16.9, 18.9), (30.0, 33.0)]


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
def test_known_stretches_are_found_with_their_times(noise: float) -> None:
    pieces = list(cut_blocks([conversation(STRETCHES, 40, noise)], Cutting(longest=6, enough=0.5, whole=6)))
    assert len(pieces) == len(STRETCHES)
    for piece, (start, end) in zip(pieces, STRETCHES, strict=True):
        assert piece.start == pytest.approx(start, abs=0.25)
        assert piece.start + piece.seconds == pytest.approx(end, abs=0.25)


@pytest.mark.parametrize("size", [160, 1000, 4800, 262144])
def test_the_blocks_make_no_difference(size: int) -> None:
    sound = conversation([*STRETCHES, (34.0, 59.0)], 60, 0.005)
    cutting = Cutting(longest=5, enough=1, whole=6)
    whole = [(piece.start, len(piece.samples)) for piece in cut_blocks([sound], cutting)]
    blocks = (sound[i : i + size] for i in range(0, len(sound), size))
    found = list(cut_blocks(blocks, cutting))
    assert [(piece.start, len(piece.samples)) for piece in found] == whole
    for piece in found:
        first = round(piece.start * RATE)
        np.testing.assert_array_equal(piece.samples, sound[first : first + len(piece.samples)])
    assert max(piece.seconds for piece in found) <= 5.01


def test_steady_noise_and_silence_are_nobody() -> None:
    hiss = (0.05 * np.random.default_rng(1).standard_normal(40 * RATE)).astype(np.float32)
    assert not activity(levels(hiss)).any()
    assert list(cut_blocks([hiss])) == []
    assert list(cut_blocks([np.zeros(40 * RATE, np.float32)])) == []
    assert not activity(np.zeros(0)).any()


def test_the_floor_follows_the_room() -> None:
    sound = conversation(STRETCHES, 40, 0.001)
    sound[20 * RATE :] += (0.03 * np.random.default_rng(2).standard_normal(20 * RATE)).astype(np.float32)
    last = list(cut_blocks([sound], Cutting(longest=6, enough=0.5, whole=6)))[-1]
    assert last.start == pytest.approx(30, abs=0.3)


def test_a_short_recording_stays_whole_without_its_ends() -> None:
    (piece,) = cut_blocks([conversation([(1.0, 2.0), (4.0, 5.0)], 6)])
    assert (piece.start, piece.start + piece.seconds) == pytest.approx((1.0, 5.0), abs=0.15)
    (piece,) = cut_blocks([0.1 * np.ones(RATE, np.float32)])  # nothing found: all of it
    assert (piece.start, piece.seconds) == (0.0, 1.0)
    assert list(cut_blocks([])) == []


def test_one_who_never_pauses_is_cut_where_it_is_quietest() -> None:
    level = np.full(600, -20.0)
    level[260] = -40.0
    assert next_cut(np.ones(600, bool), level, Cutting(longest=6), final=False) == (0, 261)
    assert next_cut(np.ones(300, bool), level[:300], Cutting(longest=6), final=False) is None
    assert next_cut(np.ones(300, bool), level[:300], Cutting(longest=6), final=True) == (0, 300)


def test_memory_does_not_grow_with_what_was_said() -> None:
    cut = Pieces(Cutting(longest=6, whole=6))
    sound = conversation([(i, i + 0.7) for i in range(60)], 60)
    kept = []
    for _ in range(4):
        list(cut.push(sound))
        kept.append((len(cut.samples), len(cut.level)))
    assert max(samples for samples, _ in kept[1:]) <= 10 * RATE
    assert max(levels for _, levels in kept[1:]) <= 1000


def test_a_microphone_gives_each_utterance_at_its_pause() -> None:
    sound = conversation([(1.0, 2.0), (3.0, 4.0)], 6, 0.001)
    taken = []

    def source():
        for number, block in enumerate(np.split(sound, 60)):
            taken.append(number)
            yield block

    found = [(piece.start, len(taken) / 10) for piece in utterances(source())]
    assert [start for start, _ in found] == pytest.approx([1.0, 3.0], abs=0.15)
    assert [when for _, when in found] == pytest.approx([2.5, 4.5], abs=0.3)  # heard when, not at the end


@pytest.mark.parametrize("setting", [{"longest": 31}, {"longest": 0.5}, {"enough": 21}, {"pause": 0}, {"whole": 40}])
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(setting))):
        Cutting(**setting)
