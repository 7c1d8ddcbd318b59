"""Policy gradients: make actions that turned out better than expected more likely, and those that did not, less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean


def returns(rewards: Tensor, over: Tensor, discount: float = 0.99, later: Tensor | None = None) -> Tensor:
    """The return is all the reward from now to the end of an episode, what comes later counting less.

    Shapes: rewards and over (T, ...), where over says that an episode ended with that step; later (...), what is
    expected behind the last step, nothing if it is not given. Returns (T, ...).

    >>> returns(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([False, True, False]), discount=0.5)
    tensor([1.5000, 1.0000, 1.0000])

    Reference: R. Sutton, A. Barto, 2018, "Reinforcement learning: an introduction", eq. 3.9.
    """
    ahead = torch.zeros_like(rewards[0]) if later is None else later
    found = []
    for reward, end in zip(rewards.flip(0), over.flip(0), strict=True):
        ahead = reward + discount * ahead * ~end
        found.append(ahead)
    return torch.stack(found).flip(0)


def surprises(rewards: Tensor, values: Tensor, later: Tensor, ended: Tensor, discount: float = 0.99) -> Tensor:
    """The temporal difference is how much better one step went than the critic had expected of it.

    The reward, plus the discounted value of where it led, less the value of where it began. Behind a step at which an
    episode `ended` nothing is to be had. All tensors are of one shape.

    >>> surprises(torch.tensor([1.0]), torch.tensor([10.0]), torch.tensor([10.0]), torch.tensor([False]), 0.9)
    tensor([0.])

    Reference: R. Sutton, 1988, "Learning to predict by the methods of temporal differences", Machine Learning 3.
    """
    return rewards + discount * later * ~ended - values


def advantages(differences: Tensor, over: Tensor, discount: float = 0.99, trace: float = 0.95) -> Tensor:
    """The advantage says how much better an action turned out than what was expected where it was taken.

    This is the generalised estimate (GAE): temporal differences of this step and of those after it, each further one
    weighed by discount times trace once more. A trace of 0 trusts the critic after one step, 1 trusts only what
    happened.

    Shapes: differences and over (T, ...), where over says that an episode ended, or was cut, with that step.

    >>> advantages(torch.tensor([1.0, 1.0, 4.0]), torch.tensor([False, True, True]), discount=1.0, trace=0.5)
    tensor([1.5000, 1.0000, 4.0000])

    Reference: J. Schulman, P. Moritz, S. Levine, M. Jordan, P. Abbeel, 2016, "High-dimensional continuous control
    using generalized advantage estimation", eq. 16.
    """
    return returns(differences, over, discount * trace)


def reinforce(log_probs: Tensor, worth: Tensor) -> Tensor:
    """The policy gradient (REINFORCE) makes each action likelier by as much as it was worth more than expected.

    This is what is minimised for it, its gradient being that of the expected return: minus the logarithm of the
    probability of the action, times its worth. Shapes: (N,), (N,) -> (N,).

    >>> logit = torch.zeros(1, requires_grad=True)
    >>> reinforce(functional.logsigmoid(logit), torch.tensor([3.0])).backward()
    >>> logit.grad  # minus 3 (1 - 1/2)
    tensor([-1.5000])

    Reference: R. Williams, 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
    learning", eq. 4.
    """
    return -log_probs * worth


def clipped_surrogate(log_probs: Tensor, before: Tensor, worth: Tensor, clip: float = 0.2) -> Tensor:
    """Proximal policy optimisation (PPO) learns several times from what was tried once, and stops where it goes far.

    The ratio of an action's probability now to that when it was taken multiplies its worth; once the ratio has moved by
    `clip` to the side that pays, it earns nothing more. Shapes: (N,) each -> (N,).

    >>> one, worth = torch.zeros(4), torch.tensor([2.0, 2.0, -2.0, -2.0])
    >>> now = torch.tensor([1.5, 0.5, 1.5, 0.5]).log()
    >>> clipped_surrogate(now, one, worth)
    tensor([-2.4000, -1.0000,  3.0000,  1.6000])

    Reference: J. Schulman, F. Wolski, P. Dhariwal, A. Radford, O. Klimov, 2017, "Proximal policy optimization
    algorithms", eq. 7.
    """
    ratio = (log_probs - before).exp()
    return -torch.minimum(ratio * worth, ratio.clamp(1 - clip, 1 + clip) * worth)


def entropy(logits: Tensor) -> Tensor:
    """Measure how undecided a policy is, in nats: (N, A) -> (N,), from 0 to the logarithm of A.

    >>> entropy(torch.zeros(1, 2))  # ln 2
    tensor([0.6931])
    """
    logs = functional.log_softmax(logits, -1)
    return -(logs.exp() * logs).sum(-1)


@dataclass
class PolicyGradient:
    """The policy gradient makes actions that turned out better than expected more likely, and others less.

    A batch holds what was observed (N, ...), and as targets a dict of the "action" taken (N,), its log-probability when
    it was taken "before" (N,), its "advantage" (N,), and the "return" (N,) that the critic is to expect. The model
    answers with "logits" (N, A), one an action, and "values" (N,).

    Settings
    --------
    clip: how far the probability of an action may move from where it was when it was taken, as a share (PPO); 0 for the
    plain gradient with a baseline (REINFORCE), which is right only on the first pass over what was tried. value_weight:
    how much the critic's squared error counts. entropy_weight: how much it is worth to stay undecided.

    >>> class Even(nn.Module):
    ...     def forward(self, x): return {"logits": torch.zeros(len(x), 2), "values": torch.zeros(len(x))}
    >>> tried = {"action": torch.tensor([0]), "before": torch.tensor([0.5]).log()}
    >>> batch = Batch(torch.zeros(1, 4), tried | {"advantage": torch.tensor([3.0]), "return": torch.tensor([2.0])})
    >>> PolicyGradient()(Even(), batch)[1]  # minus 3, plus half of 2 squared
    tensor(-1.)

    Reference: R. Williams, 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
    learning", eq. 4; J. Schulman et al., 2017, "Proximal policy optimization algorithms", eq. 9.
    """

    clip: float = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.clip < 1, "objective.clip", self.clip, "a share from 0 (no clipping) up to, not with, 1")
        require(self.value_weight >= 0, "objective.value_weight", self.value_weight, "a number from 0, usually 0.5")
        fine = self.entropy_weight >= 0
        require(fine, "objective.entropy_weight", self.entropy_weight, "a number from 0, usually up to 0.01")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        output = model(batch.inputs)
        logits, values = policy_and_values(output)
        tried = batch.targets
        log_probs = log_prob(logits, tried["action"])
        if self.clip:
            losses = clipped_surrogate(log_probs, tried["before"], tried["advantage"], self.clip)
        else:
            losses = reinforce(log_probs, tried["advantage"])
        losses = losses + self.value_weight * (values - tried["return"]).square()
        if self.entropy_weight:
            losses = losses - self.entropy_weight * entropy(logits)
        return output, weighted_mean(losses, batch)


def log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """Say how likely each action was to be taken, as a logarithm: (N, A), (N,) -> (N,).

    >>> log_prob(torch.zeros(1, 4), torch.tensor([2]))  # ln 1/4
    tensor([-1.3863])
    """
    logs: Tensor = functional.log_softmax(logits, -1)
    return logs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def policy_and_values(output: Any) -> tuple[Tensor, Tensor]:
    """Take what an actor-critic answered, in fp32; refuse the answer of any other model in one line."""
    if not isinstance(output, dict) or not {"logits", "values"} <= set(output):
        kind = type(output).__name__
        raise UserError(f"the model answered with {kind}; allowed: a dict of logits and values, as of actor_critic.")
    logits, values = (output[name] for name in ("logits", "values"))
    wide = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(wide), values.to(wide)
