"""Tours and hulls against everything there is to compare with: all orders, SciPy, a known mean."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from locution.data.hulls import HullsData, convex_hull, polygon_area, random_hulls
from locution.data.tours import ToursData, counter_clockwise, random_tours, shortest_tours, tour_lengths
from locution.errors import UserError


def signed(points: torch.Tensor, order: torch.Tensor) -> float:
    return polygon_area(points[order])


@pytest.mark.parametrize("cities", [3, 4, 6, 7])
def test_no_order_of_the_cities_is_shorter(cities: int) -> None:
    points, tours = random_tours(20, cities, torch.Generator().manual_seed(cities))
    orders = torch.tensor([(0, *rest) for rest in permutations(range(1, cities))])
    for some, tour in zip(points, tours, strict=True):
        every = tour_lengths(some.expand(len(orders), -1, -1), orders)
        torch.testing.assert_close(tour_lengths(some[None], tour[None])[0], every.min())
        assert sorted(tour.tolist()) == list(range(cities))
        assert tour[0] == 0
        assert signed(some, tour) > 0  # counter-clockwise


def test_ten_cities_have_the_known_mean() -> None:
    """The optimum of random ten-city tours is known to be about 2.87: four standard errors of this mean."""
    points, tours = random_tours(4096, 10, torch.Generator().manual_seed(1))
    lengths = tour_lengths(points, tours)
    assert abs(lengths.mean().item() - 2.87) < 4 * lengths.std().item() / 4096**0.5 + 0.005


def test_turning_a_tour_around_keeps_its_length_and_its_first_city() -> None:
    points = torch.rand(5, 6, 2, generator=torch.Generator().manual_seed(2))
    tours = shortest_tours(points)
    backwards = torch.cat([tours[:, :1], tours[:, 1:].flip(1)], 1)
    assert torch.equal(counter_clockwise(points, backwards), tours)
    torch.testing.assert_close(tour_lengths(points, backwards), tour_lengths(points, tours))


def test_hulls_are_scipys() -> None:
    points, answers = random_hulls(40, 12, torch.Generator().manual_seed(3))
    for some, answer in zip(points, answers.tolist(), strict=True):
        corners = answer[: answer.index(12)]
        hull = ConvexHull(some.double().numpy())
        vertices = list(hull.vertices)  # counter-clockwise, from wherever
        at = vertices.index(corners[0])
        assert corners == vertices[at:] + vertices[:at]
        assert some[corners[0], 0] == some[:, 0].min()
        assert polygon_area(some[corners]) == pytest.approx(hull.volume)
        assert set(answer[len(corners) + 1 :]) <= {-1}


def test_three_points_are_their_own_hull_and_inner_ones_are_left_out() -> None:
    assert sorted(convex_hull(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))) == [0, 1, 2]
    middle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.2, 0.2], [0.0, 1.0]])
    assert 2 not in convex_hull(middle)


def test_the_runs_seed_changes_no_map_but_the_draw_does() -> None:
    one, same = (ToursData(cities=4, count=6, test=3, development=2).load(seed) for seed in (0, 1))
    other = ToursData(cities=4, count=6, test=3, development=2, draw=1).load(0)
    assert torch.equal(one.train.inputs, same.train.inputs)
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert not np.isin(one.test.inputs.numpy(), one.train.inputs.numpy()).any()


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (ToursData, {"cities": 13}, "data.cities is 13; allowed: a whole number from 3 to 12"),
        (ToursData, {"count": 0}, "data.count is 0"),
        (HullsData, {"points": 2}, "data.points is 2; allowed: a whole number from 3 to 1000"),
        (HullsData, {"development": -1}, "data.development is -1"),
    ],
)
def test_settings_are_checked(kind: type, settings: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind(**settings)
