"""Keeping what was trained: what every task does alike that judges by figures and keeps plain weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import nn

from locution.engine.method import rebuilt
from locution.engine.state import load_trained_state, trained_state
from locution.engine.weights import read_weights
from locution.models.fine_tuning import fine_tune
from locution.reporting.results import RunResults
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

WEIGHTS, FROZEN = "model.safetensors", "frozen.safetensors"


class WeightsKept:
    """A task whose model is nothing but weights shows, keeps and takes back what was trained in this way.

    Weights that training moved lie in one file, those that it was told to leave alone in another beside it, so that a
    run answers without the run that it began from.

    >>> import tempfile
    >>> from locution.recipe import resolve
    >>> from locution.tasks.supervised import Supervised
    >>> task, recipe = Supervised(), resolve("line")
    >>> job = task.prepare(recipe, quiet=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     task.save(recipe, job.model, Path(folder))
    ...     [path.name for path in Path(folder).iterdir()]
    ['model.safetensors']
    """

    def show(self, results: RunResults) -> None:
        """Print the figures with their intervals."""
        from locution.reporting.tables import print_metrics

        print_metrics(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights: those that training moved, and beside them those that it was told to leave alone."""
        kept = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        trained = trained_state(model).keys()
        save_file({name: tensor for name, tensor in kept.items() if name in trained}, folder / WEIGHTS)
        frozen = {name: tensor for name, tensor in kept.items() if name not in trained}
        if frozen:
            save_file(frozen, folder / FROZEN)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Build the model as training left it and put the weights in."""
        model = rebuilt(job.model, recipe.built_methods(), recipe.seed)
        load_trained_state(model, read_weights(folder / WEIGHTS))
        if (folder / FROZEN).is_file():
            fine_tune(model, model.state_dict() | read_weights(folder / FROZEN))
        return model.eval()
