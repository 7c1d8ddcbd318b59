"""Does it listen? The same language model without the audio, or with somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from locution.engine.batch import Batch
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
