"""Episodes: what a model learns from when nobody knows the answers, and it has to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.worlds import Worlds
from locution.engine.batch import Batch, map_tensors
from locution.engine.batches import TensorBatches
from locution.engine.random import generator, stream_key
from locution.errors import LocutionError, require
from locution.losses.policy_gradient import advantages, log_prob, policy_and_values, surprises
from locution.models.asleep import asleep


@dataclass
class Rollout:
    """What happened while a policy acted for a while in several worlds side by side.

    Shapes: observed and then (T, W, observations), before and after each action; actions, rewards, ended and cut
    (T, W); finished holds the whole return of each episode that came to its end meanwhile.
    """

    observed: Tensor
    then: Tensor
    actions: Tensor
    rewards: Tensor
    ended: Tensor
    cut: Tensor
    finished: Tensor


def roll_out(model: nn.Module, worlds: Worlds, length: int, seed: int, number: int) -> Rollout:
    """A rollout lets a policy act for a while in several worlds side by side, and writes down what happened.

    `length` steps are taken in each; every episode and every draw is keyed by the seed and the number of the rollout.

    >>> class Even(nn.Module):
    ...     def forward(self, x): return {"logits": torch.zeros(len(x), 2), "values": torch.zeros(len(x))}
    >>> found = roll_out(Even(), Worlds("CartPole-v1", 2), 50, seed=0, number=0)
    >>> found.observed.shape, int(found.rewards.sum())
    (torch.Size([50, 2, 4]), 100)

    Reference: J. Schulman et al., 2017, "Proximal policy optimization algorithms", algorithm 1.
    """
    count, device = len(worlds.worlds), next(model.parameters(), torch.empty(0)).device
    draw, begun = generator(seed, "actions", number), [0] * count
    seen = worlds.begin([stream_key(seed, "worlds", number, place, 0) for place in range(count)])
    so_far, finished, columns = torch.zeros(count), [], []
    for _ in range(length):
        logits, _ = policy_and_values(model(seen.to(device)))
        actions = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=draw).squeeze(1)  # (W,)
        then, rewards, ended, cut = worlds.step(actions)
        columns.append((seen, then, actions, rewards, ended, cut))
        seen, so_far = then.clone(), so_far + rewards
        for place in (ended | cut).nonzero().flatten().tolist():
            begun[place] += 1
            finished.append(so_far[place].item())
            so_far[place] = 0.0
            seen[place] = worlds.begin_one(place, stream_key(seed, "worlds", number, place, begun[place]))
    observed, after, done, rewarded, ended, cut = (torch.stack(column) for column in zip(*columns, strict=True))
    return Rollout(observed, after, done, rewarded, ended, cut, torch.tensor(finished))


def judged(model: nn.Module, rollout: Rollout, discount: float, trace: float) -> Batch:
    """Say of each action how likely it was, and how much better it turned out than what the critic expected.

    Advantages are brought to a mean of 0 and a spread of 1, so that the size of the rewards does not matter.
    """
    device = next(model.parameters(), torch.empty(0)).device
    steps, count = rollout.rewards.shape

    def asked(observed: Tensor) -> tuple[Tensor, Tensor]:
        logits, values = policy_and_values(model(observed.flatten(0, 1).to(device)))
        return logits.cpu(), values.cpu().view(steps, count)

    logits, values = asked(rollout.observed)
    _, later = asked(rollout.then)
    over = rollout.ended | rollout.cut  # behind the last step stands what the critic expects there
    worth = advantages(surprises(rollout.rewards, values, later, rollout.ended, discount), over, discount, trace)
    actions = rollout.actions.flatten()
    targets = {
        "action": actions,
        "before": log_prob(logits, actions),
        "advantage": ((worth - worth.mean()) / worth.std().clamp(min=1e-8)).flatten(),
        "return": (worth + values).flatten(),
    }
    return Batch(rollout.observed.flatten(0, 1), targets)


class Rollouts:
    """Batches that the model makes for itself: each epoch is what it tries now, learnt from a few times.

    An epoch begins with a rollout by the model as it is then; its steps go through what happened `passes` times, in
    another order each. `model` is set before the first epoch. What is left of an epoch that was stopped midway can only
    be taken from what `kept` holds, for the model that tried it is no more.
    """

    def __init__(self, settings: EpisodesData) -> None:
        self.settings, self.worlds = settings, Worlds(settings.world, settings.worlds)
        self.model: nn.Module | None = None
        self.number, self.batch, self.finished = -1, Batch(torch.empty(0)), torch.empty(0)

    def __len__(self) -> int:
        return self.settings.length * self.settings.worlds

    def steps(self) -> int:
        """Count the batches of an epoch."""
        return self.settings.passes * -(-len(self) // self.settings.batch_size)

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Try, then go through what happened, leaving out the first `skip` batches."""
        if not skip:
            self.try_out(number, seed)
        elif number != self.number:
            raise LocutionError(f"what was tried in epoch {number} is not kept; allowed: to begin the epoch again.")
        whole = self.batch
        order = TensorBatches(whole.inputs, whole.targets, batch_size=self.settings.batch_size)
        first, gone = divmod(skip, order.steps())
        for turn in range(first, self.settings.passes):
            again = number * self.settings.passes + turn  # another order each time
            yield from order.epoch(again, seed, gone if turn == first else 0)

    def try_out(self, number: int, seed: int) -> None:
        """Let the model act, asleep and without a gradient, and judge what came of it."""
        if self.model is None:
            raise LocutionError("nobody acts yet; allowed: a model, set before the first epoch.")
        with asleep(self.model) as model:
            rollout = roll_out(model, self.worlds, self.settings.length, seed, number)
            self.batch = judged(model, rollout, self.settings.discount, self.settings.trace)
        self.number, self.finished = number, rollout.finished

    def kept(self) -> dict[str, Any]:
        """What a checkpoint must hold to go on within an epoch."""
        if self.number < 0:
            return {}
        return {
            "number": self.number,
            "inputs": self.batch.inputs,
            "targets": map_tensors(Tensor.clone, self.batch.targets),
            "finished": self.finished,
        }

    def take_back(self, kept: dict[str, Any]) -> None:
        """Take back what `kept` gave."""
        if kept:
            self.number, self.finished = kept["number"], kept["finished"]
            self.batch = Batch(kept["inputs"], dict(kept["targets"]))


@dataclass(frozen=True)
class EpisodesData:
    """Episodes in a world: the model acts, is rewarded, and learns from what it tried.

    Settings
    --------
    world: the name of one of Gymnasium's worlds with a few actions to choose from, such as CartPole-v1 or Acrobot-v1.
    worlds: how many side by side. length: steps in each before the model learns from them; every time episodes begin
    afresh. passes: how often it learns from the same steps. batch_size: steps in a batch. discount: how much a reward
    counts one step later. trace: how far the estimate of an advantage looks ahead before it trusts the critic, from 0
    to 1.

    >>> EpisodesData().load(seed=0).describe()
    'CartPole-v1: 1024 to learn from; each (4,) -> 2 numbers'

    Reference: M. Towers et al., 2024, "Gymnasium: a standard interface for reinforcement learning environments".
    """

    world: str = "CartPole-v1"
    worlds: int = 2
    length: int = 512
    passes: int = 10
    batch_size: int = 64
    discount: float = 0.99
    trace: float = 0.95

    def __post_init__(self) -> None:
        for setting in ("worlds", "length", "passes", "batch_size"):
            require(getattr(self, setting) >= 1, f"data.{setting}", getattr(self, setting), "a whole number from 1")
        for setting in ("discount", "trace"):
            value = getattr(self, setting)
            require(0 <= value <= 1, f"data.{setting}", value, "a number from 0 to 1, usually 0.95 to 0.99")

    def load(self, seed: int) -> Dataset:
        """Open the worlds; what they show comes as the model acts."""
        rollouts = Rollouts(self)
        worlds = rollouts.worlds
        return Dataset(rollouts, inputs=(worlds.observations,), outputs=worlds.actions, source=self.world)
