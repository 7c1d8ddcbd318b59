"""Data leakage: what a model could know of its test without having learnt anything."""

from __future__ import annotations

from locution.data.near_duplicate_texts import near_duplicate_texts
from locution.data.near_duplicates import Pair, near_duplicates

__all__ = ["Pair", "near_duplicate_texts", "near_duplicates"]
