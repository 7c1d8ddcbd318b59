"""In which order the methods of a recipe act, and where: what will happen, before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from locution.engine.method import SEAMS, Method, seams
from locution.recipe import Recipe, resolve
from locution.studies.rehearsal import refusal
from locution.vocabulary.lookup import names, part

PARTS = ("data", "model", "objective", "optimizer", "estimator")
WHEN = {
    "data": "at each fit",
    "model": "once, before the optimizer is made",
    "optimizer": "once, around the optimizer",
    "batch": "each step, before the first pass",
    "loss": "each pass, after the objective",
    "gradient": "each pass, after the backward pass",
    "update": "each step, after the update",
    "finish": "at the end of a task",
    "trained": "what leaves training",
}


def excluded(name: str) -> dict[str, str]:
    """Name the methods that cannot be combined with one, whichever of the two says so, with what to do instead.

    >>> "sam" in excluded("sam")
    False
    """
    own: type[Method] = part("method", name)
    found = dict(own.excludes)
    for other in names("method"):
        kind: type[Method] = part("method", other)
        if name in kind.excludes:
            found.setdefault(other, kind.excludes[name])
    return found


def acting(recipe: Recipe) -> dict[str, Any]:
    """The order of methods is theirs, not the order in which they are listed: each says after which others it acts.

    Returns what a recipe is made of: its parts, its methods in the order in which they act (with the seams they fill,
    their settings, what they come after and what they exclude), and each seam that is filled, with who fills it.

    >>> found = acting(resolve("digits", ["+sam", "+mixup"]))
    >>> [one["name"] for one in found["methods"]], found["seams"]["optimizer"]
    (['mixup', 'sam'], ['sam'])
    """
    methods = recipe.built_methods()
    listed = [
        {
            "name": method.name,
            "seams": list(seams(method)),
            "settings": {one.name: getattr(method, one.name) for one in fields(method) if one.init},  # type: ignore[arg-type]
            "after": list(method.after),
            "excludes": excluded(method.name),
            "whole_batch": method.whole_batch,
        }
        for method in methods
    ]
    filled = {seam: [method.name for method in methods if seam in seams(method)] for seam in SEAMS}
    parts = {kind: dict(getattr(recipe, kind)) for kind in PARTS}
    budget = f"{recipe.epochs} epochs" if recipe.epochs else f"{recipe.steps} steps"
    return {
        "recipe": recipe.name,
        "task": recipe.task,
        **parts,
        "budget": "no gradients" if recipe.estimator else budget,
        "methods": listed,
        "seams": {seam: who for seam, who in filled.items() if who},
    }


def planned(recipe: str, words: Sequence[str]) -> dict[str, Any]:
    """Read a recipe with its words, and say what it will do; a pair that excludes itself is refused with the mend.

    What only the data refuse is said under `refused`, in the words of `locution train`.
    """
    resolved = resolve(recipe, words)
    return acting(resolved) | {"refused": refusal(resolved)}


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Write it as pairs of a name and a line: the parts, each seam in the order in which it comes, each method.

    >>> lines(acting(resolve("digits", ["+sam"])))[6:8]
    [('optimizer', 'sam   (once, around the optimizer)'), ('', '')]
    """
    written = [("task", f"{found['task']}, {found['budget']}")]
    for kind in PARTS:
        settings = dict(found[kind])
        if settings:
            name = settings.pop("name", "")
            written.append((kind, " ".join([str(name), *(f"{key}={value}" for key, value in settings.items())])))
    written.append(("", ""))
    for seam, who in found["seams"].items():
        order = " in ".join(who) if seam == "optimizer" else " then ".join(who)
        written.append((seam, f"{order}   ({WHEN[seam]})"))
    for one in found["methods"]:
        said = " ".join(f"{key}={value}" for key, value in one["settings"].items())
        written += [("", ""), (f"+{one['name']}", said)]
        written += [("  after", ", ".join(one["after"]))] if one["after"] else []
        written += [("  not with", f"{other}: {mend}") for other, mend in one["excludes"].items()]
        written += [("  not with", "accumulate, or several processes: it compares whole batches")] * one["whole_batch"]
    if found.get("refused"):
        written += [("", ""), ("refused", f"{found['refused']}   (so says train)")]
    return written
