"""Where to look next: a probabilistic model of what was seen, and the point that promises most."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from locution.engine.random import stream_key
from locution.errors import LocutionError, require, unknown
from locution.studies.space import Dimension, Value, points

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

SAMPLERS = ("gp", "tpe", "random")


@contextmanager
def quiet_optuna() -> Iterator[Any]:
    """Import optuna, or say which extra brings it; what it logs and warns of is not for the user."""
    try:
        import optuna
    except ImportError:
        raise LocutionError("tune needs optuna; allowed: pip install 'locution[tune]'.") from None
    for name in ("optuna", "optuna._gp"):
        logging.getLogger(name).setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features, and batches of one core
        yield optuna


class Sampler:
    """Proposes the next point: by a Gaussian process ("gp"), by two densities ("tpe"), or at random ("random").

    The first `startup` trials are random in each. What "tpe" and "random" draw depends on the seed and the trial's
    number alone, so that a search that was stopped goes on as it would have; "gp" begins each fit of its process where
    the one before ended, which finds better points and makes a search that was stopped go on a little differently.
    """

    def __init__(self, kind: str, seed: int, startup: int = 8) -> None:
        if kind not in SAMPLERS:
            raise unknown("sampler", kind, SAMPLERS)
        self.kind, self.seed, self.startup = kind, seed, startup
        self.process: BaseSampler | None = None

    def of_trial(self, number: int) -> BaseSampler:
        """Hand out optuna's sampler for a trial."""
        if self.process is not None:
            return self.process
        key = stream_key(self.seed, "tune", number) % 2**31
        with quiet_optuna() as optuna:
            kinds = optuna.samplers
            if self.kind == "gp":
                self.process = kinds.GPSampler(seed=key, n_startup_trials=self.startup)
                return self.process
            if self.kind == "tpe":
                return kinds.TPESampler(seed=key, n_startup_trials=self.startup, multivariate=True, constant_liar=True)
            return kinds.RandomSampler(seed=key)

    def ask(self, study: Study, space: Sequence[Dimension], trials: int = 0) -> Any:
        """Ask for the next trial: an optuna trial with its values drawn.

        Where a space has no more points than there are to be `trials`, each is tried once, in random order.
        """
        with quiet_optuna() as optuna:
            asked = [one.params for one in study.get_trials(deepcopy=False)]
            study.sampler = self.of_trial(len(asked))
            left = [point for point in points(space, trials) if point not in asked]
            if left:
                point = left[stream_key(self.seed, "tune", len(asked)) % len(left)]
                study.sampler = optuna.samplers.PartialFixedSampler(point, study.sampler)
            return study.ask({one.name: one.distribution() for one in space})


def search(
    function: Callable[[Mapping[str, Value]], float],
    space: Sequence[Dimension],
    trials: int = 40,
    *,
    sampler: str = "gp",
    seed: int = 0,
) -> list[tuple[dict[str, Value], float]]:
    """Bayesian optimisation looks for the lowest value of a function that is dear to evaluate.

    After each evaluation it fits a probabilistic model to all that was seen, and evaluates next where the model expects
    the largest improvement: where the value may be low, or nobody knows.

    Parameters
    ----------
    function: takes values by name, returns the number to be made small. space: what varies. trials: evaluations.
    sampler: "gp" (Gaussian process), "tpe" (tree of Parzen estimators) or "random".

    Returns every point and its value, in order.

    >>> bowl = lambda values: (values["x"] - 0.3) ** 2
    >>> seen = search(bowl, [Dimension("x", "lin", 0.0, 1.0)], trials=16, sampler="gp")
    >>> min(value for _, value in seen) < 1e-3
    True

    Reference: J. Mockus, 1978, "The application of Bayesian methods for seeking the extremum", eq. 2.5 (expected
    improvement); J. Bergstra et al., 2011, "Algorithms for hyper-parameter optimization", section 4 (tpe).
    """
    require(trials >= 1, "trials", trials, "a whole number from 1")
    proposes = Sampler(sampler, seed)
    with quiet_optuna() as optuna:
        study = optuna.create_study()
    seen = []
    for _ in range(trials):
        trial = proposes.ask(study, space)
        values = dict(trial.params)
        result = function(values)
        with quiet_optuna():
            study.tell(trial, result)
        seen.append((values, result))
    return seen
