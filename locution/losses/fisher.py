"""Fisher information: how sharply a model's answers depend on each of its weights."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from locution.engine.batch import Batch, Tree, map_tensors
from locution.engine.fast_linear import FastLinear
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
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p, requires_grad=False) for name, p in own.items()}
    awake = [module for module in model.modules() if module.training]
    model.eval()
    try:
        count = 0.0
        for batch in first_examples(batches, examples):
            for squares in squared_gradients(model, own, batch, empirical):
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


def squared_gradients(
    model: nn.Module, own: Mapping[str, Tensor], batch: Batch, empirical: bool
) -> Iterator[dict[str, Tensor]]:
    """Add up the squared gradients of the answers' log-probabilities, by their probabilities: of all weights in `own`.

    Linear layers that see each example once have them in closed form, whatever the number of examples; the gradients
    of all others are held one by one, a few examples at once.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    hooks = [module.register_forward_hook(_remember(seen, name)) for name, module in plain_linear(model)]
    try:
        output: Any = model(batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or len(output) != len(batch):
        raise UserError("the model answers with no tensor (N, ...); allowed: scores (N, C) or values (N, ...).")
    table = scores(output, checked(batch, output), weights_of(batch, output.device), empirical)  # (N, A)
    once = {name: calls[0] for name, calls in seen.items() if len(calls) == 1 and calls[0][0].dim() == 2}
    yield of_linear(once, own, table)
    rest = {name: p.detach() for name, p in own.items() if name.rpartition(".")[0] not in once}
    if rest:
        yield from of_others(model, rest, batch, empirical, table.shape[1])


def scores(output: Tensor, targets: Tensor, each: Tensor, empirical: bool) -> Tensor:
    """The log-probabilities whose squared gradients add up, each times the root of its probability: (N, A).

    output: (N, C) or (N, ...). targets: (N,) or (N, ...). each: (N,), how much an example counts.
    """
    root = each.sqrt()[:, None]  # (N, 1)
    if not targets.is_floating_point():
        logs = output.float().log_softmax(-1)
        return root * (logs.gather(1, targets[:, None]) if empirical else logs.detach().exp().sqrt() * logs)
    values = output.float().flatten(1)
    away = (targets.flatten(1) - values).detach() if targets.dim() > 1 else (targets[:, None] - values).detach()
    return root * ((away * values).sum(1, keepdim=True) if empirical else values)


def weights_of(batch: Batch, device: torch.device) -> Tensor:
    """Say how much each example counts: (N,)."""
    return torch.ones(len(batch), device=device) if batch.weights is None else batch.weights.float()


def plain_linear(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the linear layers that train and whose weights belong to them alone, by name."""
    owners = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    return [
        (name, module)
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, FastLinear)
        and all(owners[id(p)] == 1 for p in module.parameters(recurse=False))
        and any(p.requires_grad for p in module.parameters(recurse=False))
    ]


def _remember(seen: dict[str, list[tuple[Tensor, Tensor]]], name: str) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.setdefault(name, []).append((inputs[0].detach(), output))

    return hook


def of_linear(
    layers: Mapping[str, tuple[Tensor, Tensor]], own: Mapping[str, Tensor], table: Tensor
) -> dict[str, Tensor]:
    """Add up the squares for linear layers: the gradient of an example is what came back times what came in.

    layers: what came in (N, I) and went out (N, O), by name. table: (N, A), see `scores`.
    """
    found: dict[str, Tensor] = {}
    outputs = [output for _, output in layers.values()]
    for column in table.unbind(1) if layers else ():
        back = torch.autograd.grad(column.sum(), outputs, retain_graph=True, materialize_grads=True)
        for (name, (came, _)), gradient in zip(layers.items(), back, strict=True):
            squares = gradient.square()  # (N, O)
            for kind, value in (("weight", squares.T @ came.square()), ("bias", squares.sum(0))):
                where = f"{name}.{kind}" if name else kind
                if where in own:
                    found[where] = found[where] + value if where in found else value
    return found


def of_others(
    model: nn.Module, weights: dict[str, Tensor], batch: Batch, empirical: bool, answers: int
) -> Iterator[dict[str, Tensor]]:
    """Add up the squares for any weights, from the gradients of each example and answer (N, A, ...), vectorised."""
    others = dict(model.named_buffers())
    others |= {name: p.detach() for name, p in model.named_parameters() if name not in weights}

    def of_one(weights: dict[str, Tensor], inputs: Tree, target: Tensor, weight: Tensor) -> Tensor:
        output = functional_call(model, (weights, others), (map_tensors(lambda t: t[None], inputs),))
        return scores(output, target[None], weight[None], empirical)[0]  # (A,)

    gradients = vmap(jacrev(of_one), in_dims=(None, 0, 0, 0))
    size = max(1, ROOM // max(1, answers * sum(tensor.numel() for tensor in weights.values())))
    each = weights_of(batch, batch.targets.device)
    for first in range(0, len(batch), size):
        rows = slice(first, first + size)
        part = batch.rows(first, min(first + size, len(batch)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # layers taken one by one
            found = gradients(weights, part.inputs, part.targets, each[rows])
        yield {name: found[name].flatten(0, 1).square().sum(0) for name in found}


def checked(batch: Batch, output: Tensor) -> Tensor:
    """Refuse targets that are neither a class nor values for each example."""
    targets = batch.targets
    if not isinstance(targets, Tensor):
        raise UserError("Fisher information came upon targets that are no tensor; allowed: classes or values.")
    values = targets.is_floating_point()
    if targets.shape != (output.shape if values else output.shape[:1]) or (not values and output.dim() != 2):
        came = f"{tuple(targets.shape)} for outputs {tuple(output.shape)}"
        raise UserError(f"Fisher information came upon targets {came}; allowed: a class, or all values, an example.")
    return targets
