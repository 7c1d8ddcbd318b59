"""What a variant is worth: its paired differences from the plain recipe, with an interval, a test and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from locution.evaluation.intervals import bootstrap
from locution.evaluation.significance import holm, sign_flip

LEVEL = 0.05


@dataclass(frozen=True)
class Outcome:
    """What one run came to: its figures, the seconds of training, the most memory in bytes, steps, trained weights.

    >>> Outcome({"wer": 0.1}, 60.0, 1e9, 100).metrics["wer"]
    0.1
    """

    metrics: Mapping[str, float]
    seconds: float = math.nan
    memory: float = math.nan
    steps: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Effect:
    """The effect of a variant is how far it moves a figure, over seeds, beside what it costs.

    value: the variant's mean; baseline: the plain recipe's on the same seeds; differences: variant minus baseline, one
    a seed; low, high: 95 % interval of their mean; p, adjusted: sign-flip test, before and after Holm's correction;
    time, memory: ratios of the medians to the baseline's; verdict: helps, hurts or cannot tell; failed: pairs of which
    a run came to no end, or to no number; metric: the figure, and its better side; seeds: those of the differences.
    """

    name: str
    value: float
    baseline: float
    differences: tuple[float, ...]
    low: float
    high: float
    p: float
    time: float
    memory: float
    parameters: int = 0
    adjusted: float = math.nan
    verdict: str = "cannot tell"
    failed: int = 0
    metric: str = ""
    better: str = ""
    seeds: tuple[int, ...] = ()
    steps: int = 0

    @property
    def mean(self) -> float:
        """The mean difference; what only rounding leaves of a zero is one."""
        total = math.fsum(self.differences)
        largest = max(map(abs, self.differences))
        return 0.0 if abs(total) <= 1e-9 * largest else total / len(self.differences)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; what was not measured is None."""
        return {key: known(value) for key, value in (asdict(self) | {"mean": self.mean}).items()}


def known(value: Any) -> Any:
    """Let a number that is none be None, for JSON has no word for it.

    >>> known(math.nan), known(1.5), known("sam")
    (None, 1.5, 'sam')
    """
    return None if isinstance(value, float) and not math.isfinite(value) else value


def effect(
    name: str,
    plain: Mapping[int, Outcome],
    varied: Mapping[int, Outcome],
    metric: str,
    *,
    failed: int = 0,
    better: str = "",
) -> Effect:
    """An ablation takes a method away, or puts it in, and measures what changes; here over pairs of equal seeds.

    plain, varied: an outcome a seed, of which those with both are paired. In each pair the first weights, the order of
    the data and all noise are the same, so that only the change itself differs.

    >>> plain = {seed: Outcome({"wer": 0.2 + seed / 100}, 10.0) for seed in range(5)}
    >>> varied = {seed: Outcome({"wer": 0.1 + seed / 100}, 20.0) for seed in range(5)}
    >>> found = effect("sam", plain, varied, "wer")
    >>> round(found.mean, 3), found.time, found.p
    (-0.1, 2.0, 0.0625)

    Reference: A. Newell, 1975, "A tutorial on speech understanding systems" (the word ablation); B. Efron, 1987,
    "Better bootstrap confidence intervals", section 3 (the interval).
    """
    seeds = sorted(set(plain) & set(varied))
    pairs = [(plain[seed].metrics[metric], varied[seed].metrics[metric]) for seed in seeds]
    differences = tuple(round(after - before, 12) for before, after in pairs)  # 0.3 - 0.2 - 0.1 is no difference
    found = bootstrap(torch.tensor(differences, dtype=torch.float64), resamples=10_000)
    count = len(seeds)
    return Effect(
        name,
        value=sum(after for _, after in pairs) / count,
        baseline=sum(before for before, _ in pairs) / count,
        differences=differences,
        low=round(found["low"], 12),
        high=round(found["high"], 12),
        p=sign_flip(differences),
        time=_ratio([varied[s].seconds for s in seeds], [plain[s].seconds for s in seeds]),
        memory=_ratio([varied[s].memory for s in seeds], [plain[s].memory for s in seeds]),
        parameters=varied[seeds[0]].parameters,
        failed=failed,
        metric=metric,
        better=better,
        seeds=tuple(seeds),
        steps=varied[seeds[0]].steps,
    )


def judged(effects: Sequence[Effect], better: str | None = None) -> list[Effect]:
    """Correct for the number of questions asked and say of each variant whether it helps.

    It helps, or hurts, where the corrected p-value is at most 0.05 and the interval leaves out zero; where the figure
    has no better side (`better` is "", or the effect's own if none is named), it is only said that it differs.
    """
    found = []
    for one, adjusted in zip(effects, holm([one.p for one in effects]), strict=True):
        apart = adjusted <= LEVEL and not one.low <= 0.0 <= one.high
        rose = one.mean > 0
        side = one.better if better is None else better
        word = "differs" if not side else "helps" if rose == (side == "higher") else "hurts"
        found.append(replace(one, adjusted=adjusted, verdict=word if apart else "cannot tell"))
    return found


def fewest(questions: int) -> int:
    """Count the seeds below which no verdict is possible: the smallest p-value of n pairs, 2 / 2^n, times questions.

    >>> fewest(1), fewest(4)
    (6, 8)
    """
    return math.ceil(math.log2(2 * max(questions, 1) / LEVEL))


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    top, bottom = (float(torch.tensor(values, dtype=torch.float64).median()) for values in (over, under))
    return top / bottom if bottom else math.nan
