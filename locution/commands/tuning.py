"""The command that tunes."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from locution.commands.numbers import Whole


def tune(
    recipe: str,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    trials: Whole = 40,
    by: str = "",
    sampler: str = "gp",
    prune: bool = True,
    workers: Whole = 1,
    seed: Whole = 0,
    out: str = "",
    json: bool = False,
) -> None:
    """Find good settings: locution tune digits optimizer.lr=log:1e-4:1e-1 model.widths=[64],[128,64] +sam? --trials 40

    Parameters
    ----------
    recipe
        a name that `locution recipes` lists, or a YAML file of your own.
    words
        key=value for all trials; what varies: key=log:low:high, lin:, int:, logint:, key=a,b,c, or +method?.
    trials
        how many runs in all; asked again with more, it goes on.
    by
        the recorded value to go by, the loss on the development set if none is named; or a figure of the results.
    sampler
        gp (Gaussian process), tpe or random.
    prune
        end a trial early that does worse than the median of the others.
    workers
        how many trials at a time.
    seed
        of the search itself; the recipe's seed stays its own.
    out
        the folder that keeps the trials, the page and the best recipe.
    json
        print one JSON object instead of a table.
    """
    from locution.studies import tuning_page

    tuning_page.show(recipe, words, trials, by, sampler, prune, workers, seed, out, as_json=json)
