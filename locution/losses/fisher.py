"""Fisher information: how sharply a model's answers depend on each of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from locution.engine.batch import Batch, Tree, map_tensors
from locution.errors import UserError, require

ROOM = 2**24  # numbers that the gradients of all examples of a chunk may take at once: 64 MB


def fisher_information(
    model: nn.Module, batches: Iterable[Batch], *, empirical: bool = False, examples: int = 0
) -> dict[str, Tensor]:
    """Fisher information says of each weight how much the model's answers would change with it: the mean square of the
    gradient of the answer's log-probability.

    The answers are the model's own, each weighed by the probability that the model gives it: the exact expectation
    over all classes (N, C), or, where the targets are values, over a normal distribution of variance 1 around the
    output (N, ...). It is the diagonal of the whole matrix, a mean over the examples by their weights, in eval mode.

    Parameters
    ----------
    batches: the examples; of the targets only the kind matters. empirical: take the targets themselves as the answers
    (the empirical Fisher information). examples: look at the first so many, 0 for all.

    Returns a tensor for each parameter that trains, of its shape, by its name.

    >>> coin = nn.Linear(1, 2, bias=False)  # logistic regression: p (1 - p) x squared, at p = 1/2 and x = 2
    >>> _ = coin.weight.data.zero_()
    >>> found = fisher_information(coin, [Batch(torch.tensor([[2.0]]), torch.tensor([0]))])
    >>> [round(value, 3) for value in found["weight"].flatten().tolist()]
    [1.0, 1.0]

    Reference: S. Amari, 1998, "Natural gradient works efficiently in learning", section 2; J. Martens, 2020, "New
    insights and perspectives on the natural gradient method", section 5 and 11 (empirical).
    """
    require(examples >= 0, "examples", examples, "a whole number from 1, or 0 for all")
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    awake = [module for module in model.modules() if module.training]
    model.eval()
    try:
        count = 0.0
        for batch in first_examples(batches, examples):
            for squares in squared_scores(model, weights, batch, empirical):
                for name, tensor in squares.items():
                    total[name] += tensor
            count += batch.weight()
    finally:
        for module in awake:
            module.training = True
    require(count > 0, "batches", "empty", "at least one example to find the Fisher information from")
    return {name: tensor / count for name, tensor in total.items()}


def first_examples(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Go through batches up to so many examples, 0 for all.

    >>> three = Batch(torch.zeros(3))
    >>> [len(batch) for batch in first_examples([three, three, three], 5)]
    [3, 2]
    """
    left = count
    for batch in batches:
        yield batch if not count else batch.rows(0, min(left, len(batch)))
        left -= len(batch)
        if count and left <= 0:
            return


def squared_scores(
    model: nn.Module, weights: dict[str, Tensor], batch: Batch, empirical: bool
) -> Iterator[dict[str, Tensor]]:
    """Add up the squared gradients of the answers' log-probabilities, by their probabilities, some examples at once."""
    others = dict(model.named_buffers())
    others |= {name: p.detach() for name, p in model.named_parameters() if name not in weights}

    def answers(weights: dict[str, Tensor], inputs: Tree) -> Tensor:
        output: Any = functional_call(model, (weights, others), (map_tensors(lambda t: t[None], inputs),))
        if not isinstance(output, Tensor) or len(output) != 1:
            raise UserError("the model answers with no tensor (N, ...); allowed: scores (N, C) or values (N, ...).")
        return output[0].float()

    def scores(weights: dict[str, Tensor], inputs: Tree, target: Tensor, weight: Tensor) -> Tensor:
        """The log-probabilities whose squared gradients add up, each times the root of its probability: (A,)."""
        output = answers(weights, inputs)
        root = weight.sqrt()
        if not target.is_floating_point():
            logs = output.log_softmax(-1)
            likely = logs.detach().exp().sqrt()
            return root * (logs.gather(0, target.view(1)) if empirical else likely * logs)
        away = (target - output).detach().flatten()
        return root * ((away @ output.flatten()).view(1) if empirical else output.flatten())

    output = answers(weights, map_tensors(lambda t: t[0], batch.inputs))
    targets = checked(batch, output)
    each = torch.ones(len(batch), device=targets.device) if batch.weights is None else batch.weights.float()
    gradients = vmap(jacrev(scores), in_dims=(None, 0, 0, 0))
    held = sum(tensor.numel() for tensor in weights.values()) * (1 if empirical else output.numel())
    size = max(1, ROOM // max(1, held))
    for first in range(0, len(batch), size):
        part, rows = batch.rows(first, min(first + size, len(batch))), slice(first, first + size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # layers taken one by one
            found = gradients(weights, part.inputs, targets[rows], each[rows])
        yield {name: found[name].flatten(0, 1).square().sum(0) for name in found}  # (N, A, ...) -> (...)


def checked(batch: Batch, output: Tensor) -> Tensor:
    """Refuse targets that are neither a class nor values for each example."""
    targets = batch.targets
    if not isinstance(targets, Tensor):
        raise UserError("Fisher information came upon targets that are no tensor; allowed: classes or values.")
    shape = tuple(targets.shape[1:])
    wanted = tuple(output.shape) if targets.is_floating_point() else ()
    if shape != wanted or (not targets.is_floating_point() and output.dim() != 1):
        came = f"({', '.join(map(str, ('N', *shape)))}) for outputs ({', '.join(map(str, ('N', *output.shape)))})"
        raise UserError(
            f"Fisher information came upon targets {came}; allowed: a class, or all values, for each example."
        )
    return targets
