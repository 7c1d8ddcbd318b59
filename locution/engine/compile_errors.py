"""What keeps a step from being compiled, said in one line; and what a compiled step checks before it runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from locution.engine.method import Method
from locution.errors import LocutionError, UserError

NUMBERS = ("CONSTANT_MATCH", "EQUALS_MATCH")
ADVICE = "allowed: compile=false, or leaving it out"
HALF_WRITTEN = re.compile(r"(/\S+\.so): (?:file too short|invalid ELF header|cannot apply additional memory)")


def guards(entries: Sequence[Any]) -> list[bool]:
    """Choose what is checked before each step: the batch, what methods hold, and the numbers set in modules and
    optimizer; not the weights and their state, which the engine never exchanges.
    """
    return [
        entry.name.startswith(("parts", "engine.seams", "correct", "engine.number", "engine.epoch"))
        or (entry.name.startswith(("engine.model", "groups", "turn")) and entry.guard_type in NUMBERS)
        or entry.guard_type == "SHAPE_ENV"
        for entry in entries
    ]


def check_compiler(world: int) -> None:
    """Refuse what cannot be compiled before anything is built: several processes, no C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    if world > 1:
        raise UserError(f"compile is true in {world} processes; allowed: one process, or compile=false.")
    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, OSError) as error:
        raise UserError(
            "compile is true, and there is no C++ compiler; allowed: install g++, or compile=false."
        ) from error


@contextmanager
def explained(methods: Sequence[Method], model: nn.Module) -> Iterator[None]:
    """Turn torch's pages about what it cannot compile into one line that names the part."""
    try:
        yield
    except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
        lines = str(error).strip().splitlines()
        said = lines[1] if lines[0].endswith("raised:") and len(lines) > 1 else lines[0]
        left = HALF_WRITTEN.search(said)
        if left:  # torch finds it again each time, and never writes it anew
            mend = f"allowed: remove {left.group(1)}, then train again; or compile=false"
            raise LocutionError(f"a compilation that was interrupted left a broken file behind; {mend}.") from error
        raise UserError(f"{culprit(error, methods, model)} cannot be compiled: {said}; {ADVICE}.") from error


def culprit(error: Exception, methods: Sequence[Method], model: nn.Module) -> str:
    """Find whose code it was: the innermost line of a method, of the objective or of the model."""
    frames = [frame.filename for frame in getattr(error, "real_stack", None) or ()]
    owners = {source(type(method)): f"method '{method.name}'" for method in methods}
    owners |= {source(type(module)): f"model {type(module).__name__}" for module in model.modules()}
    for filename in reversed(frames):
        if filename in owners and "/torch/" not in filename:
            return owners[filename]
    return f"the step of {type(model).__name__}"


def source(kind: Any) -> str:
    """Say which file a class is written in."""
    try:
        return inspect.getfile(kind)
    except (TypeError, OSError):
        return ""
