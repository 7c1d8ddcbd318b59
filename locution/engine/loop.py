"""The heartbeat: forward, loss, gradient, update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from locution.engine import state
from locution.engine.batch import Batch
from locution.engine.batches import Batches, TensorBatches, as_batches
from locution.engine.device import pick_device
from locution.engine.distributed import Group
from locution.engine.method import Method, Optimizer, Plan, Step, ordered, seams
from locution.engine.modes import batch_norms, frozen_statistics, train_mode
from locution.engine.observer import Observer
from locution.engine.random import reseed, stream_key
from locution.engine.watching import Watch
from locution.errors import UserError, require

Objective = Callable[[nn.Module, Batch], tuple[Any, Tensor]]
NOTHING = nullcontext()


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

    def build(self, model: nn.Module, methods: Iterable[Method], plan: Plan) -> None:
        """Pick the parameters, make the optimizer, and let the methods wrap it."""
        if not hasattr(self.optimizer, "param_groups"):
            chosen = self.parameters(model) if self.parameters else model.parameters()
            self.optimizer = self.optimizer([p for p in chosen if p.requires_grad])
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        for method in methods:
            self.optimizer = method.optimizer(self.optimizer, plan)


class Engine:
    """The engine trains a model: forward, loss, gradient, update, and again.

    Parameters
    ----------
    model: any module. turns: one Turn or several. methods: what changes training, in any order.
    observers: what watches it. seed: keys every random draw of training. accumulate: cut each batch into this
    many micro-batches; the update stays that of the whole batch. precision: "fp32", or "bf16" for autocast over
    fp32 weights. device: "auto", "cpu", "cuda" or "mps". compile: compile the whole step, or nothing.
    log_every: steps between records. measure_every: steps between measurements, or None for each epoch's end.

    >>> from functools import partial
    >>> _ = torch.manual_seed(0)
    >>> x = torch.arange(5.0)[:, None]
    >>> def mse(model, batch):
    ...     output = model(batch.inputs)
    ...     return output, ((output - batch.targets) ** 2).mean()
    >>> turn = Turn(mse, partial(torch.optim.SGD, lr=0.05))
    >>> engine = Engine(nn.Linear(1, 1), turn).fit([(x, 2 * x + 1)], steps=1000)
    >>> round(engine.model(torch.tensor([[10.0]])).item(), 1)
    21.0
    """

    def __init__(
        self,
        model: nn.Module,
        turns: Turn | Sequence[Turn],
        methods: Iterable[Method] = (),
        *,
        observers: Iterable[Observer] = (),
        seed: int = 0,
        accumulate: int = 1,
        precision: str = "fp32",
        device: str = "auto",
        compile: bool = False,
        log_every: int = 50,
        measure_every: int | None = None,
    ) -> None:
        require(accumulate >= 1, "accumulate", accumulate, "a whole number from 1")
        require(precision in ("fp32", "bf16"), "precision", precision, "fp32 or bf16")
        self.model, self.turns = model, [turns] if isinstance(turns, Turn) else list(turns)
        self.methods, self.observers = ordered(methods), list(observers)
        self.seed, self.accumulate, self.precision, self.compile = seed, accumulate, precision, compile
        self.device, self.group = pick_device(device), Group.current()
        self.watch = Watch(self, log_every, measure_every)
        self.number = self.epoch = self.step_in_epoch = 0
        self.limit: int | None = None
        self.prepared, self.stopping = False, ""
        self.loaded: dict[str, Any] | None = None

    def fit(self, batches: Any, *, epochs: int | None = None, steps: int | None = None) -> Self:
        """Train for epochs or for steps, from where the last checkpoint left off if one was loaded."""
        source = as_batches(batches)
        self.prepare(source, epochs, steps)
        self.watch.start()
        while not self.stopping:
            begun = self.number
            for batch in source.epoch(self.epoch, self.seed, self.step_in_epoch):
                loss = self.step(batch.to(self.device) if self.moves else batch)
                self.number += 1
                self.step_in_epoch += 1
                self.watch.step(loss, len(batch))
                if self.stopping:
                    break
            else:
                if self.number == begun and not self.step_in_epoch:
                    raise UserError("the training data are empty; allowed: at least one example.")
                self.epoch, self.step_in_epoch = self.epoch + 1, 0
                self.watch.epoch()
        self.watch.finish(self.stopping)
        return self

    def step(self, batch: Batch) -> Tensor:
        """Take one step. Its randomness is drawn before the first pass; each turn owns one update."""
        now = self.now
        now.number, now.epoch = self.number, self.epoch
        for method in self.seams["batch"]:
            batch = method.batch(batch, now)
        parts = batch.split(self.accumulate * self.group.world)[self.group.rank :: self.group.world]
        for turn in self.turns:
            self.passes = 0
            loss = turn.optimizer.step(lambda turn=turn: self.gradient(turn, parts))  # 4 update
        for method in self.seams["update"]:
            method.update(self.model, now)
        return loss

    def gradient(self, turn: Turn, parts: list[tuple[Batch, float]]) -> Tensor:
        """Do everything that must happen again on a second pass: forward, loss and gradient of the whole batch."""
        turn.optimizer.zero_grad()
        total = self.zero
        with frozen_statistics(self.norms) if self.norms and self.passes else NOTHING:
            for index, (batch, share) in enumerate(parts):
                reseed(stream_key(self.seed, "model", self.number, index, self.group.rank), self.device)
                with self.autocast:
                    output, loss = turn.objective(self.model, batch)  # 1 forward, 2 loss
                    self.now.batch, self.now.output = batch, output
                    for method in self.seams["loss"]:
                        loss = method.loss(loss, self.now)
                loss = loss if share == 1.0 else loss * share
                loss.backward()  # 3 gradient
                total = loss.detach() if total is self.zero else total + loss.detach()
        self.passes += 1
        self.group.add_gradients(turn.trained)
        if self.passes == 1 and self.watch.due():
            self.watch.gradient()
        for method in self.seams["gradient"]:
            method.gradient(turn.trained, self.now)
        return total

    def prepare(self, source: Batches, epochs: int | None, steps: int | None) -> None:
        """Build everything once: the plan, the model's surgery, the optimizers, the dispatch of the seams."""
        self.limit = state.limit(source.steps(), epochs, steps)
        self.last_epoch = epochs
        if not self.prepared:
            plan = Plan(self.seed, self.limit)
            for method in self.methods:
                self.model = method.model(self.model, plan)
            self.model.to(self.device)
            self.group.share_weights(self.model)
            for turn in self.turns:
                turn.build(self.model, self.methods, plan)
            self.seams = {seam: [m for m in self.methods if seam in seams(m)] for seam in ("batch", "loss", "gradient", "update")}
            self.now, self.norms = Step(0, 0, plan, self.model), batch_norms(self.model)
            self.zero = torch.zeros((), device=self.device)
            bf16 = self.precision == "bf16"
            self.autocast: Any = torch.autocast(self.device.type, torch.bfloat16) if bf16 else NOTHING
            self.prepared = True
        self.stopping = ""
        self.moves = self.device.type != "cpu"
        if self.loaded is not None:
            state.load(self, self.loaded)
        train_mode(self.model)

    def stop(self, reason: str) -> None:
        """Ask training to end after the step that is being taken."""
        self.stopping = self.stopping or reason

    def trained(self) -> nn.Module:
        """Hand out the model that leaves training, in eval mode: averaged or merged, where a method says so."""
        model = self.model
        for method in self.methods:
            model = method.trained(model)
        return model.eval()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint must hold for training to go on to the bit."""
        return state.save(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on, at the next `fit`, from what `state_dict` gave."""
        self.loaded = state_dict
