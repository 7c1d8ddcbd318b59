"""What tasks of language models share: data that are text, and a tokenizer in the run's folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from locution.data.byte_pairs import Tokenizer
from locution.data.dataset import Dataset, first_batch
from locution.data.kept_tokens import TOKENIZER as TOKENIZER
from locution.data.kept_tokens import read_tokenizer as read_tokenizer
from locution.data.prose import Prose
from locution.engine import Turn
from locution.engine.run_folder import write_text
from locution.errors import UserError
from locution.evaluation.overfitting import Overfitting
from locution.gradients.norms import GradientNorms
from locution.models.language_model import LanguageTransformer
from locution.tasks.keeping import WeightsKept
from locution.tasks.task import Job

if TYPE_CHECKING:
    from locution.recipe import Recipe


def prepared(recipe: Recipe, objective: Any, data: Dataset, *, causal: bool) -> Job:
    """Build a language model for these data, and what watches it; refuse data that are no text, and other models."""
    check_start(recipe, text_of(recipe, data).tokenizer)
    model = recipe.part("model").build(data.inputs, data.outputs)
    check(recipe, model, causal=causal)
    with torch.no_grad():
        objective(model.eval(), first_batch(data).rows(0, 1))
    observers: list[Any] = [GradientNorms()]
    if data.development is not None:
        observers.append(Overfitting(objective, data.development))
    turn = Turn(objective, recipe.part("optimizer").build)
    return Job(model, [turn], data.train, observers, data, unit="tokens", per_example=float(data.inputs[0]))


def text_of(recipe: Recipe, data: Dataset) -> Prose:
    """Take the tokenizer and the texts of the data, if they are text."""
    if not isinstance(data.reader, Prose):
        raise UserError(f"data '{recipe.data.get('name')}' are no running text; allowed: data such as prose.")
    return data.reader


def check(recipe: Recipe, model: Any, *, causal: bool) -> None:
    """Refuse a model that is none of language, or that looks the wrong way."""
    if not isinstance(model, LanguageTransformer):
        raise UserError(f"model '{recipe.model.get('name')}' reads no text; allowed: a model such as language_model.")
    if model.causal != causal:
        came, wanted = str(model.causal).lower(), str(causal).lower()
        why = "it would see the token that it is to predict" if causal else "it would not see what comes behind a gap"
        raise UserError(f"model.causal is {came}: {why}; allowed: model.causal={wanted}.")


def language(model: nn.Module) -> LanguageTransformer:
    """Take a trained model for what `check` has seen that it is."""
    assert isinstance(model, LanguageTransformer)
    return model


def keep_tokenizer(recipe: Recipe, folder: Path) -> None:
    """Write down how a run's model reads a text: its tokenizer, and how long a passage it learnt from."""
    data = recipe.part("data").load(recipe.seed)
    kept = {"length": data.inputs[0], "tokenizer": text_of(recipe, data).tokenizer.as_json()}
    write_text(folder / TOKENIZER, json.dumps(kept))


def check_start(recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Refuse to begin from a model that learnt other tokens: what it knows of each would be said of another."""
    if not recipe.start or "embedding" in recipe.fresh:
        return
    known, mend = tokens_of(recipe.start)
    if known is not None and known != tokenizer:
        raise UserError(f"start '{recipe.start}' learnt other tokens than these data have; allowed: {mend}.")


def tokens_of(start: str) -> tuple[Tokenizer | None, str]:
    """Find the tokens of a run, or of a recipe with words behind it, where training begins, and say how to use them.

    None where there are none, or where the run is there no more: what began from it can do without.
    """
    from locution.recipe import resolve

    folder = Path(start)
    if (folder / TOKENIZER).is_file():
        return read_tokenizer(folder)[0], f"data.tokens={start}"
    if folder.exists():
        return None, ""
    name, *words = shlex.split(start)
    try:
        begun = resolve(name, words)
    except UserError:
        return None, ""
    reader = begun.part("data").load(begun.seed).reader
    known = reader.tokenizer if isinstance(reader, Prose) else None
    return known, "the folder of such a run as start, and the same as data.tokens"


def check_same(data: Dataset, folder: Path) -> None:
    """Refuse to judge a run by a text that its tokenizer was not learnt from, as of another version of Python."""
    if data.reader.tokenizer != read_tokenizer(folder)[0]:
        if data.reader.own:
            raise UserError(f"the text has changed since {folder} learnt from it; allowed: to let it answer as it is.")
        raise UserError(
            f"the text of this Python is another than that of {folder}; allowed: to judge it with the Python "
            "that trained it, or to let it answer as it is."
        )


def opened(task: WeightsKept, recipe: Recipe, folder: Path) -> tuple[LanguageTransformer, Tokenizer]:
    """Open a run's model and tokenizer from its folder alone, without the text that it learnt from."""
    tokenizer, length = read_tokenizer(folder)
    model = recipe.part("model").build((length,), len(tokenizer))
    return language(WeightsKept.load(task, recipe, Job(model, [], None), folder)), tokenizer
