"""Build a dataclass from plain settings, each checked against its type."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from locution.errors import UserError, nearest

T = TypeVar("T")
LONG = {"learning_rate": "lr"}


def build(kind: type[T], settings: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from settings; refuse an unknown key or a value of the wrong type in one line.

    >>> @dataclasses.dataclass
    ... class Ball:
    ...     radius: float = 1.0
    >>> build(Ball, {"radius": 2}, "ball")
    Ball(radius=2.0)
    >>> build(Ball, {"radios": 2}, "ball")
    Traceback (most recent call last):
    locution.errors.UserError: 'ball.radios' is no key. Did you mean 'ball.radius'? Allowed: radius.
    >>> build(Ball, {"radius": "wide"}, "ball")
    Traceback (most recent call last):
    locution.errors.UserError: ball.radius is 'wide'; allowed: a number.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    dot = f"{where}." if where else ""
    for key in settings:
        if key not in fields:
            guess = nearest_field(str(key), fields)
            hint = f" Did you mean '{dot}{guess}'?" if guess else ""
            listed = ", ".join(fields) or "none, it has no settings"
            raise UserError(f"'{dot}{key}' is no key.{hint} Allowed: {listed}.")
    hints = type_hints(kind)  # type: ignore[arg-type]
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in settings:
            raise UserError(f"{dot}{name} is missing; allowed: {describe(hints[name])}.")
    return kind(**{key: convert(hints[key], value, f"{dot}{key}") for key, value in settings.items()})


def nearest_field(key: str, fields: Mapping[str, dataclasses.Field[Any]]) -> str | None:
    """Find the field that is meant, by its own name or by the long one (`lr`: learning_rate)."""
    spellings = {name: name for name in fields}
    spellings |= {long: short for long, short in LONG.items() if short in fields}
    guess = nearest(key, spellings)
    return spellings[guess] if guess else None


@cache
def type_hints(kind: type) -> dict[str, Any]:
    """Resolve the types of a dataclass's fields."""
    return get_type_hints(kind)


def convert(hint: Any, value: Any, where: str) -> Any:
    """Check a value against a type and return it as that type: a whole number will do where a number is asked for."""
    found, result = _try(hint, value, where)
    if not found:
        raise UserError(f"{where} is {value!r}; allowed: {describe(hint)}.")
    return result


def _try(hint: Any, value: Any, where: str) -> tuple[bool, Any]:
    origin = get_origin(hint)
    if hint is Any:
        return True, value
    if origin in (Union, types.UnionType):
        return next((tried for choice in get_args(hint) if (tried := _try(choice, value, where))[0]), (False, None))
    if origin is Literal:
        return value in get_args(hint), value
    if origin in (tuple, list, Sequence):
        return _sequence(hint, value, where)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping), dict(value) if isinstance(value, Mapping) else None
    if dataclasses.is_dataclass(hint):
        return (True, build(hint, value, where)) if isinstance(value, Mapping) else (isinstance(value, hint), value)  # type: ignore[arg-type]
    return _scalar(hint, value)


def _scalar(hint: Any, value: Any) -> tuple[bool, Any]:
    if hint is type(None):
        return value is None, None
    if hint is float:
        if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
            try:
                value = float(value)
            except ValueError:
                return False, None
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
        return fits, float(value) if fits else None
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, hint), value


def _sequence(hint: Any, value: Any, where: str) -> tuple[bool, Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return False, None
    inner = [arg for arg in get_args(hint) if arg is not Ellipsis] or [Any]
    fixed = get_origin(hint) is tuple and Ellipsis not in get_args(hint)
    if fixed and len(value) != len(inner):
        return False, None
    kinds = inner if fixed else inner * len(value)
    items = [convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=False))]
    return True, tuple(items) if get_origin(hint) is tuple else items


def describe(hint: Any) -> str:
    """Say a type in words.

    >>> describe(float | None)
    'a number or null'
    >>> describe(Literal["a", "b"])
    'a or b'
    """
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text", type(None): "null"}
    origin = get_origin(hint)
    if hint in words:
        return words[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in get_args(hint))
    if origin is Literal:
        return " or ".join(str(choice) for choice in get_args(hint))
    if origin in (tuple, list, Sequence):
        return f"a list of {describe(get_args(hint)[0])}" if get_args(hint) else "a list"
    return "a mapping of settings"
