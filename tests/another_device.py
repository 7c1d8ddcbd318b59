"""A device that is none: its tensors count on the processor, and refuse what an accelerator's would refuse.

No accelerator is needed to see a tensor that was made on the wrong device. A tensor here says that it lives on
`ELSEWHERE`; what it is asked to do together with numbers on the processor fails, as it would on CUDA or MPS. Since the
processor does the counting, what comes out is what comes out there, but for the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("mps", 0)  # what a tensor says; torch's own core has it on "meta", which needs no driver
THERE = (ELSEWHERE.type, "meta")
PROCESSOR = torch.device("cpu")
aten = torch.ops.aten
COPIES = {aten.copy_.default, aten.set_.source_Tensor}  # from any device, to that of the first
# what is indexed must be where the answer is; indices may stay on the processor
INDEXED = {
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}


class Elsewhere(Tensor):
    """A tensor that says it lives on another device; its numbers are on the processor, in `held`."""

    held: Tensor
    fine: ClassVar[bool] = False  # whether the device has numbers of 64 bits, as CUDA has and MPS has not

    @staticmethod
    def __new__(cls: Any, held: Tensor) -> Any:
        if held.dtype in (torch.float64, torch.complex128) and not Elsewhere.fine:
            raise TypeError(f"a tensor of {held.dtype} came to {ELSEWHERE}, which has no such numbers")
        shape: dict[str, Any] = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device="meta", **shape)  # type: ignore[attr-defined]
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it says it lives."""
        return ELSEWHERE

    def tolist(self) -> Any:
        """Write the numbers down: that waits for a device, but is allowed on any."""
        return self.detach().cpu().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carried_out(func, args, kwargs or {})


def refuse(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Refuse numbers on the processor beside such as are elsewhere; a single number may come from anywhere."""
    indexed = func in INDEXED
    flat, _ = tree_flatten((args[0], args[2:]) if indexed else (args, kwargs))
    strange = [one for one in flat if isinstance(one, Tensor) and not isinstance(one, Elsewhere)]
    if indexed and not isinstance(args[0], Elsewhere):
        raise RuntimeError(f"{func}: indices on {ELSEWHERE}, what they index on the processor")
    shapes = [tuple(one.shape) for one in strange if one.dim()]
    if shapes:
        raise RuntimeError(f"{func}: tensors on two devices, {ELSEWHERE} and the processor, there of shape {shapes[0]}")


def carried_out(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do what was asked, on the processor, after a look at where everything is said to be."""
    flat, _ = tree_flatten((args, kwargs))
    there = any(isinstance(one, Elsewhere) for one in flat)
    asked = kwargs.get("device")
    to = there if asked is None else torch.device(asked).type in THERE
    if func in COPIES:
        to = isinstance(args[0], Elsewhere)
    elif there and func is not aten._to_copy.default:
        refuse(func, args, kwargs)
    if to and isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"{func}: a generator of {ELSEWHERE} is wanted, one of the processor came")
    held = tree_map(lambda one: one.held if isinstance(one, Elsewhere) else one, (args, kwargs))
    where = {} if asked is None else {"device": PROCESSOR, "pin_memory": None}
    found = func(*held[0], **{key: where.get(key, value) for key, value in held[1].items()})
    if not to:
        return found
    wrapped = tree_map(lambda one: Elsewhere(one) if type(one) is Tensor else one, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


class Counted(TorchDispatchMode):
    """Numbers that are made elsewhere are made on the processor, and say otherwise."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carried_out(func, args, kwargs or {})


class Written(TorchFunctionMode):
    """So are those of Python's own numbers, which torch makes behind the back of every other mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type in THERE:
            return func(*args, **{**kwargs, "device": PROCESSOR}).to(ELSEWHERE)
        if func is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}).to(ELSEWHERE)
        return func(*args, **kwargs)


@contextmanager
def another_device(*, fine: bool = False) -> Iterator[torch.device]:
    """While this is open there is one more device, which the engine picks; without numbers of 64 bits, unless `fine`.

    Such tensors cannot be made in inference mode, which here only keeps nothing for a gradient.
    """
    seeds = mock.patch.object(torch.mps, "manual_seed")
    modes = mock.patch.object(torch, "inference_mode", torch.no_grad)
    picks = mock.patch("locution.engine.loop.pick_device", return_value=ELSEWHERE)
    numbers = mock.patch.object(Elsewhere, "fine", fine)
    with seeds, modes, picks, numbers, Counted(), Written():
        yield ELSEWHERE
