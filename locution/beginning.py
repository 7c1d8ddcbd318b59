"""How a run begins: its recipe read back, its task made, another run's weights put in, its engine put together."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from locution import config
from locution.engine import Engine
from locution.engine.checkpoint import Checkpoints
from locution.engine.run_folder import RunFolder
from locution.errors import LocutionError, UserError, unknown
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
    config.refuse_targets(settings)
    return from_settings(settings)


def build_task(recipe: Recipe) -> Task:
    """Make the task that a recipe names."""
    task: Task = part("task", recipe.task)()
    return task


def fine_tune(model: nn.Module, weights: dict[str, Tensor], fresh: str = "") -> nn.Module:
    """Fine-tuning goes on training a model, on data of another kind or fewer, from weights that were learnt before.

    Parameters
    ----------
    model: takes the weights over, in place, and is handed back. weights: of a trained model, by name. fresh: a pattern
    on the names of the layers that begin anew, such as "layers.6"; several with commas between.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> before, model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 5)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    >>> model = fine_tune(model, before.state_dict(), fresh="1")
    >>> torch.equal(model[0].weight, before[0].weight), model[1].weight.shape
    (True, torch.Size([3, 2]))
    >>> fine_tune(model, before.state_dict())
    Traceback (most recent call last):
    locution.errors.UserError: 1.weight is (5, 2) where training starts from and (3, 2) here; allowed: fresh=1, ...

    Reference: J. Yosinski, J. Clune, Y. Bengio, H. Lipson, 2014, "How transferable are features in deep neural
    networks?", section 2.
    """
    own = model.state_dict()
    patterns = [pattern.strip() for pattern in fresh.split(",") if pattern.strip()]
    layers = {name.rpartition(".")[0]: name for name in own}
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise unknown("layer that could begin anew (fresh)", pattern, layers)
    taken = {}
    for name, tensor in own.items():
        layer = name.rpartition(".")[0]
        if any(fnmatchcase(layer, pattern) for pattern in patterns):
            continue
        there = weights.get(name)
        if there is None or there.shape != tensor.shape:
            came = "is not there" if there is None else f"is {tuple(there.shape)}"
            mend = f"allowed: fresh={layer}, or a start from a model of the same make"
            raise UserError(f"{name} {came} where training starts from and {tuple(tensor.shape)} here; {mend}.")
        taken[name] = there
    model.load_state_dict(taken, strict=False)
    return model


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
