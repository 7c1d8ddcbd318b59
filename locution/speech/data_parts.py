"""What a speech recipe names as its data: recordings with what is said in them, made or one's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from locution.errors import UserError, require
from locution.speech.check_data import usable
from locution.speech.corpus import CorpusSettings, synthesise_corpus
from locution.speech.extra_sets import EVERYDAY
from locution.speech.manifest import Clip, read_manifest
from locution.speech.recogniser import Recogniser
from locution.speech.sources import read_source
from locution.speech.sources.hugging_face import HUB, borrowed, held_out_examples
from locution.speech.splits import SPLITS
from locution.speech.streamed import StreamedUtterances

Told = Callable[[int, int], None]


def say_aloud(line: str) -> None:
    """Print a line where it does not mix with results."""
    print(line, file=sys.stderr)


@dataclass(frozen=True)
class SpeechData:
    """A speech corpus is recordings with what is said in them, split so that no sentence and no voice is in two parts.

    Without a `path` it is synthesised: `train`, `dev` and `test` count the utterances, `kind` is what is said, or
    `kinds` with their shares; `everyday` counts the test sentences written by hand, each clean and with noise at 20 and
    10 dB; `silence` is the share of training clips of mere noise, whose text is empty; `rough` that of the others which
    get silence at their ends, and that of those which get noise.
    `path` names data of one's own, in any form that `read_source` knows. Splits that they bring are used; else a tenth
    of the speakers (or clips) is held out for each. Data with problems are refused, or with `allow_missing` used
    without the clips that have them. `token_budget` makes batches of so many places, padding included, instead of
    `batch_size` utterances. A path hf:NAME streams a dataset of Hugging Face by its name; `dev` and `test` then count
    what is taken of it to judge on. `cache` hears the training speech once and keeps the encoder's frames;
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
    path: str = ""
    allow_missing: bool = False
    kinds: dict[str, float] | None = None
    everyday: int = EVERYDAY
    silence: float = 0.02
    rough: float = 0.4
    token_budget: int | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")
        fits = self.token_budget is None or self.token_budget >= 1
        require(fits, "data.token_budget", self.token_budget, "a whole number from 1, or null")
        self.settings()

    def settings(self) -> CorpusSettings:
        """What is synthesised where no path is given."""
        counts = (self.train, self.dev, self.test)
        return CorpusSettings(*counts, self.kind, self.seed, self.kinds, self.everyday, self.silence, self.rough)

    @property
    def streams(self) -> bool:
        """Say whether the training speech is streamed by name: steps, no epochs, and nothing kept."""
        return self.path.startswith(HUB)

    def held_out(self) -> dict[str, int]:
        """Count what is taken of a stream to develop and to test on."""
        return {"dev": self.dev, "test": self.test}

    def stream(self, recogniser: Recogniser, say: Callable[[str], None] = say_aloud) -> StreamedUtterances:
        """Open the stream of training speech for a recogniser."""
        held_out = borrowed(self.path, self.held_out())
        if held_out:
            say(f"{self.path}: the first {held_out} training examples are held out, for it lacks splits of its own")
        return StreamedUtterances.of(recogniser, self.path, held_out, batch_size=self.batch_size, say=say)

    def clips(
        self, told: Told | None = None, workers: int = 2, say: Callable[[str], None] = say_aloud
    ) -> dict[str, list[Clip]]:
        """Find the clips of each split, synthesising them if need be; `say` hears what was done with one's own."""
        if self.streams:
            listed = held_out_examples(self.path, self.held_out(), told)
            found = usable(self.path, listed, go_on=True, told=told, say=say)
        elif self.path:
            found = usable(self.path, read_source(self.path, told), go_on=self.allow_missing, told=told, say=say)
        else:
            found = read_manifest(synthesise_corpus(self.settings(), workers=workers, progress=told))
        parts = {split: [clip for clip in found if clip.split == split] for split in SPLITS}
        for split, clips in parts.items():
            if not clips and not (self.streams and split == "train"):
                raise UserError(f"{self.path}: no clip is of the split '{split}'; allowed: train, dev and test.")
        return parts
