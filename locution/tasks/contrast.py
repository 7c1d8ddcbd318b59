"""The task of telling apart: inputs become vectors, so that what is alike lies close together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.captioned_digits import encode
from locution.data.dataset import Dataset, first_batch
from locution.engine import Batch, TensorBatches, Turn
from locution.engine.batch import map_tensors
from locution.engine.distributed import Group
from locution.errors import UserError, require
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.inference.predict import predict
from locution.losses.contrastive import CLIP, SimCLR
from locution.losses.triplet import Triplet
from locution.models.shapes import explained
from locution.models.two_towers import TwoTowers
from locution.reporting.results import RunResults
from locution.tasks import contrast_judged as judged
from locution.tasks.abilities import Embedding
from locution.tasks.keeping import WeightsKept
from locution.tasks.placing import is_text, placed
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

OBJECTIVES = (SimCLR, Triplet, CLIP)
ASKED = (
    "zero",
    "a bold seven leaning right",
    "a thin one upright",
    "a plain four leaning left",
    "a bold eight upright",
    "nine leaning right",
)


@dataclass(frozen=True)
class Doubled:
    """Batches that hold each example twice and no answers: methods then change each of the two by chance, for itself.

    >>> source = Doubled(TensorBatches(torch.arange(4.0), torch.arange(4), batch_size=2, shuffle=False))
    >>> [(batch.inputs.tolist(), batch.targets) for batch in source.epoch(0, seed=0)]
    [([0.0, 1.0, 0.0, 1.0], None), ([2.0, 3.0, 2.0, 3.0], None)]

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", algorithm 1.
    """

    inner: TensorBatches

    def __len__(self) -> int:
        return 2 * len(self.inner)

    def steps(self) -> int:
        """Count the batches of an epoch, without a last one of a single example: it has nothing to be told from."""
        return self.inner.steps() - (len(self.inner) % self.inner.batch_size == 1)

    def to(self, device: torch.device) -> Doubled:
        """Move the examples to a device."""
        return Doubled(self.inner.to(device))

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through one epoch, leaving out the first `skip` batches."""
        for batch in self.inner.epoch(number, seed, skip):
            if len(batch) > 1:
                inputs, weights = (map_tensors(twice, tree) for tree in (batch.inputs, batch.weights))
                yield replace(batch, inputs=inputs, targets=None, weights=weights)


def twice(tensor: Tensor) -> Tensor:
    """Set a batch behind itself: (N, ...) -> (2 N, ...)."""
    return torch.cat([tensor, tensor])


class Contrast(WeightsKept):
    """Metric learning places inputs so that distance means difference: what is alike lies close, all else apart.

    What is alike is said by the objective: two changed views of one picture (simclr), examples of one class (triplet),
    a picture and what is written about it (clip). The model is judged by how well test examples retrieve those of their
    own class among the others, beside the pixels, and by a linear probe; with clip also without a single label. Where
    nobody knows classes, it is judged by how evenly examples spread over all directions.

    >>> from locution.recipe import resolve
    >>> job = Contrast().prepare(resolve("digits/simclr"), quiet=True)
    >>> batch = next(job.batches.epoch(0, seed=0))
    >>> torch.equal(*batch.inputs.chunk(2)), batch.targets is None  # no method has changed the views yet
    (True, True)

    Reference: R. Hadsell, S. Chopra, Y. LeCun, 2006, "Dimensionality reduction by learning an invariant mapping",
    section 2.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Load the data and build the model."""
        objective = recipe.part("objective")
        if not isinstance(objective, OBJECTIVES):
            name = recipe.objective.get("name")
            raise UserError(f"objective '{name}' compares no examples; allowed here: simclr, triplet, clip.")
        if recipe.accumulate > 1 or Group.current(recipe.device).world > 1:
            came = f"accumulate={recipe.accumulate} in {Group.current(recipe.device).world} process(es)"
            raise UserError(f"{came} came to a task that compares whole batches; allowed: accumulate=1 in one.")
        data: Dataset = recipe.part("data").load(recipe.seed)
        train = data.train
        labelled = bool(data.labels) or isinstance(objective, SimCLR)  # two views of one picture ask for no class
        if not isinstance(train, TensorBatches) or not labelled:
            raise UserError(f"data.name is '{recipe.data.get('name')}'; allowed: classes in memory, such as digits.")
        size = min(train.batch_size, len(train))
        require(size >= 2, "data.batch_size", size, "a whole number from 2, for examples are compared with each other")
        if isinstance(train.inputs, dict) != isinstance(objective, CLIP):
            raise UserError(
                f"objective '{recipe.objective.get('name')}' came with data '{recipe.data.get('name')}'; allowed: clip "
                "with pictures and texts (captioned_digits), the others with plain examples."
            )
        batches: Any = Doubled(train) if isinstance(objective, SimCLR) else train
        model: nn.Module = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
        with explained(model.eval()), torch.no_grad():
            objective(model, first_batch(replace(data, train=batches)))
        observers: list[Any] = [GradientNorms()]
        if data.development is not None and not isinstance(objective, SimCLR):
            observers.append(Overfitting(objective, data.development))
        unit = "views" if isinstance(objective, SimCLR) else "examples"
        return Job(model, [Turn(objective, recipe.part("optimizer").build)], batches, observers, data, unit=unit)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge how well the test examples retrieve each other, and what a linear probe reads off them."""
        data: Dataset = job.data
        train: Any = data.train
        held = data.test if data.test is not None else train
        if not isinstance(held, TensorBatches):
            raise UserError(f"{recipe.name} has no test data to judge by; allowed: data with a test set.")
        early = self.before_head(recipe)
        pixels, classes = judged.seen(held.inputs), held.targets
        vectors = judged.place(model, held.inputs, early)
        note = f"{len(held)} test examples, each against all others"
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        if not data.labels:
            results.metrics = [judged.spread_out(vectors, pixels, note)]
            results.galleries = judged.neighbours_shown(vectors, pixels, None)
            results.drawings = judged.drawn(vectors, data, None)
            return results
        results.metrics = judged.retrieval(vectors, pixels, classes, note)
        learnt = judged.place(model, train.inputs, early)
        results.metrics.append(judged.probes(learnt, train.targets, vectors, classes, f"{len(held)} test examples"))
        results.tables = judged.both_sides_of_the_head(model, train, held, early, results.metrics)
        if isinstance(model, TwoTowers) and isinstance(held.inputs, dict):
            asked = f"{len(held)} test pictures, each against all captions of each digit"
            results.metrics.insert(0, judged.zero_shot(model, pixels, classes, data.labels, asked))
            results.metrics.insert(1, judged.found_by_caption(model, held, f"{len(held)} captions of the test set"))
            results.metrics += judged.by_captions(vectors, held)
            results.galleries.append(judged.asked_for(model, held, ASKED))
        results.galleries += judged.neighbours_shown(vectors, pixels, classes)
        results.drawings += judged.drawn(vectors, data, classes)
        return results

    def before_head(self, recipe: Recipe) -> bool:
        """Say whether what the encoder finds is used, and not what the projection head makes of it."""
        return isinstance(recipe.part("objective"), SimCLR)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Name for each input the class of the example to learn from that lies nearest, and how far it is."""
        learnt, asked = self.embed(recipe, folder, [], "train"), self.embed(recipe, folder, inputs, "")
        away = torch.cdist(asked.vectors, learnt.vectors)  # (N, M)
        nearest = away.min(1)
        labels = learnt.labels or ["like"] * len(learnt.names)
        return [
            f"{labels[row]} ({learnt.names[row]}, at a distance of {far:.3f})"
            for row, far in zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True)
        ]

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place inputs, or a part of the data; of pictures with texts, an input may be either."""
        job = self.prepare(recipe, quiet=True)
        model, early = self.load(recipe, job, folder), self.before_head(recipe)
        data: Dataset = judged.pictures_only(job.data)
        texts = [text for text in inputs if is_text(text)] if isinstance(job.data.train.inputs, dict) else []
        others = [text for text in inputs if text not in texts]
        if not texts:
            return placed(data, others, part, lambda rows: judged.place(model, rows, early))
        towers: Any = model
        found = dict(zip(texts, predict(towers.texts, encode(texts)).outputs, strict=True))
        if others:
            seen = placed(data, others, part, lambda rows: judged.place(model, rows, early))
            found |= dict(zip(others, seen.vectors, strict=True))
        return Embedding(torch.stack([found[text] for text in inputs]), list(inputs))
