"""What every run imports: read once, before the clock of any run starts.

In processes it is read by the one that the runs of a study are forked from. Left to the first training it would be a
second of that training's time, and every method would look cheaper than it is.
"""

from __future__ import annotations

import sklearn.datasets
import torch._dynamo

from locution import runs
from locution.recipe import resolve
from locution.reporting import card, report, stored
from locution.tasks import supervised

__all__ = ["LINE", "card", "report", "runs", "sklearn", "stored", "supervised", "torch"]

LINE = resolve("line")  # brings what composes recipes, which is imported where it is used
