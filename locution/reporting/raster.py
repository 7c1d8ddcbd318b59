"""A spike raster: which neuron fired when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.reporting.charts import BOTTOM, LEFT, RIGHT, TOP, letters, rule, scale, short, svg, ticks
from locution.reporting.markup import Html, tag

WIDTH = 920.0  # of the whole page: there are many steps
GAP = 14.0  # between layers
TALLEST, LOWEST = 3.0, 1.0  # of a neuron's row


def raster(layers: Mapping[str, NDArray[Any]], *, alt: str) -> Html:
    """A spike raster has a row for each neuron and a mark wherever it fired, from left to right in time.

    layers: spikes of 0 and 1, (T, neurons) each, by the name of the layer, from the bottom up in the order in which
    they pass.

    >>> picture = raster({"eye": np.array([[1, 0], [0, 1], [0, 1]]), "brain": np.array([[0], [0], [1]])}, alt="spikes")
    >>> picture.count("<path"), picture.count("v3.0"), picture.count("eye (2)")
    (2, 4, 1)

    Reference: D. Perkel, G. Gerstein, G. Moore, 1967, "Neuronal spike trains and stochastic point processes", figure 1.
    """
    steps = max(len(spikes) for spikes in layers.values())
    neurons = sum(spikes.shape[1] for spikes in layers.values())
    row = min(TALLEST, max(LOWEST, 400.0 / neurons))
    wide = LEFT + 60  # room for the layers' names
    x = scale(-0.5, steps - 0.5, wide, WIDTH - RIGHT)
    drawn: list[Html] = []
    bottom = height = TOP + row * neurons + GAP * (len(layers) - 1)
    for number, (name, spikes) in enumerate(layers.items()):
        top = bottom - row * spikes.shape[1]
        drawn.append(letters(wide - 8, (top + bottom) / 2 + 4, f"{name} ({spikes.shape[1]})", "tick", "end"))
        drawn.append(rule(wide, bottom, WIDTH - RIGHT, bottom))
        when, who = (axis.tolist() for axis in np.nonzero(np.asarray(spikes) > 0))
        marks = "".join(f"M{x(t):.1f} {bottom - row * (n + 1):.1f}v{row:.1f}" for t, n in zip(when, who, strict=True))
        drawn.append(tag("path", tag("title", f"{name}: {len(when)} spikes"), d=marks, class_=f"line c{number % 5}"))
        bottom = top - GAP
    for value in ticks(0, steps - 1):
        if value == int(value):
            drawn.append(letters(x(value), height + 16, short(value), anchor="middle"))
    drawn.append(letters((wide + WIDTH - RIGHT) / 2, height + 30, "step", "tick quiet", "middle"))
    return svg(WIDTH, height + BOTTOM, alt, *drawn)
