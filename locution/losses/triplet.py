"""The triplet loss: an example nearer to its own kind than to any other kind, by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.contrastive import check_sizes, vectors
from locution.losses.similarity import full
from locution.losses.whole_batch import check_whole_batch, in_chunks

MININGS = ("batch_hard", "semi_hard", "all")
Triplets = tuple[Tensor, Tensor, Tensor]  # anchors, positives, negatives: rows (T,)


def triplet_losses(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float = 0.2) -> Tensor:
    """The triplet loss is how much nearer an example should lie to one of its own kind than to one of another kind.

    anchors, positives, negatives (T, D); gives max(0, |a - p| - |a - n| + margin), (T,).

    >>> at = torch.tensor([[0.0], [1.0], [1.5]])
    >>> triplet_losses(at[:1], at[1:2], at[2:], margin=0.7)  # 1 - 1.5 + 0.7
    tensor([0.2000])

    Reference: F. Schroff, D. Kalenichenko, J. Philbin, 2015, "FaceNet: a unified embedding for face recognition and
    clustering", eq. 3; distances not squared as in A. Hermans, L. Beyer, B. Leibe, 2017, "In defense of the triplet
    loss for person re-identification", section 2.
    """
    near, far = _length(anchors - positives), _length(anchors - negatives)
    return functional.relu(near - far + margin)


def _length(way: Tensor) -> Tensor:
    """Measure (T, D) -> (T,); a way of no length has a slope of 0 instead of none."""
    return (way.square().sum(-1) + 1e-12).sqrt()


def distances(points: Tensor) -> Tensor:
    """Measure all pairs, in the accuracy that mining asks for: (N, D) -> (N, N)."""
    return torch.cdist(points.detach(), points.detach(), compute_mode="donot_use_mm_for_euclid_dist")


def batch_hard(away: Tensor, classes: Tensor) -> Triplets:
    """Hard negative mining looks, for each example of a batch, for the one of another kind that lies nearest to it.

    Batch-hard mining takes it together with the farthest of its own kind: one triplet an example. Examples that have
    none of their kind, or none of another, are left out.

    away (N, N): distances. classes (N,). Gives the rows of anchors, positives and negatives.

    >>> at = torch.tensor([[0.0], [1.0], [3.0], [3.5], [9.0]])
    >>> [rows.tolist() for rows in batch_hard(torch.cdist(at, at), torch.tensor([0, 0, 0, 1, 1]))]
    [[0, 1, 2, 3, 4], [2, 2, 0, 4, 3], [3, 3, 3, 2, 2]]

    Reference: A. Hermans, L. Beyer, B. Leibe, 2017, "In defense of the triplet loss for person re-identification",
    eq. 5.
    """
    own, other = kinds(classes)
    anchors = (own.any(1) & other.any(1)).nonzero().flatten()
    far = away.masked_fill(~own, -torch.inf).argmax(1)
    near = away.masked_fill(~other, torch.inf).argmin(1)
    return anchors, far[anchors], near[anchors]


def semi_hard(away: Tensor, classes: Tensor) -> Triplets:
    """Semi-hard mining takes, for each pair of one kind, the nearest of another kind that lies farther than the pair.

    Such a triplet is in the right order already, and so does not pull everything into one point as the very hardest
    may early in training. Where none lies farther, the farthest of another kind is taken.

    away (N, N): distances. classes (N,). Gives the rows of anchors, positives and negatives.

    >>> at = torch.tensor([[0.0], [1.0], [0.5], [2.0]])
    >>> [rows.tolist() for rows in semi_hard(torch.cdist(at, at), torch.tensor([0, 0, 1, 1]))]
    [[0, 1, 2, 3], [1, 0, 3, 2], [3, 3, 0, 0]]

    Reference: F. Schroff, D. Kalenichenko, J. Philbin, 2015, "FaceNet: a unified embedding for face recognition and
    clustering", eq. 4; the farthest where there is none as in TensorFlow Addons.
    """
    own, other = kinds(classes)
    anchors, positives = (own & other.any(1)[:, None]).nonzero().unbind(1)  # (P,), (P,)
    far = away[anchors]  # (P, N)
    behind = other[anchors] & (far > away[anchors, positives][:, None])
    first_behind = far.masked_fill(~behind, torch.inf).argmin(1)
    farthest = far.masked_fill(~other[anchors], -torch.inf).argmax(1)
    return anchors, positives, torch.where(behind.any(1), first_behind, farthest)


def all_triplets(away: Tensor, classes: Tensor) -> Triplets:
    """List every triplet of a batch: each pair of one kind with each example of another.

    >>> [rows.tolist() for rows in all_triplets(torch.zeros(3, 3), torch.tensor([0, 0, 1]))]
    [[0, 1], [1, 0], [2, 2]]
    """
    own, other = kinds(classes)
    anchors, positives, negatives = (own[:, :, None] & other[:, None, :]).nonzero().unbind(1)
    return anchors, positives, negatives


def kinds(classes: Tensor) -> tuple[Tensor, Tensor]:
    """Say who is of one's own kind but oneself, and who is of another: two tables (N, N) of true and false."""
    same = classes[:, None] == classes
    own = same.clone()
    own.fill_diagonal_(False)
    return own, ~same


MINERS = {"batch_hard": batch_hard, "semi_hard": semi_hard, "all": all_triplets}


@dataclass
class Triplet:
    """The triplet loss draws examples of one class together and pushes others away, until they differ by a margin.

    The triplets are mined in each batch from its classes. The model gives each example a vector (N, D). Batches must be
    whole: no accumulate, one process.

    Settings
    --------
    margin: how much nearer an example should lie to its own kind. mining: batch_hard, semi_hard or all triplets; of
    all, the mean is over those that are not yet right by the margin. chunks: pieces in which the network is run.

    >>> at = torch.tensor([[0.0], [1.0], [1.5]])
    >>> _, loss = Triplet(margin=0.7)(nn.Identity(), Batch(at, torch.tensor([0, 0, 1])))
    >>> round(loss.item(), 4)  # (1 - 1.5 + 0.7, 1 - 0.5 + 0.7) / 2; the third has none of its kind
    0.7

    Reference: F. Schroff, D. Kalenichenko, J. Philbin, 2015, "FaceNet: a unified embedding for face recognition and
    clustering", section 3; A. Hermans, L. Beyer, B. Leibe, 2017, "In defense of the triplet loss for person
    re-identification", section 2.
    """

    margin: float = 0.2
    mining: Literal["batch_hard", "semi_hard", "all"] = "batch_hard"
    chunks: int = 1
    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require(self.margin >= 0, "objective.margin", self.margin, "a number from 0, usually 0.2 to 1")
        require(self.mining in MININGS, "objective.mining", self.mining, ", ".join(MININGS))
        check_sizes(1, self.chunks)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (vectors, loss)."""
        check_whole_batch(batch, "triplet")
        classes = batch.targets
        if not isinstance(classes, Tensor) or classes.is_floating_point() or classes.dim() != 1:
            raise UserError("triplet came without a class for each example; allowed: whole numbers (N,).")
        output = in_chunks(model, batch.inputs, self.chunks)
        points = full(vectors(output))
        anchors, positives, negatives = MINERS[self.mining](distances(points), classes)
        losses = triplet_losses(points[anchors], points[positives], points[negatives], self.margin)
        return output, _mean(losses, None if batch.weights is None else batch.weights[anchors], self.mining == "all")


def _mean(losses: Tensor, weights: Tensor | None, active: bool) -> Tensor:
    """Average over the triplets, each by its anchor's weight; 0, with a slope of 0, where there is none."""
    counted = torch.ones_like(losses) if weights is None else weights.to(losses)
    counted = counted * (losses > 0) if active else counted
    return (losses * counted).sum() / counted.sum().clamp(min=1e-12)
