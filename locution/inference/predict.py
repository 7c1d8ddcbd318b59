"""Predictions: what a trained model says of new inputs, with nothing kept for a gradient."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch, Tree, examples, map_tensors
from locution.errors import UserError, require
from locution.inference.memory import peak_memory

Objective = Callable[[nn.Module, Batch], tuple[Any, Tensor]]


@contextmanager
def inference(model: nn.Module) -> Iterator[nn.Module]:
    """Inference is using a model as it is: no weight moves, nothing is kept for a gradient, dropout sleeps.

    While this is open the model is in eval mode; behind it, every module is back in the mode it was in.

    >>> net = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    >>> with inference(net):
    ...     said = net(torch.ones(1, 1))
    >>> said.requires_grad, net.training
    (False, True)

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 12.1.4.
    """
    awake = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode():
            yield model
    finally:
        for module in awake:
            module.training = True


@dataclass(frozen=True)
class Prediction:
    """What came out: outputs (N, ...) on the processor, and the seconds it took from first to last."""

    outputs: Tree
    seconds: float

    @property
    def classes(self) -> Tensor:
        """Read scores (N, C) as the most probable class of each (N,)."""
        best: Tensor = self.outputs.argmax(-1)
        return best

    @property
    def probabilities(self) -> Tensor:
        """Read scores (N, C) as probabilities (N, C)."""
        return torch.softmax(self.outputs, -1)

    @property
    def per_second(self) -> float:
        """Count examples a second."""
        return examples(self.outputs) / max(self.seconds, 1e-9)


def predict(model: nn.Module, inputs: Tree, batch_size: int = 256) -> Prediction:
    """A prediction is what a trained model says of an input that comes without an answer.

    Parameters
    ----------
    model: any module, wherever it lives. inputs: a tensor (N, ...), or a dict or tuple of such. batch_size:
    how many go through at once; it changes speed and memory, not what comes out.

    >>> from locution.models.linear import Line
    >>> line = Line()
    >>> _ = line.w.data.fill_(2.0), line.b.data.fill_(1.0)
    >>> predict(line, torch.tensor([[10.0], [0.0]])).outputs
    tensor([[21.],
            [ 1.]])

    Reference: C. Bishop, 2006, "Pattern recognition and machine learning", section 1.5.
    """
    require(batch_size >= 1, "batch_size", batch_size, "a whole number from 1")
    count = examples(inputs)
    if count == 0:
        raise UserError("there are no inputs to predict for; allowed: at least one.")
    device = _home(model)
    whole, parts = Batch(inputs), []
    begun = time.perf_counter()
    with inference(model):
        for start in range(0, count, batch_size):
            part = whole.rows(start, min(start + batch_size, count)).to(device)
            parts.append(map_tensors(lambda t: t.cpu(), model(part.inputs)))  # waits for the device
    return Prediction(_joined(parts), time.perf_counter() - begun)


def _home(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _joined(parts: list[Tree]) -> Tree:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts).clone()  # a clone made outside inference mode may enter a gradient again
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    return type(first)(_joined(list(column)) for column in zip(*parts, strict=True))


@dataclass(frozen=True)
class Cost:
    """What one batch costs: seconds, the best of some; examples a second; bytes held at the height."""

    seconds: float
    per_second: float
    peak_bytes: int


def costs(
    model: nn.Module, objective: Objective, batch: Batch, optimizer: Any = None, repeats: int = 5
) -> dict[str, Cost]:
    """Compare what a batch costs in training with what it costs in inference: time and peak memory of each.

    Training holds what every layer put out until its gradient is known, and the gradients; inference lets go
    of it. A copy of the model is used; `optimizer` makes one from a list of parameters, or no update is
    measured.

    >>> net = nn.Sequential(*[nn.Linear(64, 64) for _ in range(8)])
    >>> def objective(model, batch):
    ...     output = model(batch.inputs)
    ...     return output, output.mean()
    >>> found = costs(net, objective, Batch(torch.zeros(128, 64)), repeats=1)
    >>> found["training"].peak_bytes > 3 * found["inference"].peak_bytes
    True

    Reference: T. Chen, B. Xu, C. Zhang, C. Guestrin, 2016, "Training deep nets with sublinear memory cost",
    section 3.
    """
    model = copy.deepcopy(model)
    batch = batch.to(_home(model))
    parameters = [p for p in model.parameters() if p.requires_grad]
    mover = optimizer(parameters) if optimizer else None

    def train() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(objective(model, batch)[1])
        if mover is not None:
            mover.step()

    def answer() -> None:
        with inference(model):
            model(batch.inputs)

    model.train()
    return {"training": _cost(train, len(batch), repeats), "inference": _cost(answer, len(batch), repeats)}


def _cost(work: Callable[[], None], count: int, repeats: int) -> Cost:
    work()  # the first time builds what is built once
    best = float("inf")
    for _ in range(max(1, repeats)):
        begun = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return Cost(best, count / max(best, 1e-9), peak_memory(work))


def cost_table(found: dict[str, Cost]) -> str:
    """Write the costs as a table.

    >>> found = {"training": Cost(0.002, 16000, 3_000_000), "inference": Cost(0.0005, 64000, 500_000)}
    >>> print(cost_table(found))
                 ms a batch  examples/s  peak memory
    training           2.00       16000      3.00 MB
    inference          0.50       64000      0.50 MB
    """
    lines = [f"{'':<12}{'ms a batch':>11}{'examples/s':>12}{'peak memory':>13}"]
    for name, cost in found.items():
        memory = f"{cost.peak_bytes / 1e6:.2f} MB"
        lines.append(f"{name:<12}{1000 * cost.seconds:>11.2f}{cost.per_second:>12.0f}{memory:>13}")
    return "\n".join(lines)
