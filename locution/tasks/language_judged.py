"""How a language model is judged: on held-out chapters, beside an n-gram model of the same tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from locution.data.byte_pairs import END, Tokenizer
from locution.data.prose import Prose
from locution.errors import UserError
from locution.evaluation.intervals import bootstrap, ratio
from locution.evaluation.perplexity import bits_per_byte, in_passages, perplexity, token_bytes, token_surprise
from locution.models.attention import choose_kernel
from locution.models.language_model import LanguageTransformer
from locution.reporting.results import Gallery, Graph, Matrix, Metric, Table
from locution.tasks.language_baselines import of_bytes, of_tokens

PASSAGE = 128  # tokens: the unit over which intervals are drawn
DRAWN, NAMED = 40, 16  # tokens of a passage whose attention is drawn, and written out with figures
HEADING = 18  # tokens, about: behind the title of the first chapter its prose begins
LEAST = 2  # tokens of a text that can be judged by


def figures(model: LanguageTransformer, prose: Prose) -> tuple[list[Metric], dict[str, Tensor]]:
    """Judge a model beside n-gram models: the figures, and what each finds at each token of the test text, in nats."""
    stream = prose.streams["test"]
    if len(stream) <= LEAST:
        raise UserError("there is no test text to judge by; allowed: data.test above 0.")
    by_tokens, by_bytes = of_tokens(prose), of_bytes(prose)
    strongest = min(by_tokens, by_bytes, key=lambda one: float(one.surprise.sum()))
    surprise = {
        "language model": token_surprise(model, stream, model.context),
        "n-gram": by_tokens.surprise,
        "n-gram of bytes": by_bytes.surprise,
    }
    size = token_bytes(stream, prose.tokenizer.sizes())
    ours, theirs, plain, best, sizes, counts = (
        in_passages(values, PASSAGE) for values in (*surprise.values(), strongest.surprise, size, torch.ones_like(size))
    )
    note = f"{len(stream):,} tokens, {int(size.sum()):,} bytes of chapters never seen, in {len(counts)} passages"
    tokens, bytes_ = f"the same tokens, {by_tokens.order} in a row", f"{by_bytes.order} bytes in a row"
    beaten = f"paired, by passage; the better one on this text: {tokens if strongest is by_tokens else bytes_}"
    saved = bootstrap(torch.stack([(best - ours) / math.log(2), sizes], 1), ratio)
    bits, torn = "bits per byte", "perplexity"
    return [
        metric("bits_per_byte", bits_per_byte(ours, sizes), bits, bits, note),
        metric("ngram_bits_per_byte", bits_per_byte(theirs, sizes), f"{bits}, n-gram", bits, tokens),
        metric("byte_ngram_bits_per_byte", bits_per_byte(plain, sizes), f"{bits}, n-gram of bytes", bits, bytes_),
        metric("perplexity", perplexity(ours, counts), f"{torn} per token", torn, note),
        metric("ngram_perplexity", perplexity(theirs, counts), f"{torn}, n-gram", torn, tokens),
        metric("bits_saved", saved, f"{bits} below the best n-gram's", "saved", beaten, better="higher"),
    ], surprise


def metric(
    name: str, figure: Mapping[str, float], label: str, group: str, note: str, *, better: str = "lower"
) -> Metric:
    """Make a metric of a figure with its interval, if it has one."""
    return Metric(name, figure["value"], figure.get("low"), figure.get("high"), label, group, better, note)


def context_worth(model: LanguageTransformer, prose: Prose, surprise: Mapping[str, Tensor]) -> Graph:
    """Draw how surprise falls with what stands before: mean bits a token, by its place in a passage read afresh."""
    stream, length = prose.streams["test"], model.context
    ours = token_surprise(model, stream, length, length) / math.log(2)  # windows side by side
    count = len(ours) // length
    mean = ours[: count * length].view(count, length).mean(0)
    groups = torch.tensor_split(torch.arange(length), min(length, 16))
    places = [float(group.double().mean()) + 1 for group in groups]
    lines = {"language model": (places, [float(mean[group].mean()) for group in groups])}
    for name, found in surprise.items():
        if name not in lines:
            level = float(found.mean()) / math.log(2)
            lines[name] = ([places[0], places[-1]], [level, level])
    return Graph("What context is worth", lines, across="tokens read before", note="bits a token, held-out chapters")


def by_chapter(prose: Prose, surprise: Mapping[str, Tensor]) -> Table:
    """Say how well each held-out chapter is expected: in bits a byte, beside n-grams, and as perplexity a token."""
    stream = prose.streams["test"]
    size = token_bytes(stream, prose.tokenizer.sizes())
    ends = ((stream[1:] == END).nonzero().flatten() + 1).tolist()[:-1]  # behind each chapter its mark

    def chapters(values: Tensor) -> list[float]:
        return [float(part.sum()) for part in torch.tensor_split(values, ends)]

    sizes, counts = chapters(size), chapters(torch.ones_like(size))
    nats = {name: chapters(values) for name, values in surprise.items()}
    rows = []
    for at, name in enumerate(prose.chapters["test"]):
        bits = [f"{found[at] / math.log(2) / max(sizes[at], 1.0):.3f}" for found in nats.values()]
        rows.append([name, f"{int(sizes[at]):,}", *bits, f"{math.exp(nats['language model'][at] / counts[at]):.2f}"])
    rows.sort(key=lambda row: float(row[2]))
    note = "bits a byte of each chapter that was held out, the one that is expected best first; perplexity a token"
    return Table("Held-out chapters", ["chapter", "bytes", *nats, "perplexity"], rows, note)


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
