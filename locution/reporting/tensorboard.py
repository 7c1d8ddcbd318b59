"""TensorBoard as a tracker."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from locution.engine.observer import Observer, Record
from locution.errors import UserError
from locution.reporting.trackers import flat

if TYPE_CHECKING:
    from locution.engine.loop import Engine

PLACE = ("kind", "step", "examples", "seconds")  # these say where a record stands; they are no curves


def scalars(record: Record) -> dict[str, float]:
    """Pick the curves of a record; an epoch's mean loss is a curve of its own.

    >>> scalars(Record("epoch", 90, 1, 0.5, 0.1, 32, 0.25, {"development_loss": 0.6}))
    {'epoch': 1, 'learning_rate': 0.1, 'development_loss': 0.6, 'epoch_loss': 0.5}
    """
    line = {name: value for name, value in flat(record).items() if name not in PLACE and value is not None}
    if record.kind == "epoch" and "loss" in line:
        line["epoch_loss"] = line.pop("loss")
    return line


def installed(module: str, extra: str) -> None:
    """Refuse a tracker whose library is missing, before anything is trained.

    >>> installed("json", "json")
    """
    if find_spec(module) is None:
        mend = f"pip install 'locution[{extra}]'"
        raise UserError(f"tracker '{extra}' needs {module}, which is not installed; {mend}, or leave it out.")


class TensorBoard(Observer):
    """TensorBoard draws the curves of runs in a browser; this tracker writes them to a folder `tensorboard`.

    See them with `tensorboard --logdir runs`. When a run is resumed, what came after its checkpoint is
    hidden.

    >>> scalars(Record("step", 90, 1, 0.5, 0.1, 32, 0.25, {"gradient_norm": 2.0}))  # the curves it writes
    {'epoch': 1, 'loss': 0.5, 'learning_rate': 0.1, 'gradient_norm': 2.0}

    Reference: M. Abadi et al., 2016, "TensorFlow: Large-Scale Machine Learning on Heterogeneous Distributed
    Systems", section 9.1.
    """

    name: ClassVar[str] = "tensorboard"

    def __init__(self, folder: str | Path) -> None:
        installed("tensorboard", "tensorboard")
        self.folder = Path(folder) / "tensorboard"
        self.writer: Any = None

    def start(self, engine: Engine) -> None:
        """Open the event file; in a group of processes only the first writes."""
        if engine.group.first:
            self.open(engine.number)

    def open(self, step: int) -> None:
        """Open the event file to go on after a step."""
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    def watch(self, record: Record) -> None:
        """Write the curves of the record."""
        if self.writer is not None:
            for name, value in scalars(record).items():
                self.writer.add_scalar(name, value, record.step)

    def finish(self, record: Record, reason: str) -> None:
        """Write down why training ended, and close."""
        if self.writer is not None:
            self.writer.add_text("ended", reason, record.step)
            self.writer.close()
        self.writer = None
