"""The task of one's own files: supervised learning that remembers, in the run's folder, how its inputs are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from locution.data.dataset import Dataset
from locution.data.own.image_reader import ImageReader
from locution.data.own.images import ByteBatches
from locution.data.own.words import TextReader
from locution.engine import TensorBatches
from locution.engine.distributed import Group
from locution.engine.run_folder import write_text
from locution.errors import LocutionError
from locution.inference.predict import predict
from locution.reporting.results import RunResults
from locution.tasks.abilities import Embedding
from locution.tasks.figures import check_figures
from locution.tasks.inputs import EXAMPLE, read_input
from locution.tasks.judge import commonest, judge_values
from locution.tasks.network_pictures import show_network
from locution.tasks.own_placing import own_embedding
from locution.tasks.supervised import Supervised, answer
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

READER = "reader.json"
READERS: dict[str, Any] = {kind.kind: kind for kind in (ImageReader, TextReader)}


class OwnFiles:
    """Learning from one's own files is supervised learning on pictures or texts that a user has in a folder or a table.

    What was decided while they were read is said once and stands in the report. The run's folder keeps how inputs are
    read, so that new ones are answered for without the files that were learnt from.

    >>> import json
    >>> kept = {"kind": "images", "size": 8, "colour": False, "fit": "squash", "labels": ["cat", "dog"]}
    >>> reader_of(kept).shape, reader_of(kept).outputs
    ((1, 8, 8), 2)

    Reference: T. Hastie, R. Tibshirani, J. Friedman, 2009, "The elements of statistical learning", chapter 2.
    """

    def __init__(self) -> None:
        self.inner = Supervised()
        self.reader: Any = None

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Read the files, say what was decided, and build the model."""
        check_figures(recipe.figures)
        data: Dataset = recipe.part("data").load(recipe.seed)
        self.reader = data.reader
        job = self.inner.job(with_objective(recipe, data.labels), data, quiet=quiet)
        if not quiet and Group.current().first:
            for line in (*notes(job), *(f"warning: {line}" for line in data.warnings)):
                print(line)
            job.said.extend((*data.notes, *data.warnings))
        return job

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on what was held out; values in their own units."""
        data: Dataset = job.data
        recipe = with_objective(recipe, data.labels)
        judged = self.inner.evaluate if data.labels else in_units
        results = judged(recipe, job, model, quiet=quiet)
        if data.labels and data.test is not None:
            learnt: Any = data.train.inner if isinstance(data.train, ByteBatches) else data.train
            results.metrics += commonest(learnt.targets, data.test.targets, len(data.labels))
        *read, built = notes(job)
        results.data |= {"how they were read": " ".join(read), "model": built.removeprefix("model: ")}
        results.warnings += data.warnings
        return results

    def show(self, results: RunResults) -> None:
        """Print the figures with their intervals; what was decided has been said before."""
        self.inner.show(results)

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, and how inputs are read."""
        self.inner.save(recipe, model, folder)
        kept = {"kind": self.reader.kind, **self.reader.as_json()}
        write_text(folder / READER, json.dumps(kept, ensure_ascii=False))

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take back the weights."""
        return self.inner.load(recipe, job, folder)

    def trained(self, recipe: Recipe, reader: Any, folder: Path) -> nn.Module:
        """Build the model for what the reader gives, and take back its weights; no need of the files learnt from."""
        model = recipe.part("model", **reader.sizes).build(reader.shape, reader.outputs)
        return self.inner.load(recipe, Job(model, [], None), folder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each input, a line each; the files that were learnt from need not be there."""
        reader = self.kept(folder)
        asked = any(EXAMPLE.match(text) for text in inputs)  # an example of the data: only then they must be there
        data: Any = recipe.part("data").load(recipe.seed) if asked else None
        names: list[str] = []
        rows = []
        for text in inputs:
            own, read = ([""], read_input(text, data)[None]) if EXAMPLE.match(text) else reader.read([text])
            names += own
            rows.append(read.float() / 255 if read.dtype == torch.uint8 else read)
        read = torch.cat(rows)
        outputs = reader.decode(predict(self.trained(recipe, reader, folder), read).outputs)
        answers = [answer(output, reader.labels) for output in outputs]
        return [f"{name}: {line}" if name else line for name, line in zip(names, answers, strict=True)]

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place pictures or texts where they lie before the last layer, or words where their vectors are."""
        reader = self.kept(folder)
        return own_embedding(reader, self.trained(recipe, reader, folder), recipe, inputs, part)

    def kept(self, folder: Path) -> Any:
        """Read how inputs are read."""
        try:
            return reader_of(json.loads((folder / READER).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise LocutionError(f"{folder / READER} is missing or damaged: {error}.") from error


def reader_of(kept: dict[str, Any]) -> Any:
    """Make a reader of what was kept of it."""
    rest = dict(kept)
    return READERS[rest.pop("kind")].from_json(rest)


def with_objective(recipe: Recipe, labels: Sequence[str]) -> Recipe:
    """Fill in the loss that the data ask for, where the recipe leaves it open: of classes, or of values.

    >>> from locution.recipe import Recipe
    >>> plain = Recipe(task="own_files", data={"name": "texts"}, optimizer={"name": "adamw"}, steps=1)
    >>> with_objective(plain, ["yes", "no"]).objective, with_objective(plain, []).objective
    ({'name': 'cross_entropy'}, {'name': 'mse'})
    """
    return recipe if recipe.objective else replace(recipe, objective={"name": "cross_entropy" if labels else "mse"})


def notes(job: Job) -> list[str]:
    """Say what was decided on the data and on the model, a line each."""
    count = sum(parameter.numel() for parameter in job.model.parameters())
    described = getattr(job.model, "describe", "")
    return [*job.data.notes, f"model: {described or type(job.model).__name__}, {count:,} weights."]


def in_units(recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
    """Judge values in the units that the user knows, not in those that were learnt."""
    data: Dataset = job.data
    held = data.test if data.test is not None else data.train
    if not isinstance(held, TensorBatches):
        raise LocutionError(f"{recipe.name} has no test data to judge by.")
    where = "held-out test set" if data.test is not None else "the training examples, for there are no others"
    outputs, targets = data.reader.decode(predict(model, held.inputs).outputs), data.reader.decode(held.targets)
    results = judge_values(recipe.name, outputs, targets, f"{len(held)} examples: {where}")
    show_network(results, recipe, model, data, held.inputs)
    results.summary, results.data = recipe.describe, {"data": data.describe()}
    return results
