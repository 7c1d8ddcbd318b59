"""What a recogniser's run says of its memory and its kernels, and the one method that it would not survive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locution.errors import UserError
from locution.reporting.results import RunResults
from locution.speech.memory_watch import MemoryForecast
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe


def forecaster(recipe: Recipe, train: Any, *, quiet: bool) -> MemoryForecast:
    """Make the observer that forecasts a run's memory; refuse `+lora`, which would merge into a language model that is
    kept by its hash alone.
    """
    if "lora" in recipe.methods:
        raise UserError(
            "+lora would change the frozen language model itself; allowed: model.lora={rank: 16}, kept beside it."
        )
    return MemoryForecast(train, quiet=quiet)


def note_memory(results: RunResults, job: Job) -> RunResults:
    """Put into the report what was said of memory and kernels when training began, and what was measured since."""
    for observer in job.observers:
        if isinstance(observer, MemoryForecast):
            results.notes.extend(f"{line[0].upper()}{line[1:]}" for line in observer.lines)
    return results
