"""CartPole is learnt within few steps, a stopped run goes on to the bit, and what cannot learn by trying is refused."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from locution.data.worlds import Worlds
from locution.engine import Engine, Observer, Record
from locution.engine.method import Method, Plan
from locution.engine.random import stream_key
from locution.errors import UserError
from locution.inference.acting import Played, play
from locution.recipe import resolve
from locution.runs import Run, resume, train
from locution.tasks import reinforcement
from locution.tasks.acting import Acting
from locution.tasks.reinforcement import Reinforcement

SHORT = ("data.length=64", "data.passes=4", "data.batch_size=32", "-trapezoid", "epochs=4", "log_every=1")


class Stopping(Observer):
    name = "stopping"

    def __init__(self, at: int) -> None:
        self.at = at

    def watch(self, record: Record) -> None:
        if record.step == self.at and record.kind == "step":
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "learnt"
    return train("cartpole", "seed=100", "-trapezoid", "epochs=5", f"run_dir={folder}", quiet=True)


def test_a_few_thousand_steps_make_a_policy_ten_times_as_good_as_none(learnt: Run) -> None:
    torch.manual_seed(0)
    untaught = play(learnt.task.prepare(learnt.recipe, quiet=True).model, "CartPole-v1", 100, drawn=True)
    found = learnt.results["metrics"]
    assert found["return"]["low"] > 200
    assert found["return_drawn"]["value"] > 5 * untaught.returns.mean().item()
    assert learnt.results["better"]["return"] == "higher"


def test_the_report_shows_the_learning_an_episode_and_the_policy(learnt: Run) -> None:
    page = (learnt.folder / "report.html").read_text(encoding="utf-8")
    for title in ("Return while it learns", "An episode", "Frames of an episode", "How likely each action is"):
        assert title.lower() in page.lower()
    assert "How likely &#x27;right&#x27; is" in page or "How likely 'right' is" in page
    assert '"return"' in (learnt.folder / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_run_is_taken_back_and_says_what_to_do(learnt: Run) -> None:
    assert learnt.evaluate().as_json()["metrics"] == learnt.results["metrics"]
    left, right = learnt.predict(["0,0,-0.15,-0.5", "0,0,0.15,0.5"])
    assert left.startswith("left (")
    assert right.startswith("right (")
    with pytest.raises(UserError, match="the input has 3 numbers; allowed: 4"):
        learnt.predict(["1,2,3"])


def test_a_stopped_run_goes_on_to_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    whole = train("cartpole", *SHORT, f"run_dir={tmp_path}/whole", quiet=True)
    steps = whole.results["cost"]["steps"]
    assert steps == 4 * 4 * 4
    for at in (16, 23):  # at the end of an epoch, and midway through what was tried
        folder = tmp_path / f"stopped-{at}"
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train("cartpole", *SHORT, f"run_dir={folder}", quiet=True, watchers=[Stopping(at)])
        again = resume(folder, quiet=True)
        one, other = ((run.folder / "model.safetensors").read_bytes() for run in (whole, again))
        assert one == other, f"stopped at {at}: other weights"
        assert again.results["metrics"] == whole.results["metrics"]


def test_episodes_are_judged_as_gymnasium_plays_them() -> None:
    import gymnasium

    class Leaning(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            push = x[:, 2]  # good enough to last a while, and no longer
            return {"logits": torch.stack([-push, push], 1), "values": x[:, 0]}

    played = play(Leaning(), "CartPole-v1", 3)
    for number in range(3):
        world, total, over = gymnasium.make("CartPole-v1"), 0.0, False
        seen, _ = world.reset(seed=stream_key(0, "judged", number))
        while not over:
            seen, reward, ended, cut, _ = world.step(int(seen[2] > 0))
            total, over = total + float(reward), ended or cut
        assert played.returns[number].item() == total < 500
    assert len(played.seen) == int(played.steps[0])
    assert len(played.all_seen) == int(played.steps.sum())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.world=CartPol-v1"], "'CartPol-v1' is no world. Did you mean 'CartPole-v1'"),
        (["data.world=Pendulum-v1"], "allowed: worlds of a few actions to choose from"),
        (["model={name: mlp, widths: [8]}"], "the model answered with Tensor; allowed: a dict of logits and values"),
        (["objective={name: mse}"], "'mse' learns from answers; allowed here: policy_gradient"),
        (["data={name: line}"], "'line' holds examples; allowed: episodes"),
        (["model.widths=[0]"], "model.widths is "),
    ],
)
def test_what_cannot_learn_by_trying_is_refused_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        train("cartpole", *words, f"run_dir={tmp_path}/run", quiet=True)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["sam", "clipping", "averaging"])
def test_methods_apply_and_a_run_with_one_is_repeated_to_the_bit(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reinforcement, "EPISODES", 4)
    first, again = (
        train("cartpole", f"+{method}", *SHORT[:-2], "epochs=1", f"run_dir={tmp_path}/{n}", quiet=True) for n in "ab"
    )
    kept = [(run.folder / "model.safetensors").read_bytes() for run in (first, again)]
    assert kept[0] == kept[1]


def test_another_world_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reinforcement, "EPISODES", 2)
    words = ("data.world=Acrobot-v1", "data.length=100", "data.passes=1", "epochs=1", "model.widths=[8]")
    run = train("cartpole", *words, f"run_dir={tmp_path}/run", quiet=True)
    assert -500 <= run.results["metrics"]["return"]["value"] < 0
    assert run.predict(["1,0,1,0,0,0"])[0].split(" (")[0] in ("clockwise", "nothing", "counterclockwise")


def test_worlds_step_only_where_they_are_asked_to() -> None:
    worlds = Worlds("CartPole-v1", 3)
    begun = worlds.begin([1, 2, 3])
    seen, *_ = worlds.step(torch.tensor([1]), [2])
    alone = Worlds("CartPole-v1", 1)
    assert torch.equal(begun[2], alone.begin([3])[0])
    assert torch.equal(seen[0], alone.step(torch.tensor([1]))[0][0])


def test_the_one_that_trains_is_the_one_that_acts(tmp_path: Path) -> None:
    class Swapping(Method):
        name = "swapping"

        def model(self, model: nn.Module, plan: Plan) -> nn.Module:
            return nn.Sequential(model)

    recipe = resolve("cartpole", SHORT)
    job = Reinforcement().prepare(recipe, quiet=True)
    engine = Engine(job.model, job.turns, [Swapping()], observers=job.observers, seed=0).fit(job.batches, epochs=1)
    assert job.batches.model is engine.model
    assert isinstance(engine.model, nn.Sequential)


def test_the_returns_of_a_rollout_are_measured_and_kept(tmp_path: Path) -> None:
    job = Reinforcement().prepare(resolve("cartpole", SHORT), quiet=True)
    engine = Engine(job.model, job.turns, observers=job.observers, seed=0).fit(job.batches, epochs=3)
    acting = job.observers[-1]
    assert isinstance(acting, Acting)
    assert acting.samples == [128, 256, 384]
    assert acting.returns[-1] == job.batches.finished.mean().item()
    other = Acting(job.batches)
    other.load_state_dict(engine.state_dict()["observers"]["acting"])
    assert (other.samples, other.returns) == (acting.samples, acting.returns)


def test_the_plane_shows_a_policy_over_the_two_observations_that_tell_most() -> None:
    class Leaning(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            push = 5 * x[:, 2] + x[:, 3] + x[:, 0]
            return {"logits": torch.stack([torch.zeros(len(x)), push], 1), "values": x[:, 0]}

    draw = torch.Generator().manual_seed(0)
    seen = torch.randn(500, 4, generator=draw) * torch.tensor([1.0, 1.0, 0.1, 2.0]) + torch.tensor([3.0, 0, 0, 0])
    one = Played(torch.ones(1), torch.ones(1), seen[:3], torch.zeros(3), torch.full((3, 2), 0.5), seen)
    drawn = reinforcement.plane(Leaning(), one, "CartPole-v1")
    across, up = ([float(name) for name in names] for names in (drawn.columns, drawn.rows))
    assert across == sorted(across)
    assert up == sorted(up, reverse=True)  # as on a map: more is further up
    assert (across[0], up[-1]) == pytest.approx((-0.23, -4.6), rel=0.15)  # the hundredth part of what was seen
    mean = seen[:, 0].mean().item()
    for row, column in ((0, 0), (3, 11), (14, 14)):
        push = torch.tensor(5 * across[column] + up[row] + mean)
        assert drawn.values[row][column] == pytest.approx(push.sigmoid().item(), abs=0.02)
    assert drawn.title == "How likely 'right' is"
