"""Two sentences word by word: what was said above, what was written below, the differences marked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from locution.reporting.markup import Html, clean, join, tag
from locution.reporting.results import Utterance

Pair = tuple[str | None, str | None]
ERROR, HIT = 1_000_000, -1  # as few errors as possible; among equals, as many hits as possible
WORDS = {"hit": "", "substitution": "taken for another word", "deletion": "lost", "insertion": "made up"}


def pairs(reference: str, hypothesis: str) -> list[Pair]:
    """Pair the words of two sentences so that as few as possible differ, None where one has no word.

    >>> pairs("turn the light on", "turn lights on now")
    [('turn', 'turn'), ('the', None), ('light', 'lights'), ('on', 'on'), (None, 'now')]

    Reference: R. A. Wagner, M. J. Fischer, 1974, "The String-to-String Correction Problem", recurrence (1).
    """
    said, written = clean(reference).split(), clean(hypothesis).split()
    cost = [[ERROR * (i + j) for j in range(len(written) + 1)] for i in range(len(said) + 1)]
    for i, word in enumerate(said, 1):
        for j, other in enumerate(written, 1):
            same = cost[i - 1][j - 1] + (HIT if word == other else ERROR)
            cost[i][j] = min(same, cost[i - 1][j] + ERROR, cost[i][j - 1] + ERROR)
    i, j, found = len(said), len(written), list[Pair]()
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (HIT if said[i - 1] == written[j - 1] else ERROR):
            i, j = i - 1, j - 1
            found.append((said[i], written[j]))
        elif i and cost[i][j] == cost[i - 1][j] + ERROR:
            i -= 1
            found.append((said[i], None))
        else:
            j -= 1
            found.append((None, written[j]))
    return found[::-1]


def kind(pair: Pair) -> str:
    """Say what happened to a word.

    >>> [kind(pair) for pair in (("a", "a"), ("a", "b"), ("a", None), (None, "b"))]
    ['hit', 'substitution', 'deletion', 'insertion']
    """
    if pair[0] is None:
        return "insertion"
    if pair[1] is None:
        return "deletion"
    return "hit" if pair[0] == pair[1] else "substitution"


def errors(reference: str, hypothesis: str) -> int:
    """Count the words that differ.

    >>> errors("turn the light on", "turn lights on now")
    3
    """
    return sum(kind(pair) != "hit" for pair in pairs(reference, hypothesis))


def rate(utterance: Utterance) -> float:
    """The word error rate of one utterance."""
    return errors(utterance.reference, utterance.hypothesis) / max(1, len(utterance.reference.split()))


def ranked(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Sort utterances from the worst to the best; of equals, the longer comes first."""
    return sorted(utterances, key=lambda one: (-rate(one), -len(one.reference.split()), one.name))


def aligned(reference: str, hypothesis: str) -> Html:
    """Write two sentences as HTML, each word under its partner, differences marked by colour and by sign."""
    if not reference.split() and not hypothesis.split():
        return tag("span", "(nothing was said, nothing was written)", class_="quiet")
    cells = []
    for pair in pairs(reference, hypothesis):
        said = tag("span", pair[0] if pair[0] is not None else "·", class_="said", dir="auto")
        written = tag("span", pair[1] if pair[1] is not None else "–", class_="written", dir="auto")
        cells.append(tag("span", said, written, class_=f"pair {kind(pair)}", title=WORDS[kind(pair)] or None))
    return tag("div", *cells, class_="aligned")


def coloured(reference: str, hypothesis: str, *, signs: bool = False) -> tuple[Text, Text]:
    """Write two sentences for the terminal, differences coloured; with `signs` also marked by brackets.

    >>> said, written = coloured("turn the light on", "turn lights on now", signs=True)
    >>> said.plain, written.plain
    ('turn [-the-] {light} on', 'turn {lights} on {+now+}')
    """
    said, written = Text(), Text()
    forms = {"substitution": "{%s}", "deletion": "[-%s-]", "insertion": "{+%s+}"}
    styles = {
        "substitution": "bold yellow",
        "deletion": "bold red strike",
        "insertion": "bold magenta",
    }
    for pair in pairs(reference, hypothesis):
        what = kind(pair)
        for word, line in zip(pair, (said, written), strict=True):
            if word is not None:
                line.append(" " if line.plain else "")
                line.append(forms[what] % word if signs and what != "hit" else word, styles.get(what))
    return said, written


def sureness(probability: float) -> str:
    """Write a probability as whole percents that never claim to be certain.

    >>> sureness(0.0004), sureness(0.5), sureness(0.9996)
    ('under 1', '50', 'over 99')
    """
    if 0.01 <= probability <= 0.99:
        return f"{100 * probability:.0f}"
    return "under 1" if probability < 0.01 else "over 99"


def joined(utterances: Sequence[Utterance]) -> Html:
    """Write utterances under each other, each with its name and its word error rate."""
    items = []
    for one in utterances:
        seconds = "" if one.seconds is None else f" · {one.seconds:.1f} s"
        sure = "" if one.probability is None else f" · {sureness(one.probability)} % sure"
        name = tag("span", one.name, class_="user")
        group = join(" · ", tag("span", one.group, class_="user")) if one.group else None
        head = tag("p", tag("b", f"{rate(one):.2f}"), " ", name, group, seconds, sure, class_="quiet")
        alone = None
        if one.encoder is not None:
            heard = tag("span", one.encoder or "(nothing)", class_="user", dir="auto")
            alone = tag("p", "encoder alone: ", heard, class_="quiet small")
        items.append(tag("li", head, aligned(one.reference, one.hypothesis), alone))
    return join(tag("ul", *items, class_="utterances"))
