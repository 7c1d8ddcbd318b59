"""Average accuracy, forgetting and transfer: against the sums of the papers, written out; intervals that cover."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from locution.errors import UserError
from locution.evaluation.forgetting import (
    average_accuracy,
    backward_transfer,
    forgetting,
    learning_accuracy,
    matrix_of,
    over_examples,
)

FIGURES = [average_accuracy, forgetting, backward_transfer, learning_accuracy]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_the_sums_of_the_papers(seed: int) -> None:
    a = torch.rand(4, 4, generator=torch.Generator().manual_seed(seed)).double()
    k = 3  # the last, counted from 0
    assert float(average_accuracy(a)) == pytest.approx(sum(float(a[k, j]) for j in range(4)) / 4)
    lost = [max(float(a[i, j]) for i in range(k)) - float(a[k, j]) for j in range(k)]
    assert float(forgetting(a)) == pytest.approx(sum(lost) / k)
    moved = [float(a[k, j]) - float(a[j, j]) for j in range(k)]
    assert float(backward_transfer(a)) == pytest.approx(sum(moved) / k)
    assert float(learning_accuracy(a)) == pytest.approx(sum(float(a[j, j]) for j in range(4)) / 4)


def test_a_task_that_got_better_later_is_forgotten_from_its_best() -> None:
    a = torch.tensor([[0.5, 0.0, 0.0], [0.9, 0.8, 0.0], [0.6, 0.8, 0.7]])
    assert float(forgetting(a)) == pytest.approx((0.3 + 0.0) / 2)
    assert float(backward_transfer(a)) == pytest.approx((0.1 + 0.0) / 2)


@pytest.mark.parametrize("figure", FIGURES)
def test_batches_of_matrices_have_a_figure_each(figure: object) -> None:
    many = torch.rand(7, 4, 4, generator=torch.Generator().manual_seed(0))
    together = figure(many)  # type: ignore[operator]
    assert together.shape == (7,)
    assert torch.allclose(together, torch.stack([figure(one) for one in many]))  # type: ignore[operator]


def test_of_a_single_task_nothing_is_forgotten() -> None:
    one = torch.tensor([[0.7]])
    assert [float(figure(one)) for figure in FIGURES] == pytest.approx([0.7, 0.0, 0.0, 0.7])


def outcomes(seed: int, sizes: tuple[int, ...] = (200, 150)) -> list[list[Tensor]]:
    """Two tasks: of the first 0.9 were right, then 0.5; of the second 0.1, then 0.8."""
    stream = torch.Generator().manual_seed(seed)
    chances = [[0.9, 0.1], [0.5, 0.8]]
    return [
        [(torch.rand(n, generator=stream) < p).to(torch.uint8) for n, p in zip(sizes, row, strict=True)]
        for row in chances
    ]


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    held = []
    for seed in range(120):
        found = over_examples(outcomes(seed), forgetting, resamples=300)
        assert found["low"] <= found["value"] <= found["high"]
        held.append(found["low"] <= 0.4 <= found["high"])
    assert sum(held) / len(held) > 0.88  # three standard errors below 0.95


def test_intervals_are_as_wide_as_the_sum_of_the_tasks_says() -> None:
    right = outcomes(0, (400, 400))
    found = over_examples(right, average_accuracy)
    spread = sum(float(one.double().var(correction=0)) / 400 for one in right[-1]) ** 0.5 / 2
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_paired_tasks_are_drawn_together() -> None:
    same = torch.tensor([1] * 60 + [0] * 40)
    apart = over_examples([[same, same], [same, same]], average_accuracy)
    paired = over_examples([[same, same], [same, same]], average_accuracy, paired=True)
    assert (paired["high"] - paired["low"]) / (apart["high"] - apart["low"]) == pytest.approx(2**0.5, rel=0.15)
    nothing = over_examples([[same, same], [same, same]], forgetting, paired=True)
    assert nothing == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_matrix_is_square() -> None:
    one = torch.ones(3)
    assert matrix_of([[one, 0 * one], [one, one]]).tolist() == [[1.0, 0.0], [1.0, 1.0]]
    with pytest.raises(UserError, match="allowed: as many"):
        matrix_of([[one, one]])
    with pytest.raises(UserError, match="allowed: as many"):
        matrix_of([])
    with pytest.raises(UserError, match="at least one example a task"):
        over_examples([[torch.ones(0)]], average_accuracy)
