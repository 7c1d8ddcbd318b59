"""How a language model is judged: on held-out chapters, beside an n-gram model of the same tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from locution.data.byte_pairs import Tokenizer
from locution.data.prose import Prose, stream_of
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio
from locution.evaluation.ngram import NGram, best_order
from locution.evaluation.perplexity import bits_per_byte, in_passages, perplexity, token_bytes, token_surprise
from locution.models.attention import choose_kernel
from locution.models.language_model import LanguageTransformer
from locution.reporting.results import Gallery, Graph, Matrix, Metric

PASSAGE = 128  # tokens: the unit over which intervals are drawn
DRAWN, NAMED = 40, 16  # tokens of a passage whose attention is drawn, and written out with figures
HEADING = 18  # tokens, about: behind the title of the first chapter its prose begins
BYTES_IN_A_ROW = 8  # more of them help no further on this much text
LEAST = 2  # tokens of a text that can be judged by


def baseline(prose: Prose) -> NGram:
    """Fit the n-gram model to be beaten, its order chosen on the development text where there is one."""
    train, held, size = prose.streams["train"], prose.streams["development"], len(prose.tokenizer)
    return best_order(train, held, size) if len(held) > LEAST else NGram(4, size).fit(train)


def baseline_of_bytes(prose: Prose) -> Tensor:
    """Measure what an n-gram model over single bytes finds in the test text: nats of each byte and mark."""
    plain = Tokenizer([])
    streams = {name: stream_of(plain, texts) for name, texts in prose.texts.items()}
    return NGram(BYTES_IN_A_ROW, len(plain)).fit(streams["train"]).surprise(streams["test"])


def figures(model: LanguageTransformer, prose: Prose) -> tuple[list[Metric], dict[str, Tensor]]:
    """Judge a model beside the n-gram model: the figures, and both surprises at each token of the test text."""
    stream = prose.streams["test"]
    if len(stream) <= LEAST:
        raise UserError("there is no test text to judge by; allowed: data.test above 0.")
    ngram = baseline(prose)
    surprise = {"model": token_surprise(model, stream, model.context), "ngram": ngram.surprise(stream)}
    size = token_bytes(stream, prose.tokenizer.sizes())
    ours, theirs, sizes, counts = (
        in_passages(values, PASSAGE) for values in (*surprise.values(), size, torch.ones_like(size))
    )
    note = f"{len(stream):,} tokens, {int(size.sum()):,} bytes of chapters never seen, in {len(counts)} passages"
    tokens = f"the same tokens, {ngram.order} in a row"
    saved = bootstrap(torch.stack([(theirs - ours) / math.log(2), sizes], 1), ratio)
    bits, torn = "bits per byte", "perplexity"
    plain = float(baseline_of_bytes(prose).sum()) / math.log(2) / float(size.sum())
    return [
        metric("bits_per_byte", bits_per_byte(ours, sizes), bits, bits, note),
        metric("ngram_bits_per_byte", bits_per_byte(theirs, sizes), f"{bits}, n-gram", bits, tokens),
        metric(
            "byte_ngram_bits_per_byte", {"value": plain}, f"{bits}, n-gram of bytes", bits, f"{BYTES_IN_A_ROW} in a row"
        ),
        metric("perplexity", perplexity(ours, counts), f"{torn} per token", torn, note),
        metric("ngram_perplexity", perplexity(theirs, counts), f"{torn}, n-gram", torn, tokens),
        metric("bits_saved", saved, f"{bits} below the n-gram's", "saved", "paired, by passage", better="higher"),
    ], surprise


def metric(
    name: str, figure: Mapping[str, float], label: str, group: str, note: str, *, better: str = "lower"
) -> Metric:
    """Make a metric of a figure with its interval, if it has one."""
    return Metric(name, figure["value"], figure.get("low"), figure.get("high"), label, group, better, note)


def context_worth(model: LanguageTransformer, prose: Prose, ngram: Tensor) -> Graph:
    """Draw how surprise falls with what stands before: mean bits a token, by its place in a passage read afresh."""
    stream, length = prose.streams["test"], model.context
    ours = token_surprise(model, stream, length, length) / math.log(2)  # windows side by side
    count = len(ours) // length
    mean, theirs = ours[: count * length].view(count, length).mean(0), float(ngram.mean()) / math.log(2)
    groups = torch.tensor_split(torch.arange(length), min(length, 16))
    places = [float(group.double().mean()) + 1 for group in groups]
    lines = {"language model": (places, [float(mean[group].mean()) for group in groups])}
    lines["n-gram"] = ([places[0], places[-1]], [theirs, theirs])
    return Graph("What context is worth", lines, across="tokens read before", note="bits a token, held-out chapters")


def attention_pictures(
    model: LanguageTransformer, tokenizer: Tokenizer, stream: Tensor
) -> tuple[list[Gallery], list[Matrix]]:
    """Draw which place of a passage looks at which: every head of every block, and one head with its tokens."""
    first = min(HEADING, len(stream) // 2)
    tokens = stream[first : first + min(DRAWN, model.context)]
    if len(tokens) < LEAST:
        return [], []
    with torch.no_grad():
        maps = model.attention_maps(tokens[None].to(model.embedding.weight.device))[0].float().cpu()  # (L, H, T, T)
    note = "a row for each block, a picture for each head: from each place (downwards) to those it looks at (across)"
    some = tokens[:NAMED]
    near = maps[:, :, : len(some), : len(some)]
    places = torch.arange(len(some))
    away = (near * (places[:, None] - places).abs()).sum(-1).mean(-1)  # (L, H)
    block, head = divmod(int(away.argmax()), away.shape[1])
    names = [tokenizer.name(token) for token in some.tolist()]
    title = f"Attention of block {block + 1}, head {head + 1}, which looks furthest"
    far = Matrix(title, names, names, near[block, head].tolist(), "each row: how much a token takes from which")
    return [Gallery("Attention", maps.numpy(), note)], [far]


def kernel_used(model: LanguageTransformer) -> str:
    """Say which of torch's kernels computes the model's attention."""
    attention: Any = model.blocks.blocks[0].attention
    weight = model.embedding.weight
    query = weight.new_zeros(1, attention.heads, model.context, weight.shape[1] // attention.heads)
    if model.causal:
        return choose_kernel(query, query)
    mask = torch.ones(1, 1, 1, model.context, dtype=torch.bool, device=weight.device)
    return choose_kernel(query, query, mask)
