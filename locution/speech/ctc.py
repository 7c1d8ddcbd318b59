"""Connectionist temporal classification: learning to spell without being told when each letter is spoken."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError

BLANK = 0
CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"  # classes 1 to 28


def spell(text: str) -> list[int]:
    """Turn text into classes, 1 to 28.

    >>> spell("a b")
    [3, 1, 4]
    """
    classes = [CHARACTERS.find(character) + 1 for character in text]
    if 0 in classes:
        raise UserError(f"{text[classes.index(0)]!r} in {text!r}; allowed: a to z, apostrophe and space.")
    return classes


def unspell(classes: list[int]) -> str:
    """Turn classes back into text.

    >>> unspell(spell("it's ten"))
    "it's ten"
    """
    return "".join(CHARACTERS[number - 1] for number in classes)


def collapse(path: list[int]) -> list[int]:
    """Merge repeats, then drop blanks: the map from frames to letters.

    >>> collapse([0, 3, 3, 0, 3, 4, 4, 0])
    [3, 3, 4]
    """
    previous, kept = BLANK, []
    for number in path:
        if number not in (previous, BLANK):
            kept.append(number)
        previous = number
    return kept


def greedy(scores: Tensor, lengths: Tensor) -> list[str]:
    """Greedy decoding reads the likeliest class of every frame, merges repeats and drops blanks.

    scores: (N, T, classes); lengths: (N,) frames of each clip. Returns N texts.

    >>> import torch
    >>> path = torch.tensor([[3, 3, 0, 3, 4]])
    >>> greedy(F.one_hot(path, 29).float(), torch.tensor([5]))
    ['aab']

    Reference: Graves et al., 2006, "Connectionist temporal classification: labelling unsegmented sequence
    data with recurrent neural networks", section 3.2 (best path decoding).
    """
    best = scores.argmax(-1).tolist()
    texts = (unspell(collapse(path[:length])) for path, length in zip(best, lengths.tolist(), strict=True))
    return [" ".join(text.split()) for text in texts]


def ctc_loss(scores: Tensor, lengths: Tensor, letters: Tensor, counts: Tensor) -> Tensor:
    """The CTC loss is minus the log-probability of a text, over all ways of spreading it over the frames.

    scores: (N, T, classes) log-probabilities; lengths: (N,); letters: (N, L) classes, padded; counts: (N,).
    Returns the sum over the clips in nats; clips too short for their text count nothing.

    One frame that says "a" with probability one half:

    >>> import torch
    >>> scores = torch.tensor([[[0.5, 0.0, 0.0, 0.5]]]).log()
    >>> one = torch.tensor([1])
    >>> ctc_loss(scores, one, torch.tensor([[3]]), one)
    tensor(0.69)

    Reference: Graves et al., 2006, "Connectionist temporal classification: labelling unsegmented sequence
    data with recurrent neural networks", equation 8.
    """
    frames = scores.float().transpose(0, 1)  # (T, N, classes)
    return F.ctc_loss(frames, letters, lengths, counts, BLANK, reduction="sum", zero_infinity=True)


def ctc_objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Score a batch for the engine: log-probabilities, and the loss a letter.

    `batch.inputs`: dict of mel (N, T, mels) and lengths (N,); `batch.targets`: dict of letters (N, L) and
    counts (N,); `batch.weights`: the letters of each clip, at least one. The middle block is asked as well,
    at 0.3 of the weight, which speeds the lower half.

    Reference: Lee and Watanabe, 2021, "Intermediate loss regularization for CTC-based speech recognition",
    equation 9.
    """
    outputs, lengths = model.layers(batch.inputs["mel"], batch.inputs["lengths"])  # type: ignore[operator]
    letters, counts = batch.targets["letters"], batch.targets["counts"]
    losses = []
    for output in (outputs[-1], outputs[(len(outputs) - 1) // 2]):
        scores = model.head(model.norm(output)).float().log_softmax(-1)  # type: ignore[operator]
        losses.append(ctc_loss(scores, lengths, letters, counts))
        if len(losses) == 1:
            final = scores
    return final, (0.7 * losses[0] + 0.3 * losses[1]) / batch.weight()
