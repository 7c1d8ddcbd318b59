"""How a run's model reads a text: its tokenizer, as it lies in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

from locution.data.byte_pairs import Tokenizer
from locution.errors import UserError

TOKENIZER = "tokenizer.json"


def read_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """Read a run's tokenizer, and the length of its passages."""
    place = folder / TOKENIZER
    if not place.is_file():
        raise UserError(f"{folder} has no {TOKENIZER}; allowed: a run that was trained to its end.")
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        return Tokenizer.from_json(kept["tokenizer"]), int(kept["length"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())}.") from error
