"""Charts for speech: the errors of each condition by their kind, and confidence beside correctness."""

from __future__ import annotations

from collections.abc import Sequence

from locution.evaluation.calibration import Bin
from locution.reporting.charts import WIDTH, dot, letters, rule, scale, short, svg, ticks
from locution.reporting.markup import Html, join, tag
from locution.reporting.speech_results import KindsOfError
from locution.reporting.units import figure

KINDS = (("taken", "taken for another word", 2), ("lost", "lost", 1), ("made_up", "made up", 4))
SIDE, ROW = 8.0, 44.0
SQUARE, MARGIN, HEAD = 300.0, 44.0, 24.0


def kinds_chart(rows: Sequence[KindsOfError], *, alt: str) -> Html:
    """Draw the word error rate of each condition as a bar, cut into words taken for others, lost, and made up.

    >>> drawing = kinds_chart([KindsOfError("clean", 10, 1, 1, 0)], alt="errors")
    >>> drawing.count("<rect")
    2
    """
    high = max([1e-9, *(row.rate for row in rows)]) * 1.04
    x = scale(0.0, high, SIDE, WIDTH - SIDE)
    height = ROW * len(rows) + 28
    drawn = []
    for value in ticks(0.0, high):
        drawn.append(rule(x(value), 4, x(value), height - 22))
        drawn.append(letters(x(value), height - 6, short(value), anchor="middle"))
    for index, row in enumerate(rows):
        top, start = ROW * index, 0.0
        drawn.append(letters(SIDE, top + 16, row.name or "all", "row"))
        drawn.append(letters(WIDTH - SIDE, top + 16, figure(row.rate), "row number", "end"))
        for kind, words, colour in KINDS:
            count = int(getattr(row, kind))
            if count:
                wide = count / max(1, row.words)
                said = tag("title", f"{row.name}: {count:,} {words} of {row.words:,}")
                size = {"x": f"{x(start):.1f}", "y": f"{top + 23:.1f}", "height": "12"}
                drawn.append(tag("rect", said, width=f"{x(wide) - x(0.0):.1f}", class_=f"bar c{colour}", **size))
                start += wide
    return svg(WIDTH, height, alt, *drawn)


def kinds_key() -> Html:
    """Name the colours of the bars."""
    keys = []
    for _, words, colour in KINDS:
        patch = tag("rect", x="1", y="0", width="22", height="10", class_=f"bar c{colour}")
        keys.append(tag("span", tag("svg", patch, viewBox="0 0 24 10", aria_hidden="true"), words))
    return tag("span", *keys, class_="legend")


def reliability_chart(bins: Sequence[Bin], *, alt: str) -> Html:
    """A reliability diagram sets how often answers are right against how sure the model was; the diagonal is perfect.

    Each dot is a bin of answers, the larger the more there are, with the interval of its share.

    >>> drawing = reliability_chart([Bin(0.9, 0.8, 0.7, 0.9, 50)], alt="confidence")
    >>> drawing.count("<circle"), drawing.count("between")
    (1, 1)

    Reference: M. H. DeGroot and S. E. Fienberg, 1983, "The Comparison and Evaluation of Forecasters", section 4.
    """
    x = scale(0.0, 1.0, MARGIN, SQUARE - 10)
    y = scale(0.0, 1.0, SQUARE - MARGIN + HEAD, HEAD + 10)
    drawn = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        drawn += [rule(x(0), y(value), x(1), y(value)), rule(x(value), y(0), x(value), y(1))]
        drawn.append(letters(x(0) - 6, y(value) + 3.5, short(value), anchor="end"))
        drawn.append(letters(x(value), y(0) + 15, short(value), anchor="middle"))
    drawn.append(rule(x(0), y(0), x(1), y(1), "line dashed c0"))
    most = max([1, *(one.count for one in bins)])
    for one in bins:
        words = f"{100 * one.confidence:.0f} % sure: {100 * one.right:.0f} % of {one.count:,} are right"
        drawn.append(rule(x(one.confidence), y(one.low), x(one.confidence), y(one.high), "between thin c1"))
        size = 3.0 + 5.0 * (one.count / most) ** 0.5
        drawn.append(dot(x(one.confidence), y(one.right), "c1", words, size))
    drawn.append(letters((x(0) + x(1)) / 2, y(0) + 34, "how sure the model is", "tick quiet", "middle"))
    drawn.append(letters(x(0), 13, "share that is right", "tick quiet"))
    return svg(SQUARE, SQUARE + HEAD, alt, join(*drawn))
