"""What a speech recipe names: the speech it learns from, and the recogniser it trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from locution.engine.random import stream_key
from locution.errors import UserError, require, unknown
from locution.speech.checkpoint import build_recogniser
from locution.speech.corpus import CorpusSettings, synthesise_corpus
from locution.speech.frozen import EMBEDDED_NAME, load_encoder, load_language_model
from locution.speech.manifest import Clip, read_manifest
from locution.speech.projectors import projector_kinds
from locution.speech.recogniser import Recogniser

Told = Callable[[int, int], None]
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class SpeechData:
    """A speech corpus is recordings with what is said in them, split so that no sentence and no voice is in two parts.

    Without a `manifest` it is synthesised: `train`, `dev` and `test` count the utterances, `kind` is what is said.
    `manifest` names a file of JSON lines, or its folder: each line has `path` and `text`, and may have `speaker` and
    `split`; where no line has a split, a tenth of the speakers (or clips) is held out. `allow_missing` goes on
    without the files that are not there.

    >>> SpeechData(batch_size=0)
    Traceback (most recent call last):
    locution.errors.UserError: data.batch_size is 0; allowed: a whole number from 1.

    Reference: V. Panayotov et al., 2015, "LibriSpeech: an ASR corpus based on public domain audio books", section 3
    (speakers of the parts kept apart).
    """

    batch_size: int = 32
    train: int = 3500
    dev: int = 300
    test: int = 600
    kind: str = "commands"
    seed: int = 0
    manifest: str = ""
    allow_missing: bool = False

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        self.settings()

    def settings(self) -> CorpusSettings:
        """What is synthesised where no manifest is given."""
        return CorpusSettings(self.train, self.dev, self.test, self.kind, self.seed)

    def clips(self, told: Told | None = None, workers: int = 2) -> dict[str, list[Clip]]:
        """Find the clips of each split, synthesising them if need be."""
        if not self.manifest:
            found = read_manifest(synthesise_corpus(self.settings(), workers=workers, progress=told))
        else:
            found = divided(read_manifest(self.manifest, allow_missing=self.allow_missing))
        parts = {split: [clip for clip in found if clip.split == split] for split in SPLITS}
        for split, clips in parts.items():
            if not clips:
                raise UserError(f"{self.manifest}: no clip is of the split '{split}'; allowed: train, dev and test.")
        return parts


def divided(clips: list[Clip]) -> list[Clip]:
    """Split clips that say nothing of a split: by their speaker, or by their path where they name none.

    >>> from pathlib import Path
    >>> clips = [Clip(Path(f"{n}.flac"), "a", speaker=f"s{n % 40}") for n in range(400)]
    >>> parts = {split: {c.speaker for c in divided(clips) if c.split == split} for split in SPLITS}
    >>> len(parts["train"] & parts["test"]), len(parts["train"]) > 25
    (0, True)
    """
    if any(clip.split for clip in clips):
        return clips

    def split(clip: Clip) -> str:
        draw = stream_key(0, f"split {clip.speaker or clip.path.name}") % 10
        return {0: "dev", 1: "test"}.get(draw, "train")

    return [Clip(c.path, c.text, c.speaker, c.seconds, split(c)) for c in clips]


@dataclass(frozen=True)
class RecogniserModel:
    """A recogniser is three networks in a row: an encoder that hears, a projector that translates, a language model.

    `encoder` and `language_model` stay frozen: "embedded", a folder, or a name on the hub. `projector` names what is
    trained, alone or with its settings: mlp, or {name: mlp, stack: 2}.

    >>> RecogniserModel(projector="mpl")
    Traceback (most recent call last):
    locution.errors.UserError: 'mpl' is no projector. Did you mean 'mlp'? ...

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity", section 3.
    """

    encoder: str = EMBEDDED_NAME
    language_model: str = EMBEDDED_NAME
    projector: str | dict[str, Any] = field(default_factory=lambda: {"name": "mlp"})

    def __post_init__(self) -> None:
        kind, settings = self.chosen()
        kinds = projector_kinds()
        if kind not in kinds:
            raise unknown("projector", kind, kinds)
        allowed = set(inspect.signature(kinds[kind]).parameters) - {"inputs", "outputs", "gain"}
        for name in settings:
            if name not in allowed:
                raise unknown(f"setting of the projector {kind}", name, allowed)

    def chosen(self) -> tuple[str, dict[str, Any]]:
        """Say which projector is meant, and its settings."""
        if isinstance(self.projector, str):
            return self.projector, {}
        settings: Mapping[str, Any] = self.projector
        return str(settings.get("name", "mlp")), {key: value for key, value in settings.items() if key != "name"}

    def build(self) -> Recogniser:
        """Load the frozen halves and put a new projector between them."""
        encoder = load_encoder(self.encoder)
        language_model, tokenizer = load_language_model(self.language_model)
        kind, settings = self.chosen()
        return build_recogniser(encoder, language_model, tokenizer, projector=kind, **settings)
