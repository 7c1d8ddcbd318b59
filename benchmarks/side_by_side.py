"""Side by side: contestants take turns in one process, and what counts is the ratio of their CPU times."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


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

    @property
    def met(self) -> bool:
        return self.goal is None or self.median <= self.goal


def cpu_seconds(action: Callable[[], Any]) -> float:
    """Measure the CPU time of this process, which others on the machine disturb less than the clock's."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def interleave(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Let everyone run once per round, the order turning, after one round that nobody counts."""
    names = list(contestants)
    for name in names:
        contestants[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(cpu_seconds(contestants[name]))
    return times


def compare(times: Mapping[str, list[float]], name: str, against: str, steps: int, goal: float | None = None) -> Ratio:
    """Compare two contestants round by round."""
    ratios = [one / other for one, other in zip(times[name], times[against], strict=True)]
    quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    each = statistics.median(times[name]) / steps * 1e6
    return Ratio(name, against, statistics.median(ratios), quarters[0], quarters[2], each, goal)


def show(title: str, ratios: list[Ratio]) -> None:
    """Print a table."""
    print(f"\n{title}")
    print(f"  {'':<34}{'us a step':>10}{'ratio':>8}{'middle half':>16}{'goal':>8}")
    for ratio in ratios:
        if ratio.note:
            print(f"  {ratio.name:<34}{'not run':>10}  {ratio.note}")
            continue
        goal = f"{ratio.goal:.2f}" if ratio.goal is not None else ""
        half = f"{ratio.low:.2f} to {ratio.high:.2f}"
        missed = "" if ratio.met else "  missed"
        print(f"  {ratio.name:<34}{ratio.microseconds:>10.1f}{ratio.median:>8.3f}{half:>16}{goal:>8}{missed}")


def machine() -> dict[str, Any]:
    """Describe the machine and the versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = found[0] if found else model
    versions = {name: version(name) for name in ("torch", "numpy", "transformers")}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "load_average": load,
    }


def version(name: str) -> str | None:
    """Name the installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def finish(benchmark: str, tables: Mapping[str, list[Ratio]], *, quick: bool) -> int:
    """Write the results down, print the last line, and return the exit code: 1 if a goal was missed."""
    RESULTS.mkdir(exist_ok=True)
    ratios = [ratio for table in tables.values() for ratio in table]
    kept = {title: [asdict(ratio) | {"met": ratio.met} for ratio in table] for title, table in tables.items()}
    record = {"benchmark": benchmark, "quick": quick, "machine": machine(), "tables": kept}
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    goals = [ratio for ratio in ratios if ratio.goal is not None and not ratio.note]
    missed = [ratio for ratio in goals if not ratio.met]
    said = "; ".join(f"{ratio.name} {ratio.median:.3f} (goal {ratio.goal:.2f})" for ratio in goals)
    print(f"\nratio: {said}: {'missed' if missed or not goals else 'met'}", file=sys.stdout, flush=True)
    return 1 if missed or not goals else 0
