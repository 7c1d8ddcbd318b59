"""Writing: greedy decoding of many clips at once, with a key-value cache, a limit and a guard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from locution.speech.frozen import SMALL
from locution.speech.recogniser import Recogniser
from locution.speech.token_by_token import Bias, Prefix, loop_start, write_tokens
from locution.speech.utterances import pad_frames

TOKENS_PER_SECOND = 40.0  # the fastest synthetic voices speak 29 letters a second, and a token may be a letter

Change = Callable[[Tensor, Tensor], Tensor]  # embeddings (B, T', H) and lengths (B,) to embeddings


@dataclass(frozen=True)
class Written:
    """What a language model wrote for one clip, why it stopped ("end", "limit" or "loop"), and how sure it was.

    `confidence` is the geometric mean of the probabilities of all tokens that were written, the end mark
    included: 1 where none was in doubt. It is not compared, as its last digits depend on the batch.

    >>> Written("turn it off", "end", 3, 0.9) == Written("turn it off", "end", 3, 0.8)
    True

    Reference: A. Malinin and M. Gales, 2021, "Uncertainty estimation in autoregressive structured prediction",
    section 3 (length-normalised log-probability).
    """

    text: str
    stopped: str
    tokens: int
    confidence: float = field(default=1.0, compare=False)


@torch.inference_mode()
def generate(
    recogniser: Recogniser,
    frames: Tensor,
    lengths: Tensor,
    *,
    tokens_per_second: float = TOKENS_PER_SECOND,
    change: Change | None = None,
    prefix: Prefix | None = None,
    bias: Bias | None = None,
) -> list[Written]:
    """Greedy decoding writes, word after word, what the model finds likeliest after all that stands so far.

    frames (B, T, D) with lengths (B,) become B texts. A clip may have so many tokens as its length allows,
    and stops when it repeats itself. `change` replaces the audio's embeddings before the model reads them
    (for controls); `prefix` is what `Prefix.of` read before; `bias` draws some tokens (hotwords).

    Reference: A. Graves, 2012, "Sequence Transduction with Recurrent Neural Networks", section 2.3 (greedy
    search as the narrowest beam).
    """
    audio, heard = recogniser.audio(frames, lengths)
    if change is not None:
        audio = change(audio, heard)
    limits = token_limits(recogniser, lengths, tokens_per_second)
    rows: list[list[int]] = [[] for _ in limits]
    sure: list[list[float]] = [[] for _ in limits]
    for step in write_tokens(recogniser, audio, heard, limits, prefix=prefix, bias=bias):
        for row, token, log in step:
            rows[row].append(token)
            sure[row].append(log)
    return [_written(recogniser, row, logs) for row, logs in zip(rows, sure, strict=True)]


def token_limits(recogniser: Recogniser, lengths: Tensor, tokens_per_second: float = TOKENS_PER_SECOND) -> Tensor:
    """Say how many tokens clips of so many frames (B,) may have."""
    return (lengths / recogniser.frame_rate * tokens_per_second).long() + 8


def _written(recogniser: Recogniser, tokens: list[int], logs: list[float]) -> Written:
    end, stopped = recogniser.end[0], "limit"
    if end in tokens:
        tokens, stopped = tokens[: tokens.index(end)], "end"
        logs = logs[: len(tokens) + 1]
    loop = loop_start(tokens)
    if loop is not None:
        tokens, stopped, logs = tokens[:loop], "loop", logs[:loop]
    text = recogniser.tokenizer.decode(tokens, skip_special_tokens=True)
    return Written(" ".join(text.split()), stopped, len(tokens), math.exp(sum(logs) / max(1, len(logs))))


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Compute on one processor thread for a while, if that is wanted: a small model's single tokens are too little
    work to share, and where the other core is busy, waiting for it takes five times as long.
    """
    threads = torch.get_num_threads()
    if wanted and threads > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def write_all(
    recogniser: Recogniser,
    frames: Sequence[Tensor],
    *,
    batch_size: int = 64,
    change: Change | None = None,
    precision: str = "fp32",
    bias: Bias | None = None,
) -> list[Written]:
    """Decode many clips, frames[i] of (T_i, D), in batches of like lengths; the answers come in the clips'
    order.

    precision "bf16" computes under autocast: about twice as fast, and now and then another letter.
    """
    order = sorted(range(len(frames)), key=lambda i: len(frames[i]))
    small = sum(weight.numel() for weight in recogniser.language_model.parameters()) < SMALL
    found: dict[int, Written] = {}
    prefix = Prefix.of(recogniser) if len(order) else None
    device = next(recogniser.projector.parameters()).device
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        padded, lengths = pad_frames([frames[i] for i in rows])
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        with bf16, one_thread(small and device.type == "cpu"):
            texts = generate(recogniser, padded.to(device), lengths.to(device), change=change, prefix=prefix, bias=bias)
        found.update(zip(rows, texts, strict=True))
    return [found[i] for i in range(len(frames))]
