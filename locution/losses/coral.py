"""CORAL: make the features of two domains spread alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from locution.engine.batch import Tree, examples
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.models.features import features_of, overhear, unheard

SURGERY = ("batch_renorm", "dropconnect", "dropout", "freeze", "lora", "pruning", "spectral_norm")
"""What changes layers by their names does so before they are overheard."""


def covariance(features: Tensor) -> Tensor:
    """The covariance of features says how any two of them vary together, and on its diagonal how much each varies.

    features (N, d), two rows at least; gives (d, d), divided by N - 1.

    >>> covariance(torch.tensor([[0.0, 0.0], [2.0, -2.0]]))
    tensor([[ 2., -2.], [-2.,  2.]])

    Reference: B. Sun, K. Saenko, 2016, "Deep CORAL: correlation alignment for deep domain adaptation", eq. 2 and 3.
    """
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """The CORAL loss is the squared distance between the covariances of two sets of features, over 4 d^2.

    source (N, d), target (M, d), two rows at least; gives one number. Where the features lie has no part in it, only
    how they spread.

    >>> coral_loss(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]]))  # (2 - 8)^2 / 4
    tensor(9.)

    Reference: B. Sun, K. Saenko, 2016, "Deep CORAL: correlation alignment for deep domain adaptation", eq. 1.
    """
    width = source.shape[1]
    if len(source) + len(target) >= width:
        return (covariance(source) - covariance(target)).square().sum() / (4 * width**2)
    # of few examples with many features: the same from products of examples, (N, N), (N, M) and (M, M), not of features
    here, there = ((one - one.mean(0)) * (len(one) - 1) ** -0.5 for one in (source, target))
    parts = [(one @ other.T).square().sum() for one, other in ((here, here), (here, there), (there, there))]
    distance: Tensor = parts[0] - 2 * parts[1] + parts[2]
    return distance / (4 * width**2)


def coral_align(source: Tensor, target: Tensor, regularise: float = 1.0) -> Tensor:
    """Correlation alignment whitens the features of one domain and gives them the covariance of another's instead.

    A classifier that is then trained on them meets in the other domain what it knows: no network, no training, one
    formula. source (N, d), target (M, d), without labels; gives the source's features (N, d). regularise: what is
    added to each feature's own variance, 1 in the paper; next to 0 the covariances become equal.

    >>> source, target = torch.tensor([[-1.0], [0.0], [1.0]]), torch.tensor([[-3.0], [0.0], [3.0]])
    >>> coral_align(source, target, regularise=1e-9).flatten()  # variance 1 becomes 9
    tensor([-3.,  0.,  3.])

    Reference: B. Sun, J. Feng, K. Saenko, 2016, "Return of frustratingly easy domain adaptation", algorithm 1.
    """
    require(regularise > 0, "regularise", regularise, "a number above 0, usually 1")
    require(min(len(source), len(target)) >= 2, "examples of a domain", min(len(source), len(target)), "two or more")
    known, asked = source.cpu().double(), target.cpu().double()
    eye = regularise * torch.eye(source.shape[1], dtype=torch.float64)
    whiten = power(covariance(known) + eye, -0.5)
    recolour = power(covariance(asked) + eye, 0.5)
    return (known @ whiten @ recolour).to(source)  # (N, d)


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Raise a symmetric matrix to a power.

    >>> power(torch.diag(torch.tensor([4.0, 9.0])), 0.5)
    tensor([[2., 0.], [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(matrix)
    found: Tensor = (vectors * values**exponent) @ vectors.T
    return found


def other_domain(method: str, step: Step) -> Tree:
    """Take the examples of the other domain that came beside a step's whole batch; refuse data that bring none."""
    if "target" not in step.whole.beside:
        raise UserError(f"'{method}' came upon data of one domain; allowed: with another beside, as rotated_digits.")
    return step.whole.beside["target"]


@dataclass
class CORALMethod(Method):
    """CORAL trains on examples of one domain so that the features of another, without labels, spread as theirs do.

    What is learnt from the one then holds for the other: a filter for mails from messages of a phone. In each step the
    examples that come beside the batch as "target" pass through the network too, and the loss grows by the distance of
    the covariances. Batch norm sees each domain by itself, and its running statistics follow both. A batch with a
    single row of either domain is left alone.

    Settings
    --------
    weight: of the distance, next to the objective; large, for the distance is divided by 4 d^2. features: the layer
    whose input is compared, by its name; the last if it is not given. Of pictures and sequences it is the mean over
    their places.

    A source with variance 2 and a target with variance 8, one feature: (2 - 8)^2 / 4

    >>> coral_loss(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]]))
    tensor(9.)

    Reference: B. Sun, K. Saenko, 2016, "Deep CORAL: correlation alignment for deep domain adaptation", eq. 1 to 6.
    """

    name: ClassVar[str] = "coral"
    after: ClassVar[tuple[str, ...]] = ("distillation", *SURGERY)
    whole_batch: ClassVar[bool] = True

    weight: float = 100.0
    features: str = ""

    def __post_init__(self) -> None:
        require(self.weight > 0, "coral.weight", self.weight, "a number above 0, usually 1 to 10000")

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        model, self.heard = overhear(model, self.name, self.features)
        return model

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        inputs, source = other_domain(self.name, step), self.heard.take()
        if len(source) < 2 or examples(inputs) < 2:
            return loss
        target = features_of(step.model, inputs, self.heard)
        return loss + self.weight * coral_loss(source.float(), target.float())

    def trained(self, model: nn.Module) -> nn.Module:
        return unheard(model)
