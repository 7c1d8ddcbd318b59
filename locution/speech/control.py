"""What a language model writes when the audio says nothing: the control of every figure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from locution.speech.generate import Written, write_all
from locution.speech.recogniser import Recogniser


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
