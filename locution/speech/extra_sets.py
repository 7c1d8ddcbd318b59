"""What a corpus holds beside its own sentences: everyday sentences in noise to test on, noise to write nothing for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from locution.engine.random import generator
from locution.speech.audio import Samples, write_flac
from locution.speech.manifest import Clip
from locution.speech.noise import noise_clip, noisy
from locution.speech.synthesis import SAMPLE_RATE, draw_utterance, speak

EVERYDAY = 219  # sentences that were written by hand
CONDITIONS: dict[str, float | None] = {"everyday": None, "everyday 20 dB": 20.0, "everyday 10 dB": 10.0}
"""Groups of the same recordings: the speech's power above the noise's, in dB; None without noise."""
FIRST_ROUGH = 1_000_000  # the first so many noises lie under speech that is tested on
FIRST_SILENCE = 1_000_000  # the first so many clips of noise are left to tests of what is written for noise


@cache
def everyday_sentences() -> tuple[str, ...]:
    """Read the everyday sentences that were written by hand to test on; no grammar made them.

    >>> len(everyday_sentences()), everyday_sentences()[0]
    (219, 'my sister forgot her umbrella on the bus again')
    """
    text = resources.files("locution.speech").joinpath("everyday_test.txt").read_text("ascii")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def write_everyday(folder: Path, rows: Iterable[int], seed: int) -> list[Clip]:
    """Speak everyday sentences, of these numbers, in test voices; write each recording clean and with noise."""
    clips = []
    texts = {row: everyday_sentences()[row] for row in rows}
    # below zero: numbers that no other utterance of the corpus has
    utterances = [draw_utterance(text, "test", seed, -1 - row) for row, text in texts.items()]
    for row, one, wave in zip(texts, utterances, speak(utterances), strict=True):
        samples = (wave / 32768).astype(np.float32)
        for number, (group, decibels) in enumerate(CONDITIONS.items()):
            path = folder / "test" / group.replace(" ", "_").lower() / f"{row:05d}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            sound = samples if decibels is None else noisy(samples, decibels, len(CONDITIONS) * row + number, seed)
            write_flac(path, sound)
            clips.append(Clip(path, one.text, one.voice, round(len(sound) / SAMPLE_RATE, 3), "test", group))
    return clips


def roughened(samples: Samples, share: float, row: int, seed: int) -> Samples:
    """Make a clip (N,) as a room would have it: perhaps with up to 0.6 s of silence at each end, perhaps with noise.

    Each of the two befalls a share of the clips; the noise lies 5 to 25 dB below the speech. A recogniser that only
    ever heard clips cut close would stumble at a pause before the first word.

    >>> speech = 0.1 * np.sin(np.arange(1600) / 9).astype(np.float32)
    >>> roughened(speech, 0.0, 0, 0) is speech, len(roughened(speech, 1.0, 0, 0)) > 1600
    (True, True)
    """
    paused, noised, before, after, decibels = torch.rand(5, generator=generator(seed, "rough", row)).tolist()
    if paused < share:
        ends = tuple(int(SAMPLE_RATE * 0.6 * length) for length in (before, after))
        samples = np.pad(samples, ends)
    return noisy(samples, 5 + 20 * decibels, FIRST_ROUGH + row, seed) if noised < share else samples


def write_silences(folder: Path, count: int, seed: int) -> list[Clip]:
    """Write training clips of mere noise, whose text is empty."""
    clips = []
    (folder / "train" / "silence").mkdir(parents=True, exist_ok=True)
    for row in range(count):
        path, sound = folder / "train" / "silence" / f"{row:05d}.flac", noise_clip(FIRST_SILENCE + row, seed)
        write_flac(path, sound)
        clips.append(Clip(path, "", "", round(len(sound) / SAMPLE_RATE, 3), "train", "silence"))
    return clips
