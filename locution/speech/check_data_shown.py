"""The table that `locution check-data` prints."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from locution.reporting.bars import telling
from locution.reporting.markup import clean as printable
from locution.speech.check_data import Checked, check_data, left_out_beside, problems_of
from locution.speech.findings import PROBLEMS
from locution.speech.splits import SPLITS

MOST = 20  # of each kind of problem that are named one by one


def show(where: str, clean: str = "", *, quiet: bool = False, console: Console | None = None) -> int:
    """Check data, print what was found, and return the exit code: 0 where nothing is wrong, else 1."""
    from pathlib import Path

    with telling("checking", quiet) as told:
        checked = check_data(where, clean, told)
    console = console or Console()
    for line in facts(checked):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if checked.counts():
        console.print(table(checked))
    for problem in PROBLEMS:
        every = problems_of(checked, problem)
        for line in every[:MOST]:
            console.print(f"{problem}: {printable(line)}", markup=False, highlight=False, soft_wrap=True)
        if len(every) > MOST:
            more = f"{problem}: {len(every) - MOST} more; --clean OUT.jsonl lists all"
            console.print(more, markup=False, highlight=False, soft_wrap=True)
    if clean:
        kept, rest = len(checked.clean()), left_out_beside(Path(clean))
        left = len(checked.left_out()) + len(checked.lines)
        console.print(
            f"{kept:,} clips in {clean}, {left:,} left out in {rest}", markup=False, highlight=False, soft_wrap=True
        )
    return int(bool(checked.counts()))


def facts(checked: Checked) -> list[str]:
    """Say what the data hold: how many clips, hours and speakers, in which splits."""
    clips = checked.clips
    speakers = len({clip.speaker for clip in clips if clip.speaker})
    hours = sum(clip.seconds for clip in clips) / 3600
    lines = [f"{checked.form}: {len(clips):,} clips, {hours:.2f} hours, {speakers or 'unknown'} speakers"]
    if checked.splits:
        numbers = ", ".join(f"{split} {sum(clip.split == split for clip in clips):,}" for split in SPLITS)
        lines.append(f"{checked.splits}: {numbers}")
    wrong = len(checked.left_out()) + len(checked.lines)
    lines.append(f"{wrong:,} of them have problems" if wrong else "nothing is wrong with them")
    return lines


def table(checked: Checked) -> Table:
    """Count the problems of each kind."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column("problem")
    shown.add_column("what it is")
    shown.add_column("clips", justify="right")
    counts = checked.counts()
    for problem, words in PROBLEMS.items():
        if counts[problem]:
            shown.add_row(Text(problem, style="bold"), words, f"{counts[problem]:,}")
    return shown
