"""Labels: markers that nobody says, and whether a text can have been said in the time that its clip takes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from math import exp, log

RATES = (0.5, 40.0)  # characters a second that speech can have; the fastest speakers reach about 30
SPREADS = 6.0  # how many spreads from the middle of the data count as improbable
NARROWEST = 0.2  # least spread of the logarithm of the rate: clips of one speaker can be very alike
ENOUGH = 20  # clips from which the data have a usual rate
NOT_SAID = (
    "inaudible unintelligible unclear indiscernible laughter laughs laughing laugh applause noise music crosstalk "
    "silence silent pause cough coughs coughing breath breathing sigh sighs clears throat background foreign unk "
    "unknown overlap static beep sniff sneeze ringing speaking speech no"
)
_WORDS = "|".join(NOT_SAID.split())
MARKER = re.compile(
    r"\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}"  # whatever stands in such brackets was never said
    rf"|[(*](?:(?:{_WORDS})\b[ ,.-]*)+[)*]"  # in round ones, or between stars, only what describes a sound
    r"|[♩-♯]|\bignore_time_segment_in_scoring\b",
    re.IGNORECASE,
)


def markers(text: str) -> list[str]:
    """A marker is part of a label that was not said, such as [laughter], <unk> or (inaudible).

    >>> markers("well [laughter] I (really) said <unk> twice (inaudible)")
    ['[laughter]', '<unk>', '(inaudible)']

    Reference: J. J. Godfrey et al., 1992, "SWITCHBOARD: telephone speech corpus for research and development",
    section 4 (such marks in transcripts).
    """
    return MARKER.findall(text)


def probable_rates(rates: Sequence[float]) -> tuple[float, float]:
    """Say between which rates (characters a second) labels are probable, from the rates of all clips.

    The middle is the median, the spread 1.4826 times the median distance from it, both of the logarithms; six spreads
    on either side count as probable, never more than 0.5 to 40 characters a second. Where there are fewer than 20
    clips, only those bounds are used. A few wrong labels move neither median nor spread.

    >>> probable_rates([15.0] * 30 + [900.0])
    (4.52, 40.0)
    >>> probable_rates([15.0])
    (0.5, 40.0)

    Reference: B. Iglewicz, D. Hoaglin, 1993, "How to detect and handle outliers", section 3 (modified z-scores).
    """
    logs = [log(rate) for rate in rates if rate > 0]
    if len(logs) < ENOUGH:
        return RATES
    middle = statistics.median(logs)
    spread = max(1.4826 * statistics.median(abs(one - middle) for one in logs), NARROWEST)
    low, high = exp(middle - SPREADS * spread), exp(middle + SPREADS * spread)
    return max(RATES[0], low), min(RATES[1], high)
