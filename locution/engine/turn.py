"""A turn: what is minimised, over which parameters, by which optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.compiled import WholeStep
from locution.engine.method import Plan, check_whole
from locution.errors import UserError

if TYPE_CHECKING:
    from locution.engine.loop import Engine

Objective = Callable[[nn.Module, Batch], tuple[Any, Tensor]]


@dataclass
class Turn:
    """A turn is one objective over some parameters with one optimizer: supervised learning has one, a GAN two.

    Parameters
    ----------
    objective: called with (model, batch), returns (output, loss), the loss a mean over the batch's weight.
    optimizer: what makes an optimizer from a list of parameters, such as
        `functools.partial(torch.optim.SGD, lr=0.1)`; or an optimizer that is already made.
    parameters: picks the parameters from the model; all that are not frozen, if it is not given.
    """

    objective: Objective
    optimizer: Any
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] | None = None

    def build(self, engine: Engine, plan: Plan) -> None:
        """Pick the parameters, make the optimizer, and let the methods wrap it."""
        check_whole(engine)
        model = engine.model
        if not hasattr(self.optimizer, "param_groups"):
            chosen = self.parameters(model) if self.parameters else model.parameters()
            trained = [p for p in chosen if p.requires_grad]
            if not trained:
                raise UserError("the model has no parameters that train; allowed: at least one with requires_grad.")
            self.optimizer = self.optimizer(trained)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        if engine.compile:
            self.optimizer = WholeStep(engine, self.optimizer)
        for method in engine.methods:
            self.optimizer = method.optimizer(self.optimizer, plan)
