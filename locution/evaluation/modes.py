"""Which modes of the data a generator makes, and which it has left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.errors import UserError, require

REACH = 3.0  # standard deviations from a mode within which a sample is of high quality
LEAST = 0.1  # of the share that is its due: less of a mode is as good as none


@dataclass(frozen=True)
class Coverage:
    """How many samples fell to each mode, of how many drawn; samples that are of no mode are the rest."""

    counts: tuple[int, ...]
    drawn: int

    @property
    def quality(self) -> float:
        """The share of samples that are of some mode."""
        return sum(self.counts) / self.drawn

    def missing(self, least: float = LEAST, due: Sequence[float] = ()) -> list[int]:
        """Number the modes that were left out: those with less than `least` of the share of samples that is their due.

        >>> Coverage((40, 50, 2, 0), drawn=100).missing()  # 25 each would be even, a tenth of it 2.5
        [2, 3]
        """
        require(0 < least <= 1, "least", least, "a share above 0, up to 1, usually 0.1")
        shares = due or [1 / len(self.counts)] * len(self.counts)
        pairs = enumerate(zip(self.counts, shares, strict=True))
        return [number for number, (count, share) in pairs if count < least * share * self.drawn]


def mode_coverage(samples: Tensor, centres: Tensor, spreads: Tensor | float, reach: float = REACH) -> Coverage:
    """Mode coverage counts how many samples lie at each mode of the data: those within a few of its standard deviations
    (samples of high quality), each at the nearest mode.

    Parameters
    ----------
    samples: (N, D). centres: (K, D). spreads: (K,), the standard deviation of each mode, or one for all. reach: how
    many of them away a sample may lie.

    >>> samples = torch.tensor([[0.1], [0.0], [5.0], [9.0]])
    >>> found = mode_coverage(samples, torch.tensor([[0.0], [9.1], [20.0]]), 0.1)
    >>> found.counts, found.quality, found.missing()
    ((2, 1, 0), 0.75, [2])

    Reference: A. Srivastava et al., 2017, "VEEGAN: reducing mode collapse in GANs using implicit variational learning",
    section 5.1; Z. Lin et al., 2018, "PacGAN: the power of two samples in generative adversarial networks", section
    4.1.
    """
    if samples.dim() != 2 or centres.dim() != 2 or samples.shape[1] != centres.shape[1] or not len(samples):
        shapes = f"{tuple(samples.shape)} and {tuple(centres.shape)}"
        raise UserError(f"samples and centres have shapes {shapes}; allowed: (N, D) and (K, D), one sample or more.")
    away = torch.cdist(samples.double(), centres.double())  # (N, K)
    near, which = away.min(1)
    limits = torch.as_tensor(spreads, dtype=torch.float64).expand(len(centres)) * reach
    counts = torch.bincount(which[near <= limits[which]], minlength=len(centres))
    return Coverage(tuple(counts.tolist()), len(samples))


def class_coverage(classes: Tensor, count: int) -> Coverage:
    """Count the samples of each of so many classes, where classes are the modes: (N,), -1 for a sample of none.

    >>> class_coverage(torch.tensor([0, 2, 2, -1]), 3)
    Coverage(counts=(1, 0, 2), drawn=4)
    """
    return Coverage(tuple(torch.bincount(classes[classes >= 0], minlength=count).tolist()), len(classes))


def mode_collapse(
    coverage: Coverage,
    names: Sequence[str],
    least: float = LEAST,
    due: Sequence[float] = (),
    mend: str = "Try objective.name=wasserstein_gan.",
) -> str:
    """Mode collapse is when a generator makes only some of the kinds of examples that there are, over and over.

    Says so in one line if any mode has less than `least` of the share of samples that is its due (even shares, if
    `due` does not say others), and what may mend it; else nothing.

    >>> mode_collapse(Coverage((60, 40, 0), drawn=100), ["one", "two", "three"])
    'mode collapse: 1 of 3 modes have less than 0.1 of their share of 100 samples: three...'
    >>> mode_collapse(Coverage((30, 40, 30), drawn=100), ["one", "two", "three"])
    ''

    Reference: I. Goodfellow, 2016, "NIPS 2016 tutorial: generative adversarial networks", section 5.1.1; L. Metz et
    al., 2017, "Unrolled generative adversarial networks", section 2.1.
    """
    gone = coverage.missing(least, due)
    if not gone:
        return ""
    listed = ", ".join(names[number] for number in gone[:6]) + (", ..." if len(gone) > 6 else "")
    head = f"mode collapse: {len(gone)} of {len(names)} modes have less than {least:g} of their share"
    return f"{head} of {coverage.drawn:,} samples: {listed}. {mend}".rstrip()


def neighbourhood_coverage(real: Tensor, made: Tensor, k: int = 5) -> float:
    """Neighbourhood coverage is the share of real examples near which at least one was made: nearer than their k-th
    nearest real neighbour. It tells mode collapse where nobody knows the modes.

    real: (N, ...), made: (M, ...), flattened. Of examples from the same source as the real ones, as many as those, it
    is 1 - 1 / 2^k at least about, 0.97 at k = 5.

    >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> neighbourhood_coverage(real, torch.tensor([[0.4], [0.6]]), k=1)  # near the first two, and none of the others
    0.5

    Reference: M. F. Naeem et al., 2020, "Reliable fidelity and diversity metrics for generative models", eqs. 6 and 9.
    """
    ways, radius = _ways(real, made, k)
    return float((ways.min(1).values < radius).double().mean())


def lifelike(real: Tensor, made: Tensor, k: int = 5) -> Tensor:
    """Precision of samples is the share of them that are lifelike: nearer to some real example than its k-th nearest
    real neighbour is. This says of each whether it is.

    real: (N, ...), made: (M, ...), flattened; gives (M,), true or false.

    >>> lifelike(torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[1.5], [4.0], [30.0]]), k=1)
    tensor([ True,  True, False])

    The second lies 6 from the third real example, whose nearest neighbour lies 9 from it.

    Reference: T. Kynkaanniemi et al., 2019, "Improved precision and recall metric for assessing generative models",
    eqs. 1 and 2.
    """
    ways, radius = _ways(real, made, k)
    return (ways <= radius[:, None]).any(0)


def recall_of_samples(real: Tensor, made: Tensor, k: int = 5) -> float:
    """Recall of samples is the share of real examples that the generator could have made: those nearer to some sample
    than its k-th nearest other sample is. A generator that repeats itself has little of it, however lifelike each is.

    real: (N, ...), made: (M, ...), flattened; it grows with the number of samples, so compare as many.

    >>> made = torch.tensor([[0.0], [1.0], [3.0]])
    >>> recall_of_samples(torch.tensor([[0.5], [4.0], [20.0], [-9.0]]), made, k=1)  # 4 is 1 from 3, which is 2 from 1
    0.5

    Reference: T. Kynkaanniemi et al., 2019, "Improved precision and recall metric for assessing generative models",
    eq. 2.
    """
    return float(lifelike(made, real, k).double().mean())


def data_copying(known: Tensor, held: Tensor, made: Tensor) -> Tensor:
    """Data-copying is how often a sample lies nearer to what was learnt from than an example does that was held out: a
    half if samples are as new as those, 1 if they were learnt by heart, less if they are far from all.

    known: (K, ...), held: (N, ...), made: (M, ...), flattened. Returns (M,), of each sample the share of held-out
    examples that lie further from `known` than it does, of ties a half; the figure is the mean.

    >>> known, held = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [8.0]])
    >>> data_copying(known, held, torch.tensor([[0.0], [11.5], [5.0]])).tolist()  # 0, 1.5 and 5 away; held out: 1 and 2
    [1.0, 0.5, 0.0]

    Reference: C. Meehan, K. Chaudhuri, S. Dasgupta, 2020, "A non-parametric test to detect data-copying in generative
    models", section 3.1 (over all of the space).
    """
    require(min(len(known), len(held), len(made)) >= 1, "examples", 0, "one or more of each kind")
    x, others, some = (one.flatten(1).double() for one in (known, held, made))
    far, away = torch.cdist(others, x).min(1).values, torch.cdist(some, x).min(1).values  # (N,), (M,)
    further, alike = far[None] > away[:, None], far[None] == away[:, None]
    return further.double().mean(1) + 0.5 * alike.double().mean(1)


def _ways(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Measure how far it is from each real example to each made one (N, M), and to its k-th real neighbour (N,)."""
    require(1 <= k < len(real), "k", k, f"a whole number from 1 to {len(real) - 1}, usually 5")
    require(len(made) >= 1, "made", len(made), "one example or more")
    x, y = real.flatten(1).double(), made.flatten(1).double()
    return torch.cdist(x, y), torch.cdist(x, x).kthvalue(k + 1, 1).values  # each is nearest to itself
