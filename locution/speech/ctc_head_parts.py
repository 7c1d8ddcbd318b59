"""What the recipe `speech/ctc_head` names: a head and its encoder; and the batches that it learns from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.run_folder import RunFolder
from locution.errors import UserError, require
from locution.speech.audio import SAMPLE_RATE
from locution.speech.checkpoint import read_card
from locution.speech.ctc_head import MODEL, CTCHead, own_head
from locution.speech.encode import encode_clips
from locution.speech.frozen import load_encoder, weights_digest
from locution.speech.no_speech import clearness
from locution.speech.noise import noise_clip
from locution.speech.utterances import Utterances, pad_frames
from locution.speech.word_times import spellable

USUAL = "openai/whisper-large-v3-turbo"


@dataclass(frozen=True)
class HeadModel:
    """A head that spells is trained on the frames of an encoder that cannot: two layers, the encoder stays as it is.

    `encoder`: a folder or hub name, or that of the run which `beside` names: a run of speech, by its folder or its
    recipe's name. The head is then kept beside its projector too, where `transcribe` finds it. `hidden`: width of the
    inner layer. `unpadded` spares Whisper the silence behind short clips; with `beside` it is as it was there.

    >>> HeadModel(hidden=0)
    Traceback (most recent call last):
    locution.errors.UserError: model.hidden is 0; allowed: a whole number from 1, usually 256.

    Reference: A. Graves et al., 2006, "Connectionist temporal classification", section 3.
    """

    encoder: str = ""
    beside: str = ""
    hidden: int = 256
    unpadded: bool = False

    def __post_init__(self) -> None:
        require(self.hidden >= 1, "model.hidden", self.hidden, "a whole number from 1, usually 256")

    def card(self) -> dict[str, Any]:
        """Read what the projector beside which the head will lie belongs to; nothing without one."""
        return read_card(RunFolder.open(self.beside).path / MODEL) if self.beside else {}

    @property
    def name(self) -> str:
        """Name the encoder that is meant."""
        return self.encoder or str(self.card().get("encoder", USUAL))

    def load(self) -> nn.Module:
        """Load the frozen encoder; refuse one that spells already, and another than that of the projector."""
        card = self.card()
        encoder = load_encoder(self.name, unpadded=bool(card.get("unpadded", self.unpadded)))
        if own_head(encoder):
            raise UserError(f"the encoder '{self.name}' spells already; allowed: one without a CTC head, a Whisper.")
        if card and (found := weights_digest(encoder)) != card["hashes"]["encoder"]:
            wanted = card["hashes"]["encoder"]
            raise UserError(f"the encoder has hash {found}; the projector of {self.beside} was trained with {wanted}.")
        return encoder

    def build(self, encoder: Any) -> CTCHead:
        """Make the head, untrained."""
        return CTCHead(encoder.config.width, self.hidden)


def spelling(text: str) -> list[int] | None:
    """Spell a text in the classes of CTC, accents left out; None where it holds what has no letters, such as digits.

    >>> spelling("a café"), spelling("at 7")
    ([3, 1, 5, 3, 8, 7], None)
    """
    classes: list[int] = []
    for word in unicodedata.normalize("NFKD", text.lower()).split():
        letters = spellable(word)
        if len(letters) - word.count("'") < sum(character.isalnum() for character in word):
            return None
        classes += [1] * bool(classes and letters) + letters
    return classes


class Spelt:
    """Batches of frames with the letters that are said in them: like lengths together, in an order of their own.

    frames[i] (T_i, D), letters[i] classes. Settings are those of `Utterances`, which decides the order.

    >>> data = Spelt([torch.zeros(4, 2), torch.zeros(3, 2)], [[3, 4], []], shuffle=False)
    >>> batch = next(data.epoch(0, 0))
    >>> batch.targets.tolist(), batch.inputs["counts"].tolist(), batch.weights.tolist()
    ([[0, 0], [3, 4]], [0, 2], [1.0, 2.0])
    """

    def __init__(self, frames: Sequence[Tensor], letters: Sequence[Sequence[int]], **settings: Any) -> None:
        self.letters = [torch.tensor(one, dtype=torch.long) for one in letters]
        self.utterances = Utterances(frames, [""] * len(letters), None, [], **settings)

    def __len__(self) -> int:
        return len(self.letters)

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return self.utterances.steps()

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through every clip once, in an order that depends on the seed and the epoch alone."""
        for rows in self.utterances.order(number, seed)[skip:]:
            frames, lengths = pad_frames([self.utterances.frames[i] for i in rows])
            letters = torch.nn.utils.rnn.pad_sequence([self.letters[i] for i in rows], batch_first=True)
            counts = torch.tensor([len(self.letters[i]) for i in rows])
            inputs = {"frames": frames, "lengths": lengths, "counts": counts}
            yield Batch(inputs, letters, weights=counts.clamp(min=1).float())


def noise_frames(encoder: Any, count: int, seed: int) -> list[Tensor]:
    """Hear clips of noise in which nobody speaks: frames (T_i, D) in bf16, as speech is kept."""
    waves = [noise_clip(index, seed) for index in range(count)]
    found = dict(encode_clips(encoder, waves.__getitem__, [len(wave) / SAMPLE_RATE for wave in waves]))
    return [found[index].to(torch.bfloat16) for index in range(count)]


@torch.inference_mode()
def clearnesses(head: CTCHead, frames: Sequence[Tensor]) -> list[float]:
    """Measure how clearly a head hears letters in each clip."""
    weight = next(head.parameters())
    return [clearness(head(clip.to(weight)).float().log_softmax(-1).cpu().numpy()) for clip in frames]


def dividing(spoken: Sequence[float], unspoken: Sequence[float]) -> float:
    """Put a threshold between speech and noise, by how clearly letters are heard in clips of each.

    It lies between the loudest of the noise and the faintest of the speech, one in fifty of either left out; where
    they overlap it is 0, and everything counts as speech: speech that is lost is worse than noise that is heard.

    >>> dividing([0.8, 0.9], [0.1, 0.3]), dividing([0.3, 0.9], [0.1, 0.5])
    (0.55, 0.0)
    """
    if not len(spoken) or not len(unspoken):
        return 0.0
    faintest, loudest = float(np.quantile(spoken, 0.02)), float(np.quantile(unspoken, 0.98))
    faintest, loudest = (min(spoken), max(unspoken)) if min(len(spoken), len(unspoken)) < 50 else (faintest, loudest)
    return round((faintest + loudest) / 2, 4) if loudest < faintest else 0.0
