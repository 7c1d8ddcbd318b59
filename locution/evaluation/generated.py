"""What generated pictures are judged by: are they lifelike, are all kinds made, and are they more than copies?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.energy_distance import energy_distance
from locution.evaluation.feature_judge import FeatureJudge, frechet_distance
from locution.evaluation.intervals import bootstrap
from locution.evaluation.modes import data_copying, lifelike, neighbourhood_coverage, recall_of_samples
from locution.evaluation.proportions import proportion


@dataclass(frozen=True)
class Judgement:
    """What was found of some pictures: figures by their names, those that are shares or means with an interval, and the
    class of each picture (N,), -1 where it is not recognised.
    """

    figures: dict[str, dict[str, float]]
    classes: Tensor


class PictureJudge:
    """Generated pictures are judged by whether each is lifelike (recognised, precision), whether all that is real could
    have been made (recall, coverage), and whether they are new (data-copying): each alone is won by a cheat.

    Whoever makes one good picture over and over is recognised and has no recall; whoever hands out what was learnt from
    has both and copies. Frechet and energy distance sum up how far the whole lies from the pictures learnt from.

    Parameters
    ----------
    known: (K, C, H, W), what was learnt from. classes: (K,). held: (N, C, H, W), held out. Recall, coverage and copying
    are of `held`, by as many pictures as there are of it.

    >>> draw = torch.Generator().manual_seed(0)
    >>> known, held = torch.rand(60, 1, 4, 4, generator=draw), torch.rand(20, 1, 4, 4, generator=draw)
    >>> judge = PictureJudge(known, torch.arange(60) % 2, held, steps=5)
    >>> figures = judge(known[:20]).figures
    >>> figures["data_copying"]["value"], figures["precision"]["value"]  # handed out again
    (1.0, 1.0)

    Reference: T. Kynkaanniemi et al., 2019, "Improved precision and recall metric for assessing generative models"; C.
    Meehan, K. Chaudhuri, S. Dasgupta, 2020, "A non-parametric test to detect data-copying in generative models".
    """

    def __init__(self, known: Tensor, classes: Tensor, held: Tensor, steps: int = 600) -> None:
        if known.dim() != 4 or known.shape[1:] != held.shape[1:]:
            came = f"{tuple(known.shape)} and {tuple(held.shape)}"
            raise UserError(f"pictures have shapes {came}; allowed: (K, C, H, W) and (N, C, H, W).")
        self.known, self.held = known, held
        self.judge = FeatureJudge(known, classes, steps)
        self.features = self.judge.features(known)

    def __call__(self, some: Tensor) -> Judgement:
        """Judge pictures (M, C, H, W), as many as are held out or more."""
        few, like = some[: len(self.held)], lifelike(self.known, some)
        classes = self.classes(some)
        figures = {
            "recognised": proportion(int((classes >= 0).sum()), len(some)),
            "precision": proportion(int(like.sum()), len(some)),
            "recall": alone(recall_of_samples(self.held, few)),
            "coverage": alone(neighbourhood_coverage(self.held, few)),
            "data_copying": bootstrap(data_copying(self.known, self.held, some)),
            "frechet": alone(frechet_distance(self.judge.features(some), self.features)),
            "energy_distance": alone(energy_distance(some, self.known)),
        }
        return Judgement(figures, classes)

    def classes(self, some: Tensor) -> Tensor:
        """Say the class of each picture (N,): -1 where the judge is not sure of it, or where it is not lifelike, for of
        such a classifier may be sure by mistake.
        """
        return torch.where(lifelike(self.known, some), self.judge.classes(some), -1)


def alone(value: float) -> dict[str, float]:
    """Name a figure that has no interval."""
    return {"value": value}


def some_of(pictures: Tensor, count: int) -> Tensor:
    """Draw so many different pictures: of those learnt from, handed out again, a judge must say that they are copies.

    >>> some_of(torch.arange(5.0), 5).sort().values.tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return pictures[torch.randperm(len(pictures), generator=generator(0, "handed out again"))[:count]]


def gaussian_fit(inputs: Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw from the Gaussian that has the mean and the covariance of some pictures, cut off to their range: a generator
    that knows no more than how pixels go together in pairs.
    """
    flat = inputs.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    noise = torch.randn(count, flat.shape[1], generator=generator(seed, "gaussian fit"), dtype=torch.float64)
    drawn: Tensor = flat.mean(0) + (noise * values.clamp(min=0).sqrt()) @ vectors.T
    return drawn.clamp(float(flat.min()), float(flat.max())).float().view(count, *inputs.shape[1:])
