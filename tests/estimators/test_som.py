"""Self-organising maps: each step against the formula spelt out, errors against counting, real digits laid out."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from typing import Any

import numpy as np
import pytest

from locution.data.digits import read_digits
from locution.errors import UserError
from locution.estimators.lattice import lattice, spread
from locution.estimators.map_steps import batch_step, nearest_units, online_step, plane
from locution.estimators.som import SelfOrganisingMap, quantisation_error, topographic_error
from locution.reporting.map_picture import distances_between, map_picture

Floats = np.ndarray[Any, np.dtype[np.float64]]


def problem(rows: int = 4, columns: int = 5, count: int = 60) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(rows, columns, 3)), draw.normal(size=(count, 3))


def pictures() -> Floats:
    return np.asarray(read_digits()[0].flatten(1), dtype=np.float64)


def closest(row: Floats, weights: Floats) -> list[tuple[int, int]]:
    """All units, the closest first, by looking at each."""
    every = itertools.product(range(weights.shape[0]), range(weights.shape[1]))
    return sorted(every, key=lambda unit: math.dist(row, weights[unit]))


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
@pytest.mark.parametrize("radius", [0.4, 1.3])
def test_a_step_with_all_examples_is_the_weighted_mean_of_the_book(grid: str, radius: float) -> None:
    weights, rows = problem()
    places = lattice(4, 5, grid)
    expected = np.empty_like(weights)
    for unit in itertools.product(range(4), range(5)):
        shares = [
            math.exp(-(math.dist(places[unit], places[closest(r, weights)[0]]) ** 2) / (2 * radius**2)) for r in rows
        ]
        expected[unit] = sum(share * row for share, row in zip(shares, rows, strict=True)) / sum(shares)
    np.testing.assert_allclose(batch_step(weights, rows, places, radius), expected, atol=1e-9)


def test_a_unit_learns_from_afar_and_stays_where_nothing_reaches_it() -> None:
    weights, places = np.array([[[0.0], [5.0], [9.0]]]), lattice(1, 3, "rectangular")
    assert batch_step(weights, np.array([[1.0]]), places, 1.0).ravel() == pytest.approx([1, 1, 1])
    assert batch_step(weights, np.array([[1.0]]), places, 0.1).ravel().tolist() == [1, 5, 9]


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
def test_a_step_with_one_example_moves_each_unit_by_its_share(grid: str) -> None:
    weights, rows = problem()
    places = lattice(4, 5, grid)
    moved = online_step(weights, rows[0], places, 1.5, 0.3)
    winner = closest(rows[0], weights)[0]
    for unit in itertools.product(range(4), range(5)):
        share = 0.3 * math.exp(-(math.dist(places[unit], places[winner]) ** 2) / (2 * 1.5**2))
        np.testing.assert_allclose(moved[unit], weights[unit] + share * (rows[0] - weights[unit]), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (2, 3), (5, 4)])
@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
def test_spreading_by_parts_is_spreading_from_all_to_all(shape: tuple[int, int], grid: str) -> None:
    values, places = np.random.default_rng(1).normal(size=(*shape, 2)), lattice(*shape, grid)
    flat = places.reshape(-1, 2)
    all_to_all = np.exp(-((flat[:, None] - flat[None]) ** 2).sum(-1) / (2 * 0.9**2))
    expected = (all_to_all @ values.reshape(-1, 2)).reshape(values.shape)
    np.testing.assert_allclose(spread(values, places, 0.9), expected, atol=1e-9)


def test_hexagons_have_six_neighbours_and_squares_four() -> None:
    for grid, count in (("hexagonal", 6), ("rectangular", 4)):
        places = lattice(5, 5, grid)
        away = np.linalg.norm(places - places[2, 2], axis=-1)
        assert (np.abs(away - 1) < 1e-9).sum() == count
        assert not ((away > 0) & (away < 1 - 1e-9)).any()


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
def test_both_errors_are_what_looking_at_every_unit_finds(grid: str) -> None:
    weights, rows = problem()
    places, torn, away = lattice(4, 5, grid), 0, 0.0
    for row in rows:
        first, second = closest(row, weights)[:2]
        away += math.dist(row, weights[first])
        beside = max(abs(first[0] - second[0]), abs(first[1] - second[1])) == 1
        torn += not (abs(math.dist(places[first], places[second]) - 1) < 1e-9 if grid == "hexagonal" else beside)
    assert quantisation_error(rows, weights) == pytest.approx(away / len(rows))
    assert topographic_error(rows, weights, places) == pytest.approx(torn / len(rows))
    assert 0 < torn < len(rows)


def test_more_examples_than_a_block_are_found_their_units() -> None:
    draw = np.random.default_rng(2)
    rows, weights = draw.normal(size=(5000, 2)), draw.normal(size=(7, 2))
    expected = np.argsort(np.linalg.norm(rows[:, None] - weights[None], axis=-1), axis=1)[:, :2]
    assert np.array_equal(nearest_units(rows, weights, 2), expected)


def test_the_plane_follows_the_two_directions_of_most_spread() -> None:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(4000, 3)) * [0.1, 5.0, 2.0]
    rows -= rows.mean(0)
    laid = plane(rows, lattice(3, 9, "rectangular"))  # the longer side lies to the right
    right, down = laid[1, 8] - laid[1, 0], laid[2, 4] - laid[0, 4]
    np.testing.assert_allclose(np.abs(right), [0, 10, 0], atol=0.3)  # two standard deviations from end to end
    np.testing.assert_allclose(np.abs(down), [0, 0, 4], atol=0.3)
    for seed in range(12):  # a direction is signed by its largest number, whatever the decomposition says
        laid = plane(np.random.default_rng(seed).normal(size=(30, 4)), lattice(3, 9, "rectangular"))
        for way in (laid[1, 8] - laid[1, 0], laid[2, 4] - laid[0, 4]):
            assert way[np.abs(way).argmax()] > 0
    few = rows[:2] - rows[:2].mean(0)  # fewer examples than features
    assert np.isfinite(plane(few, lattice(3, 9, "rectangular"))).all()


@pytest.mark.parametrize("settings", [{}, {"grid": "hexagonal"}, {"start": "examples"}], ids=str)
def test_digits_are_laid_out_with_like_beside_like(settings: dict[str, Any]) -> None:
    digits, rows = read_digits()[1].numpy(), pictures()
    learnt = SelfOrganisingMap(rows=20, columns=20, **settings).fit(rows)
    # minisom 2.3.6 on 20 x 20, sigma 2, 10,000 examples from its plane: squares and hexagons
    quantised, torn = (1.033, 0.0529) if learnt.grid == "hexagonal" else (1.019, 0.0556)
    assert learnt.quantisation_error_ < 1.01 * quantised
    assert learnt.topographic_error_ < torn
    units = learnt.predict(rows)
    most = {unit: np.bincount(digits[units == unit]).argmax() for unit in np.unique(units)}
    assert np.mean([most[unit] == digit for unit, digit in zip(units, digits, strict=True)]) > 0.9


def test_examples_one_after_another_unfold_a_map_too() -> None:
    rows = pictures()[:300]
    learnt = SelfOrganisingMap(rows=6, columns=6, training="online", epochs=5).fit(rows)
    batch = SelfOrganisingMap(rows=6, columns=6).fit(rows)
    assert learnt.quantisation_error_ < 1.1 * batch.quantisation_error_
    assert learnt.topographic_error_ < 0.1
    again = SelfOrganisingMap(rows=6, columns=6, training="online", epochs=5).fit(rows)
    assert np.array_equal(learnt.weights_, again.weights_)
    orders = [learnt._drawn(300, "order", epoch) for epoch in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(300))
    other = SelfOrganisingMap(rows=6, columns=6, training="online", epochs=5, random_state=1).fit(rows)
    assert not np.array_equal(learnt.weights_, other.weights_)


def test_neither_scale_nor_place_of_the_data_changes_the_map() -> None:
    rows = pictures()[:200]
    one, other = SelfOrganisingMap().fit(rows), SelfOrganisingMap().fit(rows * 1e-3 + 1e4)
    assert np.array_equal(one.predict(rows), other.predict(rows * 1e-3 + 1e4))
    assert other.quantisation_error_ == pytest.approx(one.quantisation_error_ * 1e-3, rel=1e-3)


def test_data_of_any_size_are_mapped() -> None:
    """Squares of these are beyond single precision, which the steps are taken in."""
    rows = problem(count=40)[1]
    plain, huge = (SelfOrganisingMap(rows=3, columns=3, epochs=5).fit(rows * size) for size in (1.0, 1e25))
    assert np.array_equal(plain.predict(rows), huge.predict(rows * 1e25))
    np.testing.assert_allclose(huge.weights_ / 1e25, plain.weights_, atol=1e-4)


def test_without_a_radius_it_begins_at_a_quarter_of_the_longer_side() -> None:
    rows = problem()[1]
    for shape in ({"rows": 8, "columns": 2}, {"rows": 2, "columns": 8}):
        found, said = (SelfOrganisingMap(epochs=2, radius=radius, **shape).fit(rows) for radius in (0.0, 2.0))
        assert np.array_equal(found.weights_, said.weights_)


def test_a_map_of_one_row_is_a_line_and_of_one_unit_the_mean() -> None:
    rows = problem()[1]
    line = SelfOrganisingMap(rows=1, columns=6, epochs=10).fit(rows)
    assert np.isfinite(line.weights_).all()
    assert line.topographic_error_ < 0.5
    one = SelfOrganisingMap(rows=1, columns=1, epochs=2).fit(rows)
    np.testing.assert_allclose(one.weights_[0, 0], rows.mean(0), atol=1e-5)
    assert one.topographic_error_ == 0.0


def test_a_start_from_examples_takes_each_once_and_another_seed_others() -> None:
    rows, places = problem()[1], lattice(4, 5, "rectangular")
    first, again, other = (
        SelfOrganisingMap(rows=4, columns=5, start="examples", random_state=seed)._begin(rows, places)
        for seed in (0, 0, 1)
    )
    assert first.shape == (4, 5, 3)
    assert len({tuple(unit) for unit in first.reshape(20, 3).tolist()}) == 20
    assert {tuple(unit) for unit in first.reshape(20, 3).tolist()} <= {tuple(row) for row in rows.tolist()}
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_examples_come_in_another_order_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, came = problem(count=20)[1], list[tuple[float, ...]]()

    def noted(weights: Floats, row: Floats, *rest: Any) -> Floats:
        came.append(tuple(row.tolist()))
        return online_step(weights, row, *rest)

    monkeypatch.setattr("locution.estimators.som.online_step", noted)
    SelfOrganisingMap(rows=2, columns=2, training="online", epochs=2).fit(rows)
    assert len(came) == 40
    assert len(set(came[:20])) == 20
    assert set(came[:20]) == set(came[20:])
    assert came[:20] != came[20:]


def test_the_radius_falls_from_first_to_last() -> None:
    rows = pictures()[:300]
    wide, narrow = (SelfOrganisingMap(final_radius=radius).fit(rows) for radius in (2.0, 0.4))
    assert narrow.quantisation_error_ < 0.8 * wide.quantisation_error_
    assert SelfOrganisingMap(epochs=1, radius=0.5).fit(rows).n_iter_ == 1
    by_hand = batch_step(plane((rows - rows.mean(0)), lattice(3, 3, "rectangular")), rows - rows.mean(0),
                         lattice(3, 3, "rectangular"), 1.25) + rows.mean(0)  # fmt: skip
    found = SelfOrganisingMap(rows=3, columns=3, epochs=1, radius=1.25).fit(rows)
    np.testing.assert_allclose(found.weights_, by_hand, atol=1e-5)


def test_it_keeps_scikit_learns_conventions() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not inherit from BaseEstimator; some checks need pandas
        check_estimator(SelfOrganisingMap(rows=3, columns=4, epochs=3), on_skip=None)
    rows = pictures()[:50]
    placed = make_pipeline(StandardScaler(), SelfOrganisingMap(rows=3, columns=4)).fit_transform(rows)
    assert placed.shape == (50, 2)
    learnt = SelfOrganisingMap(rows=3, columns=4).fit(rows)
    units = learnt.predict(rows)
    assert np.array_equal(learnt.transform(rows), np.stack([units % 4, units // 4], axis=1))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grid": "hexagon"}, "Did you mean 'hexagonal'"),
        ({"training": "batches"}, r"som\.training is 'batches'; allowed: batch or online"),
        ({"start": "plain"}, r"som\.start is 'plain'"),
        ({"rows": 0}, r"som\.rows is 0"),
        ({"columns": 0}, r"som\.columns is 0"),
        ({"epochs": 0}, r"som\.epochs is 0"),
        ({"radius": -1.0}, r"som\.radius is -1"),
        ({"final_radius": 0.0}, r"som\.final_radius is 0"),
        ({"learning_rate": 0.0}, r"som\.learning_rate is 0"),
        ({"final_learning_rate": 1.5}, r"som\.final_learning_rate is 1\.5"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SelfOrganisingMap(**settings).fit([[0.0], [1.0]])


def test_the_map_is_drawn_with_its_walls() -> None:
    learnt = SelfOrganisingMap(rows=4, columns=5, grid="hexagonal").fit(pictures()[:100])
    drawing = map_picture(learnt.weights_, learnt.places_, (8, 8), alt="digits", words=["<b>"] * 20)
    assert drawing.count("<image") == 2  # all units in one, and the scale of the walls
    assert len(re.findall(r'<rect [^>]*fill="#[0-9a-f]{6}"', drawing)) == 20
    assert drawing.count("<title>&lt;b&gt;") == 20
    # the width holds both drawings with the shifted rows: 2 x 5.5 tiles and one between
    assert 'viewBox="0 0 288' in drawing
    walls = distances_between(learnt.weights_, learnt.places_)
    corner = learnt.weights_[0, 0]
    near = [learnt.weights_[0, 1], learnt.weights_[1, 0]]
    assert walls[0, 0] == pytest.approx(np.mean([math.dist(corner, one) for one in near]))
    squares = distances_between(learnt.weights_, lattice(4, 5, "rectangular"))
    near = [learnt.weights_[place] for place in ((0, 1), (1, 0), (1, 2), (2, 1))]  # none across a corner
    assert squares[1, 1] == pytest.approx(np.mean([math.dist(learnt.weights_[1, 1], one) for one in near]))
    with pytest.raises(UserError, match=r"shape is \(8, 7\)"):
        map_picture(learnt.weights_, learnt.places_, (8, 7), alt="digits")
