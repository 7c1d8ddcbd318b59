"""Handwritten digits, some of them spoilt: wrong labels and noise in the pictures, and it is known which."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.data.digits import DigitsData
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import require


def wrong_labels(targets: Tensor, share: float, classes: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Label noise gives some of the examples another class than theirs, each of the others equally likely.

    targets: classes (N,). share: of the examples, rounded to a whole number of them. Returns the labels (N,), and
    which of them are wrong (N,).

    >>> labels, wrong = wrong_labels(torch.zeros(8, dtype=torch.int64), 0.25, 2, torch.Generator().manual_seed(0))
    >>> labels.sum().item(), torch.equal(labels == 1, wrong)
    (2, True)

    Reference: D. Angluin, P. Laird, 1988, "Learning from noisy examples", Machine Learning 2 (the classification
    noise process).
    """
    count = len(targets)
    wrong = torch.zeros(count, dtype=torch.bool)
    wrong[torch.randperm(count, generator=draw)[: round(share * count)]] = True
    turns = torch.randint(1, classes, (count,), generator=draw)  # by how many classes a label is moved on
    return torch.where(wrong, (targets + turns) % classes, targets), wrong


def pixel_noise(inputs: Tensor, share: float, most: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pixel noise adds a number of its own to each pixel of some of the pictures, each picture noisy by its own amount.

    inputs: (N, ...). share: of the pictures. most: the largest standard deviation; each picture's is drawn evenly from
    0 to that. Returns the pictures (N, ...) and the standard deviations (N,), 0 where there is no noise.

    >>> noisy, spread = pixel_noise(torch.zeros(4, 1000), 0.5, 0.3, torch.Generator().manual_seed(0))
    >>> bool((spread > 0).sum() == 2), bool(((noisy.std(1) - spread).abs() < 0.03).all())
    (True, True)

    Reference: C. Bishop, 1995, "Training with noise is equivalent to Tikhonov regularization".
    """
    count = len(inputs)
    spread = most * torch.rand(count, generator=draw)
    spread[torch.randperm(count, generator=draw)[round(share * count) :]] = 0.0
    noise = torch.randn(inputs.shape, generator=draw)
    return inputs + noise * spread.view(-1, *[1] * (inputs.dim() - 1)), spread


@dataclass(frozen=True)
class NoisyDigitsData:
    """Noisy digits are handwritten digits of which some are spoilt on purpose, so that one can see what noise does.

    The examples to learn from are spoilt, by the seed `split` and not by the run's own; what a run is tuned on and
    judged by stays clean. `labels` is the share of wrong labels, `pictures` the share of noisy pictures, whose noise
    has a standard deviation of up to `noise` (ink is 1). The difficulty of an example, for a curriculum, is 1 for a
    wrong label, and its noise's standard deviation besides. `held_out_labels` is the share of wrong labels in what a
    run is tuned on and judged by: 0 asks whether it sees through the noise, as many as in `labels` whether it is as
    sure as it should be where labels are that noisy. The other settings are those of `digits`.

    >>> data = NoisyDigitsData(labels=0.4).load(seed=0)
    >>> data.describe()
    'noisy digits: 1257 to learn from, 270 to tune on, 270 to be judged by; each (1, 8, 8) -> 10 classes'
    >>> int(data.train.difficulty.sum())  # 0.4 x 1257
    503

    Reference: G. Patrini et al., 2017, "Making deep neural networks robust to label noise: a loss correction approach",
    section 5 (symmetric noise).
    """

    labels: float = 0.4
    pictures: float = 0.0
    noise: float = 0.5
    held_out_labels: float = 0.0
    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    limit: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        for name in ("labels", "pictures", "held_out_labels"):
            require(0.0 <= getattr(self, name) <= 1.0, f"data.{name}", getattr(self, name), "a share from 0 to 1")
        require(self.noise >= 0.0, "data.noise", self.noise, "a number from 0, usually 0.5; ink is 1")
        self.clean()

    def clean(self) -> DigitsData:
        """The digits as they are."""
        return DigitsData(self.batch_size, self.development, self.test, self.limit, self.split)

    def load(self, seed: int) -> Dataset:
        """Read the digits and spoil some of them; the run's seed has no part in it."""
        data = self.clean().load(seed)
        train = data.train
        assert isinstance(train, TensorBatches)
        draw = generator(self.split, "noisy digits")
        targets, wrong = wrong_labels(train.targets, self.labels, data.outputs, draw)
        inputs, spread = pixel_noise(train.inputs, self.pictures, self.noise, draw)
        batches = TensorBatches(inputs, targets, batch_size=self.batch_size, difficulty=wrong + spread)
        held = [self.mislabelled(part, name) for part, name in ((data.development, "development"), (data.test, "test"))]
        return replace(data, train=batches, development=held[0], test=held[1], source="noisy digits")

    def mislabelled(self, held: TensorBatches | None, name: str) -> TensorBatches | None:
        """Give some of the held-out examples a wrong label too, if that is asked for."""
        if held is None or not self.held_out_labels:
            return held
        labels, _ = wrong_labels(held.targets, self.held_out_labels, 10, generator(self.split, f"noisy {name}"))
        return held_out(held.inputs, labels)
