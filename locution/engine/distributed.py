"""Several processes, one model: each takes its part of the batch, and the gradients are added up."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


def leave() -> None:
    """Leave the group in order: a process whose peers are gone may die of it otherwise."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Group:
    """A group of processes that train one model together: `torchrun` starts them, this finds them.

    Every process draws the same batch and the same randomness, takes the parts that are its own and adds its
    gradients to the others' after the last of them. So the update is that of one process to rounding, for any
    method and however often the closure is called.

    >>> Group().world
    1
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls, device: str = "auto") -> Group:
        """Find the group that `torchrun` made, joining it on the first call; alone, a group of one."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1 or "RANK" not in os.environ:
            return cls()
        if not distributed.is_initialized():
            cuda = torch.cuda.is_available() and device.split(":")[0] in ("auto", "cuda")
            if cuda:
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            distributed.init_process_group("nccl" if cuda else "gloo")
            atexit.register(leave)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Say whether this process is the one that writes and speaks."""
        return self.rank == 0

    def add_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients and the losses of all processes, in one message; return the loss of them all."""
        if self.world == 1:
            return loss
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        sent = [*grads, loss.to(grads[0].dtype)]
        flat = torch._utils._flatten_dense_tensors(sent)  # type: ignore[no-untyped-call]
        distributed.all_reduce(flat)
        *added, total = torch._utils._unflatten_dense_tensors(flat, sent)  # type: ignore[no-untyped-call]
        for parameter, grad in zip(parameters, added, strict=True):
            parameter.grad = grad
        summed: Tensor = total
        return summed

    def add(self, value: Tensor) -> Tensor:
        """Add up a number of all processes."""
        if self.world > 1:
            distributed.all_reduce(value)
        return value

    def share_weights(self, model: nn.Module) -> None:
        """Start everyone from the first process's weights and buffers."""
        if self.world > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait until everyone is here."""
        if self.world > 1:
            distributed.barrier()
