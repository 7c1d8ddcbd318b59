"""How far one model's answer is from another's: what distillation and virtual adversarial training minimise."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax

from locution.data.targets import are_distributions
from locution.errors import UserError
from locution.losses.basic import IGNORED, mean_squared_error


def kullback_leibler(reference: Tensor, scores: Tensor, temperature: float = 1.0) -> Tensor:
    """The Kullback-Leibler divergence says how much worse one distribution is at coding what another one brings forth.

    Parameters
    ----------
    reference, scores: scores before softmax, (N, ..., C) both. temperature: divides both; above 1 the distributions
    are flatter, and say more of the classes that were not chosen.

    Returns the divergence of each row of scores from the reference, in nats, (N, ...): zero where they agree.

    >>> import torch
    >>> likely = torch.tensor([[0.75, 0.25]]).log()
    >>> kullback_leibler(likely, torch.zeros(1, 2))  # 0.75 ln 1.5 + 0.25 ln 0.5
    tensor([0.1308])

    Reference: S. Kullback, R. Leibler, 1951, "On information and sufficiency", section 2.
    """
    wanted, found = log_softmax(reference.float() / temperature, -1), log_softmax(scores.float() / temperature, -1)
    return (wanted.exp() * (wanted - found)).sum(-1)


def entropy(scores: Tensor) -> Tensor:
    """Entropy says how unsure a distribution is: how many nats of surprise its outcome brings on average.

    scores: before softmax, (N, ..., C). Returns (N, ...): zero for a sure answer, ln C where all classes are alike.

    >>> import torch
    >>> entropy(torch.zeros(1, 4))  # ln 4
    tensor([1.3863])

    Reference: C. Shannon, 1948, "A mathematical theory of communication", section 6.
    """
    logs = log_softmax(scores.float(), -1)
    return -(logs.exp() * logs).sum(-1)


def are_classes(targets: object, outputs: Tensor) -> bool:
    """Tell classes from values: whole numbers are classes, and so are distributions, one for each row of outputs.

    >>> import torch
    >>> are_classes(torch.tensor([2, 0]), torch.zeros(2, 3)), are_classes(torch.tensor([[2.5]]), torch.zeros(1, 1))
    (True, False)
    """
    if not isinstance(targets, Tensor):
        raise UserError("targets came that are no tensor; allowed: classes, distributions or values.")
    if not targets.is_floating_point():
        return True
    return targets.shape == outputs.shape and are_distributions(targets)


def per_example(values: Tensor, targets: Tensor | None = None) -> Tensor:
    """Average over all that an example says, (N, ...) to (N,); where a target is -100 there is nothing to average.

    >>> import torch
    >>> per_example(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([[0, 1], [2, -100]]))
    tensor([2., 5.])
    """
    if values.dim() == 1:
        return values
    flat = values.flatten(1)  # (N, T)
    if targets is None or targets.is_floating_point() or targets.shape != values.shape:
        return flat.mean(1)
    counted = (targets != IGNORED).flatten(1)
    return (flat * counted).sum(1) / counted.sum(1).clamp(min=1)


def distance(reference: Tensor, outputs: Tensor, classes: bool, temperature: float = 1.0) -> Tensor:
    """Measure how far outputs are from a reference, (N,): the divergence of classes, the squared error of values.

    >>> import torch
    >>> distance(torch.tensor([[1.0]]), torch.tensor([[3.0]]), classes=False)
    tensor([4.])
    """
    if not classes:
        return mean_squared_error(outputs.float(), reference.float())
    return per_example(kullback_leibler(reference, outputs, temperature))
