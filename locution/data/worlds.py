"""Worlds to act in: Gymnasium's, by name, several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from locution.errors import UserError, nearest

NAMES = {
    "CartPole": (("position", "speed", "angle", "turning"), ("left", "right")),
    "MountainCar": (("position", "speed"), ("left", "nothing", "right")),
    "Acrobot": (
        ("cosine 1", "sine 1", "cosine 2", "sine 2", "turning 1", "turning 2"),
        ("clockwise", "nothing", "counterclockwise"),
    ),
}
"""What observations and actions are called, where Gymnasium's documentation has words for them."""
KNOWN = "CartPole-v1, Acrobot-v1, MountainCar-v0"


def gymnasium() -> Any:
    """Import Gymnasium, or say where to get it."""
    try:
        import gymnasium as library
    except ImportError:
        raise UserError(
            "worlds need gymnasium, which is not installed; pip install 'locution[reinforcement]'."
        ) from None
    return library


def open_world(name: str) -> Any:
    """Open one of Gymnasium's worlds by its name, if what is observed is numbers and actions can be counted.

    >>> world = open_world("CartPole-v1")
    >>> world.observation_space.shape, int(world.action_space.n)
    ((4,), 2)
    """
    library = gymnasium()
    if name not in library.registry:  # a name such as module:World would import what a recipe says
        guess = nearest(name, library.registry)
        hint = f" Did you mean '{guess}'?" if guess else ""
        raise UserError(f"'{name}' is no world.{hint} Allowed: {KNOWN}, and others of Gymnasium's.")
    try:
        world = library.make(name, disable_env_checker=True)
    except (library.error.Error, ImportError) as error:
        raise UserError(f"world '{name}' cannot be opened: {' '.join(str(error).split())}") from error
    seen, done = world.observation_space, world.action_space
    if not isinstance(done, library.spaces.Discrete):
        raise UserError(f"world '{name}' takes {done}; allowed: worlds of a few actions to choose from, Discrete.")
    if not isinstance(seen, library.spaces.Box) or len(seen.shape) != 1:
        raise UserError(f"world '{name}' shows {seen}; allowed: worlds that show a row of numbers, Box(..., (n,)).")
    return world


def names(world: str, observations: int, actions: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name what is observed in a world and what can be done there.

    >>> names("CartPole-v1", 4, 2)[1], names("Unknown-v0", 1, 2)
    (('left', 'right'), (('observation 1',), ('action 1', 'action 2')))
    """
    seen, done = NAMES.get(world.rpartition("-")[0], ((), ()))
    if (len(seen), len(done)) == (observations, actions):
        return seen, done
    numbered = [tuple(f"{kind} {n + 1}" for n in range(count)) for kind, count in _kinds(observations, actions)]
    return numbered[0], numbered[1]


def _kinds(observations: int, actions: int) -> Sequence[tuple[str, int]]:
    return (("observation", observations), ("action", actions))


class Worlds:
    """Several worlds of one name side by side, in each of which episode after episode begins from a seed of its own.

    >>> worlds = Worlds("CartPole-v1", 2)
    >>> worlds.begin([1, 2]).shape
    torch.Size([2, 4])
    >>> seen, rewards, ended, cut = worlds.step(torch.tensor([0, 1]))
    >>> rewards.tolist(), ended.tolist(), cut.tolist()
    ([1.0, 1.0], [False, False], [False, False])

    Reference: M. Towers et al., 2024, "Gymnasium: a standard interface for reinforcement learning environments".
    """

    def __init__(self, name: str, count: int) -> None:
        self.worlds = [open_world(name) for _ in range(count)]
        space = self.worlds[0].action_space
        self.actions, self.first = int(space.n), int(space.start)
        self.observations = int(self.worlds[0].observation_space.shape[0])

    def begin(self, seeds: Sequence[int]) -> Tensor:
        """Begin an episode in every world: what is seen there, (W, observations)."""
        return torch.stack([self.begin_one(place, seed) for place, seed in enumerate(seeds)])

    def begin_one(self, place: int, seed: int) -> Tensor:
        """Begin an episode in one world: what is seen there, (observations,)."""
        seen, _ = self.worlds[place].reset(seed=seed)
        return torch.from_numpy(np.array(seen, dtype=np.float32))

    def step(self, actions: Tensor, where: Sequence[int] = ()) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Act in every world, or in those named by `where`: what is seen then, the rewards, who ended, who was cut.

        An episode ends where the world says that it is over, and is cut where only its time is up.
        """
        found = [
            self.worlds[place].step(action + self.first)[:4]
            for place, action in zip(where or range(len(self.worlds)), actions.tolist(), strict=True)
        ]
        seen, rewards, ended, cut = zip(*found, strict=True)
        stacked = torch.from_numpy(np.array(seen, dtype=np.float32))
        return stacked, torch.tensor(rewards, dtype=torch.float32), torch.tensor(ended), torch.tensor(cut)
