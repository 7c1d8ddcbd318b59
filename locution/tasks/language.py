"""The task of language modelling: a text teaches a model what comes next, and the model goes on with any text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from locution.data.byte_pairs import END
from locution.data.dataset import Dataset
from locution.data.prose import Prose
from locution.errors import UserError
from locution.inference.generate import expected, window_start
from locution.losses.language import NextToken
from locution.models.language_model import LanguageTransformer
from locution.reporting.results import Drawing, RunResults
from locution.reporting.writing import writing
from locution.tasks.abilities import Embedding, Generation, Samples
from locution.tasks.expert_pictures import expert_pictures
from locution.tasks.going_on import streamed, went_on
from locution.tasks.keeping import WeightsKept
from locution.tasks.language_judged import attention_pictures, by_chapter, context_worth, figures, kernel_used
from locution.tasks.task import Job
from locution.tasks.token_placing import placed_tokens
from locution.tasks.tokens_kept import check_same, keep_tokenizer, language, opened, prepared, text_of
from locution.tasks.transformers_folder import write_transformers

if TYPE_CHECKING:
    from locution.recipe import Recipe

SHOWN = ("", "The ", 'The "while" statement ', "   >>> ")  # the report shows how the model goes on with these
WRITTEN = Generation(length=160)
WARMED, TEMPERATURES = "An exception is raised ", (0.0, 0.5, 0.8, 1.0, 1.5)
LIKELIEST = 5  # tokens that predict names


@dataclass(frozen=True)
class Writing:
    """How texts are written that nobody began: each from an end mark, or from `prompt`; the rest as in `Generation`.

    >>> Writing(length=0)
    Traceback (most recent call last):
    locution.errors.UserError: length is 0; allowed: a whole number from 1.
    """

    length: int = 100
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    prompt: str = ""

    def __post_init__(self) -> None:
        self.wishes(0)

    def wishes(self, seed: int) -> Generation:
        """Say the same of going on with a text."""
        return Generation(self.length, self.temperature, self.top_k, self.top_p, seed)


class Language(WeightsKept):
    """Language modelling learns from running text which token comes next, and can then go on with a text.

    It is judged on whole chapters that it never saw: by its perplexity for each token, by bits for each byte of text,
    which models of other tokens can be compared by, and by how many of them it saves against an n-gram model of the
    same tokens, whose order is chosen on the development text.

    >>> from locution.recipe import resolve
    >>> job = Language().prepare(resolve("texts/causal", ["data.vocabulary=300"]))
    >>> job.unit, job.data.inputs
    ('tokens', (256,))

    Reference: Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, 2003, "A neural probabilistic language model"; A. Radford
    et al., 2019, "Language models are unsupervised multitask learners", section 2.
    """

    sampling = Writing

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Read the text, learn its tokens and build the model."""
        objective = recipe.part("objective")
        if not isinstance(objective, NextToken):
            raise UserError(f"objective '{recipe.objective.get('name')}' came; allowed here: next_token.")
        return prepared(recipe, objective, recipe.part("data").load(recipe.seed), causal=True)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model on held-out chapters, beside an n-gram model."""
        data: Dataset = job.data
        text, reads = text_of(recipe, data), language(model)
        metrics, surprise = figures(reads, text)
        galleries, matrices = attention_pictures(reads, text.tokenizer, text.streams["test"])
        results = RunResults(
            recipe.name,
            recipe.describe,
            metrics,
            notes=[*data.notes, f"Attention is computed by the kernel: {kernel_used(reads)}."],
            data={"data": data.describe()},
            tables=[by_chapter(text, surprise)],
            graphs=[context_worth(reads, text, surprise)],
            galleries=galleries,
            matrices=matrices,
            drawings=self.written(reads, text),
        )
        results.add(expert_pictures(reads, data))
        return results

    def written(self, model: LanguageTransformer, text: Prose) -> list[Drawing]:
        """Let the model go on with some texts, and with one of them at several temperatures."""
        tokenizer, begun = text.tokenizer, text.beginnings(SHOWN)
        written = [(given, went_on(model, tokenizer, given, WRITTEN, at)) for at, given in enumerate(begun)]
        warmed, beginning = [], text.beginnings(("", WARMED))[-1]
        for temperature in TEMPERATURES:
            new = went_on(model, tokenizer, beginning, replace(WRITTEN, length=80, temperature=temperature), 0)
            warmed.append((f"at {temperature:g}  ", beginning + new))
        note = f"what it was given, if anything, and how it goes on; drawn at the temperature {WRITTEN.temperature:g}"
        return [
            Drawing("What it writes", writing(written), note),
            Drawing("Cold and warm", writing(warmed), "the same beginning at several temperatures; 0: the likeliest"),
        ]

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, and the tokenizer beside them."""
        super().save(recipe, model, folder)
        keep_tokenizer(recipe, folder)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the weights back, for data of the same tokens."""
        check_same(job.data, folder)
        return super().load(recipe, job, folder)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Say which tokens are likeliest to come next behind each text."""
        model, tokenizer = opened(self, recipe, folder)
        answers = []
        for text in inputs:
            tokens = [END, *tokenizer.encode(text)]
            chances = expected(model, tokens[window_start(len(tokens), model.context) :]).softmax(-1)
            best = chances.topk(LIKELIEST)
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            answers.append(", ".join(f"{tokenizer.name(token)} ({chance:.3f})" for token, chance in pairs))
        return answers

    def generate(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> list[str]:
        """Go on with each text; an empty one is begun anew."""
        model, tokenizer = opened(self, recipe, folder)
        return [text + went_on(model, tokenizer, text, wishes, at) for at, text in enumerate(prompts)]

    def stream(self, recipe: Recipe, folder: Path, prompts: Sequence[str], wishes: Generation) -> Iterator[str]:
        """Hand out the same piece by piece, each as soon as it is drawn."""
        return streamed(*opened(self, recipe, folder), prompts, wishes)

    def export(self, recipe: Recipe, folder: Path, place: Path) -> list[Path]:
        """Write the model and its tokenizer as a folder that transformers loads."""
        return write_transformers(*opened(self, recipe, folder), place)

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place words among the tokens of the model, or all of these: they are of no part of the data."""
        return placed_tokens(self, recipe, folder, inputs)

    def sample(self, recipe: Recipe, folder: Path, count: int, seed: int, wishes: Writing) -> Samples:
        """Write texts; the examples themselves are their tokens, end marks behind them: (N, length)."""
        model, tokenizer = opened(self, recipe, folder)
        begun, asked = wishes.prompt, wishes.wishes(seed)
        texts = [begun + went_on(model, tokenizer, begun, asked, at) for at in range(count)]
        tokens = [torch.tensor(tokenizer.encode(text), dtype=torch.int64) for text in texts]
        lines = [line for at, text in enumerate(texts) for line in (f"[{at + 1}]", text)]
        return Samples(pad_sequence(tokens, batch_first=True, padding_value=END), lines=lines)
