"""Compare a recipe with variants of itself: paired runs over seeds, taken up where they were left."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locution.engine.durable import write_text
from locution.errors import LocutionError, UserError, require, unknown
from locution.recipe import Recipe, resolve
from locution.reporting.bars import Bar
from locution.studies.effects import Effect, Outcome, effect, judged
from locution.studies.variants import Variant, read_words

RUNS, RESULTS = "runs", "comparison.json"
ALONE = ".alone"  # marks a run that had a process to itself: only then is its peak of memory its own
LOCAL = ("run_dir", "seed", "trackers", "name", "describe")  # what does not change what a recipe trains


@dataclass
class Comparison:
    """A comparison holds what was asked, every outcome, and the effects that follow from them."""

    recipe: str
    shared: list[str]
    metric: str
    better: str
    seeds: int
    plain: str
    effects: list[Effect] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    parameters: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return vars(self) | {"effects": [one.as_json() for one in self.effects]}


@dataclass(frozen=True)
class Planned:
    """One run of a comparison: which variant, which seed, the words that make it and the folder that keeps it."""

    variant: str
    seed: int
    recipe: str
    words: tuple[str, ...]
    folder: Path


def digest(recipe: Recipe) -> str:
    """Name what a recipe trains, whatever its seed: recipes of one digest and one seed give the same run."""
    settings = {key: value for key, value in recipe.settings().items() if key not in LOCAL}
    return hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=5).hexdigest()


def plan(recipe: str, shared: Sequence[str], variants: Sequence[Variant], seeds: int, out: Path) -> list[Planned]:
    """List every run that a comparison needs; each recipe is checked before the first one trains."""
    planned = []
    for variant in variants:
        words = (*shared, *variant.words)
        name = f"{variant.slug}-{digest(resolve(recipe, words))}"
        for seed in range(seeds):
            folder = out / RUNS / name / f"seed-{seed}"
            planned.append(Planned(variant.name, seed, recipe, (*words, f"seed={seed}", f"run_dir={folder}"), folder))
    return sorted(planned, key=lambda one: one.seed)  # whole pairs early: an interrupted study has something to show


def run_one(one: Planned) -> str:
    """Train one run, go on with it, or find it done; returns an error's line, or nothing."""
    from locution import runs

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            if (one.folder / "recipe.yaml").is_file():
                runs.resume(one.folder, quiet=True)
            else:
                runs.train(one.recipe, *one.words, quiet=True)
        except LocutionError as error:
            return str(error)
    return ""


def alone(one: Planned) -> str:
    """Train one run in a process that trains no other, and note that its peak of memory is its own."""
    why = run_one(one)
    if not why:
        (one.folder / ALONE).touch()
    return why


def outcomes(planned: Sequence[Planned]) -> dict[str, dict[int, dict[str, Any]]]:
    """Read what the runs that are done have found: by variant and seed."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for one in planned:
        path = one.folder / "results.json"
        if path.is_file():
            results = json.loads(path.read_text(encoding="utf-8"))
            if not (one.folder / ALONE).is_file():
                results.get("cost", {}).pop("peak_memory", None)
            found.setdefault(one.variant, {})[one.seed] = results
    return found


def outcome(results: Mapping[str, Any]) -> Outcome:
    """Take from a run's results what a comparison needs."""
    cost = results.get("cost", {})
    return Outcome(
        {name: float(one["value"]) for name, one in results["metrics"].items()},
        float(cost.get("seconds", float("nan"))),
        float(cost.get("peak_memory", float("nan"))),
        int(cost.get("steps", 0)),
        int(cost.get("parameters_trained", 0)),
    )


def compare(
    recipe: str,
    *words: str,
    seeds: int = 10,
    metric: str = "",
    against: str = "",
    workers: int = 1,
    out: str | Path = "",
    quiet: bool = False,
) -> tuple[Comparison, Path]:
    """A comparison trains a recipe with and without a change, seed by seed, and says what the change is worth.

    words: those of the command line, see `read_words`. seeds: pairs. metric: a figure of the run, its headline one if
    none is named. against: the variant that is the baseline, else the recipe as it is. workers: how many runs at a
    time; from two on each has a process of its own, and memory is compared too. out: the folder that keeps it all;
    runs that are in it already are not trained again. Returns what was found, and the folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found, _ = compare("line", "steps=3", "slow: optimizer.lr=0.001", seeds=2, out=folder, quiet=True)
    >>> [(one.name, one.mean > 0, one.verdict) for one in found.effects]  # its error is larger; two seeds prove nothing
    [('slow', True, 'cannot tell')]

    Reference: P. R. Cohen and A. E. Howe, 1988, "How evaluation guides AI research", section on ablation.
    """
    require(seeds >= 2, "seeds", seeds, "a whole number from 2, usually 10")
    require(workers >= 1, "workers", workers, "a whole number from 1")
    shared, variants = read_words(words)
    every = variants if against else [Variant("plain"), *variants]
    plain = against or "plain"
    names = [variant.name for variant in every]
    if plain not in names:
        raise unknown("variant", plain, names)
    if len(every) < 2:
        raise UserError("compare came without a variant; allowed: +method, or a quoted 'name: key=value +method'.")
    folder = Path(out) if out else Path("runs") / "compare" / f"{recipe}-{digest(resolve(recipe, shared))}"
    planned = plan(recipe, shared, every, seeds, folder)
    failures = dict(carry_out(planned, workers, quiet))
    found = outcomes(planned)
    comparison = conclude(recipe, shared, plain, names, found, metric, seeds)
    comparison.failures = failures
    write_text(folder / RESULTS, json.dumps(comparison.as_json(), indent=1, ensure_ascii=False))
    return comparison, folder


def carry_out(planned: Sequence[Planned], workers: int, quiet: bool) -> Iterator[tuple[str, str]]:
    """Run what is not done yet, in so many processes; yields the runs that failed, and why."""
    left = [one for one in planned if not (one.folder / "results.json").is_file()]
    with Bar("comparing", len(planned), quiet=quiet).start(len(planned) - len(left)) as bar:
        if workers == 1:
            for one in left:
                if why := run_one(one):
                    yield f"{one.variant}, seed {one.seed}", why
                bar.advance()
            return
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=fresh, max_tasks_per_child=1) as pool:
            waiting = {pool.submit(alone, one): one for one in left}
            for done in as_completed(waiting):
                one = waiting[done]
                if why := done.result():
                    yield f"{one.variant}, seed {one.seed}", why
                bar.advance()


def conclude(
    recipe: str,
    shared: list[str],
    plain: str,
    names: Sequence[str],
    found: Mapping[str, Mapping[int, Mapping[str, Any]]],
    metric: str,
    seeds: int,
) -> Comparison:
    """Work out the effects from the runs that are done."""
    if not found.get(plain):
        raise LocutionError(f"no run of '{plain}' came to its end, so nothing can be compared.")
    first = next(iter(found[plain].values()))
    metric = metric or next(iter(first["metrics"]))
    if metric not in first["metrics"]:
        raise unknown("figure of this recipe", metric, first["metrics"])
    better = first.get("better", {}).get(metric, "")
    base = {seed: outcome(one) for seed, one in found[plain].items()}
    effects = []
    for name in names:
        varied = {seed: outcome(one) for seed, one in found.get(name, {}).items() if metric in one["metrics"]}
        if name != plain and set(varied) & set(base):
            effects.append(effect(name, base, varied, metric, failed=seeds - len(varied)))
    spent = sum(outcome(one).seconds for runs in found.values() for one in runs.values())
    start = next(iter(base.values())).parameters
    return Comparison(recipe, shared, metric, better, seeds, plain, judged(effects, better), {}, start, spent)
