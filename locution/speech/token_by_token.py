"""Token by token: the language model reads the prompt and the audio, then each token that it has just written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from locution.speech.recogniser import Recogniser

LONGEST_LOOP = 24  # tokens of the longest stretch that counts as a loop
REPEATS = 8  # people do say a number six times in a row
CHECK_EVERY = 8
ROOM = 64  # tokens that are made room for at first on an accelerator; a processor is faster growing


class Bias(Protocol):
    """What draws or pushes away tokens: for the tokens written so far, what is added to the scores of the next."""

    def bonus(self, tokens: Sequence[int]) -> dict[int, float]:
        """Say what to add, in nats, to the scores of which tokens."""
        ...


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


@dataclass(frozen=True)
class Prefix:
    """What stands before the audio in every prompt, read once for all clips: tokens (P,), keys and values by layer."""

    count: int
    layers: Sequence[tuple[Tensor, Tensor]]

    @classmethod
    @torch.inference_mode()
    def of(cls, recogniser: Recogniser) -> Prefix:
        """Read the prompt's part before the audio."""
        from locution.speech.key_values import read_prefix

        layers = read_prefix(recogniser.language_model, recogniser.embed(recogniser.before))
        return cls(len(recogniser.before) if layers else 0, layers)


def placed(recogniser: Recogniser, audio: Tensor, heard: Tensor, prefix: Prefix) -> tuple[Tensor, Tensor]:
    """Put audio (B, T', H) and prompt in one row each, padded on the left: (B, S, H), and the mask (B, P + S).

    What the prefix holds is left out of the rows; in the mask it comes first, before the padding.
    """
    x, mask = recogniser.sequence(audio, heard)
    if not prefix.count:
        return x, mask
    x, mask = x.clone(), mask.clone()
    rows, first = torch.arange(len(x), device=x.device)[:, None], mask.long().argmax(1)  # (B,), where each begins
    mask[rows, first[:, None] + torch.arange(prefix.count, device=x.device)] = False  # is in the cache already
    return x[:, prefix.count :], torch.cat([mask.new_ones(len(x), prefix.count), mask[:, prefix.count :]], dim=1)


@torch.inference_mode()
def write_tokens(
    recogniser: Recogniser,
    audio: Tensor,
    heard: Tensor,
    limits: Tensor,
    *,
    prefix: Prefix | None = None,
    bias: Bias | None = None,
    room: int | None = None,
) -> Iterator[list[tuple[int, int, float]]]:
    """Write token by token what audio (B, T', H) of lengths (B,) says: at each step (clip, token, log-probability).

    A clip ends with the end mark, at its limit of tokens (B,), or when it repeats itself; when half of all are done,
    the rest go on alone. The log-probabilities are the model's own, whatever a bias draws.
    """
    from locution.speech.key_values import begin, key_values

    model, end = recogniser.language_model, recogniser.end[0]
    prefix = prefix or Prefix(0, [])
    x, present = placed(recogniser, audio, heard, prefix)
    room = (0 if x.device.type == "cpu" else ROOM) if room is None else room
    rows: list[list[int]] = [[] for _ in range(len(x))]
    clips = torch.arange(len(x), device=x.device)  # which clip each row of the batch is
    going = torch.ones(len(x), dtype=torch.bool, device=x.device)
    place = present.sum(1, keepdim=True)  # (B, 1)
    mask = present.long()
    places = (mask.cumsum(1) - 1).clamp(min=0)[:, prefix.count :]
    cache: Any = key_values(model, room=mask.shape[1] + room if room else 0)
    begin(cache, prefix.layers, len(x))
    given: dict[str, Tensor] = {"inputs_embeds": x, "position_ids": places}
    for step in range(1, int(limits.max()) + 1):
        output = model(**given, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token, logs = choose(output.logits[:, -1], [rows[row] for row in clips.tolist()], bias)
        wrote = list(zip(clips[going].tolist(), token[going].tolist(), logs[going].tolist(), strict=True))
        for row, value, _ in wrote:
            rows[row].append(value)
        yield wrote
        going = going & (token != end) & (limits[clips] > step)
        if step % CHECK_EVERY == 0:
            loops = [loop_start(rows[row]) is not None for row in clips.tolist()]
            going = going & ~torch.tensor(loops, device=x.device)
        if not bool(going.any()):
            break
        if 2 * int(going.sum()) <= len(going):
            kept = going.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            clips, going, token, mask, place = (t[kept] for t in (clips, going, token, mask, place))
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        given = {"input_ids": token[:, None], "position_ids": place}
        place = place + 1


def choose(logits: Tensor, rows: Sequence[Sequence[int]], bias: Bias | None) -> tuple[Tensor, Tensor]:
    """Choose the likeliest token of (B, V), or the one a bias lifts above it; give its own log-probability too."""
    scores = logits.float().log_softmax(-1)
    if bias is None:
        logs, token = scores.max(-1)
        return token, logs
    lifted = scores.clone()
    for number, row in enumerate(rows):
        for token_id, more in bias.bonus(row).items():
            lifted[number, token_id] += more
    token = lifted.argmax(-1)
    return token, scores.gather(1, token[:, None])[:, 0]
