"""What the recipe `speech/encoder` names: the speech that an encoder learns from, and its shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from locution.engine.durable import disk_errors
from locution.errors import require
from locution.speech.cache import cache_folder
from locution.speech.encoder import EncoderConfig, SpeechEncoder
from locution.speech.frozen import place
from locution.speech.kinds import check_kinds
from locution.speech.spoken import NOISY
from locution.speech.store import KIND_SHARES, SHARD, Store, StoreSettings, build_store

Told = Callable[[int, int], None]
HELD_OUT = ("commands", "everyday")  # what an encoder is judged on: few words often, and many words seldom
FORMAT = 1  # raised whenever the same settings give other sound


@dataclass(frozen=True)
class SpokenData:
    """Synthetic speech is text read aloud by a program: as much of it as one likes, each word of it known.

    Parameters
    ----------
    seconds: sound in a batch. train: utterances to learn from; kinds, joined: which sentences, in which
    shares, and the share of clips that hold two to four of them. dev, test: held-out utterances of commands,
    and as many of everyday sentences, spoken by voices that training never hears. seed: of all of them.
    augment: change loudness, add noise, mask, anew in each epoch. noisy: the share of clips that get noise.

    The sound is made once, kept in the user's cache as log-mel frames (about 43 MB for 1,000 utterances),
    and read from there.

    >>> SpokenData(kinds={"commmands": 1.0})
    Traceback (most recent call last):
    locution.errors.UserError: 'commmands' is no kind of sentence. Did you mean 'commands'? ...
    >>> SpokenData(test=2).settings()["test_everyday"].kinds
    {'everyday': 1.0}

    Reference: N. Rossenbach et al., 2020, "Generating synthetic audio data for attention-based speech
    recognition systems", section 3.
    """

    seconds: float = 80.0
    train: int = 120_000
    dev: int = 200
    test: int = 600
    kinds: dict[str, Any] = field(default_factory=lambda: dict(KIND_SHARES))
    joined: float = 0.1
    seed: int = 0
    augment: bool = True
    noisy: float = NOISY

    def __post_init__(self) -> None:
        require(self.seconds > 0, "data.seconds", self.seconds, "a number above 0, usually 80")
        for split in ("train", "dev", "test"):
            require(getattr(self, split) >= 1, f"data.{split}", getattr(self, split), "a whole number from 1")
        for share in ("joined", "noisy"):
            require(0 <= getattr(self, share) <= 1, f"data.{share}", getattr(self, share), "a share from 0 to 1")
        check_kinds(self.kinds, "data.kinds")

    def settings(self) -> dict[str, StoreSettings]:
        """Say what each part of the speech holds: the sound to learn from, and four held-out sets."""
        parts = {"train": StoreSettings(self.train, "train", dict(self.kinds), self.joined, self.seed)}
        for split, count in (("dev", self.dev), ("test", self.test)):
            for kind in HELD_OUT:
                parts[f"{split}_{kind}"] = StoreSettings(count, split, {kind: 1.0}, 0.0, self.seed)
        return parts

    def stores(self, told: Told | None = None, workers: int = 2, only: str = "") -> dict[str, Store]:
        """Open each part of the speech, synthesising what is not in the cache; `told` hears how far it is.

        only: the parts whose names begin so, such as "test".
        """
        parts = {name: part for name, part in self.settings().items() if name.startswith(only)}
        total = sum(part.utterances for part in parts.values())
        before, found = 0, {}
        for name, part in parts.items():
            found[name] = Store(kept(part, workers, _after(told, before, total)))
            before += part.utterances
        return found


def _after(told: Told | None, before: int, total: int) -> Told | None:
    return None if told is None else lambda done, _: told(before + done, total)


def kept(settings: StoreSettings, workers: int = 2, told: Told | None = None) -> Path:
    """Find a store in the user's cache, under a name made of its settings, or make it."""
    described = json.dumps([FORMAT, SHARD, asdict(settings)], sort_keys=True)
    name = hashlib.blake2b(described.encode(), digest_size=8).hexdigest()
    folder = cache_folder() / "spoken" / name
    with disk_errors(folder):
        return build_store(settings, folder, workers, told)


@dataclass(frozen=True)
class EncoderModel:
    """An encoder turns sound into vectors that say what is heard; this is its shape, and what it starts from.

    Parameters
    ----------
    width: of each vector, 25 a second. blocks, heads, feed_forward, kernel: layers, and what each is made of.
    window: frames of 40 ms that each frame attends to on either side. stem: channels of the first
    convolution. n_mels: bands of the spectrogram. start: a folder of weights of this shape to go on from, or
    "embedded"; else it starts untrained.

    >>> model = EncoderModel(width=16, heads=2, blocks=1, stem=8, feed_forward=16).build(seed=0)
    >>> sum(p.numel() for p in model.parameters())
    7061

    Reference: A. Gulati et al., 2020, "Conformer: convolution-augmented transformer for speech recognition",
    section 2.
    """

    width: int = 256
    blocks: int = 6
    heads: int = 4
    feed_forward: int = 768
    kernel: int = 9
    window: int = 64
    stem: int = 160
    n_mels: int = 80
    dropout: float = 0.0
    start: str = ""

    def __post_init__(self) -> None:
        for name in ("width", "blocks", "feed_forward", "stem", "n_mels"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "a whole number from 1")
        self.config()

    def config(self) -> EncoderConfig:
        """Say the shape as the encoder takes it."""
        return EncoderConfig(**{name: value for name, value in asdict(self).items() if name != "start"})

    def build(self, seed: int) -> SpeechEncoder:
        """Make the encoder, its first weights drawn by the seed or taken from `start`."""
        if self.start:
            encoder = SpeechEncoder.load(Path(place(self.start, "encoder")))
            require(encoder.config == self.config(), "model.start", self.start, f"weights of the shape {self.config()}")
            return encoder.float().train().requires_grad_(True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SpeechEncoder(self.config())
