"""The study behind the rule: the main job's own halves and corpus, five seeds that listen and five that cannot."""

from __future__ import annotations

import pytest
import torch

from locution.engine import Engine, Observer
from locution.engine.observer import Record, Stop
from locution.recipe import resolve
from locution.runs import build_task, prepare
from locution.speech.listener import Listening
from locution.tasks.task import Job

ENOUGH = 160  # steps of the main job's own schedule


class Gaps(Observer):
    """Keeps what was measured, for a table, and ends the study where the question is answered."""

    name = "gaps"

    def __init__(self) -> None:
        self.found: list[tuple[int, float]] = []

    def watch(self, record: Record) -> Stop | None:
        if "listening_gap" in record.values:
            self.found.append((record.step, round(record.values["listening_gap"], 3)))
        return Stop("enough") if record.step > ENOUGH else None


def train(job: Job, words: list[str], *, wrong: bool) -> tuple[Engine, Listening, Gaps]:
    recipe = resolve("speech", words)
    if wrong:  # every sound with the transcript of another clip
        order = torch.randperm(len(job.batches.tokens), generator=torch.Generator().manual_seed(recipe.seed)).tolist()
        job.batches.tokens = [job.batches.tokens[i] for i in order]
    batch = next(watcher for watcher in job.observers if isinstance(watcher, Listening)).batch
    watcher, gaps = Listening(batch, every=20, patience=100), Gaps()
    observers: list[Observer] = [watcher, gaps]
    settings = {"seed": recipe.seed, "precision": recipe.precision, "log_every": 20}
    engine = Engine(job.model, job.turns, recipe.built_methods(), observers=observers, **settings)  # type: ignore[arg-type]
    return engine.fit(job.batches, steps=recipe.steps), watcher, gaps


@pytest.mark.long
@pytest.mark.parametrize("wrong", [False, True], ids=["heard", "shuffled"])
@pytest.mark.parametrize("seed", range(5))
def test_the_main_job_is_ended_where_it_cannot_listen_and_never_where_it_does(seed: int, wrong: bool) -> None:
    words = [f"seed={seed}", "threads=1"]
    recipe = resolve("speech", words)
    job = prepare(recipe, build_task(recipe), quiet=True)
    engine, watcher, gaps = train(job, words, wrong=wrong)
    print(f"seed {seed}, {'shuffled' if wrong else 'heard'}: {gaps.found}")
    if wrong:
        assert "does not listen" in engine.stopping
        assert max(abs(gap) for step, gap in gaps.found if step > 60) < watcher.least
    else:
        assert engine.stopping == "enough"
        assert not watcher.notes
        assert gaps.found[-1][1] > watcher.least
