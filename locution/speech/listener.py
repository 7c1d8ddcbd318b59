"""Does it listen? An observer that asks while a recogniser trains, and ends a training that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from locution.engine.batch import Batch
from locution.engine.method import Step
from locution.engine.observer import Observer, Record, Stop
from locution.errors import require
from locution.speech.listening import Comparison
from locution.speech.recogniser import Recogniser

if TYPE_CHECKING:
    from locution.engine.loop import Engine

EVERY = 50  # steps between comparisons
LEAST = 0.1  # nats a token
PATIENCE = (300, 2000)  # steps: bounds of half a run
CHECK = (
    "Check that each transcript belongs to its sound (locution check-data), that the encoder fits the sound, that the "
    "projector's output is as loud as the embeddings, and try another learning rate"
)


def usual_cliff(steps: int | None) -> int:
    """Say by which step a recogniser of so many steps has usually begun to listen: half of them, from 300 to 2,000.

    >>> usual_cliff(550), usual_cliff(1000), usual_cliff(50_000), usual_cliff(None)
    (300, 500, 2000, 2000)
    """
    least, most = PATIENCE
    return most if steps is None else min(most, max(least, steps // 2))


@dataclass
class Listening(Observer):
    """A recogniser listens if its loss is lower with a clip's own audio than with another clip's.

    A language model that has learnt to do without the audio writes fluent text that nobody said, and does not come
    back. This compares, on one batch of development clips, the loss with each clip's own audio, with that of another
    clip unlike it in words and alike in length, and with silence; it records "listening_gap" and "silence_gap", by
    how many nats a token the other audio and the silence are worse.

    Parameters
    ----------
    batch: two utterances or more. every: steps between comparisons, each made at the first logged step from then on.
    patience: by which step the gap must have opened; half the run, from 300 to 2,000, if it is not given. least:
    the gap that counts as open. stop: end training when two comparisons in a row, past `patience`, find it closed;
    else, and where training ends before, only say so (`notes`).

    >>> batch = Batch({"frames": torch.randn(2, 4, 1), "lengths": torch.tensor([4, 4])}, torch.tensor([[5, 2], [6, 2]]))
    >>> watcher = Listening(batch, patience=300)
    >>> for step, gap in ((250, 0.01), (300, 0.02), (350, 0.01)):
    ...     wish = watcher.watch(Record("step", step, 0, 2.0, 0.1, 0, 0.0, {"listening_gap": gap}))
    >>> wish.reason.split(":")[0]
    'after 350 steps the model does not listen'

    Reference: A. Rohrbach et al., 2018, "Object Hallucination in Image Captioning", section 3 (a language prior told
    apart from what was perceived).
    """

    batch: Batch
    every: int = EVERY
    patience: int | None = None
    least: float = LEAST
    stop: bool = True
    notes: list[str] = field(default_factory=list, init=False)
    next: int = field(default=0, init=False, repr=False)
    closed: int = field(default=0, init=False, repr=False)
    engine: Engine | None = field(default=None, init=False, repr=False)
    name: ClassVar[str] = "listening"

    def __post_init__(self) -> None:
        require(len(self.batch) >= 2, "listening.batch", len(self.batch), "two utterances or more")
        require(self.every >= 1, "listening.every", self.every, "a whole number of steps from 1, usually 50")
        given = self.patience
        require(given is None or given >= 1, "listening.patience", given, "a whole number of steps from 1, or null")
        require(self.least > 0, "listening.least", self.least, "nats a token above 0, usually 0.1")
        self.comparison = Comparison(self.batch)

    def start(self, engine: Engine) -> None:
        """Learn how long training will last, and in which precision."""
        self.engine = engine
        if self.patience is None:
            self.patience = usual_cliff(None if engine.limit is None else engine.limit - engine.origin[0])

    def gradient(self, model: nn.Module, step: Step) -> Mapping[str, float]:
        """Compare, at the first logged step from the one that is due."""
        if step.number < self.next:
            return {}
        self.next = (step.number // self.every + 1) * self.every
        return self.compare(model)

    def compare(self, model: nn.Module) -> dict[str, float]:
        """Measure both gaps, in the precision of training."""
        assert isinstance(model, Recogniser)
        if len(self.comparison.batch) < 2:
            return {}  # all development clips say the same: nothing can be told
        bf16 = self.engine is not None and self.engine.precision == "bf16"
        with torch.autocast(model.before.device.type, torch.bfloat16, enabled=bf16):
            shuffled, silenced = self.comparison.measure(model)
        return {"listening_gap": shuffled.value, "silence_gap": silenced.value}

    def watch(self, record: Record) -> Stop | None:
        """Stop where the gap is still closed past the usual cliff, twice in a row."""
        found = record.values.get("listening_gap")
        if found is None:
            return None
        due = record.step >= (self.patience or usual_cliff(None))
        self.closed = self.closed + 1 if due and found < self.least else 0
        if self.closed < 2 or not self.stop:
            return None
        return Stop(self.explain(record.step, found))

    def explain(self, step: int, found: float) -> str:
        """Say what was found, what it means and what to check; keep it for the report."""
        found_so = (
            f"after {step:,} steps the model does not listen: with another clip's audio its loss is only {found:.3f} "
            f"nats a token above that with its own (allowed: {self.least:g} or more), so what it writes is guessed"
        )
        self.notes = self.notes or [f"{found_so}. {CHECK}."]
        return self.notes[0].rstrip(".")

    def finish(self, record: Record, reason: str) -> None:
        """Where training was too short for the question, ask it once at the end."""
        engine = self.engine
        if reason != "finished" or engine is None or record.step <= self.every:
            return
        found = self.compare(engine.model).get("listening_gap")
        if found is not None and found < self.least:
            self.explain(record.step, found)

    def state_dict(self) -> dict[str, Any]:
        """Hold when to compare next, and what was found so far."""
        return {"next": self.next, "closed": self.closed, "notes": list(self.notes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.next, self.closed = int(state_dict.get("next", 0)), int(state_dict.get("closed", 0))
        self.notes = list(state_dict.get("notes", ()))
