"""What was said in one recording: all of it, and piece by piece with its times."""

from __future__ import annotations

from dataclasses import dataclass

from locution.speech.word_times import Word


@dataclass(frozen=True)
class Segment:
    """A segment is a stretch of a recording without a long pause: its seconds, its text, how sure it is, its words."""

    start: float
    end: float
    text: str
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Transcript:
    """What was said in one file: its text, its length in seconds, a note where something was odd, or an
    error; its segments with their times.

    A file that breaks off has both an error and what was heard before.

    >>> print(Transcript("a.wav", "turn it off", 1.5))
    a.wav: turn it off
    """

    path: str
    text: str = ""
    seconds: float = 0.0
    note: str = ""
    error: str = ""
    confidence: float = 1.0
    segments: tuple[Segment, ...] = ()

    def __str__(self) -> str:
        if self.error:
            heard = f" Until then: {self.text}" if self.text else ""
            return f"error: {self.error}{heard}"
        return f"{self.path}: {self.text}" + (f"  ({self.note})" if self.note else "")
