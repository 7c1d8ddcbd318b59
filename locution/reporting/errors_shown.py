"""The sections of a report that show what went wrong: confusions, mistakes, worst and best utterances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from locution.reporting.audio_pictures import spectrogram
from locution.reporting.markup import Html, join, tag
from locution.reporting.pixels import INK, data_uri, levels, png
from locution.reporting.results import Confusion, Hearing, RunResults, WrongAnswer
from locution.reporting.sections import Section, drawing, table
from locution.reporting.words import aligned, joined, ranked, rate

MOST_CLASSES = 30
SIGNS = (("substitution", "taken for another word"), ("deletion", "lost"), ("insertion", "made up"))


def confusion(found: Confusion | None) -> Section | None:
    """Which class was taken for which."""
    if found is None:
        return None
    counts = np.asarray(found.counts)
    drawn = []
    if len(found.labels) <= MOST_CLASSES:
        note = "rows: what it is; columns: what was answered; shade: share of the row"
        drawn.append(drawing("Confusion matrix", _matrix(found.labels, counts), note=note, wide=len(found.labels) > 10))
    off = [(int(counts[i, j]), i, j) for i, j in zip(*np.nonzero(counts), strict=True) if i != j]
    rows = [(found.labels[i], found.labels[j], n) for n, i, j in sorted(off, key=lambda one: (-one[0], *one[1:]))[:8]]
    if rows:
        drawn.append(drawing("Most often confused", table(["it is", "answered", "times"], rows)))
    return Section("confusion", "Confusions", tag("div", *drawn, class_="charts")) if drawn else None


def _matrix(labels: Sequence[str], counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Html:
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    head = tag("tr", tag("td"), *[tag("th", label, scope="col", class_="user") for label in labels])
    rows = [head]
    for i, label in enumerate(labels):
        cells = [tag("th", label, scope="row", class_="user")]
        for j, other in enumerate(labels):
            kind, words = ("right", f"{label}: {counts[i, j]} right") if i == j else ("", "")
            if i != j and counts[i, j]:
                kind, words = "wrong", f"{label} taken for {other}: {counts[i, j]}"
            shade = f"--v:{100 * shares[i, j]:.1f}%"
            written = f"{counts[i, j]:,}" if counts[i, j] else tag("span", "·", class_="quiet")
            cells.append(tag("td", written, class_=kind or None, style=shade, title=words or None))
        rows.append(tag("tr", *cells))
    return tag("table", *rows, class_="confusion")


def wrong_answers(examples: Sequence[WrongAnswer]) -> Section | None:
    """Examples that were answered wrongly."""
    if not examples:
        return None
    items = [_card(one) for one in examples[:40]]
    return Section("mistakes", "Mistakes", tag("ul", *items, class_="mistakes"))


def _card(one: WrongAnswer) -> Html:
    pixels = np.atleast_2d(np.asarray(one.picture, dtype=float))
    source = data_uri(png(levels(pixels, float(pixels.min()), float(pixels.max())), INK))
    said = f"is {one.truth}, answered {one.answer}"
    sure = f", {100 * one.confidence:.0f} % sure" if one.confidence is not None else ""
    picture = tag("img", src=source, alt=f"{one.name} {said}{sure}".strip(), class_="pixels", width="96", height="96")
    words = tag("p", tag("b", one.truth, class_="user"), " → ", tag("b", one.answer, class_="user missed"))
    under = tag("p", f"{100 * one.confidence:.0f} % sure", class_="quiet") if one.confidence is not None else None
    name = tag("p", one.name, class_="quiet small user") if one.name else None
    return tag("li", picture, words, under, name)


def hearing(examples: Sequence[Hearing]) -> Section | None:
    """What the model saw of an utterance, and what it wrote."""
    if not examples:
        return None
    drawn = []
    for one in examples[:3]:
        said = one.utterance
        words = f"Said: {said.reference}. Written: {said.hypothesis}."
        alt = f"Spectrogram of {said.name}, {one.seconds:.1f} seconds. {words}"
        picture = drawing(said.name, spectrogram(one, alt=alt), note="log-mel spectrogram", wide=True)
        drawn.append(join(picture, aligned(said.reference, said.hypothesis)))
    return Section("hearing", "What it hears", tag("div", *drawn, class_="hearing"))


def utterances(results: RunResults, most: int = 10) -> Section | None:
    """The worst and the best utterances, word by word."""
    listed = ranked(results.utterances)
    if not listed:
        return None
    perfect = sum(rate(one) == 0 for one in listed)
    keys = [
        tag("span", tag("span", "word", class_="written"), " ", words, class_=f"pair {kind}") for kind, words in SIGNS
    ]
    key = tag("p", "Above what was said, below what was written: ", *keys, class_="key quiet")
    total = tag("p", f"{perfect:,} of {len(listed):,} utterances have no error.")
    wrong = [one for one in listed if rate(one) > 0][:most]
    good = [one for one in listed if rate(one) == 0][:most] or listed[-most:]
    parts = [total, key]
    parts += [tag("h3", "Worst"), joined(wrong)] if wrong else []
    parts += [tag("h3", "Best"), joined(good)]
    return Section("utterances", "Utterances", join(*parts))


def shown(results: RunResults) -> list[Section | None]:
    """All of these sections, in the order in which they stand."""
    return [
        hearing(results.hearing),
        utterances(results),
        confusion(results.confusion),
        wrong_answers(results.wrong),
    ]
