"""Texts that a language model wrote, as they are set in a report."""

from __future__ import annotations

from collections.abc import Sequence

from locution.reporting.markup import Html, join, tag


def writing(pairs: Sequence[tuple[str, str]]) -> Html:
    """Set texts below each other: what a model was given, marked, and how it went on.

    >>> writing([("The ", "cat <sat>")])
    '<pre><span class="key">The </span>cat &lt;sat&gt;</pre>'
    """
    return join(*[tag("pre", tag("span", given, class_="key") if given else None, went_on) for given, went_on in pairs])
