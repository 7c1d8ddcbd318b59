"""Split digits: a few of the ten digits at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from locution.data.dataset import Dataset, held_out
from locution.data.digits import DigitsData
from locution.data.together import together
from locution.engine.batches import TensorBatches
from locution.errors import require


@dataclass(frozen=True)
class SplitDigitsData:
    """Split digits are tasks one after another, each to tell a few of the ten digits apart: first 0 and 1, then 2 and
    3, and so on.

    With `scenario` "class" the model has ten outputs and must in the end tell all ten apart, though it never saw two
    tasks at once and is not told which task a picture is of (class-incremental learning, the hardest). With "domain"
    it only says which of its task's digits a picture is, such as even or odd (domain-incremental learning). `each`
    counts the digits of a task: 1, 2 or 5. The other settings are those of `digits`.

    >>> data = SplitDigitsData().load(seed=0)
    >>> list(data.tasks), data.tasks["2 3"].train.targets.unique().tolist()
    (['0 1', '2 3', '4 5', '6 7', '8 9'], [2, 3])
    >>> even = SplitDigitsData(scenario="domain").load(seed=0)
    >>> even.labels, even.tasks["2 3"].train.targets.unique().tolist()
    (('0 2 4 6 8', '1 3 5 7 9'), [0, 1])

    Reference: F. Zenke, B. Poole, S. Ganguli, 2017, "Continual learning through synaptic intelligence", section 5.1; G.
    van de Ven, A. Tolias, 2019, "Three scenarios for continual learning", table 2.
    """

    each: int = 2
    scenario: Literal["class", "domain"] = "class"
    batch_size: int = 32
    development: float = 0.15
    test: float = 0.15
    limit: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        require(self.each in (1, 2, 5), "data.each", self.each, "1, 2 or 5 digits a task")
        require(self.scenario in ("class", "domain"), "data.scenario", self.scenario, "class or domain")
        several = self.scenario == "class" or self.each > 1
        require(several, "data.each", self.each, "2 or 5 in the scenario domain, so that there is something to tell")
        self.digits()

    def digits(self) -> DigitsData:
        """The digits as they are."""
        return DigitsData(self.batch_size, self.development, self.test, self.limit, self.split)

    def load(self, seed: int) -> Dataset:
        """Read the digits and deal them out; the run's seed has no part in it."""
        data = self.digits().load(seed)
        groups = [range(first, first + self.each) for first in range(0, 10, self.each)]
        tasks = {" ".join(map(str, group)): self.chosen(data, group) for group in groups}
        return together(tasks, "split digits")

    def chosen(self, data: Dataset, group: range) -> Dataset:
        """Make one task of a few digits."""
        parts = [self.only(part, group) for part in (data.train, data.development, data.test)]
        train, development, test = parts
        assert train is not None
        held = [None if part is None else held_out(part.inputs, part.targets) for part in (development, test)]
        labels = data.labels
        if self.scenario == "domain":
            labels = tuple(" ".join(map(str, range(place, 10, self.each))) for place in range(self.each))
        source = f"digits {' '.join(map(str, group))}"
        return replace(
            data, train=train, development=held[0], test=held[1], outputs=len(labels), labels=labels, source=source
        )

    def only(self, part: object, group: range) -> TensorBatches | None:
        """Keep the examples of a few digits."""
        if not isinstance(part, TensorBatches):
            return None
        rows = torch.isin(part.targets, torch.tensor(list(group)))
        targets = part.targets[rows] - (group.start if self.scenario == "domain" else 0)
        return TensorBatches(part.inputs[rows], targets, batch_size=self.batch_size)
