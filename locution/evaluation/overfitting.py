"""Overfitting and underfitting, read off the losses on training and held-out examples."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.observer import Observer, Record, Stop
from locution.errors import require

if TYPE_CHECKING:
    from locution.engine.loop import Engine

Objective = Callable[[nn.Module, Batch], tuple[Any, Tensor]]


def overfitting(
    training: Sequence[float], held_out: Sequence[float], patience: int = 5, rise: float = 0.05
) -> int | None:
    """Overfitting is learning the examples by heart: the loss on them still falls while that on others rises.

    Parameters
    ----------
    training, held_out: the two losses after each epoch. patience: for so many epochs on end the held-out loss
    must have stayed above its lowest by the share `rise`, and the training loss must have fallen below what
    it was then.

    Returns the epoch, from 0, of the lowest held-out loss, from which on the model overfits; None if it does
    not.

    >>> overfitting([1.0, 0.5, 0.3, 0.2, 0.1], [1.0, 0.6, 0.7, 0.8, 0.9], patience=3)
    1
    >>> overfitting([1.0, 0.5, 0.3, 0.2, 0.1], [1.0, 0.6, 0.5, 0.4, 0.4], patience=3) is None
    True

    Reference: L. Prechelt, 1998, "Early stopping - but when?", section 2.2.
    """
    if len(held_out) <= patience:
        return None
    best = min(range(len(held_out)), key=held_out.__getitem__)
    bound = held_out[best] + rise * abs(held_out[best])
    risen = len(held_out) - 1 - best >= patience and all(loss > bound for loss in held_out[-patience:])
    fallen = all(loss < training[best] for loss in training[-patience:])
    return best if risen and fallen else None


def underfitting(training: Sequence[float], held_out: Sequence[float], unlearnt: float, share: float = 0.5) -> bool:
    """Underfitting is learning too little even of the examples at hand: the loss on them stays high, as on
    others.

    `unlearnt` is the loss of knowing nothing, such as ln(classes), or the variance of the targets. A model
    underfits if its training loss is above that by the `share`, and its held-out loss is hardly higher.

    >>> underfitting([2.3, 2.1, 2.0], [2.3, 2.1, 2.0], unlearnt=2.3026)  # 2.0 of 2.3 are left
    True
    >>> underfitting([2.3, 0.5, 0.1], [2.3, 0.6, 0.3], unlearnt=2.3026)
    False

    Reference: I. Goodfellow, Y. Bengio, A. Courville, 2016, "Deep learning", section 5.2.
    """
    high = training[-1] > share * unlearnt
    return high and held_out[-1] < training[-1] + (1 - share) * unlearnt


def mean_loss(model: nn.Module, objective: Objective, batches: Iterable[Batch]) -> float:
    """Measure the loss over many batches as one mean over all their examples, in eval mode, with no gradient
    kept.

    >>> def value(model, batch):
    ...     return None, batch.inputs.mean()
    >>> mean_loss(nn.Identity(), value, [Batch(torch.ones(3)), Batch(torch.zeros(1))])
    0.75
    """
    was = model.training
    modes = [module for module in model.modules() if module.training]
    model.eval()
    losses, weights = [], []
    try:
        with torch.no_grad():
            for batch in batches:
                _, loss = objective(model, batch)
                losses.append(loss)
                weights.append(batch.weight())
    finally:
        if was:
            for module in modes:
                module.training = True
    if not losses:
        return math.nan
    found = torch.stack(losses).cpu().double()  # on the processor: MPS has no such numbers
    return float((found * torch.tensor(weights, dtype=torch.float64)).sum()) / sum(weights)


@dataclass
class Overfitting(Observer):
    """Early stopping ends training when the model begins to learn its examples by heart, before it gets
    worse.

    This watches the loss on held-out examples beside that on training's, and says when the model overfits.

    Parameters
    ----------
    objective, batches: what to measure, on which held-out examples; recorded as "development_loss". patience,
    rise: when it counts as overfitting, as in `overfitting`. stop: end training then (early stopping). train:
    examples of the training data, to measure the training loss on them asleep too ("training_loss"); without,
    the loss that training itself records is compared, which dropout and augmentation make higher than it is.
    say: where the note goes, the log of the name "locution" if it is not given. `since` is the epoch of the
    lowest held-out loss, from which on the model overfits, or None; a new lowest one takes it back.

    >>> def objective(model, batch):
    ...     return None, torch.ones(())
    >>> watcher = Overfitting(objective, [Batch(torch.zeros(1))], patience=3, stop=True, say=print)
    >>> for epoch, held_out in enumerate([1.0, 0.6, 0.7, 0.8, 0.9], start=1):
    ...     values = {"development_loss": held_out}
    ...     wish = watcher.watch(Record("epoch", 10 * epoch, epoch, 1 / epoch, 0.1, 0, 0.0, values))
    overfitting since epoch 2: the held-out loss rose from 0.6000 to 0.9000 while the training loss fell ...
    >>> wish
    Stop(reason='early stopping: overfitting since epoch 2')

    Reference: L. Prechelt, 1998, "Early stopping - but when?", section 2.2.
    """

    objective: Objective
    batches: Any
    patience: int = 5
    rise: float = 0.05
    stop: bool = False
    train: Any = None
    say: Callable[[str], object] | None = None
    training: list[float] = field(default_factory=list, init=False, repr=False)
    held_out: list[float] = field(default_factory=list, init=False, repr=False)
    epochs: list[int] = field(default_factory=list, init=False, repr=False)
    since: int | None = field(default=None, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    said: list[str] = field(default_factory=list, init=False, repr=False)  # by this process: the end does not repeat it
    speaks: bool = field(default=True, init=False, repr=False)
    device: torch.device = field(default=torch.device("cpu"), init=False, repr=False)
    name: ClassVar[str] = "overfitting"

    def __post_init__(self) -> None:
        require(self.patience >= 1, "overfitting.patience", self.patience, "a whole number from 1, usually 5")
        require(self.rise >= 0, "overfitting.rise", self.rise, "a share from 0, usually 0.05")

    def start(self, engine: Engine) -> None:
        """Learn where the model lives; of several processes, only the first speaks."""
        self.speaks, self.device = engine.group.first, engine.device

    def measure(self, model: nn.Module, record: Record) -> Mapping[str, float]:
        """Measure the loss on the held-out examples, and on training's if they were given."""
        values = {"development_loss": mean_loss(model, self.objective, self._moved(self.batches))}
        if self.train is not None:
            values["training_loss"] = mean_loss(model, self.objective, self._moved(self.train))
        return values

    def _moved(self, source: Any) -> Iterable[Batch]:
        batches = source.epoch(0, 0) if isinstance(source, TensorBatches) else source
        return (batch.to(self.device) for batch in batches)

    def watch(self, record: Record) -> Stop | None:
        """Compare the two losses at each measurement."""
        if "development_loss" not in record.values:
            return None
        self.training.append(record.values.get("training_loss", record.loss))
        self.held_out.append(record.values["development_loss"])
        self.epochs.append(record.epoch)
        best = overfitting(self.training, self.held_out, self.patience, self.rise)
        if best is None:
            if min(self.held_out) == self.held_out[-1]:
                self.since = None  # it went on learning after all, and what was said no longer holds
                self.notes.clear()
            return None
        if self.since is None:
            self.since = self.epochs[best]
            self._note(best)
        return Stop(f"early stopping: overfitting since epoch {self.since}") if self.stop else None

    def _note(self, best: int) -> None:
        rose = f"the held-out loss rose from {self.held_out[best]:.4f} to {self.held_out[-1]:.4f}"
        fell = f"the training loss fell from {self.training[best]:.4f} to {self.training[-1]:.4f}"
        mend = "More examples, a smaller model, dropout, weight decay or fewer epochs help."
        text = f"overfitting since epoch {self.since}: {rose} while {fell}. {mend}"
        self.notes.append(text)
        if self.speaks:
            self.said.append(text)
            (self.say or logging.getLogger("locution").warning)(text)

    def state_dict(self) -> dict[str, Any]:
        """Hold both curves and what was said."""
        curves = {
            "training": list(self.training),
            "held_out": list(self.held_out),
            "epochs": list(self.epochs),
        }
        return {**curves, "since": self.since, "notes": list(self.notes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        for curve in ("training", "held_out", "epochs", "notes"):
            setattr(self, curve, list(state_dict.get(curve, ())))
        self.since = state_dict.get("since")
