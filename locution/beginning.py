"""How a run begins: its recipe read back, its task made, its engine put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from torch import nn

from locution import config
from locution.engine import Engine
from locution.engine.checkpoint import Checkpoints
from locution.engine.run_folder import RunFolder
from locution.errors import LocutionError
from locution.recipe import Recipe, from_settings
from locution.tasks.task import Job, Task
from locution.vocabulary.lookup import part


def read_recipe(folder: Path) -> Recipe:
    """Read the resolved recipe of a run folder."""
    import yaml

    try:
        settings = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LocutionError(f"{folder / 'recipe.yaml'} is damaged: {config.one_line(error)}") from error
    if not isinstance(settings, dict):
        raise LocutionError(f"{folder / 'recipe.yaml'} is damaged: it holds no settings.")
    config.refuse_targets(settings)
    return from_settings(settings)


def build_task(recipe: Recipe) -> Task:
    """Make the task that a recipe names."""
    task: Task = part("task", recipe.task)()
    return task


class Opener:
    """Opens trained models for methods that ask for them, and knows how many seconds that took: it is no training."""

    def __init__(self, open_model: Callable[[str], nn.Module]) -> None:
        self.open_model, self.seconds = open_model, 0.0

    def __call__(self, where: str) -> nn.Module:
        """Open one, by a run folder or by a recipe's name and words."""
        begun = time.perf_counter()
        try:
            return self.open_model(where)
        finally:
            self.seconds += time.perf_counter() - begun


def build_engine(
    recipe: Recipe, job: Job, folder: RunFolder, open_model: Callable[[str], nn.Module], *, quiet: bool
) -> Engine:
    """Put the engine together: the job's model, turns and watchers, the recipe's methods and trackers."""
    from locution.reporting.progress import Progress
    from locution.reporting.trackers import JSONLines

    trackers = [part("tracker", name)(folder.path) for name in recipe.trackers]
    observers = [
        *job.observers,
        JSONLines(folder.path),
        *trackers,
        *([] if quiet or job.speaks else [Progress(recipe.name, unit=job.unit, per_example=job.per_example)]),
        Checkpoints(folder.checkpoints, every_seconds=recipe.checkpoint_every),  # last: what others hold belongs in it
    ]
    return Engine(
        job.model,
        job.turns,
        recipe.built_methods(),
        observers=observers,
        seed=recipe.seed,
        accumulate=recipe.accumulate,
        precision=recipe.precision,
        device=recipe.device,
        compile=recipe.compile,
        log_every=recipe.log_every,
        measure_every=recipe.measure_every,
        open_model=open_model,
    )
