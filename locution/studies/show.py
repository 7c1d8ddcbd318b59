"""What the commands of studies print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from locution.studies.compare import RESULTS, compare
from locution.studies.page import print_comparison, write_page


def comparison(
    recipe: str,
    words: Sequence[str],
    seeds: int,
    metric: str,
    against: str,
    workers: int,
    out: str,
    *,
    as_json: bool = False,
) -> None:
    """Compare, print the table or one JSON object, and write the page."""
    found, folder = compare(
        recipe, *words, seeds=seeds, metric=metric, against=against, workers=workers, out=out, quiet=as_json
    )
    page = write_page(Path(folder), found)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print_comparison(found)
        print(f"page: {page}\nfigures: {Path(folder) / RESULTS}")
