"""Weights & Biases as a tracker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from locution.engine.observer import Observer, Record
from locution.errors import require
from locution.reporting.tensorboard import installed, scalars

if TYPE_CHECKING:
    from locution.engine.loop import Engine

MODES = ("online", "offline", "disabled")


def pick_mode(mode: str | None, environment: Mapping[str, str]) -> str:
    """Choose whether anything is sent: only if that was asked for, by a mode or by giving a key.

    >>> key = {"WANDB_API_KEY": "k"}
    >>> pick_mode(None, {}), pick_mode(None, key), pick_mode("offline", key)
    ('offline', 'online', 'offline')
    """
    default = "online" if environment.get("WANDB_API_KEY") else "offline"
    chosen = mode or environment.get("WANDB_MODE") or default
    require(chosen in MODES, "wandb.mode", chosen, ", ".join(MODES))
    return chosen


class WeightsAndBiases(Observer):
    """Weights & Biases (W&B) keeps the curves of many runs in one place; this tracker writes to `wandb`.

    Without a key nothing leaves the machine: the run is kept offline and can be sent later with `wandb sync`.
    The code, the terminal's output and the machine's statistics are never collected.

    >>> pick_mode(None, {})  # no key in the environment: nothing is sent
    'offline'

    Reference: L. Biewald, 2020, "Experiment Tracking with Weights and Biases".
    """

    name: ClassVar[str] = "wandb"

    def __init__(
        self,
        folder: str | Path,
        *,
        project: str = "locution",
        mode: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        installed("wandb", "wandb")
        self.folder, self.project, self.config = Path(folder), project, dict(config or {})
        self.mode = pick_mode(mode, os.environ)
        self.run: Any = None
        self.id: str | None = None

    def start(self, engine: Engine) -> None:
        """Open the run, or the same one again; in a group of processes only the first writes."""
        if engine.group.first:
            self.open()

    def open(self) -> None:
        """Open the run."""
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        private = {"console": "off", "silent": True, "disable_git": True, "disable_code": True}
        self.run = wandb.init(
            project=self.project,
            name=self.folder.name,
            dir=str(self.folder),
            config=self.config,
            mode=self.mode,
            id=self.id,
            resume="allow" if self.id else None,
            settings=wandb.Settings(**private, x_disable_stats=True),
        )
        self.id = self.run.id
        self.run.define_metric("*", step_metric="step")

    def watch(self, record: Record) -> None:
        """Log the curves of the record."""
        if self.run is not None:
            self.run.log({"step": record.step, **scalars(record)})

    def finish(self, record: Record, reason: str) -> None:
        """Write down why training ended, and close."""
        if self.run is not None:
            self.run.summary["ended"] = reason
            self.run.finish()
        self.run = None

    def state_dict(self) -> dict[str, Any]:
        """Keep which run this is, so that a resumed one goes on under the same name."""
        return {"id": self.id} if self.id else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.id = state_dict.get("id")
