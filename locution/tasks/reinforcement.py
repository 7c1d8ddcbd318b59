"""The task of acting: learn from rewards what to do in a world, and be judged by whole episodes in fresh ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.episodes import Rollouts
from locution.data.worlds import names
from locution.engine import Turn
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap
from locution.gradients.norms import GradientNorms
from locution.inference.acting import Played, play
from locution.losses.policy_gradient import PolicyGradient, policy_and_values
from locution.models.shapes import explained
from locution.reporting.frames import SCENES, frames
from locution.reporting.results import Drawing, Graph, Matrix, Metric, RunResults
from locution.tasks.acting import Acting
from locution.tasks.inputs import read_input
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe

EPISODES = 100  # that a policy is judged by
SIDE = 15  # places along each side of the plane that shows a policy
PLANES = {"CartPole": (2, 3), "MountainCar": (0, 1), "Acrobot": (4, 5)}  # observations that tell most, by world
AROUND = (0.01, 0.99)  # the plane reaches over this share of what was seen


class Reinforcement(WeightsKept):
    """Reinforcement learning finds out by trying what to do in a world, from nothing but rewards.

    Each epoch the model acts for a while in several worlds side by side, and learns from what came of it: actions that
    turned out better than its critic expected become likelier. It is judged by the return of a hundred whole episodes
    that begin apart from all that training saw, taking the likeliest action each time, and once more drawing actions by
    how likely they are.

    >>> from locution.recipe import resolve
    >>> job = Reinforcement().prepare(resolve("cartpole"), quiet=True)
    >>> job.data.describe()
    'CartPole-v1: 1024 to learn from; each (4,) -> 2 numbers'

    Reference: R. Sutton, A. Barto, 2018, "Reinforcement learning: an introduction", chapters 1 and 13.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Open the worlds and build the model that acts in them."""
        objective, data = recipe.part("objective"), recipe.part("data").load(recipe.seed)
        if not isinstance(objective, PolicyGradient):
            name = recipe.objective.get("name")
            raise UserError(f"objective '{name}' learns from answers; allowed here: policy_gradient.")
        if not isinstance(data.train, Rollouts):
            raise UserError(f"data '{recipe.data.get('name')}' holds examples; allowed: episodes, in which one acts.")
        model: nn.Module = recipe.part("model", **data.sizes).build(data.inputs, data.outputs)
        with explained(model.eval()), torch.no_grad():
            policy_and_values(model(torch.zeros(1, *data.inputs)))
        data.train.model = model
        turn = Turn(objective, recipe.part("optimizer").build)
        watching = [GradientNorms(), Acting(data.train)]
        again = 1 / data.train.settings.passes
        return Job(model, [turn], data.train, watching, data, unit="steps in the world", per_example=again)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Let the model play whole episodes in fresh worlds."""
        data: Dataset = job.data
        model.eval()
        likeliest = play(model, data.source, EPISODES)
        drawn = play(model, data.source, EPISODES, drawn=True)
        results = RunResults(recipe.name, recipe.describe, data={"data": data.describe()})
        note = f"{EPISODES} episodes that begin apart from all in training"
        for name, label, played in (("return", "mean return", likeliest), ("return_drawn", "actions drawn", drawn)):
            how = "actions drawn by how likely they are" if played is drawn else "the likeliest action each time"
            found = bootstrap(played.returns)
            results.metrics.append(
                Metric(name, **found, label=label, group="return", better="higher", note=f"{note}; {how}")
            )
        lengths = bootstrap(likeliest.steps)
        results.metrics.append(
            Metric("length", **lengths, label="steps an episode", group="length", better="", note=note)
        )
        results.graphs = [*learning(job), *episode(likeliest, data.source)]
        results.drawings = filmed(likeliest, data.source)
        results.matrices = [plane(model, likeliest, data.source)]
        return results

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say for each observation what to do: numbers, or a file of them; with what is to be expected."""
        job = self.prepare(recipe, quiet=True)
        model = self.load(recipe, job, folder)
        data: Dataset = job.data
        rows = torch.stack([read_input(text, data) for text in inputs])
        with torch.no_grad():
            logits, values = policy_and_values(model(rows.to(next(model.parameters()).device)))
        done = names(data.source, data.inputs[0], data.outputs)[1]
        best = logits.softmax(-1).max(-1)
        return [
            f"{done[place]} ({chance:.3f}), expecting {value:.1f}"
            for place, chance, value in zip(best.indices.tolist(), best.values.tolist(), values.tolist(), strict=True)
        ]


def learning(job: Job) -> list[Graph]:
    """Draw how the episodes went from which the model learnt, over the steps taken in the world."""
    watched = next(one for one in job.observers if isinstance(one, Acting))
    if not watched.samples:
        return []
    lines = {"mean return": (watched.samples, watched.returns)}
    note = "of the episodes that came to an end while the model tried, actions drawn"
    return [Graph("Return while it learns", lines, across="steps in the world", note=note)]


def episode(played: Played, world: str) -> list[Graph]:
    """Draw the first episode that a model was judged by: what was seen, how likely each action was, what was expected.

    >>> one = Played(torch.ones(1), torch.ones(1), torch.zeros(3, 4), torch.zeros(3), torch.full((3, 2), 0.5))
    >>> [list(graph.lines) for graph in episode(one, "CartPole-v1")]
    [['position', 'speed', 'angle', 'turning'], ['left', 'right']]
    """
    seen, done = names(world, played.seen.shape[1], played.chances.shape[1])
    steps = list(range(len(played.seen)))
    title, much = "An episode", f"one of the {len(played.returns)} judged by; return {played.returns[0]:g}"

    def lines(columns: Sequence[str], values: Tensor) -> dict[str, tuple[list[int], list[float]]]:
        return {name: (steps, values[:, place].tolist()) for place, name in enumerate(columns)}

    return [
        Graph(title, lines(seen, played.seen), across="step", note=much),
        Graph(f"{title}: how likely each action is", lines(done, played.chances), across="step", note=much),
    ]


def filmed(played: Played, world: str) -> list[Drawing]:
    """Draw moments of the first episode that a model was judged by, where it is known how the world looks.

    >>> one = Played(torch.ones(1), torch.ones(1), torch.zeros(3, 4), torch.zeros(3), torch.full((3, 2), 0.5))
    >>> [drawing.title for drawing in filmed(one, "CartPole-v1")], filmed(one, "Unknown-v0")
    (['Frames of an episode'], [])
    """
    scene = world.rpartition("-")[0]
    if scene not in SCENES:
        return []
    done = names(world, played.seen.shape[1], played.chances.shape[1])[1]
    doing = [done[action] for action in played.chances.argmax(-1).tolist()]
    title = "Frames of an episode"
    note = f"{len(played.seen)} steps, evenly spaced; above each what was done then"
    picture = frames(played.seen.numpy(), scene, alt=f"{title}: {note}.", doing=doing)
    return [Drawing(title, picture, note)]


def plane(model: nn.Module, played: Played, world: str) -> Matrix:
    """Show how likely the last action is over two of the observations, the others as they are on average.

    The two are those that tell most in the worlds that are known here, else the first two.
    """
    observations = played.all_seen.shape[1]
    across, up = PLANES.get(world.rpartition("-")[0], (0, min(1, observations - 1)))
    seen, done = names(world, observations, played.chances.shape[1])
    low, high = (torch.quantile(_some(played.all_seen), share, dim=0) for share in AROUND)
    device = next(model.parameters(), torch.empty(0)).device
    columns, rows = (torch.linspace(float(low[one]), float(high[one]), SIDE) for one in (across, up))
    points = played.all_seen.mean(0).repeat(SIDE, SIDE, 1)  # (rows, columns, observations)
    points[:, :, across], points[:, :, up] = columns[None, :], rows.flip(0)[:, None]
    with torch.no_grad():
        logits, _ = policy_and_values(model(points.flatten(0, 1).to(device)))
    chances = logits.softmax(-1)[:, -1].cpu().view(SIDE, SIDE)
    return Matrix(
        f"How likely '{done[-1]}' is",
        [f"{value:.2f}" for value in rows.flip(0).tolist()],
        [f"{value:.2f}" for value in columns.tolist()],
        chances.tolist(),
        note=f"across: {seen[across]}; up: {seen[up]}; what else is seen as it is on average",
    )


def _some(values: Tensor, most: int = 20_000) -> Tensor:
    """Take evenly spaced rows, for torch's quantile takes no more numbers than fit its limit."""
    return values[:: -(-len(values) // most)]
