"""Arrangements of other sizes: solved exactly, picked anew, drawn over their sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from locution.data.tours import shortest_tours
from locution.tasks.other_sizes import HULLS, MAPS, TOURS, Answers, hulls_of_other_sizes, tours_of_other_sizes
from locution.tasks.pointing import hull_areas


def test_what_is_picked_best_is_no_longer_and_each_size_is_asked_with_both_widths() -> None:
    asked = []

    def pick(points: Tensor, beams: int) -> Answers:
        asked.append((tuple(points.shape), beams))
        found = shortest_tours(points) if beams > 1 else torch.arange(points.shape[1]).expand(len(points), -1)
        return found.tolist()

    drawn = tours_of_other_sizes(pick, 10, 3, seed=0, sizes=(3, 6))
    assert asked == [((MAPS, 3, 2), 1), ((MAPS, 3, 2), 3), ((MAPS, 6, 2), 1), ((MAPS, 6, 2), 3)]
    assert drawn.lines["3 beams"][1] == pytest.approx([0.0, 0.0], abs=1e-4)
    sizes, over = drawn.lines["one after another"]
    assert sizes == [3, 6]
    assert over[0] == pytest.approx(0.0, abs=1e-4)
    assert 20 < over[1] < 60  # ways at random are far from the shortest
    assert "learnt from 10 cities" in drawn.note
    assert max(TOURS) == 12


def test_hulls_are_judged_by_their_area_and_by_every_corner() -> None:
    def pick(points: Tensor, beams: int) -> Answers:
        return [[0, 1, 2]] * len(points)  # a triangle, wherever it lies

    drawn = hulls_of_other_sizes(pick, 10, hull_areas, seed=0)
    assert drawn.lines["area covered"][0] == list(HULLS)
    covered, right = (drawn.lines[name][1] for name in ("area covered", "every corner right"))
    assert all(-0.2 < one < 0.2 for one in covered)  # the signed areas of triangles at random are none on the whole
    assert right == [0.0] * len(HULLS)
