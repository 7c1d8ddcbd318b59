"""How acting is judged, in a world whose every reward is known: returns, lengths, what was seen, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from locution.engine import Record
from locution.engine.random import stream_key
from locution.inference.acting import Played, play
from locution.recipe import resolve
from locution.reporting.results import RunResults
from locution.tasks import reinforcement
from locution.tasks.acting import Acting
from locution.tasks.reinforcement import Reinforcement, episode, learning


class Ladder(gymnasium.Env[Any, Any]):
    """A world of a few steps, as many as the seed says: each pays its number, and half as much again for the second
    action. It ends where the steps are even, and is cut where they are odd."""

    observation_space = gymnasium.spaces.Box(-100, 100, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, steps: int = 0) -> None:
        self.always, self.number, self.steps = steps, 0, 0

    def seen(self) -> Any:
        return np.array([self.number, self.steps], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.number, self.steps = 0, self.always or int(self.np_random.integers(2, 9))
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.number += 1
        done = self.number >= self.steps
        return self.seen(), self.number * (1 + 0.5 * action), done and not self.steps % 2, done and self.steps % 2, {}


@pytest.fixture(scope="module", autouse=True)
def worlds() -> Iterator[None]:
    """Make the worlds known for as long as these tests run."""
    names = {"Ladder-v0": 0, "LadderOfSix-v0": 6}
    for name, steps in names.items():
        gymnasium.register(name, entry_point=Ladder, kwargs={"steps": steps})
    yield
    for name in names:
        del gymnasium.registry[name]


class Policy(nn.Module):
    """Likes the second action on every other step, and more so the longer the ladder; awake it likes the first."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        push = self.strength * (x[:, 0] % 2 - 0.4) * x[:, 1] * (-1 if self.training else 1)
        return {"logits": torch.stack([-push, push], 1), "values": 10 * x[:, 0] + x[:, 1]}


def by_hand(number: int, seed: int) -> tuple[float, list[list[float]]]:
    """Play one episode alone: its return and what was seen before each action."""
    world, seen, total = Ladder(), [], 0.0
    at, _ = world.reset(seed=stream_key(seed, "judged", number))
    over = False
    while not over:
        seen.append(at.tolist())
        at, reward, ended, cut, _ = world.step(int(at[0] % 2 > 0.4))
        total, over = total + reward, bool(ended or cut)
    return total, seen


@pytest.mark.parametrize("seed", [0, 3])
def test_every_return_and_all_that_was_seen_is_that_of_an_episode_alone(seed: int) -> None:
    played = play(Policy().eval(), "Ladder-v0", 12, seed=seed)
    alone = [by_hand(number, seed) for number in range(12)]
    assert played.returns.tolist() == pytest.approx([total for total, _ in alone])
    assert played.steps.tolist() == [len(seen) for _, seen in alone]
    assert len(set(played.steps.tolist())) > 3  # short ones leave the others behind, ended or cut
    first = torch.tensor(alone[0][1])
    assert torch.equal(played.seen, first)
    said = {name: values.detach() for name, values in Policy().eval()(first).items()}
    torch.testing.assert_close(played.values, said["values"])
    torch.testing.assert_close(played.chances, said["logits"].softmax(-1))
    assert sorted(played.all_seen.tolist()) == sorted(row for _, seen in alone for row in seen)


def test_actions_are_drawn_by_how_likely_they_are_and_by_the_seed() -> None:
    class Third(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": torch.tensor([[2.0, 1.0]]).log().expand(len(x), 2), "values": x[:, 0]}

    first, again, other = (play(Third(), "LadderOfSix-v0", 400, seed=seed, drawn=True).returns for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)  # the world is always the same; the draws are not
    # 21, and half of each number with a chance of a third: a variance of 91 / 4 x 2 / 9
    assert first.mean().item() == pytest.approx(21 + 21 / 6, abs=5 * (91 / 4 * 2 / 9 / 400) ** 0.5)
    assert play(Third(), "LadderOfSix-v0", 3).returns.tolist() == [21.0] * 3  # never the less likely


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task in that world, judged by few episodes."""
    monkeypatch.setattr(reinforcement, "EPISODES", 12)
    recipe = resolve("cartpole", ["data.world=Ladder-v0", "data.length=20", "data.passes=4", "data.batch_size=10"])
    return recipe, Reinforcement().prepare(recipe, quiet=True)


def test_a_policy_is_judged_asleep_by_its_likeliest_actions_and_by_drawn_ones(job: Any) -> None:
    recipe, made = job
    found: RunResults = Reinforcement().evaluate(recipe, made, Policy().train())
    sleeping = Policy().eval()
    likeliest, drawn = (play(sleeping, "Ladder-v0", 12, drawn=how) for how in (False, True))
    figures = {metric.name: metric.value for metric in found.metrics}
    means = [float(values.mean()) for values in (likeliest.returns, drawn.returns, likeliest.steps)]
    assert list(figures.items()) == [
        (name, pytest.approx(mean, rel=1e-4))
        for name, mean in zip(("return", "return_drawn", "length"), means, strict=True)
    ]
    assert len(set(means)) == 3
    titles = [graph.title for graph in found.graphs]
    assert titles == ["An episode", "An episode: how likely each action is"]
    assert made.per_example == 1 / 4  # a step in the world is learnt from four times


def test_an_episode_is_drawn_as_it_was_played() -> None:
    chances = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    seen = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    one = Played(torch.tensor([7.0, 9.0]), torch.tensor([2.0, 3.0]), seen, torch.zeros(2), chances)
    what, how = episode(one, "Ladder-v0")
    assert what.lines == {"observation 1": ([0, 1], [1.0, 3.0]), "observation 2": ([0, 1], [2.0, 4.0])}
    assert {name: line[1] for name, line in how.lines.items()} == {
        "action 1": pytest.approx([0.9, 0.2]),
        "action 2": pytest.approx([0.1, 0.8]),
    }
    assert what.note == "one of the 2 judged by; return 7"


def test_learning_is_drawn_over_the_steps_in_the_world(job: Any) -> None:
    _, made = job
    assert learning(made) == []
    watch = next(one for one in made.observers if isinstance(one, Acting))
    for number, finished in enumerate(([3.0, 5.0], [], [9.0])):
        made.batches.number, made.batches.finished = number, torch.tensor(finished)
        watch.measure(nn.Identity(), Record("epoch", 1, 1, 0.0, 0.1, 1, 0.0))
    (graph,) = learning(made)
    assert graph.lines == {"mean return": ([40, 120], [4.0, 9.0])}  # 2 worlds, 20 steps each; none ended in the second


def test_of_many_observations_evenly_spaced_ones_are_taken() -> None:
    taken = reinforcement._some(torch.arange(50_000.0))
    assert 10_000 < len(taken) <= 20_000
    assert len(taken.diff().unique()) == 1
    assert taken.max() > 49_990
    assert torch.equal(reinforcement._some(torch.arange(7.0)), torch.arange(7.0))


def test_what_to_do_is_said_with_its_chance(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, _ = job
    task = Reinforcement()
    monkeypatch.setattr(task, "load", lambda *_: Policy().eval())
    said = task.predict(recipe, None, ["1,2", "2,4"])  # type: ignore[arg-type]
    for line, (number, steps) in zip(said, ((1.0, 2.0), (2.0, 4.0)), strict=True):
        push = 0.2 * (number % 2 - 0.4) * steps
        chance = torch.tensor(2 * abs(push)).sigmoid().item()
        assert line == f"action {1 + (push > 0)} ({chance:.3f}), expecting {10 * number + steps:.1f}"
