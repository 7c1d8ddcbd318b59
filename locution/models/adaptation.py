"""Adaptation: a few steps of gradient descent on the examples of each task, for many tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from locution.errors import UserError, require
from locution.models.freezing import matching

Weights = dict[str, Tensor]  # name -> (T, ...), the weights of each task
Answer = Callable[[Weights, Tensor], Tensor]  # weights of T tasks, inputs (T, K, ...) -> outputs (T, K, ...)


@dataclass(frozen=True)
class Adaptation:
    """How a model adapts to a task before it answers: gradient steps, their length, and which weights take them.

    steps: gradient steps on the support set. lr: their learning rate. first_order: treat the steps' gradients as
    constants when what comes after them is differentiated. adapt: the weights that take the steps, by a pattern on
    their names, or several.

    >>> Adaptation(lr=0.1)
    Adaptation(steps=1, lr=0.1, first_order=False, adapt='*')
    """

    steps: int = 1
    lr: float = 0.01
    first_order: bool = False
    adapt: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        require(self.steps >= 0, "adaptation.steps", self.steps, "a whole number from 0, usually 1 to 10")
        require(self.lr > 0, "adaptation.lr", self.lr, "a number above 0, usually 0.01 to 0.5")


def inner_loss(outputs: Tensor, answers: Tensor) -> Tensor:
    """Measure how wrong the outputs are in each task, by the kind of its answers: (T, K, ...), (T, K, ...) -> (T,).

    Whole numbers are classes (T, K) and give the cross-entropy; numbers with a point are values and give the mean
    squared error.

    >>> inner_loss(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [0.0]]]))  # (1 + 9) / 2
    tensor([5.])
    >>> inner_loss(torch.zeros(1, 2, 4), torch.tensor([[3, 0]]))  # ln 4
    tensor([1.3863])
    """
    if answers.is_floating_point():
        return functional.mse_loss(outputs, answers, reduction="none").flatten(1).mean(1)
    losses = functional.cross_entropy(outputs.flatten(0, 1), answers.flatten(), reduction="none")  # (T x K,)
    return losses.view(answers.shape).flatten(1).mean(1)


def adapt(
    answer: Answer, weights: Weights, support: Tensor, answers: Tensor, lr: float, steps: int, first_order: bool = False
) -> Weights:
    """Adapting to a task takes a few steps of gradient descent on its few examples, from weights all tasks share.

    Parameters
    ----------
    answer: what the model puts out, with weights of T tasks. weights: where the steps begin, each (T, ...), needing a
    gradient. support: inputs of the examples (T, K, ...). answers: classes (T, K) or values (T, K, ...). lr, steps:
    of the descent. first_order: hand the steps' gradients on as constants, so that whatever is made of the result has
    no second derivatives in its gradient.

    Returns the adapted weights of each task; a gradient flows through them back to where they began.

    One weight w = 1, one example x = 1 with answer 3: the gradient of (w x - 3)^2 is -4, so 1 + 0.1 * 4 = 1.4. By
    how much does that move when w does? By 1 - 0.1 * 2 = 0.8; to the first order, by 1.

    >>> def line(weights, x): return weights["w"][:, None] * x
    >>> for first_order in (False, True):
    ...     w = torch.ones(1, requires_grad=True)
    ...     one = adapt(line, {"w": w}, torch.ones(1, 1), torch.full((1, 1), 3.0), 0.1, 1, first_order)["w"]
    ...     print(one.item(), torch.autograd.grad(one.sum(), w)[0].item())
    1.4 0.8
    1.4 1.0

    Reference: C. Finn, P. Abbeel, S. Levine, 2017, "Model-agnostic meta-learning for fast adaptation of deep
    networks", eq. 1 and section 5.2 (first order).
    """
    names, held = list(weights), list(weights.values())
    for _ in range(steps):
        losses = inner_loss(answer(dict(zip(names, held, strict=True)), support), answers)  # (T,)
        # no task's loss knows another's weights: the gradient of the sum holds the gradient of each
        found = torch.autograd.grad(losses.sum(), held, create_graph=not first_order, materialize_grads=True)
        held = [weight - lr * slope for weight, slope in zip(held, found, strict=True)]
    return dict(zip(names, held, strict=True))


def per_task(network: nn.Module) -> Answer:
    """Let a network answer for many tasks at once, each with weights of its own; all others it has are shared.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> per_task(net)({"weight": torch.tensor([[[1.0]], [[10.0]]])}, torch.ones(2, 1, 1)).flatten()
    tensor([ 1., 10.])
    """
    return vmap(lambda weights, inputs: functional_call(network, weights, (inputs,)), randomness="different")


def beginning(network: nn.Module, patterns: str | Sequence[str], tasks: int, linked: bool) -> Weights:
    """Give each task the weights that it begins from: those that train and whose names match a pattern.

    linked: let gradients flow from the tasks' weights back to the network's own.

    >>> {name: tuple(weight.shape) for name, weight in beginning(nn.Linear(2, 1), "*", 3, True).items()}
    {'weight': (3, 1, 2), 'bias': (3, 1)}
    """
    chosen = set(matching(network, patterns))
    own = {name: one for name, one in network.named_parameters() if name in chosen and one.requires_grad}
    if not own:
        raise UserError(f"of the weights '{patterns}' none trains; allowed: a pattern of some that are not frozen.")
    weights = {name: one.expand(tasks, *one.shape) for name, one in own.items()}  # (...) -> (T, ...), no copy
    return weights if linked else {name: one.detach().requires_grad_() for name, one in weights.items()}
