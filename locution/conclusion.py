"""What is written down when training has ended: weights, results, report and card."""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from locution.engine import Engine
from locution.engine.run_folder import write_text
from locution.recipe import Recipe
from locution.reporting.results import Cost, MethodUsed, RunResults
from locution.tasks.how_read import add_how_read
from locution.tasks.task import Job, Task
from locution.vocabulary.entry import Entry
from locution.vocabulary.lookup import find


class Concluded(Protocol):
    """What of a run its conclusion asks for: where it is kept, from which recipe, and what it is for."""

    @property
    def folder(self) -> Path: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def task(self) -> Task: ...


def environment() -> dict[str, str]:
    """Name the versions that a figure depends on.

    >>> "torch" in environment()
    True
    """
    return {
        "locution": version("locution"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def peak_memory(device: torch.device) -> float:
    """Measure the most memory that was in use, in bytes: of the GPU, or else of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    kilo = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo)


def cost(engine: Engine, seconds: float, judged: float, rate: float | None, unit: str) -> Cost:
    """Add up what the run cost."""
    parameters = list(engine.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return Cost(
        seconds=seconds,
        evaluation_seconds=judged,
        peak_memory=peak_memory(engine.device),
        rate=rate,
        unit=unit,
        steps=engine.number or None,
        epochs=engine.epoch,
        gradient_evaluations=engine.watch.gradients or None,
        parameters_trained=trained if parameters else None,  # an estimator has none
        parameters_frozen=sum(p.numel() for p in parameters) - trained if parameters else None,
        device=str(engine.device),
    )


def methods_used(recipe: Recipe) -> list[MethodUsed]:
    """Say of each method what it is and how it was set."""
    found = []
    for method in recipe.built_methods():
        settings = {key: value for key, value in vars(method).items() if not key.startswith("_")}
        asked = recipe.methods.get(method.name) or {}
        sentence = Entry(find(method.name)).definition
        found.append(MethodUsed(method.name, sentence, {key: settings.get(key, asked[key]) for key in asked}))
    return found


def conclude(run: Concluded, results: RunResults, spent: Cost, reason: str, warnings: list[str]) -> RunResults:
    """Complete the results and write them as JSON, as a report, as a card and as pictures."""
    from locution.reporting.alone import write_pictures
    from locution.reporting.card import write_card
    from locution.reporting.report import write_report
    from locution.reporting.stored import write_utterances

    recipe = run.recipe
    results.cost = replace(spent, more=results.cost.more)
    results.recipe, results.environment, results.methods = recipe.settings(), environment(), methods_used(recipe)
    results.warnings = [*warnings, *results.warnings]
    if reason not in ("", "finished"):
        results.notes.append(f"Training stopped early: {reason}.")
    write_report(run.folder, results)
    write_card(run.folder, results)
    write_pictures(run.folder, results)
    if results.utterances:
        write_utterances(run.folder, results.utterances)
    kept: dict[str, Any] = {
        **results.as_json(),
        "recipe": recipe.name,
        "seed": recipe.seed,
        "warnings": results.warnings,
        "better": {metric.name: metric.better for metric in results.metrics},
        "cost": {key: value for key, value in vars(results.cost).items() if isinstance(value, (int, float))},
    }
    write_text(run.folder / "results.json", json.dumps(kept, indent=1, ensure_ascii=False))
    return results


def judge(run: Concluded, job: Job, engine: Engine, seconds: float, *, quiet: bool) -> None:
    """Keep what was trained, judge it, and write the report."""
    model = engine.trained()
    run.task.save(run.recipe, model, run.folder)
    begun = time.perf_counter()
    results = run.task.evaluate(run.recipe, job, model, quiet=quiet)
    add_how_read(results, job)
    rate = None if job.fit else engine.watch.examples * job.per_example / max(1e-9, engine.watch.before + seconds)
    spent = cost(engine, seconds, time.perf_counter() - begun, rate, job.unit)
    warnings = [line for observer in job.observers for line in getattr(observer, "notes", [])]
    conclude(run, results, spent, engine.stopping, warnings)
    if not quiet:
        run.task.show(results)
        said = [*job.said, *(line for observer in job.observers for line in getattr(observer, "said", []))]
        for line in results.warnings:
            if line not in said:  # before training
                print(f"warning: {line}")
