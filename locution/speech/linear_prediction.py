"""Linear prediction: the next sample of a sound as a weighted sum of the last few."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from locution.errors import UserError, require
from locution.losses.basic import IGNORED
from locution.models.dilated import taps
from locution.speech.mu_law import LEVELS, from_mu_law, mu_law

ORDERS = (1, 2, 4, 8, 16)
ALPHA = 0.1  # seen of each pair before any was


def linear_prediction(sounds: Tensor, order: int) -> Tensor:
    """Linear prediction guesses the next sample of a sound by a weighted sum of the last few.

    sounds (N, T); the weights (order,), the oldest first, are those with the smallest squared error over all of them
    (least squares, each sound beginning in silence).

    >>> steady = torch.cos(0.3 * torch.arange(200.0))[None]  # a pure tone: two samples say the third
    >>> linear_prediction(steady[:, 2:], order=2)  # -1 and 2 cos(0.3)
    tensor([-1.0000, 1.9107])

    Reference: B. Atal, S. Hanauer, 1971, "Speech analysis and synthesis by linear prediction of the speech wave",
    section I.
    """
    require(order >= 1, "order", order, "a whole number from 1, usually 8 to 32")
    before = taps(sounds[:, :-1, None].double(), order, 1)[:, order - 1 :].reshape(-1, order)  # (N (T - order), order)
    after = sounds[:, order:].double().reshape(-1)
    if len(after) < order:
        raise UserError(f"there are {len(after)} samples to predict; allowed: at least the order, {order}.")
    found: Tensor = torch.linalg.lstsq(before, after[:, None], driver="gelsd").solution
    return found[:, 0].float()


def linear_guess(codes: Tensor, weights: Tensor) -> Tensor:
    """Guess by linear prediction what follows each sample of sounds in mu-law numbers: (N, T) -> (N, T), such numbers.

    >>> linear_guess(torch.tensor([[128, 140]]), torch.tensor([0.0, 1.0]))  # the last sample again
    tensor([[128, 140]])
    """
    return mu_law(taps(from_mu_law(codes)[..., None], len(weights), 1) @ weights)


def pair_counts(guesses: Tensor, targets: Tensor, levels: int = LEVELS) -> Tensor:
    """Count how often each number followed each guess: (..., ) both; gives (levels, levels), a row for each guess.

    >>> pair_counts(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), levels=2).tolist()
    [[0, 2], [1, 0]]
    """
    counted = targets != IGNORED
    pairs = guesses[counted] * levels + targets[counted]
    return pairs.bincount(minlength=levels**2).view(levels, levels)


def counted_bits(counts: Tensor, guesses: Tensor, targets: Tensor) -> Tensor:
    """Say how surprising sounds are to whoever counted what follows each guess: (N, T) -> (N,), in bits a sample.

    What was rarely seen is evened out with how often each number came at all, and that with all numbers alike.

    >>> never = torch.zeros(4, 4, dtype=torch.int64)
    >>> counted_bits(never, torch.tensor([[0, 3]]), torch.tensor([[1, 2]]))  # nothing is known: log2 of 4
    tensor([2.])

    Reference: I. Witten, T. Bell, 1991, "The zero-frequency problem", IEEE Transactions on Information Theory 37.
    """
    levels = len(counts)
    each = counts.double()
    alone = (each.sum(0) + ALPHA) / (each.sum() + ALPHA * levels)  # (levels,)
    kinds = (counts > 0).sum(1, keepdim=True).double()  # how many different numbers followed
    seen = each.sum(1, keepdim=True)
    share = torch.where(seen > 0, kinds / (seen + kinds).clamp(min=1), 1.0)  # left for what was not seen
    chances = (1 - share) * each / seen.clamp(min=1) + share * alone  # (levels, levels)
    counted = targets != IGNORED
    nats = -chances.log()[guesses, targets.where(counted, 0)] * counted
    return (nats.sum(1) / counted.sum(1) / math.log(2)).float()


def baselines(train: Tensor, train_next: Tensor, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Measure, in bits a sample of each sound (N,), those who know little: by name, all from the same training sounds.

    "frequency" knows how often each number comes, "previous" what follows the last sample, "linear prediction of 8"
    what follows the guess that 8 samples give. All sounds are mu-law numbers (N, T), beside what follows them.

    >>> train, test = torch.randint(256, (4, 101)), torch.randint(256, (2, 51))  # noise: 8 bits, whatever one knows
    >>> found = baselines(train[:, :-1], train[:, 1:], test[:, :-1], test[:, 1:])
    >>> list(found)[:3], min(float(bits.mean()) for bits in found.values()) > 7.5
    (['frequency', 'previous', 'linear prediction of 1'], True)
    """
    whole = from_mu_law(torch.cat([train, train_next[:, -1:]], 1))
    guesses: dict[str, Callable[[Tensor], Tensor]] = {"frequency": torch.zeros_like, "previous": torch.clone}
    for order in ORDERS:
        weights = linear_prediction(whole, order)
        guesses[f"linear prediction of {order}"] = partial(linear_guess, weights=weights)
    return {
        name: counted_bits(pair_counts(guess(train), train_next), guess(inputs), targets)
        for name, guess in guesses.items()
    }
