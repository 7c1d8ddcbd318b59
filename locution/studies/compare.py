"""Compare a recipe with variants of itself: paired runs over seeds, taken up where they were left."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from locution.conclusion import environment
from locution.engine.durable import write_text
from locution.errors import LocutionError, UserError, require, unknown
from locution.recipe import resolve
from locution.reporting.bars import Bar
from locution.studies.carry import ALONE, DONE, REFUSED, Planned, in_processes, one_by_one
from locution.studies.effects import Effect, effect, judged
from locution.studies.endings import Ending, diverged, endings_of
from locution.studies.equal import equalised, prices
from locution.studies.outcomes import Found, better, check_metrics, chosen, figures, outcome, possible
from locution.studies.rehearsal import check_each
from locution.studies.variants import Variant, read_words

RUNS, RESULTS = "runs", "comparison.json"


@dataclass
class Comparison:
    """A comparison holds what was asked, every outcome, and the effects that follow from them.

    recipe, shared: what all runs have in common. metric, metrics: the first figure, and all that were asked for. seeds,
    first: how many pairs, and the first seed. plain: the variant that the others are compared with. effects: one a
    figure and variant. failures: runs that came to no end, and why. endings: how many runs of either side diverged,
    one a variant; none where no run did. equal: "" or what was made equal; budgets: by variant, what a step costs
    beside the plain recipe's, and the steps it got. parameters, seconds: weights that train in the plain recipe, and
    seconds of training in all. environment: versions and machine. words: as they were typed.
    """

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
    metrics: list[str] = field(default_factory=list)
    first: int = 0
    equal: str = ""
    budgets: dict[str, dict[str, float]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return vars(self) | {
            "effects": [one.as_json() for one in self.effects],
            "endings": [one.as_json() for one in self.endings],
        }


def plan(
    recipe: str, shared: Sequence[str], variants: Sequence[Variant], seeds: Sequence[int], out: Path
) -> list[Planned]:
    """List every run that a comparison needs; each recipe is checked before the first one trains."""
    planned = []
    for variant in variants:
        words = (*shared, *variant.words)
        name = f"{variant.slug}-{resolve(recipe, words).digest()}"
        for seed in seeds:
            folder = out / RUNS / name / f"seed-{seed}"
            planned.append(Planned(variant.name, seed, recipe, (*words, f"seed={seed}", f"run_dir={folder}"), folder))
    return sorted(planned, key=lambda one: one.seed)  # whole pairs early: an interrupted study has something to show


def outcomes(planned: Sequence[Planned]) -> Found:
    """Read what the runs that are done have found: by variant and seed."""
    found: Found = {}
    for one in planned:
        if one.done:
            results = json.loads((one.folder / "results.json").read_text(encoding="utf-8"))
            if not (one.folder / ALONE).is_file():
                results.get("cost", {}).pop("peak_memory", None)
            found.setdefault(one.variant, {})[one.seed] = results
    return found


def compare(
    recipe: str,
    *words: str,
    seeds: int = 10,
    metric: str = "",
    against: str = "",
    workers: int = 1,
    out: str | Path = "",
    first: int = 0,
    equal: str = "",
    on: str = "",
    quiet: bool = False,
) -> tuple[Comparison, Path]:
    """A comparison trains a recipe with and without a change, seed by seed, and says what the change is worth.

    words: those of the command line, see `read_words`. seeds: pairs, from the seed `first` on. metric: figures of the
    run with commas between, its headline one if none is named. against: the variant that is the baseline, else the
    recipe as it is. workers: how many runs at a time; from two on each has a process of its own, and memory is compared
    too. out: the folder that keeps it all; runs that are in it already are not trained again. equal: "compute" or
    "time" gives each variant as many steps as cost what the baseline's training costs. on: "ray" trains on several
    machines. Returns what was found, and the folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found, _ = compare("line", "steps=3", "slow: optimizer.lr=0.001", seeds=2, out=folder, quiet=True)
    >>> [(one.name, one.mean > 0, one.verdict) for one in found.effects]  # its error is larger; two seeds prove nothing
    [('slow', True, 'cannot tell')]

    Reference: P. R. Cohen and A. E. Howe, 1988, "How evaluation guides AI research", section on ablation.
    """
    require(seeds >= 2, "seeds", seeds, "a whole number from 2, usually 10")
    require(workers >= 1, "workers", workers, "a whole number from 1")
    require(on in ("", "ray"), "on", on, "ray, or nothing for this machine")
    shared, variants = read_words(words)
    every = variants if against else [Variant("plain"), *variants]
    plain = against or "plain"
    names = [variant.name for variant in every]
    if plain not in names:
        raise unknown("variant", plain, names)
    if len(every) < 2:
        raise UserError("compare came without a variant; allowed: +method, or a quoted 'name: key=value +method'.")
    resolved = resolve(recipe, shared)
    asked = chosen(metric, possible(resolved))
    folder = Path(out) if out else Path("runs") / "compare" / f"{recipe.replace('/', '-')}-{resolved.digest()}"
    range_ = range(first, first + seeds)
    planned, budgets = plan(recipe, shared, every, range_, folder), dict[str, dict[str, float]]()
    if on != "ray":  # elsewhere the data may be others
        fresh = {one.variant for one in planned} - {one.variant for one in planned if one.begun}
        check_each((one.name, resolve(recipe, (*shared, *one.words))) for one in every if one.name in fresh)
    if equal:
        every, budgets = equalised(equal, plain, every, prices(folder, recipe, shared, every))
        planned = plan(recipe, shared, every, range_, folder)
    failures = carry_out(planned, asked, workers, on, quiet)
    found = conclude(recipe, shared, plain, names, outcomes(planned), asked, failures, range_)
    found.equal, found.budgets, found.words = equal, budgets, list(words)
    write_text(folder / RESULTS, json.dumps(found.as_json(), indent=1, ensure_ascii=False))
    return found, folder


def carry_out(
    planned: Sequence[Planned], metrics: Sequence[str], workers: int = 1, on: str = "", quiet: bool = False
) -> dict[str, str]:
    """Run what is not done yet; returns the runs that failed, and why.

    Raises UserError as soon as a run is refused, or has no figure of a name that was asked for.
    """
    left = [one for one in planned if not one.done]
    failures: dict[str, str] = {}
    check_metrics(metrics, outcomes(planned))
    if on == "ray":
        from locution.studies.remote import on_ray

        begun = on_ray(left)
    else:
        begun = one_by_one(left) if workers == 1 else in_processes(left, workers)
    done = len(planned) - len(left)
    try:
        with Bar("comparing", len(planned), quiet=quiet) as bar, closing(begun) as ended:
            bar.update(done)
            for one, code, why in ended:
                if code == REFUSED:
                    raise UserError(f"{one.variant}: {why}")
                if code != DONE:
                    failures[one.title] = why
                elif done == len(planned) - len(left):
                    check_metrics(metrics, outcomes([one]))
                done += 1
                bar.advance()
    except (KeyboardInterrupt, SystemExit):
        kept = sum(one.done for one in planned)
        print(f"{kept} of {len(planned)} runs are done; the same words go on from here", file=sys.stderr)
        raise
    return failures


def conclude(
    recipe: str,
    shared: list[str],
    plain: str,
    names: Sequence[str],
    found: Found,
    metrics: Sequence[str],
    failures: Mapping[str, str],
    seeds: Sequence[int],
) -> Comparison:
    """Work out the effects from the runs that are done."""
    failed = dict(failures)
    if not found.get(plain) and not (diverged(plain, seeds, failed) and any(found.values())):
        why = next((f" ({why.rstrip('.')})" for title, why in failed.items() if title.startswith(f"{plain},")), "")
        raise LocutionError(f"no run of '{plain}' came to its end{why}, so nothing can be compared.")
    head = next(iter((found.get(plain) or next(filter(None, found.values()))).values()))
    metrics = list(metrics) or [next(iter(head["metrics"]))]
    effects = []
    for metric in metrics:
        values = {name: figures(name, metric, found.get(name, {}), failed) for name in names}
        for name in names:
            pairs = set(values[name]) & set(values[plain])
            if name != plain and pairs:
                lost, side = len(seeds) - len(pairs), better(head, metric)
                effects.append(effect(name, values[plain], values[name], metric, failed=lost, better=side))
    done = [outcome(one, metrics[0]) for runs in found.values() for one in runs.values()]
    return Comparison(
        recipe,
        shared,
        metrics[0],
        better(head, metrics[0]),
        len(seeds),
        plain,
        judged(effects),
        failed,
        outcome(head, metrics[0]).parameters,
        sum(one.seconds for one in done if math.isfinite(one.seconds)),
        metrics,
        seeds[0],
        environment=environment(),
        endings=endings_of(names, plain, found, failed, seeds),
    )
