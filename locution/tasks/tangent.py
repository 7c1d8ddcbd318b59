"""The task of following a kernel: is a wide network what its tangent kernel says it will be?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import Engine, TensorBatches, Turn
from locution.engine.random import reseed, stream_key
from locution.errors import UserError
from locution.evaluation.infinite_width import infinite_width_kernel, kernel_prediction
from locution.evaluation.tangent_kernel import tangent_kernel
from locution.inference.predict import predict
from locution.losses.basic import MSE
from locution.models.tangent import TangentModel, TangentNet
from locution.optimizers.basic import SGD
from locution.reporting.results import Graph, Metric, RunResults, Table
from locution.tasks.supervised import Supervised
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

WIDTHS, SEEDS = (16, 64, 256, 1024), 5
NAMES = ("difference from its own kernel's prediction", "difference from infinite width")
NARROWER = "networks of other widths, trained beside it in the same way"


class FollowingKernel(Supervised):
    """The lazy regime is where a network is so wide that its weights hardly move while its answers learn all there is.

    Training is then that of a kernel, and where it leads is known before it begins: by gradient descent on the squared
    error, with all points in each step and plain SGD. Here a network in the tangent parametrisation is trained, and
    compared with what its own kernel says (at the weights it began with), and with the network of infinite width.
    Narrower ones are trained beside it: the wider, the nearer.

    >>> from locution.recipe import resolve
    >>> job = FollowingKernel().prepare(resolve("tangent"))
    >>> round(flow_time(resolve("tangent"), job.data), 6)  # 2 x 300 steps x 0.3 over 8 numbers
    22.5

    Reference: J. Lee et al., 2019, "Wide neural networks of any depth evolve as linear models under gradient descent",
    section 3; L. Chizat, E. Oyallon, F. Bach, 2019, "On lazy training in differentiable programming".
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Build it, and refuse training that is no gradient descent on the squared error."""
        job = super().prepare(recipe, quiet=quiet)
        data: Any = job.data
        optimizer, objective = recipe.part("optimizer"), recipe.part("objective")
        plain = type(optimizer) is SGD and isinstance(objective, MSE) and not recipe.methods
        whole = isinstance(data.train, TensorBatches) and data.train.batch_size >= len(data.train)
        if not (plain and whole and isinstance(job.model, TangentNet)):
            came = f"{recipe.model.get('name')}, {recipe.objective.get('name')} and {recipe.optimizer.get('name')}"
            allowed = "tangent, mse and sgd without methods, all points in a batch"
            raise UserError(f"a kernel foretells no training by {came} like this; allowed: {allowed}.")
        return job

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge as regression is judged, and by how far the answers are from what the kernels said."""
        results = super().evaluate(recipe, job, model, quiet=quiet)
        data: Any = job.data
        told = foretold(first_network(recipe, data, recipe.part("model")), data, flow_time(recipe, data))
        answers = predict(model, data.test.inputs).outputs.double()
        apart = [float((answers - one).square().mean().sqrt()) for one in told]
        note = "root mean square over the curve between the points"
        for name, label, far in zip(("own_kernel", "infinite_kernel"), NAMES, apart, strict=True):
            results.metrics.append(Metric(name, far, label=label, group="kernel", better="lower", note=note))
        results.graphs.append(picture(data, answers, told))
        rows = by_width(recipe, data)
        results.tables.append(Table("Wider is nearer", ("width", *NAMES), rows, f"{NARROWER}; means of {SEEDS} seeds"))
        widths = [float(row[0]) for row in rows]
        lines = {name: (widths, [float(row[at]) for row in rows]) for at, name in enumerate(NAMES, 1)}
        up = "root mean square difference"
        results.graphs.append(Graph("Wider is nearer", lines, across="width", up=up, log="xy", marked=True))
        return results


def flow_time(recipe: Recipe, data: Dataset) -> float:
    """Say how long gradient flow on half the squared error, summed, has gone on by the end: steps times their size."""
    train: Any = data.train
    steps = recipe.steps if recipe.steps is not None else (recipe.epochs or 0) * train.steps()
    rate: float = recipe.part("optimizer").lr
    return float(2 * steps * rate / train.targets.numel())  # the mean of squares, not half of their sum


def first_network(recipe: Recipe, data: Dataset, part: TangentModel, seed: int | None = None) -> nn.Module:
    """Make a network as a run of this seed begins with."""
    with torch.random.fork_rng(devices=[]):
        reseed(stream_key(recipe.seed if seed is None else seed, "weights"), torch.device("cpu"))
        return part.build(data.inputs, data.outputs)


def foretold(fresh: nn.Module, data: Dataset, time: float) -> tuple[Tensor, Tensor]:
    """Say what a network will answer behind so much training: by its own kernel, and by that of infinite width."""
    train, test = data.train, data.test
    assert isinstance(train, TensorBatches)
    assert isinstance(test, TensorBatches)
    assert isinstance(fresh, TangentNet)
    fresh = fresh.double()
    x, other = train.inputs.double(), test.inputs.double()
    with torch.no_grad():
        apart, start = train.targets.double() - fresh(x), fresh(other)
    own, across = (tangent_kernel(fresh, one, x) for one in (x, other))  # (N, N, O, O), (M, N, O, O)
    first = kernel_prediction(square(own), square(across), apart.reshape(-1, 1), start.reshape(-1, 1), time)
    settings = fresh.depth, fresh.weight_variance, fresh.bias_variance
    wide, along = (infinite_width_kernel(one, x, *settings) for one in (x, other))
    return first.view(start.shape), kernel_prediction(wide, along, apart, start, time)


def square(kernel: Tensor) -> Tensor:
    """Lay a kernel of several outputs (N, M, O, O) out as one of so many more examples (N O, M O)."""
    rows, columns, outputs = kernel.shape[:3]
    return kernel.permute(0, 2, 1, 3).reshape(rows * outputs, columns * outputs)


def by_width(recipe: Recipe, data: Dataset) -> list[tuple[str, str, str]]:
    """Train networks of several widths as the recipe says, and measure how far they are from their predictions."""
    part, time, rows = recipe.part("model"), flow_time(recipe, data), []
    assert isinstance(data.test, TensorBatches)
    for width in WIDTHS:
        apart = []
        for seed in range(SEEDS):
            narrow = dataclasses.replace(part, widths=tuple(width for _ in part.widths))
            told = foretold(first_network(recipe, data, narrow, seed), data, time)
            turn = Turn(recipe.part("objective"), recipe.part("optimizer").build)
            engine = Engine(first_network(recipe, data, narrow, seed), turn, seed=seed, device="cpu")
            trained = engine.fit(data.train, epochs=recipe.epochs, steps=recipe.steps).trained()
            answers = predict(trained, data.test.inputs).outputs.double()
            apart.append([float((answers - one).square().mean()) for one in told])
        means = torch.tensor(apart).mean(0).sqrt().tolist()
        rows.append((str(width), *(f"{mean:.4f}" for mean in means)))
    return [(row[0], row[1], row[2]) for row in rows]


def picture(data: Dataset, answers: Tensor, told: tuple[Tensor, Tensor]) -> Graph:
    """Draw what the network answers and what was foretold, of the first number in and out."""
    train, test = data.train, data.test
    assert isinstance(train, TensorBatches)
    assert isinstance(test, TensorBatches)
    across = along(test.inputs)
    order = across.argsort()
    named = {"the network": answers, "its own kernel": told[0], "infinite width": told[1]}
    lines = {name: (across[order].tolist(), one[order, 0].tolist()) for name, one in named.items()}
    points = (along(train.inputs).tolist(), train.targets[:, 0].tolist())
    note = "what the trained network answers, and what its kernel when it began, and that of infinite width, foretold"
    name = "angle" if test.inputs.shape[1:] == (2,) else "x"
    return Graph("Foretold and learnt", lines, points, across=name, note=note)


def along(inputs: Tensor) -> Tensor:
    """Say where inputs lie along a line: by their angle where they are places of a plane, else by their first number.

    >>> along(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])) / torch.pi
    tensor([0.5000, 1.0000])
    """
    flat = inputs.flatten(1)
    return torch.atan2(flat[:, 1], flat[:, 0]) if flat.shape[1] == 2 else flat[:, 0]
