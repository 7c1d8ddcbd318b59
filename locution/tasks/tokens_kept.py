"""What tasks of language models share: data that are text, and a tokenizer in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from locution.data.byte_pairs import Tokenizer
from locution.data.dataset import Dataset, first_batch
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

TOKENIZER = "tokenizer.json"


def prepared(recipe: Recipe, objective: Any, data: Dataset, *, causal: bool) -> Job:
    """Build a language model for these data, and what watches it; refuse data that are no text, and other models."""
    text_of(recipe, data)
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


def read_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """Read a run's tokenizer, and the length of its passages."""
    place = folder / TOKENIZER
    if not place.is_file():
        raise UserError(f"{folder} has no {TOKENIZER}; allowed: a run that was trained to its end.")
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        return Tokenizer.from_json(kept["tokenizer"]), int(kept["length"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())}.") from error


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
