"""How well an encoder spells: clips heard clearly, under noise, and noise in which nobody speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from locution.engine.random import generator
from locution.evaluation.intervals import bootstrap
from locution.reporting.results import Metric
from locution.speech.augment import add_noise, coloured_noise
from locution.speech.ctc import greedy
from locution.speech.encode import like_lengths
from locution.speech.logmel import scale
from locution.speech.store import Store
from locution.speech.wer import WordErrorRate, word_error_rate

NOISE = 10.0  # decibels that speech is louder than noise, where it is hardly heard
EMPTY = 60  # clips of noise without speech


def clear(store: Store) -> list[Tensor]:
    """Read every clip of a store as an encoder takes it: (T, M) each."""
    return [scale(store.mel(row)) for row in range(len(store))]


@torch.no_grad()
def spell(encoder: Any, mels: Sequence[Tensor], precision: str = "fp32", told: Any = None) -> list[str]:
    """Spell clips (T, M) greedily, like lengths together; the texts come in the clips' order."""
    device = next(encoder.parameters()).device
    texts: dict[int, str] = {}
    for rows in like_lengths([len(mel) / 100 for mel in mels], budget=80.0):
        lengths = torch.tensor([len(mels[row]) for row in rows], device=device)
        padded = pad_sequence([mels[row] for row in rows], batch_first=True).to(device)  # (N, T, M)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            texts.update(zip(rows, greedy(*encoder(padded, lengths)), strict=True))
        if told is not None:
            told(len(texts), len(mels))
    return [texts[row] for row in range(len(mels))]


def hardly(encoder: Any, store: Store) -> list[Metric]:
    """Judge what can hardly be heard: commands under noise, and noise in which nobody speaks."""
    noisy, draws = [], [generator(0, "noise", row) for row in range(len(store))]
    for row, draw in enumerate(draws):
        mel = store.mel(row)
        noisy.append(scale(add_noise(mel, coloured_noise(len(mel), mel.shape[1], draw), NOISE)))
    rate = word_error_rate(store.texts, spell(encoder, noisy))
    bands = noisy[0].shape[1]
    empty = [scale(coloured_noise(300, bands, generator(0, "empty", row)) - 1 - row % 6) for row in range(EMPTY)]
    heard = bootstrap(torch.tensor([float(bool(text)) for text in spell(encoder, empty)]))
    label = "share of noises in which it hears letters"
    note = f"{EMPTY} clips of noise without speech"
    return [
        figure(f"commands under noise ({NOISE:.0f} dB)", rate, len(store), "wer_noisy"),
        Metric("heard_in_noise", heard["value"], heard["low"], heard["high"], label, "noise", "lower", note),
    ]


def figure(kind: str, rate: WordErrorRate, count: int, name: str = "") -> Metric:
    """Write a word error rate down: that of commands is called "wer", the others by their kind as well."""
    name = name or ("wer" if kind == "commands" else f"wer_{kind}")
    note = f"{count} held-out utterances by held-out voices"
    return Metric(name, rate.value, rate.low, rate.high, f"word error rate, {kind}", "wer", "lower", note)


def hours(store: Store) -> float:
    """Say how much sound a store holds."""
    return float(store.frames.sum()) / 360_000
