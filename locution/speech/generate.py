"""Writing: greedy decoding of many clips at once, with a key-value cache, a limit and a guard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from locution.speech.frozen import SMALL
from locution.speech.recogniser import Recogniser
from locution.speech.utterances import pad_frames

LONGEST_LOOP = 24  # tokens of the longest stretch that counts as a loop
REPEATS = 8  # people do say a number six times in a row
CHECK_EVERY = 8
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


def loop_start(tokens: Sequence[int], repeats: int = REPEATS, longest: int = LONGEST_LOOP) -> int | None:
    """Find where the tail of a text began to repeat itself; None if it does not.

    A stretch of up to `longest` tokens that stands `repeats` times in a row at the end is a loop; its first
    standing is kept.

    >>> loop_start([7, 1, 2, 1, 2, 1, 2], repeats=3)
    3
    >>> loop_start([7, 1, 2, 1, 2], repeats=3) is None
    True
    """
    for period in range(1, longest + 1):
        span = period * repeats
        if len(tokens) >= span and all(tokens[-i] == tokens[-i - period] for i in range(1, span - period + 1)):
            start = len(tokens) - span
            while start > 0 and tokens[start - 1] == tokens[start - 1 + period]:
                start -= 1
            return start + period
    return None


@torch.inference_mode()
def generate(
    recogniser: Recogniser,
    frames: Tensor,
    lengths: Tensor,
    *,
    tokens_per_second: float = TOKENS_PER_SECOND,
    change: Change | None = None,
) -> list[Written]:
    """Greedy decoding writes, word after word, what the model finds likeliest after all that stands so far.

    frames (B, T, D) with lengths (B,) become B texts. A clip may have so many tokens as its length allows,
    and stops when it repeats itself. `change` replaces the audio's embeddings before the model reads them
    (for controls).

    Reference: A. Graves, 2012, "Sequence Transduction with Recurrent Neural Networks", section 2.3 (greedy
    search as the narrowest beam).
    """
    audio, heard = recogniser.audio(frames, lengths)
    if change is not None:
        audio = change(audio, heard)
    x, mask = recogniser.sequence(audio, heard)
    rate = recogniser.frame_rate
    limits = (lengths / rate * tokens_per_second).long() + 8  # (B,)
    rows, sure = _decode(recogniser, x, mask, limits)
    return [_written(recogniser, row, logs) for row, logs in zip(rows, sure, strict=True)]


def _decode(
    recogniser: Recogniser, x: Tensor, mask: Tensor, limits: Tensor
) -> tuple[list[list[int]], list[list[float]]]:
    """Run the model over the prompt, then token by token; when half are done, the rest go on alone."""
    model, end = recogniser.language_model, recogniser.end[0]
    rows: list[list[int]] = [[] for _ in range(len(x))]
    sure: list[list[float]] = [[] for _ in range(len(x))]
    clips = torch.arange(len(x), device=x.device)  # which clip each row of the batch is
    going = torch.ones(len(x), dtype=torch.bool, device=x.device)
    place = mask.sum(1, keepdim=True)  # (B, 1)
    mask = mask.long()
    places = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(inputs_embeds=x, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1)
    for step in range(1, int(limits.max()) + 1):
        logs, token = output.logits[:, -1].float().log_softmax(-1).max(-1)  # (b,) each
        for row, value, log in zip(clips[going].tolist(), token[going].tolist(), logs[going].tolist(), strict=True):
            rows[row].append(value)
            sure[row].append(log)
        going = going & (token != end) & (limits[clips] > step)
        if step % CHECK_EVERY == 0:
            loops = [loop_start(rows[row]) is not None for row in clips.tolist()]
            going = going & ~torch.tensor(loops, device=x.device)
        if not bool(going.any()):
            break
        cache: Any = output.past_key_values
        if 2 * int(going.sum()) <= len(going):
            kept = going.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            clips, going, token, mask, place = (t[kept] for t in (clips, going, token, mask, place))
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        output = model(
            input_ids=token[:, None],
            attention_mask=mask,
            position_ids=place,
            past_key_values=cache,
            use_cache=True,
        )
        place = place + 1
    return rows, sure


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
) -> list[Written]:
    """Decode many clips, frames[i] of (T_i, D), in batches of like lengths; the answers come in the clips'
    order.

    precision "bf16" computes under autocast: about twice as fast, and now and then another letter.
    """
    order = sorted(range(len(frames)), key=lambda i: len(frames[i]))
    small = sum(weight.numel() for weight in recogniser.language_model.parameters()) < SMALL
    found: dict[int, Written] = {}
    device = next(recogniser.projector.parameters()).device
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        padded, lengths = pad_frames([frames[i] for i in rows])
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        with bf16, one_thread(small and device.type == "cpu"):
            texts = generate(recogniser, padded.to(device), lengths.to(device), change=change)
        found.update(zip(rows, texts, strict=True))
    return [found[i] for i in range(len(frames))]
