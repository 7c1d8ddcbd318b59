"""Errors that say in one line what came, what is allowed and what is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LocutionError(Exception):
    """Something went wrong that is ours or the world's: a full disk, a damaged file (exit code 1)."""

    exit_code = 1


class UserError(LocutionError):
    """What was asked for cannot be: an unknown name, a value out of range (exit code 2)."""

    exit_code = 2


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Find the allowed name that is spelt most like the one that came.

    >>> nearest("samm", ["sam", "mixup"])
    'sam'
    >>> nearest("zzz", ["sam", "mixup"]) is None
    True
    """
    found = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Build the error for a name that does not exist, with the nearest one that does.

    >>> str(unknown("method", "samm", ["sam", "mixup"]))
    "'samm' is no method. Did you mean 'sam'? Allowed: mixup, sam."
    """
    choices = sorted(allowed)
    guess = nearest(name, choices)
    hint = f" Did you mean '{guess}'?" if guess else ""
    listed = f" Allowed: {', '.join(choices)}." if choices else ""
    return UserError(f"'{name}' is no {kind}.{hint}{listed}")


def require(holds: bool, setting: str, came: object, allowed: str) -> None:
    """Refuse a setting out of its range, naming what came and what is allowed.

    >>> require(-1.0 > 0, "sam.rho", -1.0, "a number above 0, usually 0.05")
    Traceback (most recent call last):
    locution.errors.UserError: sam.rho is -1.0; allowed: a number above 0, usually 0.05.
    """
    if not holds:
        raise UserError(f"{setting} is {came!r}; allowed: {allowed}.")
