"""A classifier that learnt from real examples, as a judge of made ones: how sure it is, and what it sees in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine import Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.basic import CrossEntropy
from locution.losses.wasserstein import gaussian_wasserstein
from locution.models.convnet import ConvNetModel
from locution.models.mlp import MLPModel, hidden_features

SURE = 0.9


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """The Frechet distance compares what a classifier sees in made examples with what it sees in real ones, as if both
    were Gaussian: the squared Wasserstein distance of these two.

    Shapes: features (N, D), others (M, D); more than D rows each, or the spread of some direction is not known.

    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> frechet_distance(x, 2 * x + 3)  # means 3 apart, deviations 1.41 and 2.83
    11.0

    Reference: M. Heusel et al., 2017, "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", eq. 6.
    """
    shapes = f"{tuple(features.shape)} and {tuple(others.shape)}"
    if features.dim() != 2 or others.dim() != 2 or features.shape[1] != others.shape[1]:
        raise UserError(f"features have shapes {shapes}; allowed: (N, D) and (M, D).")
    if min(len(features), len(others)) < 2:
        raise UserError(f"features have shapes {shapes}; allowed: two rows or more each.")
    moments: list[Tensor] = []
    for one in (features.double(), others.double()):
        moments += [one.mean(0), torch.cov(one.T).reshape(one.shape[1], one.shape[1])]
    return float(gaussian_wasserstein(*moments).square())


class FeatureJudge:
    """A feature judge is a small classifier that learnt from real examples, and says of others how sure it is of their
    class and what it sees in them.

    Parameters
    ----------
    inputs: (N, ...), pictures (N, C, H, W) for a convolutional network, others for a perceptron. targets: (N,), the
    classes. steps: of training, on 32 examples each. seed: of its first weights.

    >>> x = torch.cat([torch.zeros(20, 2), torch.ones(20, 2)])
    >>> judge = FeatureJudge(x, torch.arange(40) // 20, steps=150)
    >>> judge.classes(torch.tensor([[0.1, 0.0], [0.5, 0.5], [1.0, 0.9]])).tolist()[::2]
    [0, 1]

    Reference: M. Heusel et al., 2017, "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", section 4; T. Salimans et al., 2016, "Improved techniques for training GANs", section 4.
    """

    def __init__(self, inputs: Tensor, targets: Tensor, steps: int = 600, seed: int = 0) -> None:
        count = int(targets.max()) + 1
        if count < 2:
            raise UserError("a judge came upon one class; allowed: two or more.")
        model: Any = ConvNetModel(widths=(16, 32)) if inputs.dim() == 4 else MLPModel(widths=(32, 32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net: nn.Module = model.build(tuple(inputs.shape[1:]), count)
            turn = Turn(CrossEntropy(), partial(torch.optim.Adam, lr=0.005))
            Engine(self.net, turn, seed=seed, device="cpu").fit(TensorBatches(inputs, targets), steps=steps)
        self.net.eval()

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Say how likely each class is: (N, C)."""
        with torch.no_grad():
            found: Tensor = self.net(inputs).softmax(1)
        return found

    def features(self, inputs: Tensor) -> Tensor:
        """Say what goes into the last layer: (N, D)."""
        with torch.no_grad():
            found: Tensor = hidden_features(self.net, inputs)[-1]
        return found

    def classes(self, inputs: Tensor, sure: float = SURE) -> Tensor:
        """Say the class of each of which it is sure enough, -1 for the others: (N,)."""
        likely, which = self.probabilities(inputs).max(1)
        found: Tensor = torch.where(likely >= sure, which, -1)
        return found
