"""Commands that ask many runs one question."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def compare(
    recipe: str,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    seeds: int = 10,
    first: int = 0,
    metric: str = "",
    against: str = "",
    equal: str = "",
    workers: int = 1,
    on: str = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Say what a change is worth: locution compare digits +sam +mixup+sam "hot: optimizer.lr=0.01" --seeds 10

    Parameters
    ----------
    recipe: a name that `locution recipes` lists, or a YAML file of your own.
    words: key=value for all runs; then what is compared: +method, +one+another, or a quoted "name: words".
    seeds: how many pairs of runs; a verdict needs six or more. More than last time go on from those.
    first: the first of the seeds.
    metric: the figures to compare, with commas between; the recipe's first if none is named. Cost counts too: seconds,
        peak_memory.
    against: the variant to compare the others with; the recipe as it is if none is named.
    equal: compute, or time, gives each variant as many steps as cost what the plain recipe's training costs.
    workers: how many runs train at a time; from two on memory is compared too.
    on: ray trains on all machines of a Ray cluster.
    out: the folder that keeps the runs, the page and the figures; what is in it already is not trained again.
    json: print one JSON object instead of a table.
    """
    from locution.studies import show

    asked = {"seeds": seeds, "first": first, "metric": metric, "against": against, "equal": equal}
    show.comparison(recipe, words, as_json=json, workers=workers, on=on, out=out, **asked)
