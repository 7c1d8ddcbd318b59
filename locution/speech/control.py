"""Does it listen? The same language model without the audio, or with somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.observer import Observer, Record, Stop
from locution.errors import require
from locution.speech.generate import Written, write_all
from locution.speech.recogniser import Recogniser, transcript_objective


def silenced(embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Take away everything that was heard and leave its length: embeddings (B, T', H) become zeros.

    >>> silenced(torch.ones(1, 2, 1), torch.tensor([2])).flatten().tolist()
    [0.0, 0.0]
    """
    return torch.zeros_like(embeddings)


def write_deaf(
    recogniser: Recogniser, frames: Sequence[Tensor], *, batch_size: int = 64, precision: str = "fp32"
) -> list[Written]:
    """The text-only control is what the language model writes when the audio says nothing: what it merely
    guesses.

    Decoding is that of `write_all`; the audio's embeddings are zeros of the same number. A recogniser whose
    word error rate is not far below this control's does not listen.

    Reference: A. Rohrbach et al., 2018, "Object Hallucination in Image Captioning", section 3 (a language
    prior told apart from what was perceived).
    """
    return write_all(recogniser, frames, batch_size=batch_size, change=silenced, precision=precision)


@torch.no_grad()
def listening(recogniser: Recogniser, batch: Batch) -> dict[str, float]:
    """Compare the loss (nats a token) with the real audio, with another clip's, and with none.

    "heard" far below "shuffled" and "silenced" means that the audio is used; a gap that stays near zero, that
    the language model writes fluent text that has nothing to do with what was said.
    """
    inputs = batch.inputs
    swapped = torch.arange(len(batch)).roll(1)
    others = inputs | {"frames": inputs["frames"][swapped], "lengths": inputs["lengths"][swapped]}
    deaf = inputs | {"frames": torch.zeros_like(inputs["frames"])}
    variants = {"heard": inputs, "shuffled": others, "silenced": deaf}
    was = recogniser.training
    recogniser.eval()
    losses = {
        name: float(transcript_objective(recogniser, Batch(changed, batch.targets, batch.weights))[1])
        for name, changed in variants.items()
    }
    recogniser.train(was)
    return losses


class Listening(Observer):
    """Training listens when the loss with the right audio falls below the loss with another clip's.

    Measures "listening_gap" (nats a token) on one batch; stops training with an explanation where the gap is
    still below `least` after `patience` steps, because a language model that has learnt to do without the
    audio writes fluent text that nobody said, and does not come back.
    """

    name: ClassVar[str] = "listening"

    def __init__(self, batch: Batch, *, patience: int = 2000, least: float = 0.05) -> None:
        require(patience >= 1, "listening.patience", patience, "a whole number from 1")
        require(len(batch) >= 2, "listening.batch", len(batch), "two utterances or more")
        self.batch, self.patience, self.least = batch, patience, least

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Compare the losses with the right audio and with another clip's."""
        assert isinstance(model, Recogniser)
        device = next(model.projector.parameters()).device
        losses = listening(model, self.batch.to(device))
        gap = losses["shuffled"] - losses["heard"]
        return {"listening_gap": gap, "development_loss": losses["heard"]}

    def watch(self, record: Record) -> Stop | None:
        """Stop where the gap never opened."""
        gap = record.values.get("listening_gap")
        if gap is None or gap >= self.least or record.step < self.patience:
            return None
        why = f"the loss with another clip's audio is only {gap:.3f} nats above that with its own"
        return Stop(f"after {record.step} steps the model does not listen: {why}")
