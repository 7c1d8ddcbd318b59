"""Commands that show what there is."""

from __future__ import annotations


def recipes() -> None:
    """List the recipes that `train` takes."""
    from locution.vocabulary import show

    show.recipes()


def methods() -> None:
    """List the methods that any recipe takes, and the seam of the loop that each one fills."""
    from locution.vocabulary import show

    show.methods()


def terms(*, json: bool = False) -> None:
    """List the vocabulary.

    Parameters
    ----------
    json
        print one JSON object with every term's definition, source and code.
    """
    from locution.vocabulary import show

    show.terms(as_json=json)


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
