"""A state as it goes to disk: its tensors as safetensors, its structure as JSON, and back to the bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from locution.errors import LocutionError

State = Any  # tensors, numbers, text, booleans, None, and dicts, lists and tuples of them

TENSOR, TUPLE, FLOAT, ITEMS = "$tensor", "$tuple", "$float", "$items"
"""Marks for what JSON cannot say: a tensor, a tuple, a number that is not finite, keys that are not text."""

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
CHUNK = 1 << 24  # bytes that are copied and hashed at a time


def pack(state: State) -> tuple[Any, dict[str, Tensor]]:
    """Take a state apart into a structure that JSON can hold and the tensors that it names.

    >>> structure, tensors = pack({"step": 3, "w": torch.ones(2), "betas": (0.9, float("inf"))})
    >>> structure
    {'step': 3, 'w': {'$tensor': 'w'}, 'betas': {'$tuple': [0.9, {'$float': 'inf'}]}}
    >>> tensors
    {'w': tensor([1., 1.])}
    """
    tensors: dict[str, Tensor] = {}
    return _pack(state, "", tensors), tensors


def _pack(value: State, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return {TENSOR: _name(value, path, tensors)}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT: repr(float(value))}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (list, tuple)):
        packed = [_pack(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {TUPLE: packed} if isinstance(value, tuple) else packed
    if isinstance(value, dict):
        items = [(key, _pack(item, f"{path}/{key}", tensors)) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(items)
        return {ITEMS: [[_pack(key, f"{path}/key", tensors), item] for key, item in items]}
    allowed = "tensors, numbers, text, None, and dicts, lists and tuples of them"
    came = f"{path.strip('/') or 'the state'} is a {type(value).__name__}"
    raise LocutionError(f"{came}, which fits no checkpoint; allowed: {allowed}.")


def _name(tensor: Tensor, path: str, tensors: dict[str, Tensor]) -> str:
    if tensor.dtype not in DTYPES or tensor.layout != torch.strided or tensor.device.type == "meta":
        kind = f"{tensor.layout} {tensor.dtype} tensor on {tensor.device}".replace("torch.", "")
        came = f"{path.strip('/') or 'the state'} is a {kind}"
        raise LocutionError(f"{came}, which fits no checkpoint; allowed: dense tensors of ordinary types.")
    name = wanted = path.strip("/") or "tensor"
    count = 1
    while name in tensors or name == "__metadata__":  # {"a/b": t, "a": {"b": t}}, and the format's own word
        count += 1
        name = f"{wanted}#{count}"
    tensors[name] = tensor
    return name


def unpack(structure: Any, tensors: dict[str, Tensor]) -> State:
    """Put a state together again.

    >>> unpack({"$items": [[0, {"$tensor": "x"}], ["rest", {"$tuple": [None]}]]}, {"x": torch.ones(1)})
    {0: tensor([1.]), 'rest': (None,)}
    """
    if isinstance(structure, list):
        return [unpack(item, tensors) for item in structure]
    if not isinstance(structure, dict):
        return structure
    match structure:
        case {"$tensor": name}:
            return tensors[name]
        case {"$tuple": items}:
            return tuple(unpack(item, tensors) for item in items)
        case {"$float": text}:
            return float(text)
        case {"$items": pairs}:
            return {unpack(key, tensors): unpack(item, tensors) for key, item in pairs}
    return {key: unpack(item, tensors) for key, item in structure.items()}


def safetensors_chunks(tensors: dict[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Lay tensors out as a safetensors file, piece by piece, so that nothing is held in memory twice.

    The format: eight bytes with the header's length, a JSON header (name, type, shape, where), then the
    numbers. The widest types come first, so that each tensor lies on a multiple of its own width.
    """
    placed = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in placed:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in placed:
        plain = tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous()
        raw: memoryview = plain.reshape(-1).view(torch.uint8).numpy().data
        for start in range(0, len(raw), CHUNK):
            yield raw[start : start + CHUNK]
