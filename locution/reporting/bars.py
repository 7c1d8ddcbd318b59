"""A bar for any long piece of work: drawn on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.errors import LiveError
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from locution.reporting.units import duration


class Bar:
    """A bar says how far a long piece of work has come and how long it still takes.

    On a terminal it redraws itself, at most ten times a second and without a thread of its own. Elsewhere (a
    file, a CI log) it prints a plain line every tenth of the way or every `every` seconds, and at the end.

    Parameters
    ----------
    title: what is being done. total: how many there are, or None if nobody knows. quiet: show nothing.
    console: where to draw; standard error by default, so that standard output stays clean for results.

    >>> console = Console(file=sys.stdout, width=80)
    >>> with Bar("reading", 4, console=console, clock=lambda: 0.0) as bar:
    ...     for _ in range(4): bar.advance()
    reading    25 %  1/4
    reading    50 %  2/4
    reading    75 %  3/4
    reading   100 %  4/4  in 0.00 s
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        *,
        quiet: bool = False,
        console: Console | None = None,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.quiet, self.every, self.clock = title, total, quiet, every, clock
        self.console = console or Console(stderr=True)
        self.done: float = 0
        self.where: str | None = None
        self.figures: tuple[str, ...] = ()
        self.past: deque[tuple[float, float]] = deque(maxlen=512)
        self.live: Live | None = None
        self.open = False
        self.begun = self.shown_at = 0.0
        self.shown_tenth = 0

    def start(self, done: float = 0) -> Self:
        """Begin, perhaps in the middle: a resumed piece of work starts where it left off."""
        self.done, self.begun, self.shown_at, self.open = done, self.clock(), self.clock(), True
        self.shown_tenth = self._tenth()
        self.past.append((self.begun, done))
        if not self.quiet and self.console.is_terminal:
            self.live = Live(self.draw(), console=self.console, auto_refresh=False, redirect_stdout=sys.stdout.isatty())
            try:
                self.live.start(refresh=True)
            except LiveError:  # another bar is being drawn: leave the terminal to it
                self.live, self.quiet = None, True
        return self

    def advance(self, amount: float = 1) -> None:
        """Say that so many more are done."""
        self.update(self.done + amount)

    def update(self, done: float, where: str | None = None, figures: Sequence[str] = ()) -> None:
        """Say how many are done in all, in which words, and the figures to show beside them."""
        self.done, self.where, self.figures = done, where, tuple(figures) or self.figures
        now = self.clock()
        self.past.append((now, done))
        while len(self.past) > 2 and now - self.past[0][0] > 60.0:
            self.past.popleft()
        if self.quiet:
            return
        if self.live is not None:
            if now - self.shown_at >= 0.1:
                self.shown_at = now
                self.live.update(self.draw(), refresh=True)
        elif now - self.shown_at >= self.every or self._tenth() > self.shown_tenth:
            self.shown_at, self.shown_tenth = now, self._tenth()
            if self.done != self.total:  # the last line is printed on closing
                self._print()

    def close(self, reason: str = "") -> None:
        """End: leave the last state standing, with the time it took."""
        if not self.open:
            return
        self.open = False
        if self.live is not None:
            self.live.update(self.draw(reason), refresh=True)
            self.live.stop()
            self.live = None
        elif not self.quiet:
            self._print(reason)

    def seconds_left(self) -> float | None:
        """Estimate from the last minute how long the rest takes."""
        (then, before), (now, done) = self.past[0], self.past[-1]
        if self.total is None or done <= before or now <= then:
            return None
        return max(0.0, (self.total - done) * (now - then) / (done - before))

    def words(self, reason: str = "") -> tuple[str, str, str]:
        """Say the share, the place and the time in words."""
        share = f"{100 * min(1.0, self.done / self.total):.0f} %" if self.total else ""
        counted = f"{self.done:,.0f}/{self.total:,.0f}" if self.total else f"{self.done:,.0f}"
        left = self.seconds_left()
        if self.open:
            time_left = "" if left is None else f"{duration(left)} left"
        else:
            time_left = f"in {duration(self.clock() - self.begun)}" + (f", {reason}" if reason else "")
        return share, self.where or counted, time_left

    def draw(self, reason: str = "") -> RenderableType:
        """Draw the bar and, under it, its figures."""
        share, where, time_left = self.words(reason)
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True, justify="right")
        shape = ProgressBar(total=self.total, completed=self.done, pulse=self.total is None and self.open)
        dim = Text(time_left, style="dim")
        row.add_row(Text(self.title, style="bold"), Text(where), shape, Text(share), dim)
        if not self.figures:
            return row
        return Group(row, Text("   ".join(self.figures), style="cyan", no_wrap=True, overflow="ellipsis"))

    def _tenth(self) -> int:
        return int(10 * self.done / self.total + 1e-9) if self.total else 0

    def _print(self, reason: str = "") -> None:
        share, where, time_left = self.words(reason)
        parts = [f"{self.title}  {share:>5}" if share else self.title, where, *self.figures, time_left]
        self.console.print("  ".join(p for p in parts if p), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("" if kind is None else "stopped")


@contextmanager
def bar(
    title: str, total: float | None = None, *, quiet: bool = False, console: Console | None = None
) -> Iterator[Bar]:
    """Show a bar while a block of work runs: `with bar("synthesising", 500) as b: ... b.advance()`.

    >>> with bar("quiet work", 2, quiet=True) as b:
    ...     b.advance(2)
    >>> b.done
    2
    """
    with Bar(title, total, quiet=quiet, console=console) as made:
        yield made


@contextmanager
def telling(title: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar as soon as there is something to tell: work that is already done needs none.

    >>> with telling("quiet work", quiet=True) as told:
    ...     told(1, 2)
    """
    opened: list[Bar] = []

    def told(done: int, total: int) -> None:
        if not opened:
            opened.append(Bar(title, total, quiet=quiet).start())
        opened[0].update(done)

    try:
        yield told
    finally:
        for one in opened:
            one.close()
