"""Triplets against pytorch-metric-learning and against mining by hand."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.triplet import MINERS, Triplet, batch_hard, distances, semi_hard, triplet_losses

# pytorch-metric-learning 2.9.0, distances of the plane, margin 0.5: TripletMarginLoss with BatchHardMiner and the mean,
# and over all triplets with the mean over those that are not yet right
HARD, ALL = 1.943906577750189, 0.946843312868875
HARD_TRIPLETS = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    [9, 7, 11, 9, 10, 8, 3, 10, 5, 3, 7, 5],
    [4, 9, 6, 4, 3, 9, 5, 0, 6, 5, 6, 10],
]
CLASSES = torch.tensor([0, 1, 2] * 4)


@pytest.fixture
def points() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    for _ in range(2):
        torch.randn(6, 4, generator=draw, dtype=torch.float64)  # the draws before those that the peer was given
    return torch.randn(12, 4, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize(("mining", "peer"), [("batch_hard", HARD), ("all", ALL)])
def test_the_loss_is_that_of_pytorch_metric_learning(points: Tensor, mining: str, peer: float) -> None:
    _, loss = Triplet(0.5, mining)(nn.Identity(), Batch(points, CLASSES))  # type: ignore[arg-type]
    assert abs(loss.item() - peer) < 1e-10


def test_the_hardest_triplets_are_those_of_pytorch_metric_learning(points: Tensor) -> None:
    assert [rows.tolist() for rows in batch_hard(distances(points), CLASSES)] == HARD_TRIPLETS


def test_semi_hard_triplets_are_those_that_a_search_by_hand_finds(points: Tensor) -> None:
    away, found = distances(points), []
    for anchor, positive in product(range(12), repeat=2):
        if anchor == positive or CLASSES[anchor] != CLASSES[positive]:
            continue
        others = [row for row in range(12) if CLASSES[row] != CLASSES[anchor]]
        behind = [row for row in others if away[anchor, row] > away[anchor, positive]]

        def far(row: int, anchor: int = anchor) -> float:
            return float(away[anchor, row])

        found.append((anchor, positive, min(behind, key=far) if behind else max(others, key=far)))
    triplets = list(zip(*(rows.tolist() for rows in semi_hard(away, CLASSES)), strict=True))
    assert triplets == found
    assert any(away[a, n] <= away[a, p] for a, p, n in found), "none falls back to the farthest: the case is too easy"


def test_points_that_lie_close_together_far_out_are_told_apart() -> None:
    at = 500 + torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) / 10
    exact = torch.cdist(at.double(), at.double())
    assert torch.allclose(distances(at).double(), exact, atol=1e-3)
    classes = torch.arange(40) % 4
    hard = zip(batch_hard(distances(at), classes), batch_hard(exact, classes), strict=True)
    assert all(torch.equal(one, other) for one, other in hard)


def test_a_negative_as_far_as_the_positive_is_not_farther() -> None:
    at = torch.tensor([[0.0], [1.0], [-1.0], [2.5]])  # of the first, one of another kind lies as far as its own
    triplets = list(zip(*(rows.tolist() for rows in semi_hard(distances(at), torch.tensor([0, 0, 1, 1]))), strict=True))
    assert triplets == [(0, 1, 3), (1, 0, 3), (2, 3, 1), (3, 2, 0)]


def test_triplets_are_mined_as_exactly_as_the_points_are_given() -> None:
    at = 1e9 + torch.tensor([[0.0], [1.0], [3.0], [4.0], [4.25]], dtype=torch.float64)  # fp32 knows steps of 64 there
    _, loss = Triplet(margin=0.5)(nn.Identity(), Batch(at, torch.tensor([0, 0, 1, 0, 1])))
    # (4 - 3), (3 - 2), (1.25 - 1), (4 - 0.25), (1.25 - 0.25), and the margin
    assert loss.item() == pytest.approx((1 + 1 + 0.25 + 3.75 + 1) / 5 + 0.5, abs=1e-5)


def test_distances_are_summed_in_fp32_and_the_network_is_run_in_chunks(points: Tensor) -> None:
    short = points.bfloat16()
    _, loss = Triplet(0.5)(nn.Identity(), Batch(short, CLASSES))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, Triplet(0.5)(nn.Identity(), Batch(short.float(), CLASSES))[1])
    seen = []

    class Seen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return x

    _, parts = Triplet(0.5, chunks=5)(Seen(), Batch(points, CLASSES))
    assert seen == [3, 3, 3, 3]
    assert parts.item() == pytest.approx(HARD)


@pytest.mark.parametrize("mining", MINERS)
def test_weights_count_by_their_share_however_small(points: Tensor, mining: str) -> None:
    weights = torch.linspace(0, 2, 12, dtype=torch.float64)
    large, small = (
        Triplet(0.5, mining)(nn.Identity(), Batch(points, CLASSES, share * weights))[1]  # type: ignore[arg-type]
        for share in (1.0, 1e-4)
    )
    assert large.item() == pytest.approx(small.item())


@pytest.mark.parametrize("mining", MINERS)
def test_a_batch_of_one_class_has_no_triplet_and_a_loss_of_zero(points: Tensor, mining: str) -> None:
    points.requires_grad_()
    same = Batch(points, torch.zeros(12, dtype=torch.int64))
    _, loss = Triplet(mining=mining)(nn.Identity(), same)  # type: ignore[arg-type]
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert points.grad is not None
    assert not points.grad.any()


def test_points_in_one_place_have_a_slope_and_no_nan() -> None:
    at = torch.zeros(4, 2, requires_grad=True)
    _, loss = Triplet()(nn.Identity(), Batch(at, torch.tensor([0, 0, 1, 1])))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.2)
    assert at.grad is not None
    assert bool(at.grad.isfinite().all())


def test_the_gradient_draws_the_positive_near_and_pushes_the_negative_away() -> None:
    anchor, positive, negative = (torch.tensor([[at]], requires_grad=True) for at in (0.0, 1.0, 1.1))
    triplet_losses(anchor, positive, negative, 0.2).sum().backward()  # type: ignore[no-untyped-call]
    assert [round(one.grad.item(), 4) for one in (anchor, positive, negative) if one.grad is not None] == [0, 1, -1]


def test_weights_count_anchors(points: Tensor) -> None:
    weights = torch.linspace(0, 2, 12, dtype=torch.float64)
    _, loss = Triplet(0.5)(nn.Identity(), Batch(points, CLASSES, weights))
    anchors, positives, negatives = (points[rows] for rows in HARD_TRIPLETS)
    each = (anchors - positives).norm(dim=1) - (anchors - negatives).norm(dim=1) + 0.5
    assert torch.isclose(loss, (each.clamp(min=0) * weights).sum() / weights.sum())


def test_training_with_it_parts_the_classes() -> None:
    torch.manual_seed(0)
    classes = torch.arange(64) % 4
    x = torch.randn(64, 6) + 3 * torch.nn.functional.one_hot(classes, 6)
    net = nn.Linear(6, 2)
    source = TensorBatches(x, classes, batch_size=64)
    Engine(net, Turn(Triplet(1.0), partial(torch.optim.Adam, lr=0.05))).fit(source, steps=1)
    first = Triplet(1.0)(net, Batch(x, classes))[1].item()
    Engine(net, Turn(Triplet(1.0), partial(torch.optim.Adam, lr=0.05))).fit(source, steps=60)
    assert Triplet(1.0)(net, Batch(x, classes))[1].item() < 0.7 * first


def test_a_part_of_a_batch_is_refused() -> None:
    engine = Engine(nn.Linear(4, 3), Turn(Triplet(), partial(torch.optim.SGD, lr=0.1)), accumulate=2)
    with pytest.raises(UserError, match="'triplet' compares whole batches"):
        engine.fit(TensorBatches(torch.randn(8, 4), torch.arange(8) % 2, batch_size=8), steps=1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: Triplet(margin=-1), "objective.margin is -1; allowed: a number from 0"),
        (lambda: Triplet(mining="easy"), "objective.mining is 'easy'; allowed: batch_hard, semi_hard, all"),  # type: ignore[arg-type]
        (lambda: Triplet()(nn.Identity(), Batch(torch.zeros(3, 2))), "without a class for each example"),
        (lambda: Triplet()(nn.Identity(), Batch(torch.zeros(3, 2), torch.zeros(3))), "without a class for each"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: object, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        asked()  # type: ignore[operator]
    assert "\n" not in str(error.value)
