"""Tune a recipe: trials that a sampler proposes, ended early where they promise nothing, taken up where left."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from locution import config
from locution.engine.durable import make_folder, write_text
from locution.engine.lock import locked
from locution.errors import LocutionError, UserError, require, unknown
from locution.recipe import Recipe, resolve
from locution.reporting.bars import Bar
from locution.studies.carry import DONE, REFUSED, in_processes
from locution.studies.rehearsal import check_figure
from locution.studies.search import SAMPLERS
from locution.studies.space import Dimension, points, read_space, switched, words_of
from locution.studies.trials import DEFAULT, Asked, Trial, all_trials, asked_trials, carry_on, open_study, take_trials

RESULTS, BEST = "tuning.json", "best.yaml"


@dataclass
class Tuning:
    """A tuning holds what was searched, every trial, and what mattered; `best` is the words of the best trial."""

    recipe: str
    fixed: list[str]
    space: list[Dimension]
    by: str
    better: str
    sampler: str
    trials: list[Trial] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def best(self) -> Trial:
        """The trial with the best figure of those that ran to their end."""
        done = [one for one in self.trials if one.state == "done"]
        if not done:
            why = next((one.why for one in self.trials if one.why), "none has ended yet")
            raise LocutionError(f"no trial came to its end: {why}")
        return min(done, key=lambda one: one.value if self.better == "lower" else -one.value)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return vars(self) | {
            "space": [asdict(one) for one in self.space],
            "trials": [asdict(one) for one in self.trials],
            "best": asdict(self.best),
        }


def tune(
    recipe: str,
    *words: str,
    trials: int = 40,
    by: str = "",
    sampler: str = "gp",
    prune: bool = True,
    workers: int = 1,
    seed: int = 0,
    out: str | Path = "",
    quiet: bool = False,
) -> tuple[Tuning, Path]:
    """Tuning looks for the settings of a recipe that are best on examples held out for that purpose.

    Parameters
    ----------
    words: fixed overrides, and what varies: see `read_space`. trials: how many runs in all; more on a second call go on
    with the first. by: the recorded value to go by, the loss on the development set if it is not said; or a figure of
    the results. sampler: gp, tpe or random. prune: end a trial whose loss is above the median of the others at the same
    step. workers: how many at a time, each a process. out: the folder that keeps the trials, the page and `best.yaml`,
    a recipe that `train` takes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found, _ = tune("line", "optimizer.lr=log:0.01:1", "steps=9", by="mse", trials=5, out=folder, quiet=True)
    >>> [one.state for one in found.trials].count("failed") < 5, found.best.words[0].partition("=")[0]
    (True, 'optimizer.lr')

    Reference: J. Snoek, H. Larochelle, R. Adams, 2012, "Practical Bayesian optimization of machine learning
    algorithms", section 2; T. Akiba et al., 2019, "Optuna: a next-generation hyperparameter optimization framework".
    """
    require(trials >= 1, "trials", trials, "a whole number from 1, usually 40")
    require(workers >= 1, "workers", workers, "a whole number from 1")
    if sampler not in SAMPLERS:
        raise unknown("sampler", sampler, SAMPLERS)
    fixed, space = read_space(words)
    space = switched(space, resolve(recipe, fixed).methods)
    few = len(points(space, trials))  # each once: to try one again with the same seed says nothing new
    trials = few or trials
    for one in space:  # what cannot be is said before the first trial
        for value in one.choices or ((True,) if one.kind == "switch" else (one.low, one.high)):
            whole = int(value) if one.whole and not isinstance(value, str) else value
            resolve(recipe, [*fixed, *filter(None, [one.word(whole)])])
    settings = [recipe, resolve(recipe, fixed).digest(), [asdict(one) for one in space], by, sampler, seed, prune]
    key = json.dumps(settings)
    name = f"{Path(recipe).stem}-{hashlib.blake2b(key.encode(), digest_size=5).hexdigest()}"
    folder = Path(out) if out else Path("runs") / "tune" / name
    make_folder(folder)
    asked = Asked(recipe, tuple(fixed), tuple(space), by, sampler, seed, prune, folder)
    with locked(folder):
        known = folder / "asked.json"
        if known.is_file() and known.read_text(encoding="utf-8") != key:
            raise UserError(f"{folder} keeps the tuning of something else; allowed: another --out.")
        write_text(known, key)
        if not finished(asked):
            check_figure(by, DEFAULT, first_tried(recipe, fixed, space))
        carry_out(asked, trials, workers, quiet)
        found = conclude(asked)
        if few:
            found.remarks.append(f"There are no more than these {few} settings: each was tried once.")
        return found, folder


def first_tried(recipe: str, fixed: Sequence[str], space: Sequence[Dimension]) -> list[Recipe]:
    """The recipes by which it is found out which figures there will be: as it is, else with the first of each value."""
    first = [one.word((one.values() or [one.low])[0]) for one in space]
    return [resolve(recipe, fixed), resolve(recipe, [*fixed, *filter(None, first)])]


def carry_out(asked: Asked, trials: int, workers: int, quiet: bool) -> None:
    """Run the trials that are still to come, in so many processes; stopped, none of them stays behind."""
    carry_on(asked)
    try:
        with Bar("tuning", trials, quiet=quiet).start(min(finished(asked), trials)) as bar:
            if workers > 1:
                return share_out(asked, trials, workers, bar)
            for why in take_trials(asked, trials):
                bar.advance()
                if why and not quiet:
                    bar.console.print(why, style="dim")
    except (KeyboardInterrupt, SystemExit):
        print(f"{finished(asked)} of {trials} trials are done; the same words go on from here", file=sys.stderr)
        raise
    return None


def finished(asked: Asked) -> int:
    """Count the trials that have ended."""
    return sum(one.finished for one in all_trials(asked))


def share_out(asked: Asked, trials: int, workers: int, bar: Bar) -> None:
    """Let several processes take trials until there are no more; what refuses one ends all."""
    done = min(finished(asked), trials)

    def tick() -> None:
        nonlocal done
        for _ in range(min(finished(asked), trials) - done):
            done += 1
            bar.advance()

    lost = ""
    with closing(in_processes([(asked, trials)] * workers, workers, work, tick)) as ended:
        for _, code, why in ended:
            if code == REFUSED:
                raise UserError(why)
            lost = why if code != DONE else lost
    tick()
    if lost:
        raise LocutionError(f"{lost}; {finished(asked)} of {trials} trials are done, the same words go on from here")


def work(share: tuple[Asked, int]) -> tuple[int, str]:
    """Take trials until enough have been asked for: what one of several processes does."""
    try:
        for _ in take_trials(*share):
            pass
    except LocutionError as error:
        return error.exit_code, str(error)
    return DONE, ""


def conclude(asked: Asked) -> Tuning:
    """Read the trials, weigh what mattered, and write the best recipe and all figures down."""
    trials = asked_trials(asked)
    by, better, remarks = asked.told()
    found = Tuning(asked.recipe, list(asked.fixed), list(asked.space), by, better, asked.sampler, trials)
    found.remarks = remarks
    found.importance = dict(_importance(asked))
    best = resolve(asked.recipe, [*asked.fixed, *found.best.words])
    best = replace(best, name=f"{Path(asked.recipe).stem}-tuned", run_dir=None)
    write_text(asked.folder / BEST, config.to_yaml(best.settings()))
    write_text(asked.folder / RESULTS, json.dumps(found.as_json(), indent=1, ensure_ascii=False, default=str))
    return found


def _importance(asked: Asked) -> Iterator[tuple[str, float]]:
    from locution.studies.search import quiet_optuna

    if len(asked.space) < 2:
        return
    with quiet_optuna() as optuna, contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError):
        study = open_study(asked)
        usable = [one for one in study.get_trials() if one.value is not None and math.isfinite(one.value)]
        if len(usable) < 4:
            return
        plain = optuna.create_study()
        plain.add_trials(usable)
        with contextlib.redirect_stdout(io.StringIO()):
            weighed = optuna.importance.get_param_importances(
                plain, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
            )
        yield from weighed.items()


def next_words(found: Tuning) -> Sequence[str]:
    """Say how to train the best recipe, and how to find out whether it is truly better than the plain one."""
    words = " ".join(found.best.words)
    fixed = f" {' '.join(found.fixed)}" if found.fixed else ""
    return [f'locution compare {found.recipe}{fixed} "tuned: {words}" --seeds 10']


__all__ = ["BEST", "RESULTS", "Tuning", "next_words", "tune", "words_of"]
