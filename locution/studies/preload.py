"""What every run imports: read once, by the process that the runs of a study are forked from."""

from __future__ import annotations

import sklearn.datasets
import torch

from locution import runs
from locution.recipe import resolve
from locution.reporting import card, report, stored
from locution.tasks import supervised

__all__ = ["LINE", "card", "report", "runs", "sklearn", "stored", "supervised", "torch"]

LINE = resolve("line")  # brings what composes recipes, which is imported where it is used
