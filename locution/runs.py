"""A run: trained from a recipe, kept in one folder, and asked again later."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from locution import conclusion, config
from locution.beginning import Opener, build_engine, build_task, read_recipe
from locution.engine import Observer
from locution.engine.checkpoint import read_checkpoint
from locution.engine.lock import InUse
from locution.engine.random import reseed, stream_key
from locution.engine.run_folder import RunFolder
from locution.engine.signals import stopping_by_signal
from locution.errors import UserError
from locution.models.fine_tuning import fine_tune
from locution.recipe import Recipe, resolve
from locution.reporting.results import RunResults
from locution.tasks.how_read import say_how_read
from locution.tasks.task import Job, Task

KEPT = Path("runs") / "kept"
TRAINING: set[Path] = set()
"""What this process trains for others at this moment."""


def resume_takes_no_words(words: Sequence[str]) -> UserError:
    """Refuse settings beside --resume: a run goes on with the recipe it was begun with."""
    return UserError(f"--resume came with {' '.join(words)}; allowed: --resume RUN alone, the run keeps its recipe.")


class Run:
    """A run goes from raw data to a trained model that answers, and keeps each step of the way in one folder.

    The folder holds the resolved recipe, the metrics, the checkpoints, the weights, the results and the report.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train("line", f"run_dir={folder}/line", quiet=True)
    ...     run.predict(["10"])
    run: ...
    ['21.0']

    Reference: D. Sculley et al., 2015, "Hidden technical debt in machine learning systems", section 4.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe

    @classmethod
    def open(cls, where: str | Path) -> Run:
        """Open a run folder, or the newest run of a recipe by the recipe's name."""
        folder = RunFolder.open(where)
        return cls(folder.path, read_recipe(folder.path))

    @cached_property
    def task(self) -> Task:
        """What the run is for."""
        return build_task(self.recipe)

    @cached_property
    def results(self) -> dict[str, Any]:
        """What the run's own evaluation found, as it was written at the end of training."""
        path = self.folder / "results.json"
        if not path.is_file():
            raise UserError(f"{self.folder} has no results yet; go on with: locution train --resume {self.folder}")
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def job(self, *, quiet: bool = True) -> Job:
        """Build the run's data and untrained model again."""
        return prepare(self.recipe, self.task, quiet=quiet)

    def load(self, job: Job) -> nn.Module:
        """Put the trained weights into the model."""
        if not any(self.folder.glob("model*")):
            raise UserError(
                f"{self.folder} has no trained model yet; go on with: locution train --resume {self.folder}"
            )
        return self.task.load(self.recipe, job, self.folder)

    def evaluate(self, *, quiet: bool = True) -> RunResults:
        """Judge the trained model again on data it never learnt from."""
        job = self.job(quiet=quiet)
        return self.task.evaluate(self.recipe, job, self.load(job), quiet=quiet)

    def show_evaluation(self, *, against: str = "", as_json: bool = False) -> None:
        """Print the evaluation, or the difference from another run, as a table or as one JSON object."""
        if against:
            return self.show_difference(Run.open(against), as_json=as_json)
        results = self.evaluate(quiet=as_json)
        if as_json:
            print(json.dumps(results.as_json(), ensure_ascii=False))
        else:
            self.task.show(results)
        return None

    def show_difference(self, other: Run, *, as_json: bool = False) -> None:
        """Print how far this run's transcripts are better or worse than those of another on the same test set."""
        from locution.reporting.tables import print_difference
        from locution.tasks.against import against

        results = against(self.folder, other.folder)
        if as_json:
            print(json.dumps(results.as_json(), ensure_ascii=False))
        else:
            print_difference(results)

    def predict(self, inputs: Sequence[str]) -> list[str]:
        """Answer for new inputs, a line each."""
        if not inputs:
            raise UserError("predict came without an input; allowed: numbers, a file, or test:3.")
        return self.task.predict(self.recipe, self.folder, inputs)

    def transcribe(self, files: Sequence[str], *, as_json: bool = False, **wishes: Any) -> int:
        """Write down what is said in audio files; the exit code is 1 if one could not be read."""
        task = self.task
        if not hasattr(task, "transcribe"):
            raise UserError(f"{self.folder} is of '{self.recipe.name}', which does not hear; allowed: a speech run.")
        from locution.speech.asked import Wishes

        asked = Wishes(**wishes | ({"form": "json"} if as_json else {}))
        code: int = task.transcribe(self.recipe, self.folder, files, asked)
        return code


def prepare(recipe: Recipe, task: Task, *, quiet: bool) -> Job:
    """Build the job, every first weight drawn from the recipe's seed."""
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    reseed(stream_key(recipe.seed, "weights"), torch.device("cpu"))
    return task.prepare(recipe, quiet=quiet)


def kept_model(where: str, *, seed: int, quiet: bool) -> nn.Module:
    """Open the trained model of another run: by its folder, or by a recipe's name and words, trained once and kept.

    The run of a recipe has this run's seed, unless its words say another, and lies in `runs/kept`. Two processes that
    want it at once wait for each other. Raises UserError for a recipe that starts from itself.
    """
    threads = torch.get_num_threads()
    run = Run.open(where) if (Path(where) / "recipe.yaml").is_file() else kept_run(where, seed, quiet)
    model = run.load(run.job())
    torch.set_num_threads(threads)
    return model


def kept_run(where: str, seed: int, quiet: bool) -> Run:
    """Train what a recipe's name and words say, once, or find it."""
    name, *words = shlex.split(where)
    words += [] if any(word.startswith("seed=") for word in words) else [f"seed={seed}"]
    recipe = resolve(name, words)
    folder = KEPT / f"{name.replace('/', '-')}-{recipe.digest()}-seed-{recipe.seed}"
    if folder in TRAINING:
        raise UserError(f"'{where}' starts from itself; allowed: a run folder, or another recipe.")
    TRAINING.add(folder)
    try:
        while not (folder / "results.json").is_file():
            begun = (folder / "recipe.yaml").is_file()
            if not (quiet or begun):
                print(f"first: {where}, trained once and kept in {folder}")
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    resume(folder, quiet=True) if begun else train(name, *words, f"run_dir={folder}", quiet=True)
            except InUse:
                time.sleep(0.2)  # another process is at it
            except UserError:
                if begun or not (folder / "recipe.yaml").is_file():  # else another process has just begun
                    raise
    finally:
        TRAINING.discard(folder)
    return Run.open(folder)


def train(recipe: str, *overrides: str, quiet: bool = False, watchers: Sequence[Observer] = ()) -> Run:
    """Train a recipe and return the run; the words are those of the command line; `watchers` watch it besides.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train("line", "steps=2", f"run_dir={folder}/line", quiet=True).recipe.steps
    run: ...
    2
    """
    resolved = resolve(recipe, overrides)
    folder = RunFolder.create(resolved.name, resolved.run_dir, config.to_yaml(resolved.settings()))
    try:
        return go(folder, resolved, quiet=quiet, watchers=watchers)
    except UserError:
        folder.discard()  # refused before it began
        raise


def resume(where: str | Path, *, quiet: bool = False, watchers: Sequence[Observer] = ()) -> Run:
    """Go on with a run from its last good checkpoint, to the same weights as if it had never stopped."""
    folder = RunFolder.open(where)
    recipe = read_recipe(folder.path)
    if (folder.path / "results.json").is_file() and any(folder.path.glob("model*")):
        print(f"run: {folder.path}")
        return Run(folder.path, recipe)
    return go(folder, recipe, quiet=quiet, watchers=watchers)


def go(folder: RunFolder, recipe: Recipe, *, quiet: bool, watchers: Sequence[Observer] = ()) -> Run:
    """Train, judge and write down, in a run folder that nobody else writes to."""
    run = Run(folder.path, recipe)
    with folder.lock(), stopping_by_signal() as signals:
        job = prepare(recipe, run.task, quiet=quiet)
        if not quiet:
            say_how_read(job)
        if recipe.start:
            fine_tune(job.model, kept_model(recipe.start, seed=recipe.seed, quiet=quiet).state_dict(), recipe.fresh)
        opener = Opener(partial(kept_model, seed=recipe.seed, quiet=quiet))
        engine = build_engine(recipe, job, folder, opener, quiet=quiet)
        kept = read_checkpoint(folder.checkpoints)
        if kept is not None:
            engine.load_state_dict(kept)
        engine.observers.extend(watchers)
        signals.attach(engine)
        begun = time.perf_counter()
        if job.fit is None:
            engine.fit(job.batches, epochs=recipe.epochs, steps=recipe.steps)
        else:
            job.fit()
        signals.leave_if_asked(folder.path)
        if engine.group.first:
            conclusion.judge(run, job, engine, time.perf_counter() - begun - opener.seconds, quiet=quiet)
            print(f"run: {folder.path}")
        engine.group.wait()
    return run
