"""How many steps in the world a policy takes to balance a pole: locution's policy gradient against stable-baselines3's.

    python -m benchmarks.cartpole [--quick] [--peers PYTHON]

Both learn CartPole-v1, each as it comes: the recipe `cartpole`, and PPO as stable-baselines3 sets it, and as its
authors tuned it for this world (rl-zoo). Every 1,024 steps (2,048 where the peer learns only then) the policy plays the
same 100 fresh episodes, the likeliest action each time; what is counted are the steps after which the mean return is
475 for the first time, and those after which it stays there for three looks in a row, or to the end. Seeds differ from
those by which the recipe's settings were chosen. The goal is no more steps than the better of both settings, on average
over seeds. No clock runs: samples are what is compared.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from statistics import mean, quantiles

from benchmarks.side_by_side import Ratio, finish

BAR, EVERY, LIMIT, STAYS = 475.0, 1024, 40_960, 3
Curve = list[tuple[int, float]]

PEER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import gymnasium, numpy as np, torch
torch.set_num_threads(1)
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
kind, seed, limit, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
begins = json.loads(sys.argv[5])

def judge(model):
    worlds = [gymnasium.make("CartPole-v1") for _ in begins]
    seen = np.stack([world.reset(seed=begin)[0] for world, begin in zip(worlds, begins)])
    found, alive = np.zeros(len(begins)), list(range(len(begins)))
    while alive:
        actions, _ = model.predict(seen[alive], deterministic=True)
        over = []
        for place, action in zip(alive, actions):
            seen[place], reward, ended, cut, _ = worlds[place].step(int(action))
            found[place] += reward
            over += [place] if ended or cut else []
        alive = [place for place in alive if place not in over]
    return float(found.mean())

class Looks(BaseCallback):
    curve, next = [], every
    def _on_step(self):
        return True
    def _on_rollout_start(self):
        if self.num_timesteps >= self.next:
            self.curve.append((self.num_timesteps, judge(self.model)))
            self.next = self.num_timesteps + every

fall = lambda peak: lambda left: peak * left
if kind == "tuned":
    tuned = dict(n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20, ent_coef=0.0)
    worlds = make_vec_env("CartPole-v1", 8, seed=seed)
    model = PPO("MlpPolicy", worlds, seed=seed, learning_rate=fall(0.001), clip_range=fall(0.2), device="cpu", **tuned)
    total = 100_000  # over which its learning rate falls
else:
    model, total = PPO("MlpPolicy", "CartPole-v1", seed=seed, device="cpu"), limit

class Enough(BaseCallback):
    def _on_step(self):
        return self.num_timesteps <= limit

looks = Looks()
model.learn(total, callback=[looks, Enough()])
print(json.dumps(looks.curve))
"""


def ours(seed: int, limit: int) -> Curve:
    """Train the recipe, and look at the policy after each of its epochs."""
    import torch

    from locution.data.episodes import EpisodesData
    from locution.engine import Engine, Observer, Record
    from locution.inference.acting import play
    from locution.recipe import resolve
    from locution.runs import prepare
    from locution.tasks.reinforcement import Reinforcement

    torch.set_num_threads(1)
    recipe = resolve("cartpole", [f"seed={seed}"])
    data: EpisodesData = recipe.part("data")
    each, curve = data.worlds * data.length, list[tuple[int, float]]()

    class Looks(Observer):
        name = "looks"

        def measure(self, model: torch.nn.Module, record: Record) -> dict[str, float]:
            curve.append((record.epoch * each, float(play(model, data.world, 100).returns.mean())))
            return {}

    job = prepare(recipe, Reinforcement(), quiet=True)
    watching = [*job.observers, Looks()]
    engine = Engine(job.model, job.turns, recipe.built_methods(), observers=watching, seed=seed)
    epochs = min(recipe.epochs or 1, limit // each)
    engine.fit(job.batches, epochs=epochs)
    return curve


def theirs(peers: str, kind: str, seed: int, limit: int) -> Curve:
    """Train the peer, judged by the same episodes."""
    from locution.engine.random import stream_key

    begins = json.dumps([stream_key(0, "judged", number) for number in range(100)])
    every = 2 * EVERY if kind == "default" else EVERY
    command = [peers, "-c", PEER, kind, str(seed), str(limit), str(every), begins]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [(int(steps), float(value)) for steps, value in json.loads(done.stdout.splitlines()[-1])]


def first(curve: Curve) -> int | None:
    """Say after how many steps the bar was first reached.

    >>> first([(10, 100.0), (20, 480.0), (30, 200.0), (40, 475.0)])
    20
    """
    return next((steps for steps, value in curve if value >= BAR), None)


def stays(curve: Curve) -> int | None:
    """Say after how many steps the bar was reached and held for three looks in a row, or to the end.

    >>> stays([(10, 480.0), (20, 100.0), (30, 480.0), (40, 475.0)])
    30
    """
    for place, (steps, _) in enumerate(curve):
        if all(value >= BAR for _, value in curve[place : place + STAYS]):
            return steps
    return None


def counted(found: Sequence[int | None], limit: int) -> list[int]:
    """Take the steps of each seed; where the bar was not reached, all that were taken.

    >>> counted([10, None], 30)
    [10, 30]
    """
    return [limit if one is None else one for one in found]


def ratio(name: str, mine: Sequence[int], other: Sequence[int], against: str) -> Ratio:
    """Divide the mean steps of one by those of the other; the middle half is over seeds drawn again.

    >>> ratio("", [1, 3], [4, 4], "").median
    0.5
    """
    draw, again = random.Random(0), []
    for _ in range(2000):
        one, two = draw.choices(mine, k=len(mine)), draw.choices(other, k=len(other))
        again.append(mean(one) / mean(two))
    low, _, high = quantiles(again, n=4)
    return Ratio(name, against, mean(mine) / mean(other), low, high, 0.0, 1.0, unit="seed")


def main() -> int:
    """Train both over the same seeds, in turn, and print who needs fewer steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds and fewer steps, same goal")
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="the python that has stable-baselines3")
    chosen = parser.parse_args()
    seeds, limit = (range(2), 20_480) if chosen.quick else (range(5), LIMIT)
    curves: dict[str, list[Curve]] = {"locution": [], "default": [], "tuned": []}
    for seed in seeds:
        curves["locution"].append(ours(seed, limit))
        for kind in ("default", "tuned"):
            curves[kind].append(theirs(chosen.peers, kind, seed, limit))
        print(f"seed {seed}: " + "; ".join(f"{name} {first(found[-1])}" for name, found in curves.items()), flush=True)
    return show(curves, limit, quick=chosen.quick)


def show(curves: dict[str, list[Curve]], limit: int, *, quick: bool) -> int:
    """Print and keep what was found; exit code 1 where more steps were needed than the better peer's."""
    facts, table = [], []
    for title, when in (("to the bar", first), ("to stay there", stays)):
        steps = {name: counted([when(curve) for curve in found], limit) for name, found in curves.items()}
        facts += [
            f"{title}, {name}: {mean(each):,.0f} steps ({', '.join(map(str, each))})" for name, each in steps.items()
        ]
        peer = min((name for name in steps if name != "locution"), key=lambda name: mean(steps[name]))
        table.append(ratio(f"steps {title}", steps["locution"], steps[peer], f"stable-baselines3, {peer}"))
    facts += [f"last look, {name}: {[round(curve[-1][1], 1) for curve in found]}" for name, found in curves.items()]
    facts += [f"{one.name}: {one.median:.2f} ({one.low:.2f} to {one.high:.2f}) of {one.against}" for one in table]
    return finish("cartpole", {"steps in CartPole-v1": table}, quick=quick, facts=facts)


if __name__ == "__main__":
    sys.exit(main())
