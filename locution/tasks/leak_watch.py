"""Leaks are said before training, and stand in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from locution.data.leakage import Leak
from locution.engine import Observer

if TYPE_CHECKING:
    from locution.engine.loop import Engine


class LeakWatch(Observer):
    """Looks for leaks when training begins, says them unless it is to be quiet, and keeps them for the report.

    Parameters
    ----------
    look: finds the leaks. quiet: print nothing. told: what else to say before, a name to a line each.
    `said` is what was printed, so that the end does not print it again.

    >>> watch = LeakWatch(lambda: [Leak("copies", "2 of 5 test examples also stand in training.")])
    >>> watch.start(None)
    warning: 2 of 5 test examples also stand in training.
    >>> watch.notes
    ['2 of 5 test examples also stand in training.']

    Reference: S. Kaufman, S. Rosset, C. Perlich, O. Stitelman, 2012, "Leakage in data mining: formulation, detection,
    and avoidance", on detection.
    """

    name: ClassVar[str] = "leakage"

    def __init__(
        self, look: Callable[[], Sequence[Leak]], quiet: bool = False, told: Mapping[str, str] | None = None
    ) -> None:
        self.look, self.quiet, self.told = look, quiet, told or {}
        self.notes: list[str] = []
        self.said: list[str] = []

    def start(self, engine: Engine | None) -> None:
        """Look, before the first step."""
        self.notes = [leak.line for leak in self.look()]
        lines = [*(f"{name}: {line}" for name, line in self.told.items()), *(f"warning: {one}" for one in self.notes)]
        if not self.quiet and (engine is None or engine.group.first):
            self.said = self.notes
            for line in lines:
                print(line)
