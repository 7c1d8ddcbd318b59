"""Numbers the way people read them."""

from __future__ import annotations

import math


def figure(value: float | None, digits: int = 3) -> str:
    """Write a number with as many digits as it deserves; a count, which is whole, with those that it has.

    >>> figure(8), figure(8.0)
    ('8', '8.000')
    >>> figure(0.1234567), figure(1234567.0), figure(2e-7), figure(0.97), figure(None)
    ('0.123', '1,234,567', '2e-07', '0.970', '–')
    """
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else "-∞")
    size = abs(value)
    if isinstance(value, int):
        return f"{value:,}"
    if size >= 1000 or (value == int(value) and size >= 10):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.{max(digits - 2, 0)}f}"
    if size < 10**-digits and value != 0:
        return f"{value:.{max(digits - 1, 1)}g}"
    return f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Write a span of time.

    >>> duration(0.25), duration(12.34), duration(75), duration(3700), duration(180000)
    ('0.25 s', '12.3 s', '1 min 15 s', '1 h 01 min', '2 d 2 h')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def memory(amount: float) -> str:
    """Write an amount of memory given in bytes.

    >>> memory(512), memory(1536), memory(3.2e9)
    ('512 B', '1.5 KiB', '2.98 GiB')
    """
    for unit, digits in (("B", 0), ("KiB", 1), ("MiB", 0), ("GiB", 2)):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.{digits}f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")  # the last unit always answers


def count(amount: float) -> str:
    """Write how many there are: exact while short, then in millions.

    >>> count(1234), count(3_140_000), count(3_080_000_000)
    ('1,234', '3.14 million', '3.08 billion')
    """
    if amount >= 1e9:
        return f"{amount / 1e9:.2f} billion"
    if amount >= 1e6:
        return f"{amount / 1e6:.2f} million"
    return f"{amount:,.0f}"
