"""Two runs on the same test set: their utterances read back, paired, and the difference said with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from locution.errors import UserError
from locution.reporting.results import Metric, RunResults, Table, Utterance
from locution.reporting.stored import read_utterances
from locution.speech.breakdown import rows_of
from locution.speech.paired import Difference, paired_difference
from locution.speech.wer import error_table

Key = tuple[str, str, str]
MOST = 10  # utterances listed on which the two differ most


def against(one: Path, other: Path) -> RunResults:
    """Compare the transcripts of two runs of the same test set, as they were kept when each was judged.

    Gives one difference of word error rates for each test set: below 0 where the first run is the better one. Raises
    UserError where a run keeps no utterances, or where the two were judged on different ones.

    Reference: M. Bisani and H. Ney, 2004, "Bootstrap Estimates for Confidence Intervals in ASR Performance
    Evaluation", section 4.
    """
    ours, theirs = paired(read_utterances(one), read_utterances(other), one, other)
    results = RunResults(f"{one.name} against {other.name}")
    references = [each.reference for each in ours]
    table, against_table = (error_table(references, [each.hypothesis for each in side]) for side in (ours, theirs))
    for group, rows in rows_of([each.group for each in ours]).items():
        speakers = [ours[row].speaker for row in rows]
        if table[rows, 0].sum():
            found = paired_difference(table[rows], against_table[rows], speakers=speakers)
            results.metrics += metrics(group, found, len(rows))
            results.notes.append(verdict(group, found))
    gap = table[:, 1:].sum(1) - against_table[:, 1:].sum(1)
    order = sorted(range(len(gap)), key=lambda row: -abs(int(gap[row])))[:MOST]
    columns = ["errors more", "said", "written", "written by the other"]
    rows_shown = [(int(gap[row]), references[row], ours[row].hypothesis, theirs[row].hypothesis) for row in order]
    results.tables = [Table("Where they differ most", columns, [shown for shown in rows_shown if shown[0]])]
    return results


def paired(
    ours: Sequence[Utterance], theirs: Sequence[Utterance], one: Path, other: Path
) -> tuple[list[Utterance], list[Utterance]]:
    """Put the utterances of two runs in one order; refuse runs that were judged on different ones."""

    def key(each: Utterance) -> Key:
        return each.group, each.name, each.reference

    left, right = sorted(ours, key=key), sorted(theirs, key=key)
    if [key(each) for each in left] != [key(each) for each in right]:
        shared = len({key(each) for each in left} & {key(each) for each in right})
        raise UserError(
            f"{one} was judged on {len(left):,} utterances and {other} on {len(right):,}, of which {shared:,} are the "
            f"same; allowed: two runs judged on the same test set."
        )
    order = {name: place for place, name in enumerate(rows_of([each.group for each in ours]))}
    places = sorted(range(len(left)), key=lambda row: order[left[row].group])
    return [left[row] for row in places], [right[row] for row in places]


def metrics(group: str, found: Difference, count: int) -> list[Metric]:
    """Write a difference as figures."""
    end, where = (f"/{group}", f", {group}") if group else ("", "")
    note = f"{count:,} utterances: fewer errors in {found.fewer:,}, more in {found.more:,}"
    if found.by_speaker is not None:
        note += f"; by speaker [{found.by_speaker[0]:.3f}, {found.by_speaker[1]:.3f}]"
    return [
        Metric(f"wer{end}", found.one, label=f"word error rate{where}", better="lower"),
        Metric(f"other_wer{end}", found.other, label=f"the other's{where}", better="lower"),
        Metric(f"difference{end}", found.value, found.low, found.high, f"difference{where}", "", "lower", note),
    ]


def verdict(group: str, found: Difference) -> str:
    """Say in a line which of the two is better, or that nobody knows."""
    where = f"{group}: " if group else ""
    if not found.clear:
        return f"{where}the interval of the difference holds 0: which of the two is better is not known."
    better = "the first run is better" if found.value < 0 else "the other run is better"
    return f"{where}{better}, by {abs(found.value):.3f} in word error rate."
