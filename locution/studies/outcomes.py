"""What single runs came to, as a study reads it: their figures by name, and which names there are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from locution.errors import UserError, unknown
from locution.models.mixture_of_experts import MixtureOfExpertsModel
from locution.recipe import Recipe
from locution.studies.effects import Outcome
from locution.tasks.expert_pictures import OF_EXPERTS
from locution.tasks.figures import FIGURES
from locution.tasks.judge import NAMES
from locution.tasks.supervised import Supervised
from locution.vocabulary.lookup import part

Results = Mapping[str, Any]
Found = dict[str, dict[int, Results]]  # by variant and seed
COST = {"seconds": "lower", "evaluation_seconds": "lower", "peak_memory": "lower", "rate": "higher"}
COST |= {"steps": "", "gradient_evaluations": "lower", "parameters_trained": "lower"}
OWN_PROCESS = "peak_memory is known only where each run has a process of its own; allowed: --workers 2 or more"


def figure_of(results: Results, name: str) -> float | None:
    """Read a figure of a run, or of its cost; None where there is none of that name.

    >>> figure_of({"metrics": {"wer": {"value": 0.1}}, "cost": {"seconds": 2}}, "seconds")
    2.0
    """
    value = results["metrics"].get(name, {}).get("value", results.get("cost", {}).get(name))
    return None if value is None else float(value)


def better(results: Results, name: str) -> str:
    """Say which side of a figure is better, as the run says itself."""
    side: str = results.get("better", {}).get(name, "" if name in results["metrics"] else COST.get(name, ""))
    return side


def outcome(results: Results, metric: str) -> Outcome:
    """Take from a run's results what a comparison needs."""
    cost, value = results.get("cost", {}), figure_of(results, metric)
    return Outcome(
        {} if value is None else {metric: value},
        float(cost.get("seconds", math.nan)),
        float(cost.get("peak_memory", math.nan)),
        int(cost.get("steps", 0)),
        int(cost.get("parameters_trained", 0)),
    )


def figures(name: str, metric: str, runs: Mapping[int, Results], failed: dict[str, str]) -> dict[int, Outcome]:
    """Take one figure of a variant's runs; a run without it, or where it is no number, is noted as failed.

    >>> failed = {}
    >>> figures("sam", "wer", {3: {"metrics": {"wer": {"value": math.nan}}}}, failed), failed
    ({}, {'sam, seed 3': 'its wer is nan'})
    """
    found = {}
    for seed, results in runs.items():
        value = figure_of(results, metric)
        if value is not None and math.isfinite(value):
            found[seed] = outcome(results, metric)
        else:
            failed[f"{name}, seed {seed}"] = f"its {metric} is {'not measured' if value is None else value}"
    return found


def possible(recipe: Recipe) -> set[str] | None:
    """Name the figures that a recipe can have, where that is known before it trains."""
    if part("task", recipe.task) is not Supervised:
        return None
    model = recipe.model.get("name")
    experts = OF_EXPERTS if model and part("model", model) is MixtureOfExpertsModel else ()
    return {*NAMES, *recipe.figures, *experts, *COST}


def chosen(metric: str, allowed: Collection[str] | None) -> list[str]:
    """Read which figures are asked for, and refuse a name that there cannot be.

    >>> chosen("accuracy, seconds", {"accuracy", "seconds"})
    ['accuracy', 'seconds']
    """
    names = list(dict.fromkeys(name.strip() for name in metric.split(",") if name.strip()))
    for name in names:
        elsewhere = name.startswith(("accuracy_", "mse_"))  # on other held-out examples, which only the data name
        if allowed is not None and name not in allowed and not elsewhere:
            if name in FIGURES:
                raise UserError(f"metric is {name}, which nobody asked to be measured; allowed: figures=[{name}] too.")
            raise unknown("figure of this recipe", name, allowed)
    return names


def check_metrics(metrics: Sequence[str], found: Found) -> None:
    """Refuse a figure that a run which is done does not have."""
    for runs in found.values():
        for results in runs.values():
            for name in metrics:
                if figure_of(results, name) is None:
                    if name == "peak_memory":
                        raise UserError(f"{OWN_PROCESS}.")
                    raise unknown("figure of this recipe", name, {*results["metrics"], *results.get("cost", {})})
