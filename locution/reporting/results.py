"""What a run found out, as plain values: the report, the card and the tables are all made from this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import UserError, require
from locution.reporting.shown import Drawing, Gallery, Graph, Matrix, Table
from locution.reporting.speech_results import SpeechFindings
from locution.reporting.units import figure

__all__ = [
    "Confusion",
    "Cost",
    "Drawing",
    "Drawn",
    "Gallery",
    "Graph",
    "Hearing",
    "Matrix",
    "MethodUsed",
    "Metric",
    "RunResults",
    "Table",
    "Utterance",
    "WrongAnswer",
]


@dataclass(frozen=True)
class Metric:
    """A metric is a figure that says how well a run did, with the interval that it would vary in.

    Parameters
    ----------
    name: its key in JSON, such as "wer". value, low, high: the figure and its interval; low and high are None
        where nobody knows them. label: its name for people. group: metrics of one group measure the same
        thing on one scale and are drawn beside each other, the first of them large.
    better: "lower" or "higher".
    note: what it was measured on.

    >>> str(Metric("wer", 0.1271, 0.11, 0.1402))
    '0.127 [0.110, 0.140]'
    >>> Metric("wer", 0.1271, 0.11, 0.1402).as_json()
    {'value': 0.127, 'low': 0.11, 'high': 0.14}
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    label: str = ""
    group: str = ""
    better: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        require(self.better in ("", "lower", "higher"), f"{self.name}.better", self.better, "lower or higher")

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.label or self.name.replace("_", " ")

    @property
    def interval(self) -> str:
        """Write the interval, or nothing where there is none."""
        return "" if self.low is None or self.high is None else f"[{figure(self.low)}, {figure(self.high)}]"

    def as_json(self) -> dict[str, float | None]:
        """Return value, low and high, as `evaluate --json` prints them."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{figure(self.value)} {self.interval}".strip()


@dataclass(frozen=True)
class Cost:
    """What a run cost: time in seconds, memory in bytes; whatever is None was not measured."""

    seconds: float | None = None
    evaluation_seconds: float | None = None
    peak_memory: float | None = None
    rate: float | None = None
    unit: str = "examples"
    steps: int | None = None
    epochs: int | None = None
    parameters_trained: int | None = None
    parameters_frozen: int | None = None
    device: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    gradient_evaluations: int | None = None


@dataclass(frozen=True)
class MethodUsed:
    """A method that was switched on: its name, one sentence that says what it is, and its settings."""

    name: str
    sentence: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix counts, for each true class (row), which class was answered (column)."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]] | NDArray[Any]

    def __post_init__(self) -> None:
        shape, size = np.shape(self.counts), len(self.labels)
        if shape != (size, size):
            raise UserError(f"the confusion matrix is {shape} for {size} labels; allowed: ({size}, {size}).")


@dataclass(frozen=True)
class WrongAnswer:
    """An example answered wrongly: its picture (rows, columns), what it is, and what was answered."""

    picture: NDArray[Any]
    truth: str
    answer: str
    confidence: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Utterance:
    """An utterance of the test set: what was said, what was written, normalised as they were scored.

    `encoder` is what the frozen encoder alone would have written; `seconds` is the length of the audio. `group` names
    the test set or condition it belongs to, `speaker` who said it; `probability` is the model's own, from 0 to 1, that
    it is right.
    """

    name: str
    reference: str
    hypothesis: str
    encoder: str | None = None
    seconds: float | None = None
    group: str = ""
    speaker: str = ""
    probability: float | None = None


@dataclass(frozen=True)
class Hearing:
    """An utterance together with what the model saw of it: its log-mel spectrogram (mels, frames)."""

    utterance: Utterance
    mel: NDArray[Any]
    seconds: float
    highest: float = 8000.0


@dataclass
class Drawn:
    """What one part of a report adds to the results of a run: figures, sentences, tables and pictures."""

    metrics: list[Metric] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    graphs: list[Graph] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)


@dataclass
class RunResults:
    """What the report and the card of a run show, beside the curves that `metrics.jsonl` holds.

    Only `title` must be given; what is empty is left out. `summary` is a sentence or two, `warnings` are what
    the run noticed and a reader must know (overfitting, exploding gradients), `limits` what it cannot do.
    `data` maps names to a line each, such as {"training": "1,437 digits"}; `recipe` is the resolved recipe;
    `environment` maps names to versions.

    >>> RunResults("digits", metrics=[Metric("accuracy", 0.97)]).as_json()
    {'metrics': {'accuracy': {'value': 0.97, 'low': None, 'high': None}}}
    """

    title: str
    summary: str = ""
    metrics: list[Metric] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    methods: list[MethodUsed] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    confusion: Confusion | None = None
    wrong: list[WrongAnswer] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    hearing: list[Hearing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    graphs: list[Graph] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    speech: SpeechFindings | None = None

    def add(self, drawn: Drawn) -> None:
        """Show besides what a part of the report has drawn.

        >>> results = RunResults("digits", notes=["first"])
        >>> results.add(Drawn(notes=["second"]))
        >>> results.notes
        ['first', 'second']
        """
        for each in fields(drawn):
            getattr(self, each.name).extend(getattr(drawn, each.name))

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as `evaluate --json` prints them."""
        return {"metrics": {metric.name: metric.as_json() for metric in self.metrics}}
