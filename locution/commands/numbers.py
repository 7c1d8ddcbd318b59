"""Numbers as a user types them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token


def whole(hint: type, tokens: Sequence[Token]) -> int:
    """Read a whole number, and round no other to one.

    >>> from cyclopts import Token
    >>> whole(int, [Token(value="12")]), whole(int, [Token(value="-1_000")])
    (12, -1000)
    >>> whole(int, [Token(value="2.5")])
    Traceback (most recent call last):
    ValueError: '2.5'; allowed: a whole number, such as 10.
    """
    (token,) = tokens
    try:
        return int(token.value)
    except ValueError:
        raise ValueError(f"'{token.value}'; allowed: a whole number, such as 10.") from None


Whole = Annotated[int, Parameter(converter=whole)]
"""A whole number on the command line: 2.5 is refused and not rounded."""
