"""Rollouts keyed by seed and epoch, judged as written out by hand; worlds by name, refused in one line."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from locution.data.episodes import EpisodesData, Rollout, Rollouts, judged, roll_out
from locution.data.worlds import Worlds, names, open_world
from locution.errors import LocutionError, UserError
from locution.losses.policy_gradient import log_prob
from locution.models.actor_critic import ActorCritic


class Right(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": torch.tensor([[-50.0, 50.0]]).expand(len(x), 2), "values": x.sum(-1)}


@pytest.fixture(scope="module")
def actor() -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(4, 2, (8,))


def test_a_rollout_is_what_gymnasium_says_when_the_same_actions_are_taken(actor: ActorCritic) -> None:
    import gymnasium

    with torch.no_grad():
        found = roll_out(actor, Worlds("CartPole-v1", 2), 60, seed=3, number=1)
    from locution.engine.random import stream_key

    for place in range(2):
        world, begun, total, totals = gymnasium.make("CartPole-v1"), 0, 0.0, []
        seen, _ = world.reset(seed=stream_key(3, "worlds", 1, place, 0))
        for step in range(60):
            assert found.observed[step, place].tolist() == seen.tolist()
            seen, reward, ended, cut, _ = world.step(int(found.actions[step, place]))
            assert found.then[step, place].tolist() == seen.tolist()
            assert (found.ended[step, place], found.cut[step, place]) == (ended, cut)
            total += float(reward)
            if ended or cut:
                begun, totals, total = begun + 1, [*totals, total], 0.0
                seen, _ = world.reset(seed=stream_key(3, "worlds", 1, place, begun))
        assert totals, "no episode ended: nothing was shown of what comes after"
        assert set(totals) <= set(found.finished.tolist())


def test_a_rollout_depends_on_the_seed_and_the_epoch_alone(actor: ActorCritic) -> None:
    worlds = Worlds("CartPole-v1", 2)
    with torch.no_grad():
        one = roll_out(actor, worlds, 40, seed=0, number=5)
        torch.rand(3)
        again = roll_out(actor, Worlds("CartPole-v1", 2), 40, seed=0, number=5)
        others = [roll_out(actor, worlds, 40, seed=0, number=6), roll_out(actor, worlds, 40, seed=1, number=5)]
    assert torch.equal(one.observed, again.observed)
    assert torch.equal(one.actions, again.actions)
    assert not any(torch.equal(one.observed[0], other.observed[0]) for other in others)
    assert not torch.equal(one.observed[0, 0], one.observed[0, 1])


def test_actions_are_taken_as_often_as_they_are_likely() -> None:
    class Seldom(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": torch.tensor([[0.8, 0.2]]).log().expand(len(x), 2), "values": torch.zeros(len(x))}

    found, other = (roll_out(Seldom(), Worlds("CartPole-v1", 4), 500, seed=0, number=number) for number in (0, 1))
    assert not torch.equal(found.actions, other.actions)
    assert found.actions.float().mean().item() == pytest.approx(0.2, abs=5 * (0.2 * 0.8 / 2000) ** 0.5)


def test_what_was_tried_is_judged_as_by_hand() -> None:
    observed = torch.arange(16.0).view(4, 1, 4) / 10
    then = observed + 0.05
    ended = torch.tensor([[True], [False], [False], [False]])
    cut = torch.tensor([[False], [True], [False], [False]])  # its time is up, though it could have gone on
    actions = torch.tensor([[1], [0], [1], [0]])
    rollout = Rollout(observed, then, actions, torch.ones(4, 1), ended, cut, torch.ones(1))
    batch = judged(Right(), rollout, discount=0.9, trace=0.5)
    values, later = observed.sum(-1), then.sum(-1)
    one, two, three, four = (1 + 0.9 * later * ~ended - values).flatten().tolist()
    worth = torch.tensor([[one], [two], [three + 0.45 * four], [four]])
    torch.testing.assert_close(batch.targets["return"], (worth + values).flatten())
    spread = (worth - worth.mean()) / worth.std()
    torch.testing.assert_close(batch.targets["advantage"], spread.flatten())
    logits = torch.tensor([[-50.0, 50.0]]).expand(4, 2)
    torch.testing.assert_close(batch.targets["before"], log_prob(logits, actions.flatten()))


def small(actor: nn.Module) -> Rollouts:
    source = Rollouts(EpisodesData(worlds=2, length=15, passes=2, batch_size=8))
    source.model = actor
    return source


def test_an_epoch_goes_so_often_through_what_was_tried_in_another_order_each_time(actor: ActorCritic) -> None:
    source = small(actor)
    batches = list(source.epoch(0, seed=0))
    assert [len(batch) for batch in batches] == [8, 8, 8, 6] * 2
    assert len(batches) == source.steps() == 8
    first, second = (torch.cat([b.inputs for b in part]) for part in (batches[:4], batches[4:]))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, second.sort(0).values)
    assert actor.training
    assert not any(tensor.requires_grad for batch in batches for tensor in (batch.inputs, batch.targets["before"]))


def test_every_pass_of_every_epoch_has_an_order_of_its_own(actor: ActorCritic) -> None:
    source, orders = small(actor), []
    for number in range(2):
        batches = list(source.epoch(number, seed=0))
        tried = source.batch.inputs
        for part in (batches[:4], batches[4:]):
            seen = torch.cat([batch.inputs for batch in part])
            orders.append(tuple((seen[:, None] == tried).all(2).int().argmax(1).tolist()))
    assert len(set(orders)) == 4


@pytest.mark.parametrize("skip", [1, 4, 6])
def test_an_epoch_goes_on_from_what_was_kept_though_the_model_has_moved(actor: ActorCritic, skip: int) -> None:
    source = small(actor)
    whole = list(source.epoch(3, seed=0))
    torch.manual_seed(9)
    other = small(ActorCritic(4, 2, (8,)))
    other.take_back(source.kept())
    rest = list(other.epoch(3, seed=0, skip=skip))
    assert len(rest) == len(whole) - skip
    for one, again in zip(whole[skip:], rest, strict=True):
        assert torch.equal(one.inputs, again.inputs)
        assert all(torch.equal(one.targets[name], again.targets[name]) for name in one.targets)


def test_what_was_never_tried_cannot_be_gone_on_with(actor: ActorCritic) -> None:
    with pytest.raises(LocutionError, match="epoch 3 is not kept"):
        next(small(actor).epoch(3, seed=0, skip=1))
    with pytest.raises(LocutionError, match="nobody acts yet"):
        next(Rollouts(EpisodesData(worlds=1, length=4)).epoch(0, seed=0))


def test_a_world_is_opened_by_its_name_and_by_no_import_path() -> None:
    with pytest.raises(UserError, match=r"'CartPol-v1' is no world\. Did you mean 'CartPole-v1'"):
        open_world("CartPol-v1")
    with pytest.raises(UserError, match=r"'os:environ' is no world\. Allowed: CartPole-v1"):
        open_world("os:environ")
    with pytest.raises(UserError, match=r"'Pendulum-v1' takes Box.*allowed: worlds of a few actions"):
        open_world("Pendulum-v1")
    with pytest.raises(UserError, match=r"'FrozenLake-v1' shows Discrete\(16\); allowed: worlds that show a row"):
        open_world("FrozenLake-v1")


def test_without_gymnasium_one_line_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match=r"pip install 'locution\[reinforcement\]'"):
        EpisodesData().load(seed=0)


def test_names_fit_what_a_world_shows() -> None:
    for world in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"):
        worlds = Worlds(world, 1)
        seen, done = names(world, worlds.observations, worlds.actions)
        assert (len(seen), len(done)) == (worlds.observations, worlds.actions)
        assert "action 1" not in done
    assert names("CartPole-v1", 5, 2)[0][-1] == "observation 5"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("worlds", 0), ("length", 0), ("passes", 0), ("batch_size", 0), ("discount", 1.1), ("trace", -1)],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"data\.{setting} is {value}; allowed: "):
        EpisodesData(**{setting: value})


def test_actions_are_counted_from_where_a_world_counts_them(actor: ActorCritic) -> None:
    worlds, shifted = Worlds("CartPole-v1", 1), Worlds("CartPole-v1", 1)
    shifted.first = 1
    worlds.begin([1])
    shifted.begin([1])
    assert torch.equal(worlds.step(torch.tensor([1]))[0], shifted.step(torch.tensor([0]))[0])
