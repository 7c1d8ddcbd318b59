"""How much memory a computation takes at its height, counted tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every tensor that an operation makes, and its storage go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        old = {leaf.untyped_storage()._cdata for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in old:
                self.add(leaf)
        return result

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.live:
            return
        self.live[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.drop, key)

    def drop(self, key: int) -> None:
        self.now -= self.live.pop(key, 0)


def peak_memory(function: Callable[[], Any]) -> int:
    """Peak memory is the most that a computation holds at once: the bytes of the tensors that it made and
    still needs.

    What was there before, such as the weights, is not counted. On CUDA the device's own counter is read;
    elsewhere every operation is watched, which takes time: measure memory and speed apart.

    >>> x = torch.ones(1000)  # 4000 bytes each
    >>> peak_memory(lambda: x + 1)
    4000
    >>> peak_memory(lambda: (x + 1) * 2)  # x + 1 and its double
    8000

    Reference: T. Chen, B. Xu, C. Zhang, C. Guestrin, 2016, "Training deep nets with sublinear memory cost",
    section 3.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        if peak > 0:  # nothing on the device: it was computed on the processor
            return int(peak)
    counter = _Count()
    with counter:
        function()
    return counter.peak
