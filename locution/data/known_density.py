"""Data whose density somebody knows: what a model of the data can be held against exactly."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


class Density(Protocol):
    """A density says how likely each place is: its integral over all places is 1."""

    def log_density(self, x: Tensor) -> Tensor:
        """Say the logarithm of the density at each place: (N, D) -> (N,), in nats."""
        ...


@runtime_checkable
class KnownDensity(Protocol):
    """A data part that knows from which density its examples are drawn."""

    def truth(self) -> Density:
        """Hand out the density."""
        ...
