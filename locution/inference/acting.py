"""Acting: a trained policy plays whole episodes, and what came of them is counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from locution.data.worlds import Worlds
from locution.engine.random import generator, stream_key
from locution.errors import require
from locution.losses.policy_gradient import policy_and_values


@dataclass
class Played:
    """What came of whole episodes: the return of each (N,), its steps (N,), and what was seen on the way.

    seen: (steps, observations) of the first episode; values and chances: what the critic expected there (steps,), and
    how likely each action was (steps, actions).
    """

    returns: Tensor
    steps: Tensor
    seen: Tensor
    values: Tensor
    chances: Tensor
    all_seen: Tensor = field(default_factory=lambda: torch.empty(0))


def play(model: nn.Module, world: str, episodes: int, *, seed: int = 0, drawn: bool = False) -> Played:
    """Let a policy play whole episodes, the likeliest action each time, or actions drawn by how likely they are.

    The episodes of a seed begin alike for every policy, and apart from all that training ever sees.

    >>> class Right(nn.Module):
    ...     def forward(self, x): return {"logits": torch.tensor([[0.0, 1.0]]).expand(len(x), 2), "values": x[:, 0]}
    >>> bool((play(Right(), "CartPole-v1", 3).returns < 12).all())  # always to the right: it falls at once
    True
    """
    require(episodes >= 1, "episodes", episodes, "a whole number from 1")
    worlds, device = Worlds(world, episodes), next(model.parameters(), torch.empty(0)).device
    seen = worlds.begin([stream_key(seed, "judged", number) for number in range(episodes)])
    draw, alive = generator(seed, "judged actions"), list(range(episodes))
    found, steps = torch.zeros(episodes), torch.zeros(episodes)
    first: list[tuple[Tensor, Tensor, Tensor]] = []
    everything = []
    while alive:
        with torch.no_grad():
            logits, values = policy_and_values(model(seen[alive].to(device)))
        chances = logits.softmax(-1).cpu()
        everything.append(seen[alive])
        if alive[0] == 0:
            first.append((seen[0].clone(), values[0].cpu(), chances[0]))
        actions = torch.multinomial(chances, 1, generator=draw)[:, 0] if drawn else chances.argmax(-1)
        then, rewards, ended, cut = worlds.step(actions, alive)
        found[alive] += rewards
        steps[alive] += 1
        seen[alive] = then
        alive = [place for place, over in zip(alive, (ended | cut).tolist(), strict=True) if not over]
    columns = [torch.stack(column) for column in zip(*first, strict=True)]
    return Played(found, steps, columns[0], columns[1], columns[2], torch.cat(everything))
