"""The trials of a tuning: asked for, trained in run folders of their own, and told."""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from locution.engine import Observer, Record
from locution.engine.lock import InUse, locked
from locution.errors import LocutionError, UserError
from locution.reporting.trackers import read_metrics
from locution.studies.carry import hushed
from locution.studies.rehearsal import to_go_by
from locution.studies.search import Sampler, quiet_optuna
from locution.studies.space import Dimension, words_of

if TYPE_CHECKING:
    from optuna import Study

JOURNAL, STUDY, DEFAULT = "journal.log", "tuning", "development_loss"


@dataclass(frozen=True)
class Trial:
    """A trial of a tuning: its words, what it came to, and how it ended: done, pruned, failed, running or waiting."""

    number: int
    words: tuple[str, ...]
    value: float
    state: str
    why: str = ""
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Say whether it has ended."""
        return self.state in ("done", "pruned", "failed")


@dataclass(frozen=True)
class Asked:
    """What a tuning was asked: plain values, that another process can be told."""

    recipe: str
    fixed: tuple[str, ...]
    space: tuple[Dimension, ...]
    by: str
    sampler: str
    seed: int
    prune: bool
    folder: Path

    def run_folder(self, number: int) -> Path:
        """Where a trial's run is kept."""
        return self.folder / "runs" / f"trial-{number:04d}"

    def told(self) -> tuple[str, str, list[str]]:
        """Say which figure this goes by, which side of it is better, and what must be remarked."""
        for place in sorted((self.folder / "runs").glob("*/results.json")):
            return judged_by(place.parent, self.by)
        return self.by or DEFAULT, "lower", []


def judged_by(run: Path, by: str) -> tuple[str, str, list[str]]:
    """Find the figure to go by in a finished run: recorded in training, or else one of its results.

    Raises UserError with what there is.
    """
    records = read_metrics(run)
    recorded = {name for one in records for name in one} - {"kind", "step", "epoch", "examples", "seconds", "reason"}
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    to_go_by(by, DEFAULT, recorded, list(results["metrics"]))
    if (by or DEFAULT) in recorded:
        return by or DEFAULT, "lower", []
    better = results.get("better", {}).get(by) or "lower"
    return by, better, [f"Tuned by {by}, which is measured on the test set: the best trial's figure flatters it."]


def read_value(run: Path, by: str) -> float:
    """Read what a run came to: the last recorded value of that name, or the result."""
    name, _, remarks = judged_by(run, by)
    if remarks:
        return float(json.loads((run / "results.json").read_text(encoding="utf-8"))["metrics"][name]["value"])
    values = [one[name] for one in read_metrics(run) if one.get(name) is not None]
    return float(values[-1])


class Pruned(Exception):
    """Said where a trial promises nothing."""


class Pruner(Observer):
    """A pruner ends a trial that does worse than the median of the others at the same step."""

    name: ClassVar[str] = "pruner"

    def __init__(self, trial: Any, by: str) -> None:
        self.trial, self.by = trial, by
        self.reported: set[int] = set()

    def watch(self, record: Record) -> None:
        """Report each measurement, and end the trial if that is what it says."""
        value = record.values.get(self.by, math.nan)
        if record.kind != "epoch" or not math.isfinite(value) or record.step in self.reported:
            return
        self.reported.add(record.step)
        with quiet_optuna():
            self.trial.report(value, record.step)
            if self.trial.should_prune():
                raise Pruned


def open_study(asked: Asked) -> Study:
    """Open the journal of a tuning: a file that several processes may write to."""
    with quiet_optuna() as optuna:
        backend = optuna.storages.journal.JournalFileBackend(str(asked.folder / JOURNAL))
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3)
        return optuna.create_study(
            study_name=STUDY,
            storage=optuna.storages.JournalStorage(backend),
            pruner=pruner if asked.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )


def all_trials(asked: Asked) -> list[Trial]:
    """List all trials there are, in order; values as optuna keeps them, lower is better."""
    with quiet_optuna():
        frozen = open_study(asked).get_trials(deepcopy=False)
    found = []
    for one in frozen:
        words = tuple(words_of(asked.space, one.params)) if len(one.params) == len(asked.space) else ()
        state = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}.get(one.state.name, one.state.name.lower())
        state = one.user_attrs.get("state", state) if state == "done" else state
        value = math.nan if one.value is None else float(one.value)
        attributes = one.user_attrs
        found.append(Trial(one.number, words, value, state, attributes.get("why", ""), attributes.get("seconds", 0.0)))
    return found


def asked_trials(asked: Asked) -> list[Trial]:
    """List all trials with their figures as the recipe writes them."""
    sign = -1.0 if asked.told()[1] == "higher" else 1.0
    return [Trial(**vars(one) | {"value": sign * one.value}) for one in all_trials(asked)]


def carry_on(asked: Asked) -> None:
    """Put the trials that were interrupted back into the queue: the next that asks goes on with them."""
    with quiet_optuna() as optuna:
        study = open_study(asked)
        for one in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            where = asked.folder / f"interrupted-{one.number}"
            where.touch()


@contextlib.contextmanager
def one_at_a_time(asked: Asked) -> Iterator[None]:
    """Let only one process ask for a trial at a time."""
    place = asked.folder / "asking"
    place.mkdir(exist_ok=True)
    while True:
        try:
            with locked(place):
                yield
                return
        except InUse:
            time.sleep(0.05)


def take_trials(asked: Asked, trials: int) -> Iterator[str]:
    """Ask for a trial, train it and tell, until so many have been asked for; yields why one failed, or nothing."""
    study, sampler = open_study(asked), Sampler(asked.sampler, asked.seed)
    while True:
        with one_at_a_time(asked):
            trial = _interrupted(asked, study)
            if trial is None:
                if len(study.get_trials(deepcopy=False)) >= trials:
                    return
                trial = sampler.ask(study, asked.space, trials)
        yield run_trial(asked, study, trial)


def _interrupted(asked: Asked, study: Study) -> Any:
    with quiet_optuna() as optuna:
        for one in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            mark = asked.folder / f"interrupted-{one.number}"
            if mark.is_file():
                mark.unlink()
                return optuna.trial.Trial(study, one._trial_id)
    return None


def run_trial(asked: Asked, study: Study, trial: Any) -> str:
    """Train what a trial says, or go on with it, and tell what came of it."""
    from locution import runs

    folder, begun = asked.run_folder(trial.number), time.perf_counter()
    words = [*asked.fixed, *words_of(asked.space, trial.params)]
    watchers = [Pruner(trial, asked.by or DEFAULT)] if asked.prune else []
    state, why, value = "done", "", math.inf
    try:
        with contextlib.redirect_stdout(io.StringIO()), hushed():
            if (folder / "recipe.yaml").is_file():
                runs.resume(folder, quiet=True, watchers=watchers)
            else:
                runs.train(asked.recipe, *words, f"run_dir={folder}", quiet=True, watchers=watchers)
    except Pruned:
        state, value = "pruned", next(iter(reversed(list(_intermediate(study, trial)))), math.inf)
    except LocutionError as error:
        state, why = "failed", str(error)  # training that diverges is a bad point, not the end of the search
    if state == "done":
        value = told_value(asked, study, trial)
    with quiet_optuna():
        trial.set_user_attr("state", state)
        trial.set_user_attr("seconds", time.perf_counter() - begun)
        if why:
            trial.set_user_attr("why", why)
        study.tell(trial, value)  # a pruned trial too: that it is bad is worth knowing where the next is asked for
    return f"trial {trial.number} failed: {why}" if why else ""


def told_value(asked: Asked, study: Study, trial: Any) -> float:
    """Read what a trial came to, lower is better; if there is no such figure, no further trial will have one."""
    folder = asked.run_folder(trial.number)
    try:
        better = judged_by(folder, asked.by)[1]
        return read_value(folder, asked.by) * (-1.0 if better == "higher" else 1.0)
    except UserError:
        with quiet_optuna() as optuna:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise


def _intermediate(study: Study, trial: Any) -> Iterator[float]:
    frozen = next(one for one in study.get_trials(deepcopy=False) if one.number == trial.number)
    for step in sorted(frozen.intermediate_values):
        yield float(frozen.intermediate_values[step])
