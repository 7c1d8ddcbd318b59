"""How well a language model repeats: texts that it never saw, heard clearly, badly, or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from locution.engine.random import generator
from locution.evaluation.intervals import bootstrap, ratio
from locution.reporting.results import Metric
from locution.speech.babble import Texts
from locution.speech.decoder import moments, repeat_objective, spell, write
from locution.speech.repetition import IGNORE, Noise, repetition
from locution.speech.sentences import KINDS, sentence
from locution.speech.wer import word_error_rate

NOISY = 0.4  # how badly the noisy sets are damaged, of at most 1
GROUP = 50  # texts that are repeated at a time: fixed, because the damage is drawn by group


@dataclass(frozen=True)
class HeldOut:
    """Texts of one kind that training never saw, and how badly they are damaged before they are repeated."""

    name: str
    texts: tuple[str, ...]
    level: float = 0.0


def held_out(texts: Texts, count: int, seed: int, split: str) -> list[HeldOut]:
    """Draw the sets that a language model is judged on, up to `count` texts each, of a split.

    Sentences of each kind, made-up words and random letters, heard clearly; sentences heard badly; silence.

    >>> [one.name for one in held_out(Texts(["go"]), 2, 0, "test")]  # doctest: +NORMALIZE_WHITESPACE
    ['commands', 'everyday', 'prose', 'made-up words', 'random letters', 'noisy commands', 'noisy everyday',
     'silence']
    """
    draw = random.Random(f"repeat/{seed}/{split}")
    said = {kind: _different(count, seed, split, kind) for kind in KINDS}
    sets = [HeldOut(kind, said[kind]) for kind in KINDS]
    for name, kind in (("made-up words", "babble"), ("random letters", "letters")):
        sets.append(HeldOut(name, tuple(texts.draw(draw, draw.randint(15, 60), kind) for _ in range(count))))
    sets += [HeldOut(f"noisy {kind}", said[kind], NOISY) for kind in ("commands", "everyday")]
    return [*sets, HeldOut("silence", ("",) * min(count, GROUP))]


def _different(count: int, seed: int, split: str, kind: str) -> tuple[str, ...]:
    """Draw sentences, none twice; where there are not so many, those there are."""
    found: dict[str, None] = {}
    for index in range(5 * count):
        found[sentence(seed, split, index, kind)] = None
        if len(found) == count:
            break
    return tuple(found)


@dataclass(frozen=True)
class Repeated:
    """What a model wrote for the texts of a set, and of each text how many tokens it chose rightly, of how many."""

    of: HeldOut
    written: tuple[str, ...]
    right: tuple[int, ...]
    tokens: tuple[int, ...]

    def metrics(self) -> list[Metric]:
        """Measure whole texts repeated exactly, tokens right (each after the right ones before it), and words wrong."""
        said, count = self.of.texts, len(self.of.texts)
        key, note = self.of.name.replace(" ", "_").replace("-", "_"), f"{count} held-out texts"
        exact = bootstrap(torch.tensor([float(a == b) for a, b in zip(said, self.written, strict=True)]))
        label = f"repeated exactly, {self.of.name}"
        rows = [_metric(f"exact_{key}", exact, label, "exact")]
        if any(said):
            accuracy = bootstrap(torch.tensor([self.right, self.tokens], dtype=torch.float64).T, ratio)
            label = f"tokens right, {self.of.name}"
            rows.append(_metric(f"token_accuracy_{key}", accuracy, label, "tokens"))
            rate = word_error_rate(said, self.written)
            label = f"word error rate, {self.of.name}"
            rows.append(Metric(f"wer_{key}", rate.value, rate.low, rate.high, label, "wer", "lower"))
        return [Metric(**{**vars(row), "note": note}) for row in rows]


def _metric(name: str, found: dict[str, float], label: str, group: str) -> Metric:
    return Metric(name, found["value"], found["low"], found["high"], label, group, "higher")


@torch.no_grad()
def repeat(
    model: Any, tokenizer: Any, of: HeldOut, noise: Noise, told: Callable[[int, int], None] | None = None
) -> Repeated:
    """Let a model repeat the texts of a set, greedily; `told` hears (texts done, of how many)."""
    written: list[str] = []
    right: list[int] = []
    tokens: list[int] = []
    table = model.get_input_embeddings().weight
    for start in range(0, len(of.texts), GROUP):
        texts = of.texts[start : start + GROUP]
        batch = repetition(texts, generator(0, f"repeat {of.name}", start), noise, of.level)
        logits, _ = repeat_objective(model, batch)  # (M, V) of the M tokens to write
        wanted = batch.targets != IGNORE  # (B, N)
        hits = torch.zeros_like(wanted)
        hits[wanted] = logits.argmax(-1) == batch.targets[wanted]
        right += hits.sum(1).tolist()
        tokens += wanted.sum(1).tolist()
        rows = write(model, moments(table, batch.inputs), limit=max(map(len, texts)) + 16)
        written += [" ".join(spell(row, tokenizer).split()) for row in rows]
        if told is not None:
            told(len(written), len(of.texts))
    return Repeated(of, tuple(written), tuple(right), tuple(tokens))
