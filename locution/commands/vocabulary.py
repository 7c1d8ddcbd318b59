"""Commands that show what there is."""

from __future__ import annotations


def recipes(*, about: str = "") -> None:
    """List the recipes that `train` takes.

    Parameters
    ----------
    about
        only those in which all these words stand, such as diffusion, or "own pictures".
    """
    from locution.vocabulary import show

    show.recipes(about)


def methods() -> None:
    """List the methods that any recipe takes, and the seam of the loop that each one fills."""
    from locution.vocabulary import show

    show.methods()


def terms(*, kind: str = "", row: int | None = None, about: str = "", json: bool = False) -> None:
    """List the vocabulary.

    Parameters
    ----------
    kind
        only the terms of one kind, such as method, model or objective.
    row
        only those of one row of the vocabulary.
    about
        only those in whose names or definition all these words stand, such as attention.
    json
        print one JSON object with every term's definition, source and code.
    """
    from locution.vocabulary import show

    show.terms(kind=kind, row=row, about=about, as_json=json)


def term(name: str, *, run: bool = False) -> None:
    """Show a term: what it is, an example, where it comes from and where it lives.

    Parameters
    ----------
    name
        the term, in any of its spellings.
    run
        run its example, and its recipe.
    """
    from locution.vocabulary import show

    show.term(name, run=run)
