"""What an evaluation of speech found beside its figures, as plain values for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from locution.evaluation.calibration import Bin
from locution.reporting.shown import Table


@dataclass(frozen=True)
class KindsOfError:
    """The word errors of one condition, by kind: out of `words` said, how many were taken for others, lost, made up."""

    name: str
    words: int
    taken: int
    lost: int
    made_up: int

    @property
    def rate(self) -> float:
        """All errors for each word said."""
        return (self.taken + self.lost + self.made_up) / max(1, self.words)


@dataclass(frozen=True)
class SpeechFindings:
    """What the report of a recogniser shows beside its figures; what is empty is left out.

    kinds: the errors of each condition, by kind. conditions: tables of where the errors are. words: tables of which
    words went wrong. sureness: confidence beside correctness, with the expected calibration error. trust: tables of
    what confidence is good for. failures: tables of text that nobody said.
    """

    kinds: Sequence[KindsOfError] = ()
    conditions: Sequence[Table] = ()
    words: Sequence[Table] = ()
    sureness: Sequence[Bin] = ()
    calibration_error: float | None = None
    trust: Sequence[Table] = ()
    failures: Sequence[Table] = ()
