"""Commands that ask many runs one question."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from locution.commands.numbers import Whole


def compare(
    recipe: str,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    seeds: Whole = 10,
    first: Whole = 0,
    metric: str = "",
    against: str = "",
    equal: str = "",
    workers: Whole = 1,
    on: str = "",
    out: str = "",
    json: bool = False,
) -> None:
    """Say what a change is worth: locution compare digits +sam +mixup+sam "hot: optimizer.lr=0.01" --seeds 10

    Parameters
    ----------
    recipe
        a name that `locution recipes` lists, or a YAML file of your own.
    words
        key=value for all runs; then what is compared: +method, +one+another, or a quoted "name: words".
    seeds
        how many pairs of runs; a verdict needs six or more. More than last time go on from those.
    first
        the first of the seeds.
    metric
        the figures to compare, with commas between; the recipe's first if none is named. Cost counts too: seconds,
        peak_memory.
    against
        the variant to compare the others with; the recipe as it is if none is named.
    equal
        compute, or time, gives each variant as many steps as cost what the plain recipe's training costs.
    workers
        how many runs train at a time; from two on memory is compared too.
    on
        ray trains on all machines of a Ray cluster.
    out
        the folder that keeps the runs, the page and the figures; what is in it already is not trained again.
    json
        print one JSON object instead of a table.
    """
    from locution.studies import show

    asked = {"seeds": seeds, "first": first, "metric": metric, "against": against, "equal": equal}
    show.comparison(recipe, words, as_json=json, workers=workers, on=on, out=out, **asked)


def plan(recipe: str, *words: Annotated[str, Parameter(allow_leading_hyphen=True)], json: bool = False) -> None:
    """Say what a recipe will do, before it trains: which methods act where, in which order, and what excludes what.

    Parameters
    ----------
    recipe
        a name that `locution recipes` lists, or a YAML file of your own.
    words
        key=value, +method, +method.setting=value, -method.
    json
        print one JSON object.
    """
    from locution.studies import show

    show.plan(recipe, words, as_json=json)


def effects(
    *terms: str,
    seeds: Whole = 10,
    workers: Whole = 1,
    again: bool = False,
    list: bool = False,
    out: str = "",
) -> None:
    """Measure what terms are worth, each by the comparison that it names, and keep it beside the vocabulary.

    Parameters
    ----------
    terms
        which; all that name a comparison if none is named. What is up to date already is not measured again.
    seeds
        how many pairs of runs.
    workers
        how many runs train at a time; from two on memory is compared too.
    again
        measure what is up to date too; runs that are kept still count.
    list
        only say what is measured, what is not, and what was measured with other words or another recipe.
    out
        the folder to write to; the vocabulary's own if none is named.
    """
    from locution.studies import show

    show.effects(terms, seeds=seeds, workers=workers, again=again, only_list=list, out=out)
