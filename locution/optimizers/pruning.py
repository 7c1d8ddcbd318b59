"""Iterative magnitude pruning with rewinding: training in rounds, each with fewer weights, to find a winning ticket."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.method import Method, Optimizer, Plan, Step
from locution.engine.random import generator
from locution.engine.state import load_trained_state, trained_state
from locution.errors import UserError, require, unknown
from locution.models.sparsity import KINDS, magnitude_masks, prunable
from locution.models.surgery import match_layers
from locution.optimizers.wrapper import Wrapper

REWINDS = ("early", "start", "random")
SCOPES = ("global", "layer")
Weights = dict[str, Tensor]


def round_ends(steps: int, rounds: int) -> list[int]:
    """Cut training into one round more than there are prunings, as even as can be: the step at which each ends.

    >>> round_ends(100, 3)
    [25, 50, 75, 100]
    """
    if steps < rounds + 1:
        raise UserError(
            f"pruning.rounds is {rounds}, and training has {steps} steps; allowed: fewer rounds than steps."
        )
    return [round(steps * (index + 1) / (rounds + 1)) for index in range(rounds + 1)]


def share_left(keep: float, rounds: int, done: int) -> float:
    """Say what share of the weights is left after some of the rounds: each takes the same share of what is there.

    >>> [round(share_left(0.2, 4, done), 3) for done in range(5)]
    [1.0, 0.669, 0.447, 0.299, 0.2]

    Reference: J. Frankle, M. Carbin, 2019, "The lottery ticket hypothesis", section 2: p^(1/n) % in each round.
    """
    return float(keep ** (done / rounds))


def shuffled(weights: Weights, seed: int, stream: str = "pruning") -> Weights:
    """Draw new random weights: those of each tensor in another order, so that they are spread as the first ones were.

    >>> shuffled({"a": torch.tensor([1.0, 2.0, 3.0])}, seed=0)
    {'a': tensor([2., 1., 3.])}
    """
    found = {}
    for name, weight in weights.items():
        order = torch.randperm(weight.numel(), generator=generator(seed, f"{stream} {name}"))
        found[name] = weight.flatten()[order.to(weight.device)].view_as(weight)
    return found


@dataclass
class PruningMethod(Method):
    """Iterative magnitude pruning looks for a winning ticket: few of a network's weights that learn as well as all.

    Training is cut into rounds. After each but the last the weights nearest to zero become zero for good, the others
    go back to what they were early on, and the optimizer and its schedule begin anew. The last round trains what is
    left, the ticket. With rounds = 1 they all go at once. What leaves training is a plain model that holds zeros.

    Settings
    --------
    keep: the share of the weights that is left in the end. rounds: how often weights go; training is cut into one round
    more. rewind: "early" goes back to the weights a little into the first round, "start" to those before it; "random"
    is a control: it finds its ticket as "early" does, and at last draws new random first weights for it. at: where
    early is, as a share of the first round. scope: the smallest weights of all, "global", or of each "layer". layers:
    which linear and convolution layers, by a pattern on their names, or several; biases are never pruned.

    Four steps are two rounds; of the weights 1 and 2 one is left, and only the rewound one trains on:

    >>> net = nn.Linear(2, 1, bias=False)
    >>> net.weight.data = torch.tensor([[1.0, 2.0]])
    >>> method = PruningMethod(keep=0.5, rounds=1, rewind="start")
    >>> optimizer = method.optimizer(torch.optim.SGD(net.parameters(), lr=0.1), Plan(steps=4))
    >>> for number in range(4):
    ...     now = Step(number, 0, Plan(steps=4), net)
    ...     _ = method.batch(Batch(torch.empty(0)), now)
    ...     net.weight.grad = torch.ones(1, 2)
    ...     method.gradient([net.weight], now)
    ...     _ = optimizer.step()
    ...     method.update(net, now)
    ...     print(net.weight.data)
    tensor([[0.9, 1.9]])
    tensor([[0.8, 1.8]])
    tensor([[0.0, 1.9]])
    tensor([[0.0, 1.8]])

    Reference: J. Frankle, M. Carbin, 2019, "The lottery ticket hypothesis: finding sparse, trainable neural networks",
    section 2; early: J. Frankle, G. Dziugaite, D. Roy, M. Carbin, 2020, "Linear mode connectivity and the lottery
    ticket hypothesis", algorithm 2.
    """

    name: ClassVar[str] = "pruning"
    after: ClassVar[tuple[str, ...]] = ("sam", "lookahead", "one_cycle", "trapezoid")  # all of them begin anew
    excludes: ClassVar[dict[str, str]] = {
        "averaging": "its mean would mix the networks of several rounds: lookahead smooths within each",
        "lora": "the weights that it would prune are frozen: prune in a run without it",
        "stages": "both cut training into parts of their own: keep one of them",
    }

    keep: float = 0.2
    rounds: int = 5
    rewind: Literal["early", "start", "random"] = "early"
    at: float = 0.1
    scope: Literal["global", "layer"] = "global"
    layers: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        require(0 < self.keep < 1, "pruning.keep", self.keep, "a share above 0 and below 1, usually 0.2")
        require(self.rounds >= 1, "pruning.rounds", self.rounds, "a whole number from 1, usually 3 to 20")
        require(0 <= self.at < 1, "pruning.at", self.at, "a share of a round from 0 up to, not with, 1, usually 0.1")
        require(bool(self.layers), "pruning.layers", self.layers, "a pattern on the layers' names, such as *")
        for setting, allowed in (("rewind", REWINDS), ("scope", SCOPES)):
            if getattr(self, setting) not in allowed:
                raise unknown(f"pruning.{setting}", getattr(self, setting), allowed)
        self.forget()

    def forget(self) -> None:
        """Be as new: no round is over."""
        self.done = 0
        self.ends: list[int] = []
        self.optimizers: list[tuple[Any, dict[str, Any]]] = []
        self.first: Weights = {}
        self.early: Weights = {}
        self.masks: dict[str, Tensor] = {}
        self.held: list[tuple[nn.Parameter, Tensor]] = []

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        self.forget()
        self.ends = round_ends(plan.steps, self.rounds) if plan.steps else []
        match_layers(model, self.layers, KINDS)  # a pattern that matches nothing is refused before training
        return model

    def optimizer(self, optimizer: Optimizer, plan: Plan) -> Optimizer:
        if plan.steps is None:
            raise UserError(
                "pruning.rounds divides steps that nobody can count; allowed: steps=N, or epochs of known data."
            )
        if not self.ends:  # those of the run: a turn may have a plan of fewer steps
            self.ends = round_ends(plan.steps, self.rounds)
        self.optimizers.append((optimizer, copy.deepcopy(optimizer.state_dict())))
        self.stretch()
        return optimizer

    def stretch(self) -> None:
        """Let schedules last as long as the round that is on."""
        begin = self.ends[self.done - 1] if self.done else 0
        for optimizer, _ in self.optimizers:
            if isinstance(optimizer, Wrapper):
                optimizer.lasts(self.ends[self.done] - begin)

    def batch(self, batch: Batch, step: Step) -> Batch:
        if step.number == 0 and self.rewind != "early":
            self.first = snapshot(step.model)
        if step.number == round(self.at * self.ends[0]) and self.rewind != "start":
            self.early = snapshot(step.model)
        if self.done < self.rounds and step.number == self.ends[self.done]:
            self.prune(step.model, step.plan.seed)
        return batch

    def prune(self, model: nn.Module, seed: int) -> None:
        """End a round: the smallest weights go, the others go back, the optimizer begins anew."""
        self.done += 1
        left = share_left(self.keep, self.rounds, self.done)
        self.masks = magnitude_masks(prunable(model, self.layers), left, self.scope, self.masks or None)
        back = self.first if self.rewind == "start" else self.early
        if self.rewind == "random" and self.done == self.rounds:
            drawn = {name: self.first[name] for name, p in model.named_parameters() if p.requires_grad}
            back = self.first | shuffled(drawn, seed)
        load_trained_state(model, back)
        self.hold(model)
        self.update(model)
        for optimizer, fresh in self.optimizers:
            optimizer.load_state_dict(fresh)
        self.stretch()

    def hold(self, model: nn.Module) -> None:
        """Find the weights that the masks are of."""
        weights = dict(model.named_parameters())
        self.held = [(weights[name], mask.to(weights[name].device)) for name, mask in self.masks.items()]

    def gradient(self, parameters: Sequence[nn.Parameter], step: Step) -> None:
        if self.masks and not self.held:
            self.hold(step.model)  # taken back from a checkpoint
        for weight, mask in self.held:
            if weight.grad is not None:
                weight.grad.mul_(mask)

    @torch.no_grad()
    def update(self, model: nn.Module, step: Step | None = None) -> None:
        for weight, mask in self.held:
            weight.mul_(mask)  # an optimizer may move weights without a gradient

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "masks": dict(self.masks), "first": dict(self.first), "early": dict(self.early)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self.done, self.masks = int(state_dict["done"]), dict(state_dict["masks"])
            self.first, self.early, self.held = dict(state_dict["first"]), dict(state_dict["early"]), []
            self.stretch()


def snapshot(model: nn.Module) -> Weights:
    """Copy the weights that train, and the buffers beside them."""
    return {name: tensor.detach().clone() for name, tensor in trained_state(model).items()}
