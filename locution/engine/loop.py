"""The heartbeat: forward, loss, gradient, update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from locution.engine import state
from locution.engine.batch import Batch
from locution.engine.batches import Batches, as_batches
from locution.engine.compile_errors import check_compiler
from locution.engine.compiled import Closure
from locution.engine.device import pick_device
from locution.engine.distributed import Group
from locution.engine.fast_linear import fast_linear
from locution.engine.memory import fitting
from locution.engine.method import SEAMS, Method, Plan, Step, nothing_opens, ordered, seams
from locution.engine.modes import batch_norms, frozen_statistics, train_mode
from locution.engine.observer import Observer
from locution.engine.random import reseed, stream_key
from locution.engine.sequence import close, close_ended, supplied
from locution.engine.turn import Objective, Turn
from locution.engine.watching import Watch
from locution.errors import UserError, require

__all__ = ["Engine", "Objective", "Turn"]

NOTHING = nullcontext()


class Engine:
    """The engine trains a model: forward, loss, gradient, update, and again.

    Parameters
    ----------
    model: any module. turns: one Turn or several. methods: what changes training, in any order.
    observers: what watches it. seed: keys every random draw of training. accumulate: cut each batch into this
    many micro-batches; the update stays that of the whole batch. precision: "fp32", or "bf16" for autocast over
    fp32 weights. device: "auto", "cpu", "cuda" or "mps". compile: compile the whole step, or nothing.
    log_every: steps between records. measure_every: steps between measurements, or None for each epoch's end.
    open_model: how a method that asks for another trained model by name gets it.

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

    Reference: L. Bottou, F. Curtis, J. Nocedal, 2018, "Optimization methods for large-scale machine
    learning", algorithm 4.1.
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
        open_model: Callable[[str], nn.Module] = nothing_opens,
    ) -> None:
        require(accumulate >= 1, "accumulate", accumulate, "a whole number from 1")
        require(precision in ("fp32", "bf16"), "precision", precision, "fp32 or bf16")
        self.model, self.turns = model, [turns] if isinstance(turns, Turn) else list(turns)
        self.methods, self.observers = ordered(methods), list(observers)
        self.seed, self.accumulate, self.precision, self.compile = seed, accumulate, precision, compile
        self.group = Group.current(device)  # first: it says which of several devices is this process's
        self.device = pick_device(device)
        self.watch = Watch(self, log_every, measure_every)
        self.number = self.epoch = self.step_in_epoch = self.closed = 0  # what is finished, and when a task was closed
        self.passes = 0  # gradients that a turn has asked for in this step
        self.origin = (0, 0)  # the step and the epoch at which this task began
        self.limit: int | None = None
        self.plan = Plan(seed, None, open_model)
        self.prepared, self.stopping = False, ""
        self.loaded: dict[str, Any] | None = None

    def fit(self, batches: Any, *, epochs: int | None = None, steps: int | None = None) -> Self:
        """Train for epochs or for steps, from where the last checkpoint left off if one was loaded.

        Called again it goes on with the same weights, as many epochs or steps more, and a new epoch's order.
        """
        source = as_batches(batches)
        self.prepare(source, epochs, steps)
        source = supplied(self, source)
        self.watch.start()
        with fast_linear(self.model, self.device, compiled=self.compile):
            while not self.stopped():
                begun = self.number
                for batch in source.epoch(self.epoch, self.seed, self.step_in_epoch):
                    losses = self.step(batch.to(self.device) if self.moves else batch)
                    self.number += 1
                    self.step_in_epoch += 1
                    self.watch.step(losses, len(batch))
                    if self.stopped():
                        break
                if self.stopped() and not (self.stopping == "finished" and self.step_in_epoch == source.steps()):
                    break
                if self.number == begun and not self.step_in_epoch:
                    raise UserError(state.EMPTY)
                self.epoch, self.step_in_epoch = self.epoch + 1, 0
                close_ended(self, source)
                self.watch.epoch()
        if self.stopping == "finished":
            close(self, source)
        self.watch.finish(self.stopping)
        return self

    def step(self, batch: Batch) -> list[Tensor | None]:
        """Take one step. Its randomness is drawn before the first pass; each turn that is due owns one update."""
        now = self.now
        now.number, now.epoch = self.number, self.epoch
        for method in self.seams["batch"]:
            batch = method.batch(batch, now)
        now.whole = batch
        parts = batch.split(self.accumulate * self.group.world)[self.group.rank :: self.group.world]
        losses = [turn.step(self, parts) for turn in self.turns]  # 4 update
        for method in self.seams["update"]:
            method.update(self.model, now)
        return losses

    def gradient(self, turn: Turn, parts: list[tuple[Batch, float]]) -> Tensor:
        """Do everything that must happen again on a second pass: forward, loss and gradient of the whole batch."""
        total = fitting(self, turn, parts)
        self.passes += 1
        total = self.group.add_gradients(turn.trained, total)
        if self.passes == 1 and self.watch.due(turn):
            self.watch.gradient(turn)
        for method in self.seams["gradient"]:
            method.gradient(turn.trained, self.now)
        return total

    def backward(self, turn: Turn, parts: list[tuple[Batch, float]]) -> Tensor:
        """Add up the gradients of all micro-batches, each weighed by its share; return the loss of them all."""
        for parameter in turn.trained:
            parameter.grad = None
        total = self.zero
        with frozen_statistics(self.norms) if self.norms and self.passes else NOTHING:
            for index, (batch, share) in enumerate(parts):
                reseed(stream_key(self.seed, turn.stream, self.number, index, self.group.rank), self.device)
                self.now.share = share
                loss = self.forward(turn, batch, self.now)
                loss = loss if share == 1.0 else loss * share
                loss.backward()  # type: ignore[no-untyped-call]  # 3 gradient
                total = loss.detach() if total is self.zero else total + loss.detach()
        return total

    def forward(self, turn: Turn, batch: Batch, now: Step) -> Tensor:
        """Let the model answer, and measure by how much it is wrong."""
        with self.autocast:
            now.batch, now.objective = batch, turn.objective
            now.output, loss = turn.objective(self.model, batch)  # 1 forward, 2 loss
            for method in self.seams["loss"]:
                loss = method.loss(loss, now)
        return loss

    def prepare(self, source: Batches, epochs: int | None, steps: int | None) -> None:
        """Build everything once: the plan, the model's surgery, the optimizers, the dispatch of the seams."""
        count = state.limit(source.steps(), epochs, steps)
        if not self.prepared:
            plan = self.plan = replace(self.plan, steps=count)
            for method in self.methods:
                self.model = method.model(self.model, plan)
            self.model.to(self.device)
            self.group.share_weights(self.model)
            if self.compile:
                check_compiler(self.group.world)
            for turn in self.turns:
                turn.build(self, plan)
            self.closure: Any = partial(Closure, self) if self.compile else partial(partial, self.gradient)
            self.seams = {seam: [m for m in self.methods if seam in seams(m)] for seam in SEAMS}
            self.now, self.norms = Step(0, 0, plan, self.model), batch_norms(self.model)
            self.zero = torch.zeros((), device=self.device)
            bf16 = self.precision == "bf16"
            self.autocast: Any = torch.autocast(self.device.type, torch.bfloat16) if bf16 else NOTHING
            self.moves, self.prepared = self.device.type != "cpu", True
        if self.loaded is not None:
            state.load(self, self.loaded)
        else:
            self.epoch, self.step_in_epoch = self.epoch + (self.step_in_epoch > 0), 0
            self.origin = (self.number, self.epoch)
        self.limit = None if count is None else self.origin[0] + count
        self.last_epoch = None if epochs is None else self.origin[1] + epochs
        reached = state.reached(self.number, self.limit) or state.reached(self.epoch, self.last_epoch)
        unmeasured = self.step_in_epoch > 0 and self.step_in_epoch == source.steps()  # stopped on its last step
        self.stopping = "finished" if reached and not unmeasured else ""
        train_mode(self.model)

    def stop(self, reason: str) -> None:
        """Ask training to end after the step that is being taken."""
        self.stopping = self.stopping or reason

    def stopped(self) -> bool:
        """Say whether anybody, or the plan, has asked training to end."""
        return self.stopping != ""

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
