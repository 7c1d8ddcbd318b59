"""What a speech recipe names as its data: recordings with what is said in them, made or one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from locution.engine.random import stream_key
from locution.errors import UserError, require
from locution.speech.corpus import CorpusSettings, synthesise_corpus
from locution.speech.extra_sets import EVERYDAY
from locution.speech.manifest import Clip, read_manifest

Told = Callable[[int, int], None]
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class SpeechData:
    """A speech corpus is recordings with what is said in them, split so that no sentence and no voice is in two parts.

    Without a `manifest` it is synthesised: `train`, `dev` and `test` count the utterances, `kind` is what is said, or
    `kinds` with their shares; `everyday` counts the test sentences written by hand, each clean and with noise at 20 and
    10 dB; `silence` is the share of training clips of mere noise, whose text is empty.
    `manifest` names a file of JSON lines, or its folder: each line has `path` and `text`, and may have `speaker` and
    `split`; where no line has a split, a tenth of the speakers (or clips) is held out. `allow_missing` goes on
    without the files that are not there. `cache` hears the training speech once and keeps the encoder's frames;
    without it every clip is read and heard anew in each epoch, which is what changing its sound in training needs.

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
    kinds: dict[str, float] | None = None
    everyday: int = EVERYDAY
    silence: float = 0.02
    cache: bool = True

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        self.settings()

    def settings(self) -> CorpusSettings:
        """What is synthesised where no manifest is given."""
        counts = (self.train, self.dev, self.test)
        return CorpusSettings(*counts, self.kind, self.seed, self.kinds, self.everyday, self.silence)

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

    return [replace(clip, split=split(clip)) for clip in clips]
