"""Side by side: contestants take turns in one process, and what counts is the ratio of their CPU times."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
AUDIO = "second of audio"  # the unit of all that hears
WIDE, ROOM = 44, 22  # columns of a printed table


@dataclass
class Ratio:
    """How one contestant compares with another: the median of the rounds' ratios, and their middle half."""

    name: str
    against: str
    median: float
    low: float
    high: float
    microseconds: float
    goal: float | None = None
    note: str = ""
    unit: str = "step"

    @property
    def met(self) -> bool:
        return self.goal is None or self.median <= self.goal


def cpu_seconds(action: Callable[[], Any]) -> float:
    """Measure the CPU time of this process, which others on the machine disturb less than the clock's."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def clock_of(device: str) -> Callable[[], float]:
    """Choose the clock: this process's CPU time, or on an accelerator the wall's, when all that was begun is done."""
    import torch

    def wall() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    return time.process_time if device == "cpu" else wall


def interleave(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, device: str = "cpu"
) -> dict[str, list[float]]:
    """Let everyone run once per round, the order turning, after one round that nobody counts."""
    clock = clock_of(device)
    names = list(contestants)
    for name in names:
        contestants[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun = clock()
            contestants[name]()
            times[name].append(clock() - begun)
    return times


def compare(
    times: Mapping[str, list[float]],
    name: str,
    against: str,
    steps: float,
    goal: float | None = None,
    unit: str = "step",
) -> Ratio:
    """Compare two contestants round by round; `steps` counts what each did in a round, in `unit`s."""
    ratios = [one / other for one, other in zip(times[name], times[against], strict=True)]
    quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    each = statistics.median(times[name]) / steps * 1e6
    return Ratio(name, against, statistics.median(ratios), quarters[0], quarters[2], each, goal, unit=unit)


def show(title: str, ratios: list[Ratio]) -> None:
    """Print a table."""
    print(f"\n{title}")
    unit = ratios[0].unit if ratios else "step"
    print(f"  {'':<{WIDE}}{'us a ' + unit:>{ROOM}}{'ratio':>8}{'middle half':>16}{'goal':>8}")
    for ratio in ratios:
        if ratio.note:
            print(f"  {ratio.name:<{WIDE}}{'not run':>{ROOM}}  {ratio.note}")
            continue
        goal = f"{ratio.goal:.2f}" if ratio.goal is not None else ""
        half = f"{ratio.low:.2f} to {ratio.high:.2f}"
        missed = "" if ratio.met else "  missed"
        print(f"  {ratio.name:<{WIDE}}{ratio.microseconds:>{ROOM}.1f}{ratio.median:>8.3f}{half:>16}{goal:>8}{missed}")


def machine() -> dict[str, Any]:
    """Describe the machine and the versions."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = found[0] if found else model
    versions = {name: version(name) for name in ("torch", "numpy", "transformers", "accelerate")}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "accelerator": device,
        "versions": {name: found for name, found in versions.items() if found is not None},
        "load_average": load,
    }


def version(name: str) -> str | None:
    """Name the installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def finish(benchmark: str, tables: Mapping[str, list[Ratio]], *, quick: bool, facts: Sequence[str] = ()) -> int:
    """Write the results down, print the last line, and return the exit code: 1 if a goal was missed.

    `facts` are lines of Markdown that belong to the tables.
    """
    for line in facts:
        print(line)
    RESULTS.mkdir(exist_ok=True)
    ratios = [ratio for table in tables.values() for ratio in table]
    kept = {title: [asdict(ratio) | {"met": ratio.met} for ratio in table] for title, table in tables.items()}
    record = {"benchmark": benchmark, "quick": quick, "machine": machine(), "tables": kept}
    record |= {"facts": list(facts)} if facts else {}
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    goals = [ratio for ratio in ratios if ratio.goal is not None and not ratio.note]
    missed = [ratio for ratio in goals if not ratio.met]
    said = "; ".join(f"{ratio.name} {ratio.median:.3f} (goal {ratio.goal:.2f})" for ratio in goals)
    print(f"\nratio: {said}: {'missed' if missed or not goals else 'met'}", file=sys.stdout, flush=True)
    return 1 if missed or not goals else 0
