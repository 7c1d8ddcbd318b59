"""What a judgement of speech says beside its figures: tables of conditions, words, confidence and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from locution.evaluation.calibration import Calibration, expected_calibration_error
from locution.reporting.results import Table
from locution.reporting.speech_results import KindsOfError, SpeechFindings
from locution.speech.breakdown import broken_down, by_length, rows_of
from locution.speech.calibrated import surest, transcript_probability
from locution.speech.confusions import Confusions
from locution.speech.hallucination import Hallucinations, stopped_by
from locution.speech.judge import Judgement
from locution.speech.manifest import Clip
from locution.speech.phonemes import sound_alike
from locution.speech.wer import WordErrorRate, rate_of

MOST = 12  # rows of a table of words
FEWEST_WORDS = 20  # a speaker who says less has no rate to speak of


def calibration(found: Judgement) -> Calibration:
    """Compare how likely the model held each transcript to be right with whether it was right, word for word."""
    sure = [transcript_probability(one) for one in found.answers]
    return expected_calibration_error(
        sure, [said == text for said, text in zip(found.said, found.written, strict=True)]
    )


def findings(found: Judgement, clips: Sequence[Clip], unspoken: Sequence[Hallucinations] = ()) -> SpeechFindings:
    """Put everything that a reader may ask into tables."""
    groups = rows_of([clip.group for clip in clips])
    trusted = calibration(found)
    return SpeechFindings(
        kinds=[kinds(name or "all", found, rows) for name, rows in groups.items()],
        conditions=[conditions(found, clips, groups), lengths(found, clips), speakers(found, clips)],
        words=words(found.confusions),
        sureness=trusted.bins,
        calibration_error=trusted.error,
        trust=[confidence(found)],
        failures=failures(found, unspoken),
    )


def kinds(name: str, found: Judgement, rows: Sequence[int]) -> KindsOfError:
    """Count the errors of some utterances by kind."""
    return KindsOfError(name, *found.wer.table[list(rows)].sum(0).tolist())


def rate_row(name: str, utterances: int, rate: WordErrorRate) -> tuple[str, int, int, float, str]:
    """Write a word error rate with its interval as a row of a table."""
    return name, utterances, rate.counts.words, rate.value, f"[{rate.low:.3f}, {rate.high:.3f}]"


def conditions(found: Judgement, clips: Sequence[Clip], groups: Mapping[str, Sequence[int]]) -> Table:
    """Each test set or condition: its errors by kind, with the interval by utterance and by speaker."""
    rows = []
    for name, some in groups.items():
        errors = found.wer.table[list(some)]
        if not errors[:, 0].sum():
            continue
        rate = rate_of(errors, speakers=[clips[row].speaker for row in some])
        spread = "" if rate.by_speaker is None else "[{:.3f}, {:.3f}]".format(*rate.by_speaker)
        counts = rate.counts
        right = float((errors[:, 1:].sum(1) == 0).mean())
        kinds = (counts.substitutions, counts.deletions, counts.insertions)
        alone = found.encoder_alone
        heard = "" if alone is None else f"{rate_of(alone.table[list(some)], samples=0).value:.3f}"
        rows.append((*rate_row(name or "all", len(some), rate), spread, *kinds, f"{right:.0%}", heard))
    columns = ["test set", "utterances", "words", "WER", "by utterance", "by speaker", "taken", "lost", "made up"]
    note = "95 % intervals by drawing other utterances, and other speakers"
    return Table("By test set", [*columns, "without error", "encoder alone"], rows, note)


def lengths(found: Judgement, clips: Sequence[Clip]) -> Table:
    """How the word error rate depends on the length of a clip."""
    parts = by_length(found.wer.table, [clip.seconds for clip in clips])
    rows = [rate_row(name, len(rate.table), rate) for name, rate in parts.items()]
    columns = ["length", "utterances", "words", "WER", "95 % interval"]
    return Table("By length", columns, rows if len(rows) > 1 else [])


def speakers(found: Judgement, clips: Sequence[Clip]) -> Table:
    """Which speakers are understood worst, and which best."""
    rows = {name: some for name, some in rows_of([clip.speaker for clip in clips]).items() if name}
    parts = broken_down(found.wer.table, rows)
    known = {name: rate for name, rate in parts.items() if rate.counts.words >= FEWEST_WORDS}
    order = sorted(known, key=lambda name: (-known[name].value, name))
    chosen = order if len(order) <= MOST else [*order[: MOST // 2], *order[-MOST // 2 :]]
    note = "" if len(order) <= MOST else f"the {MOST // 2} understood worst and best of {len(order)}"
    columns = ["speaker", "utterances", "words", "WER", "95 % interval"]
    listed = [rate_row(name, len(known[name].table), known[name]) for name in chosen]
    return Table("By speaker", columns, listed if len(listed) > 1 else [], note)


def words(found: Confusions) -> list[Table]:
    """Which words were taken for which, lost and made up; numbers, and what sounds the same."""
    alike, numbers = sound_alike(found.taken), found.numbers()
    share = sum(alike.values()) / max(1, sum(found.taken.values()))
    pairs = ["said", "written", "times"]
    number_rows = [
        ("taken for another word", numbers.taken),
        ("lost", numbers.lost),
        ("made up", numbers.made_up),
    ]
    return [
        Table("Taken for another word", pairs, couples(found.taken), most(found.taken)),
        Table(
            "Sounds the same", pairs, couples(alike), f"{share:.0%} of all words taken for others: no ear can tell them"
        ),
        Table("Lost", ["word", "times", "of"], losses(found.lost, found.said), most(found.lost)),
        Table("Made up", ["word", "times"], ordered(found.made_up), most(found.made_up)),
        Table(
            "Numbers",
            ["number words", "times"],
            [("said", numbers.said), *number_rows] if numbers.said else [],
            f"{numbers.rate:.1%} of the number words said went wrong",
        ),
        Table("Numbers taken for numbers", pairs, couples(found.number_pairs())),
    ]


def couples(taken: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """List the most frequent pairs, equal ones in the order of the alphabet."""
    order = sorted(taken.items(), key=lambda item: (-item[1], item[0]))
    return [(said, written, count) for (said, written), count in order[:MOST]]


def ordered(counted: Counter[str]) -> list[tuple[str, int]]:
    """List the most frequent texts, equal ones in the order of the alphabet."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST]


def losses(lost: Counter[str], said: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """List the words lost most often, with how often they were said."""
    return [(word, count, said.get(word, 0)) for word, count in ordered(lost)]


def most(counted: Counter[str] | Counter[tuple[str, str]]) -> str:
    """Say how much of a table is shown."""
    return f"the {MOST} most frequent of {len(counted):,}" if len(counted) > MOST else ""


def confidence(found: Judgement) -> Table:
    """What is left of the errors where only the surest transcripts are kept."""
    kept = surest(found.wer.table, [transcript_probability(one) for one in found.answers])
    rows = [("all" if share == 1 else f"the surest {share:.0%}", rate) for share, rate in kept]
    return Table("If only the surest are kept", ["kept", "WER"], rows, "sorted by the probability of the transcript")


def failures(found: Judgement, unspoken: Sequence[Hallucinations]) -> list[Table]:
    """Transcripts that had to be stopped, and what was written where nobody spoke."""
    count = len(found.answers)
    ended = [
        ("repeated itself without end, cut off by the guard", stopped_by(found.answers, "loop"), count),
        ("grew longer than anyone speaks, cut off by the limit", stopped_by(found.answers, "limit"), count),
    ]
    ended += [(f"wrote something for {one.sound}", len(one.texts), len(one.written)) for one in unspoken]
    made = Counter(text for one in unspoken for text in one.texts)
    return [
        Table("How often", ["what happened", "times", "of"], ended),
        Table("Written where nobody spoke", ["text", "times"], ordered(made), most(made)),
    ]
