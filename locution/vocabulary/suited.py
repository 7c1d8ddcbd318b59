"""Which parts go with which tasks, where a part is made for one: what of it only some tasks can ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locution.errors import UserError
from locution.vocabulary.lookup import plain, spellings

ONLY: dict[str, dict[str, tuple[str, ...]]] = {
    "data": {
        "speech": ("recognition", "head_training"),
        "spoken": ("hearing",),
        "repetitions": ("repeating",),
        "preferences": ("preference",),
        "episodes": ("reinforcement",),
    },
    "model": {
        "recogniser": ("recognition",),
        "encoder": ("hearing",),
        "letter_model": ("repeating",),
        "ctc_head": ("head_training",),
    },
}
"""Parts that are made for some tasks: they have no examples of one shape, or are not built from such a shape."""

SPEECH = ("recognition", "hearing", "repeating", "head_training")
"""Tasks that are made for such parts: they can do with no others."""


def check_suited(task: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a part that is made for another task, and a task of speech without the parts that are made for it.

    parts: settings by kind, as in a recipe: {"data": {"name": "digits"}}.

    >>> check_suited("supervised_learning", {"data": {"name": "digits"}, "model": {"name": "mlp"}})
    >>> check_suited("supervised_learning", {"data": {"name": "speech"}})
    Traceback (most recent call last):
    locution.errors.UserError: data 'speech' is made for the task recognition or head_training; allowed for
    'supervised_learning': other data...
    >>> check_suited("hearing", {"model": {"name": "mlp"}})
    Traceback (most recent call last):
    locution.errors.UserError: task 'hearing' cannot do with model 'mlp'; allowed: encoder.
    """
    asked = _named(task)
    for kind, known in ONLY.items():
        name = parts.get(kind, {}).get("name")
        if not isinstance(name, str):
            continue
        tasks = known.get(_named(name))
        if tasks is not None and asked not in tasks:
            what = f"{kind} '{name}' is made for the task {' or '.join(tasks)}"
            raise UserError(f"{what}; allowed for '{task}': other {'data' if kind == 'data' else 'models'}.")
        if tasks is None and asked in SPEECH:
            fit = [one for one, of in known.items() if asked in of]
            raise UserError(f"task '{task}' cannot do with {kind} '{name}'; allowed: {' or '.join(fit)}.")


def _named(word: str) -> str:
    return spellings().get(plain(word), word)
