"""Run the case of each row of the vocabulary, as a user would, and print its figure, its bar and its time.

    python -m benchmarks.cases [WORD ...] [--pictures FOLDER] [--show]

The cases stand in `cases.yaml`: the words behind `locution train`, the figure that is promised, and the pictures that
are shown. WORD picks the cases in whose words it occurs, or of whose row it is the number; what is not run keeps its
last result. Seconds are those of the whole process, from the command to the report. Exit code 1 where a bar is missed
or a case takes longer than it may.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.side_by_side import RESULTS, machine
from locution.reporting.alone import file_name
from locution.reporting.units import figure
from locution.vocabulary.pages import recipe_name

ROOT = Path(__file__).parents[1]
CASES = Path(__file__).with_name("cases.yaml")
KEPT = RESULTS / "cases.json"
MOST = 120.0  # seconds, on two processors


@dataclass(frozen=True)
class Case:
    """A case: the row of the vocabulary, the words behind `locution train`, and the figure it promises.

    at_least or at_most is the bar; neither, where a figure is shown without one. pictures are titles of those that the
    page shows, the first if none is named. seconds is what it may take.
    """

    row: str
    recipe: str
    figure: str
    says: str = ""
    at_least: float | None = None
    at_most: float | None = None
    pictures: tuple[str, ...] = ()
    seconds: float = MOST

    @property
    def key(self) -> str:
        """What it is kept by: one recipe may promise several figures."""
        return f"{self.recipe}: {self.figure}"

    def asked_by(self, words: Sequence[str]) -> bool:
        """Say whether one of the words is this case's row or occurs in its recipe; without words all are asked for."""
        return not words or any(word == self.row or word in self.recipe for word in words)

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    def met(self, value: float) -> bool:
        """Say whether a figure meets the bar."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)


def read_cases() -> list[Case]:
    """Read the cases, checked: a key that is none is refused."""
    entries = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [
        Case(**{**entry, "row": str(entry["row"]), "pictures": tuple(entry.get("pictures", ()))}) for entry in entries
    ]


def train(recipe: str, folder: Path) -> dict[str, Any]:
    """Train a recipe in a process of its own; return its metrics and what it took, or the error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    command = [sys.executable, "-m", "locution.cli", "train", *shlex.split(recipe), f"run_dir={folder}", "--quiet"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    metrics = json.loads((folder / "results.json").read_text(encoding="utf-8"))["metrics"]
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"metrics": metrics, "seconds": wall, "processor_seconds": spent}


def judge(case: Case, trained: dict[str, Any]) -> dict[str, Any]:
    """Find the figure of a case among those of its recipe, and say whether it meets the bar."""
    if "error" in trained:
        return trained
    found = trained["metrics"].get(case.figure)
    if found is None:
        return {"error": f"no figure {case.figure} among {', '.join(trained['metrics'])}"}
    spent = {name: trained[name] for name in ("seconds", "processor_seconds")}
    return {**found, **spent, "met": case.met(found["value"])}


def keep_pictures(recipe: str, titles: Sequence[str], folder: Path, place: Path) -> None:
    """Copy the pictures that a page shows, the first if none is named; those of an earlier run go.

    A recipe that was changed for comparison shows only what is named.
    """
    name = recipe_name(recipe)
    made = {path.stem: path for path in sorted((folder / "pictures").glob("*"))}
    wanted = [file_name(title) for title in titles] or list(made)[: " " not in recipe]
    for old in place.glob(f"{name}--*"):
        old.unlink()
    place.mkdir(parents=True, exist_ok=True)
    for stem in wanted:
        if stem not in made:
            print(f"{recipe}: no picture '{stem}' among {', '.join(made)}", file=sys.stderr)
        else:
            shutil.copy(made[stem], place / f"{name}--{stem}{made[stem].suffix}")


def written(case: Case, found: dict[str, Any]) -> str:
    """Write one case as a line of Markdown."""
    head = f"| {case.row} | `locution train {case.recipe}` | {case.says or case.figure.replace('_', ' ')} | "
    if "error" in found:
        return f"{head}{found['error']} | {case.bar} | failed | |"
    value = figure(found["value"])
    if found.get("low") is not None:
        value += f" [{figure(found['low'])}, {figure(found['high'])}]"
    judged = ("met" if found["met"] else "missed") if case.bar else ""
    return f"{head}{value} | {case.bar} | {judged} | {found['seconds']:.0f} s |"


def table(kept: dict[str, Any]) -> list[str]:
    """Write all cases that were run as a Markdown table, by their rows."""
    head = ["| row | case | figure | measured | bar | | took |", "|---|---|---|---|---|---|---:|"]
    cases = sorted(read_cases(), key=lambda case: int(case.row))
    return head + [written(case, kept[case.key]) for case in cases if case.key in kept]


def main() -> int:
    """Run the cases that were asked for and write the results down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run the cases in whose row or words one of these occurs")
    parser.add_argument("--show", action="store_true", help="print what was measured last, run nothing")
    parser.add_argument("--pictures", default="", help="a folder to copy the pages' pictures to")
    chosen = parser.parse_args()
    record = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {"cases": {}}
    if chosen.show:
        print("\n".join(table(record["cases"])))
        return 0
    code = 0
    asked = [case for case in read_cases() if case.asked_by(chosen.words)]
    for recipe in dict.fromkeys(case.recipe for case in asked):
        of_it = [case for case in asked if case.recipe == recipe]
        with tempfile.TemporaryDirectory() as folder:
            trained = train(recipe, Path(folder) / "run")
            if chosen.pictures and "error" not in trained:
                titles = [title for case in of_it for title in case.pictures]
                keep_pictures(recipe, titles, Path(folder) / "run", Path(chosen.pictures).resolve())
        for case in of_it:
            found = judge(case, trained)
            print(written(case, found), flush=True)
            code = code if found.get("met") and found["seconds"] <= case.seconds else 1
            record["cases"][case.key] = asdict(case) | found
        record["machine"] = machine()
        RESULTS.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
