"""What stands in one cell of a table: nothing, a number, a date, yes or no."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "<na>", "nat", "null", "none", "?", "-", "."})
TRUE, FALSE = frozenset({"true", "yes", "t", "y", "on"}), frozenset({"false", "no", "f", "n", "off"})
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?(e[+-]?\d+)?")
DAY_FIRST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ T](.+))?")
YEAR_FIRST = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(?:[ T](.+))?")


def missing(text: str) -> bool:
    """Say whether a cell says that nothing is known.

    >>> [missing(text) for text in ("", "N/A", "0", "none")]
    [True, True, False, True]
    """
    return text.strip().casefold() in MISSING


def number(text: str, comma: bool = False) -> float | None:
    """Read a number, or None where it is none; with `comma` the comma stands before the decimals.

    A percent sign or one of $, €, £ may stand with it. Infinity is a number here.

    >>> number("1,200.5"), number("1.200,5", comma=True), number("12 %"), number("-inf"), number("1_0")
    (1200.5, 1200.5, 12.0, -inf, None)
    """
    value = None if comma else as_float(text)  # most cells need no more than this
    if value is not None:
        return value
    plain = text.strip().strip("%$€£").strip()
    if comma:
        if not plain or not COMMA.fullmatch(plain.lower()):
            return None
        plain = plain.replace(".", "").replace(",", ".")
    elif "," in plain:
        if not THOUSANDS.fullmatch(plain):
            return None
        plain = plain.replace(",", "")
    return as_float(plain)


def as_float(text: str) -> float | None:
    """Read a number as Python writes it, but for underscores and nan."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) or "_" in text else value


def date(text: str, month_first: bool = False) -> float | None:
    """Read a date, with or without a time of day, as seconds since 1970; None where it is none.

    Allowed are the ISO forms (2024-02-29, 2024-02-29T12:30, ...), 2024/02/29, 29.02.2024, 29/02/2024, and, with
    `month_first`, 02/29/2024. A time without a zone counts as UTC.

    >>> date("1970-01-02"), date("02.01.1970 00:00:10"), date("01/02/1970", month_first=True), date("1970-13-01")
    (86400.0, 86410.0, 86400.0, None)
    """
    plain = text.strip()
    turned, year_first = DAY_FIRST.fullmatch(plain), YEAR_FIRST.fullmatch(plain)
    if turned:
        first, second, year, rest = turned.groups()
        day, month = (second, first) if month_first else (first, second)
        plain = f"{year}-{int(month):02}-{int(day):02}" + (f" {rest}" if rest else "")
    elif year_first:
        year, month, day, rest = year_first.groups()
        plain = f"{year}-{int(month):02}-{int(day):02}" + (f" {rest}" if rest else "")
    if len(plain) < 8 or not plain[:4].isdigit():
        return None
    try:
        found = datetime.fromisoformat(plain)
        zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
        return zoned.timestamp()
    except (ValueError, OverflowError):
        return None


def truth(text: str) -> float | None:
    """Read yes or no as 1 or 0, or None where it is neither.

    >>> truth("Yes"), truth("f"), truth("maybe")
    (1.0, 0.0, None)
    """
    plain = text.strip().casefold()
    return 1.0 if plain in TRUE else 0.0 if plain in FALSE else None
