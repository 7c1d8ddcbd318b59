"""What the commands of studies print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locution.studies.compare import RESULTS, compare
from locution.studies.page import write_page
from locution.studies.table import print_comparison


def comparison(recipe: str, words: Sequence[str], *, as_json: bool = False, **asked: Any) -> None:
    """Compare, print the table or one JSON object, and write the page; `asked` is what `compare` takes."""
    found, folder = compare(recipe, *words, quiet=as_json, **asked)
    page = write_page(Path(folder), found)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print_comparison(found)
        print(f"page: {page}\nfigures: {Path(folder) / RESULTS}")
