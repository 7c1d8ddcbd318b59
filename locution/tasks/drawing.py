"""Drawing from a generative run: what a user asks for, and the files it becomes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from locution.engine.durable import write_bytes
from locution.errors import UserError, require
from locution.reporting.alone import pictures
from locution.reporting.results import RunResults
from locution.tasks.abilities import Samples, able
from locution.typed import build

if TYPE_CHECKING:
    from locution.recipe import Recipe
    from locution.tasks.task import Task


def settings_of(words: Sequence[str]) -> Mapping[str, Any]:
    """Read setting=value as a recipe would.

    >>> settings_of(["guidance=2", "kind=ddim"])
    {'guidance': 2, 'kind': 'ddim'}
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"'{word}' is no setting; allowed: setting=value, such as guidance=2.")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name] = value
    return found


def draw(task: Task, recipe: Recipe, folder: Path, count: int, seed: int, words: Sequence[str]) -> Samples:
    """Draw so many new examples from a run, if it can, with the settings that a user typed."""
    maker = able(task, "sample", folder)
    require(1 <= count <= 1_000_000, "count", count, "a whole number from 1 to 1,000,000")
    require(abs(seed) < 2**62, "seed", seed, "a whole number below 2**62")
    wishes = build(maker.sampling, settings_of(words), "sampling")
    for name, value in vars(wishes).items():
        require(not isinstance(value, float) or math.isfinite(value), name, value, "a finite number")
    drawn: Samples = maker.sample(recipe, folder, count, seed, wishes)
    if drawn.values.is_floating_point() and not bool(drawn.values.isfinite().all()):
        what = "what was drawn holds numbers that are not finite"
        raise UserError(f"{what}; allowed: settings nearer to the usual ones, or a run that has not diverged.")
    return drawn


def write_samples(drawn: Samples, name: str, place: Path) -> Iterator[str]:
    """Write examples beside each other, as numbers and as pictures; say what was written, and what they say."""
    yield from drawn.lines
    if drawn.values.numel():
        numbers = io.BytesIO()
        np.save(numbers, drawn.values.detach().cpu().numpy(), allow_pickle=False)
        yield written(place.with_name(f"{place.name}.npy"), numbers.getvalue())
    seen = RunResults(name, graphs=list(drawn.graphs), galleries=list(drawn.galleries))
    for number, (_, ending, content) in enumerate(pictures(seen)):
        several = f"-{number + 1}" if number else ""
        yield written(place.with_name(f"{place.name}{several}.{ending}"), content)


def written(path: Path, content: bytes) -> str:
    """Write a file, and say so."""
    write_bytes(path, content)
    return f"written: {path}"
