"""Leaks are said before training, and stand in the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from locution.data.leakage import Leak
from locution.engine import Observer

if TYPE_CHECKING:
    from locution.engine.loop import Engine


class LeakWatch(Observer):
    """Looks for leaks when training begins, says them unless it is to be quiet, and keeps them for the report.

    Parameters
    ----------
    look: finds the leaks. quiet: print nothing.

    >>> watch = LeakWatch(lambda: [Leak("copies", "2 of 5 test examples also stand in training.")])
    >>> watch.start(None)
    warning: 2 of 5 test examples also stand in training.
    >>> watch.notes
    ['2 of 5 test examples also stand in training.']

    Reference: S. Kaufman, S. Rosset, C. Perlich, O. Stitelman, 2012, "Leakage in data mining: formulation, detection,
    and avoidance", section 5.
    """

    name: ClassVar[str] = "leakage"

    def __init__(self, look: Callable[[], Sequence[Leak]], quiet: bool = False) -> None:
        self.look, self.quiet = look, quiet
        self.notes: list[str] = []

    def start(self, engine: Engine | None) -> None:
        """Look, before the first step."""
        self.notes = [leak.line for leak in self.look()]
        if not self.quiet:
            for line in self.notes:
                print(f"warning: {line}")
