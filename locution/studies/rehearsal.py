"""A rehearsal: the first step of a training that is thrown away, so that what only the data refuse is said before."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from torch import nn

from locution.beginning import build_task, read_recipe
from locution.engine import Engine, Observer
from locution.engine.compile_errors import check_compiler
from locution.engine.method import seams
from locution.engine.observer import Record, Stop
from locution.errors import LocutionError, UserError, unknown
from locution.models.fine_tuning import fine_tune
from locution.recipe import Recipe, resolve
from locution.reporting.trackers import flat
from locution.studies.carry import hushed
from locution.tasks.task import Job

UNSAID = {"kind", "step", "epoch", "examples", "seconds", "reason"}  # what a record has besides what was measured
SLOW = ("recognition", "hearing", "repeating", "head_training")  # their data are sounds, encoded before the first step


@dataclass
class Rehearsal(Observer):
    """Ends training behind its first step, and remembers what was recorded; `judge` names the figures of the end.

    measured: it waits until everything that watches has measured that step.
    """

    name: ClassVar[str] = "rehearsal"

    measured: bool = False
    recorded: set[str] = field(default_factory=set)
    judge: Callable[[], list[str]] = list

    def watch(self, record: Record) -> Stop | None:
        """Remember the names, and stop."""
        self.recorded |= set(flat(record)) - UNSAID
        return None if self.measured and record.kind == "step" else Stop("rehearsed")


def rehearse(recipe: Recipe, *, watched: bool = False) -> Rehearsal:
    """Take the first step of a training and throw it away; raises what training would raise until then.

    watched: what watches the training measures that step too. A model that another run would have to train first, such
    as a teacher, is taken as it would begin.

    >>> found = rehearse(resolve("line"))
    >>> "loss" in found.recorded, found.judge()[0]
    (True, 'mse')
    >>> rehearse(resolve("digits", ["+coral"]))
    Traceback (most recent call last):
    locution.errors.UserError: 'coral' came upon data of one domain; allowed: with another beside, as rotated_digits.
    """
    from locution.runs import prepare

    task, seen = build_task(recipe), Rehearsal(watched)
    with contextlib.redirect_stdout(io.StringIO()), hushed():
        job = prepare(recipe, task, quiet=True)
        begin_where_asked(recipe, job)
        engine = Engine(
            job.model,
            job.turns,
            recipe.built_methods(),
            observers=[*job.observers, seen],
            seed=recipe.seed,
            accumulate=recipe.accumulate,
            precision=recipe.precision,
            device=recipe.device,
            log_every=1,
            measure_every=1 if watched else None,
            open_model=partial(as_it_begins, seed=recipe.seed),
        )
        if recipe.compile:  # whether it can be is asked; to do it would cost more than the step
            check_compiler(engine.group.world)
        if job.fit is None:
            engine.fit(job.batches, epochs=recipe.epochs, steps=recipe.steps)

    def judge() -> list[str]:
        with contextlib.redirect_stdout(io.StringIO()), hushed():
            if job.fit is not None:
                job.fit()
            return [one.name for one in task.evaluate(recipe, job, engine.trained(), quiet=True).metrics]

    seen.judge = judge
    return seen


def begin_where_asked(recipe: Recipe, job: Job) -> None:
    """Where training starts from another run: see that its weights would fit, as far as their shapes are known."""
    if recipe.start:
        before = recipe_of(recipe.start, recipe.seed)
        if not any("model" in seams(method) for method in before.built_methods()):  # else its layers are others
            fine_tune(job.model, as_it_begins(recipe.start, recipe.seed).state_dict(), recipe.fresh)


def recipe_of(where: str, seed: int) -> Recipe:
    """Read the recipe of a run's folder, or of a recipe's name and words."""
    if (Path(where) / "recipe.yaml").is_file():
        return read_recipe(Path(where))
    name, *words = shlex.split(where)
    return resolve(name, [f"seed={seed}", *words])


def as_it_begins(where: str, seed: int) -> nn.Module:
    """Build the model of a run, or of a recipe's name and words, without training it."""
    from locution.runs import prepare

    recipe = recipe_of(where, seed)
    return prepare(recipe, build_task(recipe), quiet=True).model.eval()


def refusal(recipe: Recipe) -> str:
    """Say in one line why a recipe cannot be trained, or nothing; of sounds, which are slow to read, nothing is asked.

    >>> refusal(resolve("digits")), refusal(resolve("digits", ["+dann"]))[:35]
    ('', "'dann' came upon data of one domain")
    """
    if recipe.task in SLOW:
        return ""
    try:
        rehearse(recipe)
    except LocutionError as error:
        return str(error)
    return ""


def check_each(recipes: Iterable[tuple[str, Recipe]]) -> None:
    """Refuse, by its name, the first of several recipes that the user must mend, before any of them is trained.

    What fails for another reason is left to its run: the others can still be compared.
    """
    known = set[str]()
    for name, recipe in recipes:
        if recipe.digest() in known:
            continue
        known.add(recipe.digest())
        try:
            rehearse(recipe)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        except Exception:  # whatever it is
            continue


def check_figure(by: str, default: str, recipes: Sequence[Recipe]) -> None:
    """Refuse a figure to tune by that these runs will not have, with the nearest; the first that can begin is asked.

    >>> check_figure("msee", "development_loss", [resolve("line")])
    Traceback (most recent call last):
    locution.errors.UserError: 'msee' is no figure of this recipe. Did you mean 'mse'? ...
    """
    refused: UserError | None = None
    for recipe in recipes:
        try:
            found = rehearse(recipe, watched=True)
            figures = [] if (by or default) in found.recorded else found.judge()
        except UserError as error:
            refused = refused or error
        except Exception:  # whatever it is, the trials will meet it
            return None
        else:
            return to_go_by(by, default, found.recorded, figures)
    if refused is not None:
        raise refused
    return None


def to_go_by(by: str, default: str, recorded: Iterable[str], figures: Sequence[str]) -> None:
    """Refuse a name that is neither recorded in training nor one of the figures of the end.

    >>> to_go_by("", "development_loss", ["loss"], ["mse"])
    Traceback (most recent call last):
    locution.errors.UserError: this recipe holds out no development set to tune by; allowed: --by with one of mse.
    """
    if (by or default) in recorded or by in figures:
        return
    if not by:
        named = ", ".join(figures)
        raise UserError(f"this recipe holds out no development set to tune by; allowed: --by with one of {named}.")
    raise unknown("figure of this recipe", by, [*sorted(recorded), *figures])
