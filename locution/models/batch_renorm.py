"""Batch renormalisation: batch norm that in training answers as it will in use, so that small batches do for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from locution.engine.batch import Batch
from locution.engine.method import Method, Plan, Step
from locution.errors import UserError, require
from locution.models.normalisation import BatchNorm
from locution.models.surgery import lean_copy, match_layers, replace_layers

KINDS = (BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # the first of them that a layer is, it is again


@torch.no_grad()
def corrections(
    inputs: Tensor, running_mean: Tensor, running_var: Tensor, r_max: Tensor, d_max: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Say by what a normalised batch must be stretched (r) and moved (d) to be as the running averages would have it.

    inputs: (N, C, ...); running_mean, running_var: (C,); r_max, d_max: how far r and d may go, tensors of one number.
    Returns r and d, (C,) each, limited to 1 / r_max .. r_max and -d_max .. d_max, and constants to the gradient.

    >>> batch, one, zero = torch.tensor([[2.0], [6.0]]), torch.ones(1), torch.zeros(1)  # mean 4, spread 2
    >>> corrections(batch, zero, one, torch.tensor(3.0), torch.tensor(5.0), eps=0.0)  # running: mean 0, spread 1
    (tensor([2.]), tensor([4.]))
    >>> corrections(batch, zero, one, torch.tensor(1.5), torch.tensor(0.5), eps=0.0)
    (tensor([1.5000]), tensor([0.5000]))

    Reference: S. Ioffe, 2017, "Batch renormalization: towards reducing minibatch dependence in batch-normalized
    models", algorithm 1.
    """
    axes = [axis for axis in range(inputs.dim()) if axis != 1]
    variance, mean = torch.var_mean(inputs.float(), axes, correction=0)  # (C,), (C,)
    spread = torch.sqrt(running_var + eps)
    r = torch.clamp(torch.sqrt(variance + eps) / spread, 1 / r_max, r_max)
    return r, torch.clamp((mean - running_mean) / spread, -d_max, d_max)


class BatchRenorm(_BatchNorm):
    """BatchRenorm is a batch norm whose training output is corrected towards what the running averages would give.

    Made from a batch norm by `of`, whose weights and running averages it takes over and `plain` hands back. With the
    limits r_max = 1 and d_max = 0, with which it begins, it is batch norm to the bit; in eval mode it always is.
    Shapes (N, C, ...), as the layer's.

    >>> layer = BatchRenorm.of(nn.BatchNorm1d(1, eps=1e-9))
    >>> batch = torch.tensor([[2.0], [6.0]])
    >>> layer(batch).flatten().detach()  # as batch norm: mean 0, spread 1
    tensor([-1.,  1.])
    >>> layer.reset_running_stats()
    >>> layer.open(r_max=3.0, d_max=5.0)
    >>> layer(batch).flatten().detach()  # running mean 0 and spread 1 leave it as it came
    tensor([2., 6.])

    Reference: S. Ioffe, 2017, "Batch renormalization: towards reducing minibatch dependence in batch-normalized
    models", algorithm 1.
    """

    kind: type[_BatchNorm] = nn.BatchNorm1d
    limits: Tensor  # r_max and d_max: no buffer, for the step decides them

    @classmethod
    def of(cls, layer: _BatchNorm, momentum: float | None = None) -> BatchRenorm:
        """Make one of a batch norm, sharing its tensors; `momentum` is the layer's own where it is None."""
        made = cls(layer.num_features, layer.eps, layer.momentum if momentum is None else momentum, layer.affine)
        made.kind = next(kind for kind in KINDS if isinstance(layer, kind))
        made.limits = torch.tensor([1.0, 0.0])
        return cast(BatchRenorm, handed_over(layer, made))

    def plain(self) -> _BatchNorm:
        """Make the ordinary batch norm that this one is in use, sharing its tensors."""
        return cast(_BatchNorm, handed_over(self, self.kind(self.num_features, self.eps, self.momentum, self.affine)))

    def open(self, r_max: float, d_max: float) -> None:
        """Set how far the corrections may go from now on."""
        assert self.running_mean is not None
        self.limits = self.limits.to(self.running_mean.device)
        self.limits.copy_(torch.tensor([r_max, d_max]))  # in place: a compiled step sees it

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise UserError(f"batch_renorm came upon inputs {tuple(input.shape)}; allowed: (N, C, ...).")

    def forward(self, input: Tensor) -> Tensor:
        mean, variance, weight, bias = self.running_mean, self.running_var, self.weight, self.bias
        assert mean is not None
        assert variance is not None
        if not self.training or input.numel() == input.shape[1]:  # one value has no spread
            return nn.functional.batch_norm(input, mean, variance, weight, bias, eps=self.eps)
        r, d = corrections(input, mean, variance, self.limits[0], self.limits[1], self.eps)
        r, d = r.to(mean.dtype), d.to(mean.dtype)
        # (x - m) / s * r + d, stretched and moved: to torch's own batch norm r belongs to the weight, d to the bias
        stretch, move = (r, d) if weight is None else (weight * r, weight * d)
        move = move if bias is None else bias + move
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1.0 / float(self.num_batches_tracked) if share is None else share
        return nn.functional.batch_norm(input, mean, variance, stretch, move, True, share or 0.0, self.eps)


def handed_over(layer: _BatchNorm, made: Any) -> Any:
    """Let a layer have the tensors of another: the same ones, not copies."""
    made._parameters.update(layer._parameters)
    made._buffers.update(layer._buffers)
    made.training = layer.training
    return made


def limit_at(step: int, first: int, last: int, closed: float, opened: float) -> float:
    """Say what a limit is at a step: closed up to the first, open from the last on, on a line between them.

    >>> [limit_at(step, first=10, last=30, closed=1.0, opened=3.0) for step in (0, 10, 20, 30, 99)]
    [1.0, 1.0, 2.0, 3.0, 3.0]
    """
    if step <= first:
        return closed
    return opened if step >= last else closed + (opened - closed) * (step - first) / (last - first)


def step_of(moment: float, steps: int | None, setting: str) -> int:
    """Count the steps up to a moment of training: a share of all its steps, or, above 1, a number of them.

    >>> step_of(0.25, 400, "batch_renorm.start"), step_of(5000.0, None, "batch_renorm.start")
    (100, 5000)
    """
    if moment > 1 or moment == 0:
        return round(moment)
    if steps is None:
        raise UserError(
            f"{setting} is {moment}, a share of steps that nobody can count; allowed: a number of steps above 1."
        )
    return round(moment * steps)


@dataclass
class BatchRenormMethod(Method):
    """Batch renormalisation lets a batch norm train with the same function that it will be in use.

    Batch norm learns with the mean and spread of each batch, and is used with running averages of them: in small
    batches, or in ones whose examples are alike, the two lie far apart. Here each batch, once normalised, is stretched
    by r and moved by d to where the running averages would have put it. Both are limited, and the limits open as
    training goes on. Every batch norm whose name matches is replaced; what leaves training has ordinary ones again.

    Settings
    --------
    r_max, d_max: how far r (1 / r_max to r_max) and d may go in the end. start: up to when this is plain batch norm.
    r_open, d_open: when r_max and d_max are reached. These three are shares of the steps, or numbers of steps where
    they are above 1. momentum: the share that a new batch has in the running averages, smaller than is usual, for they
    now take part in training; null leaves the layer's own. layers: which batch norms, by a pattern on their names, or
    several.

    Of the values 2 and 6 plain batch norm makes -1 and 1; running averages with mean 0 and spread 1 would leave them
    as they are, r = 2 and d = 4, and so does batch renormalisation with its limits open:

    >>> net = BatchRenormMethod(start=0, r_open=0, d_open=0).model(nn.Sequential(nn.BatchNorm1d(1, eps=1e-9)), Plan())
    >>> net[0].open(r_max=3.0, d_max=5.0)
    >>> net(torch.tensor([[2.0], [6.0]])).flatten().detach()
    tensor([2., 6.])

    Reference: S. Ioffe, 2017, "Batch renormalization: towards reducing minibatch dependence in batch-normalized
    models", algorithm 1; the schedule of the limits and the momentum: section 4.
    """

    name: ClassVar[str] = "batch_renorm"

    r_max: float = 3.0
    d_max: float = 5.0
    start: float = 0.05
    r_open: float = 0.25
    d_open: float = 0.15
    momentum: float | None = 0.01
    layers: str | tuple[str, ...] = "*"

    def __post_init__(self) -> None:
        require(self.r_max >= 1, "batch_renorm.r_max", self.r_max, "a number from 1, usually 3")
        require(self.d_max >= 0, "batch_renorm.d_max", self.d_max, "a number from 0, usually 5")
        for setting in ("start", "r_open", "d_open"):
            value = getattr(self, setting)
            require(value >= 0, f"batch_renorm.{setting}", value, "a share of the steps, or a number of steps above 1")
        fine = self.momentum is None or 0 < self.momentum <= 1
        allowed = "a share above 0 and up to 1, or null for the layer's own"
        require(fine, "batch_renorm.momentum", self.momentum, allowed)
        require(bool(self.layers), "batch_renorm.layers", self.layers, "a pattern on the layers' names, such as *")
        self.made: list[BatchRenorm] = []

    def model(self, model: nn.Module, plan: Plan) -> nn.Module:
        if not any(isinstance(module, KINDS) for module in model.modules()):
            raise UserError(
                "'batch_renorm' came upon a model without batch norm; allowed: one with it: model.norm=batch."
            )
        for name, layer in match_layers(model, self.layers, KINDS).items():
            if layer.running_mean is None:
                raise UserError(f"batch norm '{name}' keeps no running averages; allowed: track_running_stats=True.")
        model = replace_layers(
            model, lambda _, layer: BatchRenorm.of(cast(_BatchNorm, layer), self.momentum), self.layers, KINDS
        )
        self.made = [module for module in model.modules() if isinstance(module, BatchRenorm)]
        return model

    def moments(self, plan: Plan) -> tuple[int, int, int]:
        """Count the steps up to which all is closed, and up to which r and d are open."""
        start, r, d = (
            step_of(getattr(self, setting), plan.steps, f"batch_renorm.{setting}")
            for setting in ("start", "r_open", "d_open")
        )
        return start, r, d

    def batch(self, batch: Batch, step: Step) -> Batch:
        start, r_open, d_open = self.moments(step.plan)
        r = limit_at(step.number, start, r_open, 1.0, self.r_max)
        d = limit_at(step.number, start, d_open, 0.0, self.d_max)
        for layer in self.made:
            layer.open(r, d)
        return batch

    def trained(self, model: nn.Module) -> nn.Module:
        return plain(model)


def plain(model: nn.Module) -> nn.Module:
    """Copy a model with ordinary batch norms in the place of those that were corrected.

    >>> plain(nn.Sequential(BatchRenorm.of(nn.BatchNorm2d(3))))[0]
    BatchNorm2d(3, ...)
    """
    return replace_layers(lean_copy(model), lambda _, layer: cast(BatchRenorm, layer).plain(), "*", (BatchRenorm,))
