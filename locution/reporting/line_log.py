"""A plain line for each record: for models small enough to print whole."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, ClassVar

from torch import nn

from locution.engine.observer import Observer, Record

if TYPE_CHECKING:
    from locution.engine.loop import Engine


@dataclass
class LineLog(Observer):
    """A line log prints the step, its loss, and the weights after it, so that learning can be read off.

    Only parameters that are a single number are printed. The first step is step 0: its loss is that of the
    weights as they were, its weights are those after the first update.

    >>> from functools import partial
    >>> import torch
    >>> from locution.engine.loop import Engine, Turn
    >>> model = nn.ParameterDict({"w": torch.zeros(1)})
    >>> def halves(model, batch):
    ...     return None, (model["w"] - batch.inputs).square().mean()
    >>> turn = Turn(halves, partial(torch.optim.SGD, lr=0.25))
    >>> data = [torch.ones(1)]
    >>> _ = Engine(model, turn, observers=[LineLog()], log_every=1, device="cpu").fit(data, steps=2)
    step    0  loss   1.0000  w 0.5000
    step    1  loss   0.2500  w 0.7500
    """

    file: IO[str] | None = None
    name: ClassVar[str] = "line_log"
    speaks: bool = field(default=False, init=False)
    model: nn.Module | None = field(default=None, init=False, repr=False)

    def start(self, engine: Engine) -> None:
        """Take note of whose weights to print."""
        self.model, self.speaks = engine.model, engine.group.first

    def watch(self, record: Record) -> None:
        """Print a line for a step."""
        if record.kind != "step" or self.model is None or not self.speaks:
            return
        line = f"step {record.step - 1:4d}  loss {record.loss:8.4f}"
        for name, parameter in self.model.named_parameters():
            if parameter.numel() == 1:
                line += f"  {name} {parameter.item():.4f}"
        print(line, file=self.file or sys.stdout, flush=True)
