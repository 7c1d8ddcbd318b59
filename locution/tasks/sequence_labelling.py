"""The task of naming every step of a sequence: a class for each moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio
from locution.evaluation.proportions import proportion
from locution.inference.predict import predict
from locution.losses.basic import IGNORED, cross_entropy
from locution.models.shapes import shape_of
from locution.reporting.results import Gallery, Graph, Metric, RunResults
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.network_pictures import show_network
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

SHOWN, WIDEST = 4, 64


class SequenceLabelling(WeightsKept):
    """Sequence labelling gives every step of a sequence a class, such as each word its part of speech.

    Targets are (N, T), outputs (N, T, C). Beside the cross-entropy, in nats a step, stands that of whoever knows only
    how often each class comes at each step: what a network learns from what it reads lies between the two. Steps at
    which the answer is always the same say nothing, and the accuracy leaves them out.

    >>> from locution.recipe import resolve
    >>> job = SequenceLabelling().prepare(resolve("copying", ["data.train=10"]), quiet=True)
    >>> job.data.train.targets.shape
    torch.Size([10, 20])

    Reference: A. Graves, 2012, "Supervised sequence labelling with recurrent neural networks", section 2.2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        data: Dataset = recipe.part("data").load(recipe.seed)
        train = data.train
        if not isinstance(train, TensorBatches) or not data.labels or train.targets.dim() != 2:
            raise UserError(f"{recipe.name}: the data are no sequences with a class for each step; allowed: copying.")
        job = Supervised().job(recipe, data, quiet=quiet)
        answered, asked = predict(job.model, train.inputs[:1]).outputs, (*train.targets[:1].shape, data.outputs)
        if not isinstance(answered, Tensor) or answered.shape != asked:
            what = f"the model answers one sequence with {shape_of(answered)}"
            each = f"one for each of {asked[1]} steps (reads: all), {asked[2]} scores each"
            raise UserError(f"{what}; allowed: {asked}, {each}.")
        return job

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on the test set, step by step."""
        data: Dataset = job.data
        held = data.test if data.test is not None else data.train
        assert isinstance(held, TensorBatches)
        assert isinstance(data.train, TensorBatches)
        where = "held-out sequences" if data.test is not None else "sequences it learnt from, for there are no others"
        outputs, targets = predict(model, held.inputs).outputs.float(), held.targets  # (N, T, C), (N, T)
        chances = frequencies(data.train.targets, len(data.labels))  # (T, C)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        results.metrics = figures(outputs, targets, chances, f"{len(held)} {where}")
        results.graphs.append(step_by_step(outputs, targets, chances))
        results.galleries += pictures(held.inputs, outputs, targets)
        show_network(results, recipe, model, data, held.inputs)
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Answer for each input, numbers or test:3, with a class for each step."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        rows = torch.stack([read_input(text, job.data) for text in inputs])
        answers = predict(model, rows).classes  # (N, T)
        return [" ".join(job.data.labels[answer] for answer in row) for row in answers.tolist()]


def frequencies(targets: Tensor, classes: int) -> Tensor:
    """Say how often each class comes at each step: (N, T) -> (T, C), in shares of one; what is ignored does not count.

    >>> frequencies(torch.tensor([[0, 1], [0, 0]]), 2)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    counted = targets != IGNORED
    found = functional.one_hot(targets.where(counted, 0), classes) * counted[..., None]  # (N, T, C)
    return found.sum(0) / counted.sum(0).clamp(min=1)[:, None]


def figures(outputs: Tensor, targets: Tensor, chances: Tensor, note: str) -> list[Metric]:
    """Measure answers (N, T, C) for classes (N, T), beside what the frequencies (T, C) of the classes would say."""
    open_steps = (chances.max(1).values < 1) & (targets != IGNORED)  # (N, T): where the answer is not always the same
    right = (outputs.argmax(-1) == targets) | (targets == IGNORED)
    guess = chances.clamp(min=1e-6).log().expand_as(outputs)
    pairs = torch.stack([(right & open_steps).sum(1), open_steps.sum(1)], 1)
    open_note = f"{note}; steps whose answer differs from sequence to sequence"
    found = [
        ("cross_entropy", bootstrap(cross_entropy(outputs, targets)), "cross-entropy", note),
        ("memoryless", bootstrap(cross_entropy(guess, targets)), "who knows only the step", "in nats a step"),
        ("accuracy", bootstrap(pairs, ratio) if open_steps.any() else None, "", open_note),
        ("whole_sequences", share(right.all(1)), "sequences without an error", note),
    ]
    surprise = ("cross_entropy", "memoryless")
    return [
        Metric(
            name,
            **figure,
            label=label,
            group="cross-entropy" if name in surprise else "",
            better="lower" if name in surprise else "higher",
            note=said,
        )
        for name, figure, label, said in found
        if figure is not None
    ]


def share(holds: Tensor) -> dict[str, float]:
    """Measure how many it holds for, with an interval that knows what none and all of few are worth: (N,)."""
    count = int(holds.sum())
    return proportion(count, len(holds)) if count in (0, len(holds)) else bootstrap(holds.double())


def step_by_step(outputs: Tensor, targets: Tensor, chances: Tensor) -> Graph:
    """Draw how surprising the right answer is at each step, to the model and to who knows only the step."""
    nats = functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")  # (N, T)
    steps = list(range(1, targets.shape[1] + 1))
    lines = {
        "the model": (steps, nats.mean(0).tolist()),
        "who knows only the step": (steps, torch.special.entr(chances).sum(1).tolist()),
    }
    return Graph("Surprise, step by step", lines, across="step", note="nats, a mean over held-out sequences")


def pictures(inputs: Tensor, outputs: Tensor, targets: Tensor) -> list[Gallery]:
    """Show a few sequences: what came, what was to be said and what was said; a line for each symbol, time across."""
    if inputs.dim() != 3 or max(inputs.shape[-1], outputs.shape[-1]) > WIDEST:
        return []
    high = max(inputs.shape[-1], outputs.shape[-1])
    wanted = functional.one_hot(targets[:SHOWN].clamp(min=0), outputs.shape[-1]).float()
    parts = [inputs[:SHOWN].float(), wanted, outputs[:SHOWN].softmax(-1)]  # (n, T, symbols) each
    drawn = [functional.pad(part, (0, high - part.shape[-1])).transpose(1, 2) for part in parts]
    note = "each row: what came, what was to be said, what was said; a line for each symbol, time to the right"
    return [Gallery("Sequences", torch.stack(drawn, 1).numpy(), note)]  # (n, 3, symbols, T)
