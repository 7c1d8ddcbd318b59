"""Equal compute: what a step of each variant costs, and how many of them the plain recipe's budget buys."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from locution.beginning import build_task
from locution.engine import Engine, Observer, TaskSequence
from locution.engine.durable import write_text
from locution.engine.observer import Record, Stop
from locution.engine.state import limit
from locution.errors import UserError, unknown
from locution.recipe import Recipe, resolve
from locution.studies.variants import Variant

FILE = "equal.json"
WARM, TIMED, COUNTED = 3, 30, 6  # steps that make everything ready, that are timed, whose operations are counted
SAME = 0.02  # a step that costs so little more or less is taken to cost the same
BY = {"compute": "operations", "time": "seconds"}


@dataclass(frozen=True)
class Price:
    """What one step costs: floating-point operations, gradient evaluations, processor seconds; and the steps planned.

    fixed: the data say how long training lasts, as a sequence of tasks does, and fewer steps would be fewer tasks.

    >>> Price(2e6, 2.0, 0.002, 100).over(Price(1e6, 1.0, 0.001, 100))["gradients"]
    2.0
    """

    operations: float
    gradients: float
    seconds: float
    steps: int
    fixed: bool = False

    def over(self, plain: Price) -> dict[str, float]:
        """Say how many times as much a step costs as the plain recipe's."""
        mine, other = asdict(self), asdict(plain)
        kinds = ("operations", "gradients", "seconds")
        return {kind: mine[kind] / other[kind] for kind in kinds if other[kind]}


class Meter(Observer):
    """Watches the first steps of a training: times some, counts the operations of some more, and stops it."""

    name: ClassVar[str] = "meter"

    def __init__(self, device: torch.device) -> None:
        from torch.utils.flop_counter import FlopCounterMode

        self.device, self.stamps = device, list[float]()
        self.counter = FlopCounterMode(display=False)

    def watch(self, record: Record) -> Stop | None:
        """Take the time, and count."""
        if record.kind != "step":
            return None
        if WARM <= record.step <= WARM + TIMED:
            self.stamps.append(self.now())
        if record.step == WARM + TIMED:
            self.counter.__enter__()  # type: ignore[no-untyped-call]
        if record.step < WARM + TIMED + COUNTED:
            return None
        self.counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        return Stop("measured")

    def now(self) -> float:
        """Read the clock of whatever computes: this process's own time, or, on another device, when it is through."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()


def price(recipe: Recipe) -> Price:
    """Measure what one step of a recipe costs, from the first forty of a training that is thrown away.

    Operations are those of matrix products, convolutions and attention, forward and backward, whoever asks for them:
    SAM's second gradient counts, and so do a teacher's answers. What a method does once, before the first step, is
    left out.

    >>> plain, sam = price(resolve("digits", ["epochs=1"])), price(resolve("digits", ["+sam", "epochs=1"]))
    >>> sam.gradients, sam.over(plain)["operations"], sam.steps
    (2.0, 2.0, 40)

    Reference: M. Dehghani et al., 2022, "The efficiency misnomer", section 2 (which cost is meant must be said).
    """
    from locution.runs import kept_model, prepare

    job = prepare(recipe, build_task(recipe), quiet=True)
    needed = WARM + TIMED + COUNTED
    engine = Engine(
        job.model,
        job.turns,
        recipe.built_methods(),
        seed=recipe.seed,
        accumulate=recipe.accumulate,
        precision=recipe.precision,
        device=recipe.device,
        log_every=1,
        measure_every=10 * needed,  # never within these steps
        open_model=partial(kept_model, seed=recipe.seed, quiet=True),
    )
    planned = limit(job.batches.steps(), recipe.epochs, recipe.steps)
    if planned is None:
        raise UserError("--equal came with data whose length nobody knows; allowed: steps=N instead of epochs.")
    meter = Meter(engine.device)
    engine.observers.append(meter)
    engine.fit(job.batches, steps=max(planned, needed + 1))
    gaps = [after - before for before, after in zip(meter.stamps, meter.stamps[1:], strict=False)]
    counted = meter.counter.get_total_flops() / COUNTED
    fixed = isinstance(job.batches, TaskSequence)
    return Price(counted, engine.watch.gradients / engine.number, statistics.median(gaps), planned, fixed)


def prices(folder: Path, recipe: str, shared: Sequence[str], variants: Sequence[Variant]) -> dict[str, Price]:
    """Measure what a step of each variant costs, once a study: taken up again it keeps to what was measured."""
    path = folder / FILE
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {}
    for variant in variants:
        resolved = resolve(recipe, (*shared, *variant.words))
        key = resolved.digest()
        if key not in known:
            known[key] = asdict(price(resolved))
            write_text(path, json.dumps(known, indent=1))
        found[variant.name] = Price(**known[key])
    return found


def equalised(
    by: str, plain: str, variants: Sequence[Variant], found: Mapping[str, Price]
) -> tuple[list[Variant], dict[str, dict[str, float]]]:
    """Give each variant as many steps as cost what the plain recipe's training costs.

    by: "compute" goes by the operations of a step (its gradients, if it has none that are counted), "time" by its
    processor seconds. Returns the variants, where needed
    with another number of steps, and what was done: the ratios, and steps out of those planned.

    >>> found = {"plain": Price(1e6, 1.0, 0.001, 100), "sam": Price(2e6, 2.0, 0.002, 100)}
    >>> changed, done = equalised("compute", "plain", [Variant("plain"), Variant("sam", ("+sam", "epochs=3"))], found)
    >>> changed[1].words, done["sam"]["steps"]
    (('+sam', 'steps=50'), 50)
    """
    if by not in BY:
        raise unknown("way to make budgets equal", by, BY)
    base = asdict(found[plain])
    kind = BY[by] if base[BY[by]] else "gradients"  # a model without a product of matrices
    changed, done = [], {}
    for variant in variants:
        own = asdict(found[variant.name])
        steps = max(1, round(base["steps"] * base[kind] / own[kind]))
        if abs(steps / own["steps"] - 1) <= SAME:
            steps = own["steps"]
            changed.append(variant)
        elif found[variant.name].fixed:
            allowed = "allowed: data without a sequence of tasks, or no --equal"
            raise UserError(f"--equal {by} would give {variant.name} {steps} of {own['steps']} steps; {allowed}.")
        else:
            kept = [word for word in variant.words if not word.startswith(("epochs=", "steps="))]
            changed.append(Variant(variant.name, (*kept, f"steps={steps}")))
        done[variant.name] = {**found[variant.name].over(found[plain]), "steps": steps, "of": own["steps"]}
    return changed, done
