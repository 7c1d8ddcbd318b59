"""What the model saw of an utterance: its spectrogram."""

from __future__ import annotations

import math

import numpy as np

from locution.reporting.charts import letters, rule, scale, short, svg, ticks
from locution.reporting.markup import Html, tag
from locution.reporting.pixels import MAGMA, data_uri, levels, png
from locution.reporting.results import Hearing

WIDTH, HEIGHT = 920.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 8.0, 34.0


def mel(hertz: float) -> float:
    """The mel scale counts pitch the way ears do: even below 1000 Hz, by ratios above (Slaney's form).

    >>> mel(200.0), mel(1000.0), mel(6400.0)
    (3.0, 15.0, 42.0)

    Reference: M. Slaney, 1998, "Auditory Toolbox", Interval Research technical report 1998-010.
    """
    return 3.0 * hertz / 200.0 if hertz < 1000.0 else 15.0 + 27.0 * math.log(hertz / 1000.0) / math.log(6.4)


def spectrogram(heard: Hearing, *, alt: str) -> Html:
    """Draw a log-mel spectrogram: time to the right, pitch upwards, loudness as light.

    >>> from locution.reporting.results import Utterance
    >>> heard = Hearing(Utterance("a.wav", "stop", "stop"), np.zeros((80, 50)), seconds=0.5)
    >>> spectrogram(heard, alt="a word").count("<image")
    1
    """
    values = np.asarray(heard.mel, dtype=float)  # (M, T)
    seen = values[np.isfinite(values)]
    low, high = np.quantile(seen, [0.02, 0.999]) if seen.size else (0.0, 1.0)
    picture = data_uri(png(levels(values[::-1], float(low), float(high)), MAGMA))
    bottom = HEIGHT - BOTTOM
    image = tag(
        "image",
        href=picture,
        x=f"{LEFT:g}",
        y=f"{TOP:g}",
        width=f"{WIDTH - LEFT - RIGHT:g}",
        height=f"{bottom - TOP:g}",
        preserveAspectRatio="none",
    )
    x = scale(0.0, heard.seconds, LEFT, WIDTH - RIGHT)
    y = scale(0.0, mel(heard.highest), bottom, TOP)
    drawn = [image]
    for second in ticks(0.0, heard.seconds, 8):
        drawn += [rule(x(second), bottom, x(second), bottom + 4, "axis")]
        drawn += [letters(x(second), bottom + 16, short(second), anchor="middle")]
    drawn.append(letters((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, "seconds", "tick quiet", "middle"))
    for kilohertz in (0.5, 1.0, 2.0, 4.0, 8.0):
        if kilohertz * 1000 <= heard.highest:
            place = y(mel(kilohertz * 1000))
            drawn.append(letters(LEFT - 7, max(place + 3.5, TOP + 9), f"{kilohertz:g}", anchor="end"))
    drawn.append(letters(LEFT - 7, bottom + 1, "kHz", "tick quiet", "end"))
    return svg(WIDTH, HEIGHT, alt, *drawn)
