"""Bayesian optimisation beside random search, on functions whose lowest value is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

import pytest

from locution.errors import LocutionError, UserError
from locution.studies.search import search
from locution.studies.space import Dimension, Value

BRANIN = [Dimension("x", "lin", -5.0, 10.0), Dimension("y", "lin", 0.0, 15.0)]
LOWEST = 0.39788735772973816


def branin(at: Mapping[str, Value]) -> float:
    """Branin's function, three equal lowest places; L. Dixon, G. Szegö, 1978, "Towards global optimisation 2"."""
    x, y = float(at["x"]), float(at["y"])
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def regret(sampler: str, seed: int, trials: int) -> float:
    return min(value for _, value in search(branin, BRANIN, trials, sampler=sampler, seed=seed)) - LOWEST


def test_the_oracle_has_its_lowest_value_where_the_book_says() -> None:
    for x, y in ((-math.pi, 12.275), (math.pi, 2.275), (9.42478, 2.475)):
        assert branin({"x": x, "y": y}) == pytest.approx(LOWEST, abs=1e-5)


def test_a_gaussian_process_comes_closer_in_25_looks_than_random_search_in_100() -> None:
    found = [regret("gp", seed, 25) for seed in range(3)]
    blind = [regret("random", seed, 100) for seed in range(3)]
    assert median(found) < 0.05 < median(blind)


def test_parzen_estimators_beat_random_search_over_seeds() -> None:
    pairs = [(regret("tpe", seed, 60), regret("random", seed, 60)) for seed in range(40)]
    better = sum(one < other for one, other in pairs)
    assert better >= 27  # of 40; by chance alone: p = 0.02


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_the_same_seed_looks_at_the_same_places(sampler: str) -> None:
    one, again, other = (search(branin, BRANIN, 10, sampler=sampler, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_whole_numbers_logarithms_choices_and_switches_stay_what_they_are() -> None:
    space = [
        Dimension("n", "int", 1, 8),
        Dimension("m", "logint", 1, 1000),
        Dimension("lr", "log", 1e-4, 1.0),
        Dimension("kind", "choice", choices=("a", "b")),
        Dimension("sam", "switch"),
    ]
    seen = [values for values, _ in search(lambda at: float(at["lr"]), space, 60, sampler="random")]
    assert {values["n"] for values in seen} == set(range(1, 9))
    assert all(isinstance(values["m"], int) and 1 <= values["m"] <= 1000 for values in seen)
    assert 15 < sum(float(values["lr"]) < 1e-2 for values in seen) < 45  # half the range of its logarithm
    assert {values["kind"] for values in seen} == {"a", "b"}
    assert {values["sam"] for values in seen} == {True, False}


def test_infinity_is_a_bad_place_and_no_error() -> None:
    seen = search(lambda at: math.inf if float(at["x"]) > 0 else branin(at), BRANIN, 14, sampler="gp")
    assert math.isfinite(min(value for _, value in seen))


def test_what_cannot_be_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match=r"'gpp' is no sampler. Did you mean 'gp'"):
        search(branin, BRANIN, 1, sampler="gpp")
    with pytest.raises(UserError, match="trials is 0"):
        search(branin, BRANIN, 0)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(LocutionError, match=r"tune needs optuna; allowed: pip install 'locution\[tune\]'"):
        search(branin, BRANIN, 1)
