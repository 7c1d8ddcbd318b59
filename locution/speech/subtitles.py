"""Transcripts as files that players and spreadsheets read: SRT, WebVTT, TSV, JSON, plain text."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from locution.errors import LocutionError, unknown
from locution.speech.transcript import Segment, Transcript
from locution.speech.word_times import Word

LINE, LINES, LONGEST, PAUSE = 42, 2, 7.0, 0.8  # letters of a line, lines, seconds of a cue, seconds that end one


def clock(seconds: float, mark: str = ".") -> str:
    """Write seconds as hours, minutes, seconds and thousandths.

    >>> clock(3661.5, ","), clock(59.9996)
    ('01:01:01,500', '00:01:00.000')
    """
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def lines(text: str) -> str:
    """Break a text into lines that fit on a screen.

    >>> lines("one two three four five six seven eight nine ten")
    'one two three four five six seven eight\\nnine ten'
    """
    from textwrap import wrap

    return "\n".join(wrap(text, LINE, break_on_hyphens=False))


def cues(segments: Sequence[Segment]) -> list[tuple[float, float, str]]:
    """A cue is a text that stands on the screen for a while: (start, end, text), in order, no two at once.

    Where word times are known a cue ends at a pause, after 7 seconds or two lines; else each segment is one.

    >>> words = tuple(Word(text, float(i), i + 0.5) for i, text in enumerate(["wait", "for", "it"]))
    >>> cues([Segment(0.0, 3.0, "wait for it", words=words)])
    [(0.0, 2.5, 'wait for it')]
    """
    found: list[tuple[float, float, str]] = []
    for segment in segments:
        if not segment.words:
            found += [(segment.start, segment.end, segment.text)] if segment.text.strip() else []
            continue
        group: list[Word] = []
        for word in segment.words:
            text = " ".join(one.text for one in [*group, word])
            full = group and (word.start - group[-1].end > PAUSE or word.end - group[0].start > LONGEST)
            if full or (group and len(lines(text).splitlines()) > LINES):
                found.append((group[0].start, group[-1].end, " ".join(one.text for one in group)))
                group = []
            group.append(word)
        found.append((group[0].start, group[-1].end, " ".join(one.text for one in group)))
    tidy: list[tuple[float, float, str]] = []
    for start, end, text in sorted(found):
        start = max(start, tidy[-1][1]) if tidy else max(0.0, start)
        tidy.append((start, max(end, start + 0.001), " ".join(text.split())))
    return tidy


def srt(one: Transcript) -> str:
    """Subtitles are texts with the times at which they stand on the screen; here as SubRip writes them (SRT).

    Cues are numbered from 1, thousandths stand behind a comma, an empty line parts the cues.

    >>> print(srt(Transcript("a.wav", segments=(Segment(0.0, 1.5, "turn it off"),))))
    1
    00:00:00,000 --> 00:00:01,500
    turn it off
    <BLANKLINE>

    Reference: Library of Congress, 2023, "SubRip Subtitle format (SRT)", format description fdd000569.
    """
    return "\n".join(
        f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{lines(text.replace('-->', '->'))}\n"
        for number, (start, end, text) in enumerate(cues(one.segments), 1)
    )


def vtt(one: Transcript) -> str:
    """WebVTT begins with its name and escapes &, < and > in its cues.

    >>> print(vtt(Transcript("a.wav", segments=(Segment(0.0, 1.5, "R&D"),))))
    WEBVTT
    <BLANKLINE>
    00:00:00.000 --> 00:00:01.500
    R&amp;D
    <BLANKLINE>

    Reference: World Wide Web Consortium, 2019, "WebVTT: The Web Video Text Tracks Format", section 4.
    """
    from html import escape

    found = (
        f"{clock(start)} --> {clock(end)}\n{escape(lines(text), quote=False)}\n"
        for start, end, text in cues(one.segments)
    )
    return "\n".join(["WEBVTT\n", *found])


def tsv(one: Transcript) -> str:
    """A table of start and end, in thousandths of a second, and text, parted by tabs, a head line first.

    >>> tsv(Transcript("a.wav", segments=(Segment(0.0, 1.5, "off"),)))
    'start\\tend\\ttext\\n0\\t1500\\toff\\n'
    """
    rows = [(round(s.start * 1000), round(s.end * 1000), " ".join(s.text.split())) for s in one.segments if s.text]
    return "".join(f"{start}\t{end}\t{text}\n" for start, end, text in [("start", "end", "text"), *rows])


def as_json(one: Transcript) -> str:
    """One JSON object on one line, everything in it.

    >>> as_json(Transcript("a.wav", "off", 1.5))[:50]
    '{"path": "a.wav", "text": "off", "seconds": 1.5, "'
    """
    return json.dumps(asdict(one), ensure_ascii=False)


def text(one: Transcript) -> str:
    """The text alone, a line for each segment."""
    return "".join(f"{segment.text}\n" for segment in one.segments if segment.text)


FORMATS: dict[str, Callable[[Transcript], str]] = {"text": text, "json": as_json, "srt": srt, "vtt": vtt, "tsv": tsv}
SUFFIX = {"text": "txt"}


def write_transcripts(answers: Sequence[Transcript], kind: str, folder: str | Path) -> list[Path]:
    """Write each transcript that came to something into a folder, under its recording's name.

    Two recordings of one name keep their endings, then get numbers. Raises UserError for an unknown format.
    """
    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS)
    folder, taken, written = Path(folder), set[str](), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in answers:
            if one.error and not one.segments:
                continue
            path, suffix = Path(one.path), SUFFIX.get(kind, kind)
            names = [path.stem, path.name, *(f"{path.name}-{n}" for n in range(2, len(answers) + 2))]
            name = next(name for name in names if name not in taken)
            taken.add(name)
            aside = folder / f".{name}.{os.getpid()}.part"
            aside.write_text(FORMATS[kind](one), encoding="utf-8")
            written.append(folder / f"{name}.{suffix}")
            os.replace(aside, written[-1])
    except OSError as error:
        raise LocutionError(f"{folder}: cannot be written to ({error.strerror or error}).") from error
    return written
