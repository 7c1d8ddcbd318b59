"""The task of masked language modelling: a model learns to fill the gaps of a text from both sides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.data.byte_pairs import END, FIRST, MARKS, MASK, Tokenizer
from locution.data.dataset import Dataset, held_out
from locution.data.passages import Passages, cut
from locution.data.prose import Prose
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio
from locution.losses.basic import IGNORED
from locution.losses.language import MaskedToken, hide_tokens
from locution.models.language_model import LanguageTransformer
from locution.reporting.markup import clean
from locution.reporting.results import Drawing, Metric, RunResults
from locution.reporting.writing import writing
from locution.tasks.abilities import Embedding
from locution.tasks.keeping import WeightsKept
from locution.tasks.language_judged import attention_pictures, kernel_used, metric
from locution.tasks.task import Job
from locution.tasks.token_placing import placed_tokens
from locution.tasks.tokens_kept import check_same, keep_tokenizer, language, opened, prepared, text_of

if TYPE_CHECKING:
    from locution.recipe import Recipe

# as people write a gap: [MASK], <mask> or ___; the space before a word is a part of it
GAP = re.compile(rf" ?(?:{re.escape(MARKS[MASK])}|<mask>|_{{3,}})", re.IGNORECASE)
SHOWN = ("The [MASK] statement is used", "it raises a [MASK] exception", "Return a [MASK] of the string")
LIKELIEST = 5  # tokens named for each gap


class MaskedLanguage(WeightsKept):
    """Masked language modelling hides tokens of running text, and learns to guess them from what is on both sides.

    It is judged on whole chapters that it never saw, of which always the same tokens are hidden: by the share that it
    guesses and by its surprise, beside those of a unigram model, which knows how frequent each token is, and nothing
    else.

    >>> from locution.recipe import resolve
    >>> job = MaskedLanguage().prepare(resolve("texts/masked", ["data.vocabulary=300"]))
    >>> job.model.causal
    False

    Reference: J. Devlin et al., 2019, "BERT: pre-training of deep bidirectional transformers for language
    understanding", section 3.1.
    """

    def prepare(self, recipe: Recipe, *, quiet: bool = False) -> Job:
        """Read the text, learn its tokens and build the model."""
        objective = recipe.part("objective")
        if not isinstance(objective, MaskedToken):
            raise UserError(f"objective '{recipe.objective.get('name')}' came; allowed here: masked_token.")
        data: Dataset = recipe.part("data").load(recipe.seed)
        objective = replace(objective, vocabulary=len(text_of(recipe, data).tokenizer))
        return prepared(recipe, objective, without_targets(data), causal=False)

    def evaluate(self, recipe: Recipe, job: Job, model: nn.Module, *, quiet: bool = False) -> RunResults:
        """Judge the model by the gaps of held-out chapters, beside a unigram model."""
        data: Dataset = job.data
        text, reads = text_of(recipe, data), language(model)
        galleries, matrices = attention_pictures(reads, text.tokenizer, text.streams["test"])
        return RunResults(
            recipe.name,
            recipe.describe,
            figures(reads, text.streams, data.inputs[0], len(text.tokenizer)),
            notes=[*data.notes, f"Attention is computed by the kernel: {kernel_used(reads)}."],
            data={"data": data.describe()},
            galleries=galleries,
            matrices=matrices,
            drawings=[
                Drawing(
                    "What it fills in",
                    writing([(one, f"\n{fill(reads, text.tokenizer, one)}") for one in gaps_of(text)]),
                )
            ],
        )

    def save(self, recipe: Recipe, model: nn.Module, folder: Path) -> None:
        """Keep the weights, and the tokenizer beside them."""
        super().save(recipe, model, folder)
        keep_tokenizer(recipe, folder)

    def load(self, recipe: Recipe, job: Job, folder: Path) -> nn.Module:
        """Take the weights back, for data of the same tokens."""
        check_same(job.data, folder)
        return super().load(recipe, job, folder)

    def embed(self, recipe: Recipe, folder: Path, inputs: Sequence[str], part: str) -> Embedding:
        """Place words among the tokens of the model, or all of these: they are of no part of the data."""
        return placed_tokens(self, recipe, folder, inputs)

    def predict(self, recipe: Recipe, folder: Path, inputs: Sequence[str]) -> list[str]:
        """Fill the gaps of each text, written as [MASK] or ___, a token each; name the likeliest for each gap."""
        model, tokenizer = opened(self, recipe, folder)
        return [fill(model, tokenizer, text) for text in inputs]


def gaps_of(text: Prose) -> list[str]:
    """Take texts with a gap to fill: the usual ones, or, of the user's own text, beginnings whose last word is hidden.

    >>> gaps_of(Prose(Tokenizer([]), {"test": ["It was a dark night."]}, {}, {}, own=True))
    ['It was a [MASK]']
    """
    if not text.own:
        return list(SHOWN)
    return [" ".join([*given.split()[:-1], MARKS[MASK]]) for given in text.beginnings(SHOWN)[1:]]


def without_targets(data: Dataset) -> Dataset:
    """Leave out what follows each token: here the text itself is what is asked for, where it is hidden."""
    train: Any = data.train
    held = data.development
    return replace(
        data,
        train=Passages(train.stream, train.length, train.batch_size, asked=False),
        development=held and held_out(held.inputs, None, held.batch_size),
    )


def with_gaps(tokenizer: Tokenizer, text: str) -> list[int]:
    """Write a text as tokens, each gap, [MASK] or <mask> or ___, as the token that hides another.

    >>> with_gaps(Tokenizer([]), "a [MASK]b")
    [99, 1, 100]
    """
    first, *rest = GAP.split(text)
    found = tokenizer.encode(first)
    for some in rest:
        found += [MASK, *tokenizer.encode(some)]
    return found


@torch.no_grad()
def filled(model: LanguageTransformer, tokens: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Fill the gaps of a text (T,), the surest one first, each knowing what was put into those before it.

    Returns the text without gaps, and for each gap's place how likely each token was there (V,); marks never are.

    Reference: M. Ghazvininejad, O. Levy, Y. Liu, L. Zettlemoyer, 2019, "Mask-predict: parallel decoding of conditional
    masked language models", section 3.
    """
    text, found = tokens.clone(), dict[int, Tensor]()
    while len(gaps := (text == MASK).nonzero().flatten()):
        scores = model(text[None].to(model.embedding.weight.device))[0].float().cpu()[gaps]  # (gaps, V)
        scores[:, :FIRST] = -torch.inf
        chances = scores.softmax(-1)
        surest = int(chances.amax(-1).argmax())
        place = int(gaps[surest])
        found[place], text[place] = chances[surest], chances[surest].argmax()
    return text, dict(sorted(found.items()))


def fill(model: LanguageTransformer, tokenizer: Tokenizer, text: str) -> str:
    """Fill the gaps of a text: the text with the likeliest tokens in them, and below it what each might be."""
    tokens = torch.tensor([END, *with_gaps(tokenizer, text)])  # (T,)
    if not bool((tokens == MASK).any()):
        raise UserError(f"'{text}' has no gap; allowed: a text with {MARKS[MASK]} in the place of each hidden token.")
    if len(tokens) > model.context:
        raise UserError(f"a text of {len(tokens) - 1} tokens came; allowed: up to {model.context - 1}.")
    whole, gaps = filled(model, tokens)
    lines = [clean(tokenizer.text(whole.tolist()))]
    for number, chances in enumerate(gaps.values(), 1):
        best = chances.topk(LIKELIEST)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        named = ", ".join(f"{tokenizer.name(token).removeprefix('␣')} {chance:.3f}" for token, chance in pairs)
        lines.append(f"  gap {number}: {named}" if len(gaps) > 1 else f"  {named}")
    return "\n".join(lines)


@torch.no_grad()
def guessed(model: LanguageTransformer, passages: Tensor, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hide the same tokens of passages (N, T) as always, and ask the model: surprise, hits and what was asked (N, T).

    All that is asked for is truly hidden here: nothing is left to copy. Where nothing was asked surprise and hits are
    0, and what was asked is -100.
    """
    _, asked = hide_tokens(passages, vocabulary, draw=generator(0, "held-out masks"))
    read = torch.where(asked == IGNORED, passages, MASK)
    device = model.embedding.weight.device
    surprise, right = [], []
    for some, answers in zip(torch.split(read, 32), torch.split(asked, 32), strict=True):
        scores = model(some.to(device)).float().cpu()  # (n, T, V)
        nats = functional.cross_entropy(scores.flatten(0, 1), answers.flatten(), reduction="none")
        surprise.append(nats.view(answers.shape))
        right.append(scores.argmax(-1) == answers)
    return torch.cat(surprise), torch.cat(right), asked


def figures(model: LanguageTransformer, streams: Mapping[str, Tensor], length: int, vocabulary: int) -> list[Metric]:
    """Judge a model by the gaps of the test text, beside the unigram model of the training text."""
    passages, _ = cut(streams["test"], length)
    if not len(passages):
        raise UserError("there is no test text to judge by; allowed: data.test above 0, and a shorter data.length.")
    surprise, right, asked = guessed(model, passages, vocabulary)
    there = asked != IGNORED
    frequency = torch.bincount(streams["train"], minlength=vocabulary).double() + 1
    nats = -(frequency / frequency.sum()).log()[asked.clamp(min=0)] * there  # (N, T)
    common = asked == int(frequency[FIRST:].argmax()) + FIRST
    counts = there.sum(1).double()

    def figure(values: Tensor) -> dict[str, float]:
        return bootstrap(torch.stack([values.double().sum(1), counts], 1), ratio)

    note = f"{int(counts.sum()):,} hidden tokens of chapters never seen, in {len(counts)} passages"
    knows, hits, lost = "knows frequencies alone", "guessed tokens", "surprise in nats"
    return [
        metric("masked_accuracy", figure(right), hits, hits, note, better="higher"),
        metric("unigram_accuracy", figure(common), f"{hits}, unigram", hits, knows, better="higher"),
        metric("masked_surprise", figure(surprise), lost, lost, note),
        metric("unigram_surprise", figure(nats), f"{lost}, unigram", lost, knows),
        metric(
            "nats_saved",
            figure(nats - surprise),
            "nats below the unigram's",
            "saved",
            "paired, by passage",
            better="higher",
        ),
    ]
