"""What a language model keeps of the tokens it has read: its keys and values, in memory that is there beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

KeyValues = Sequence[tuple[Tensor, Tensor]]  # of every layer: keys and values (1, heads, P, size)


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in a buffer with room for what is still to come.

    transformers' growing cache copies all that stands for every token; its static one attends to the empty room too.
    Here a token is written behind the others and a view of what stands is given: the same numbers as the growing one.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.count = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write (B, heads, N, size) behind what stands; give all that stands."""
        upto = self.count + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.held = [self._room(part, upto) for part in (key_states, value_states)]
        elif upto > self.held[0].shape[-2]:
            self.held = [self._copied(part, upto) for part in self.held]
        for held, new in zip(self.held, (key_states, value_states), strict=True):
            held[:, :, self.count : upto] = new
        self.count = upto
        self.keys, self.values = (held[:, :, :upto] for held in self.held)
        return self.keys, self.values

    def _room(self, like: Tensor, upto: int) -> Tensor:
        batch, heads, _, size = like.shape
        return like.new_empty(batch, heads, max(self.room, upto), size)

    def _copied(self, held: Tensor, upto: int) -> Tensor:
        wider = self._room(held, upto + upto // 2)
        wider[:, :, : self.count] = held[:, :, : self.count]
        return wider

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some clips of the batch."""
        self.held = [held[indices] for held in self.held]
        self.keys, self.values = (held[:, :, : self.count] for held in self.held)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every clip of the batch."""
        self.held = [held.repeat_interleave(repeats, dim=0) for held in self.held]
        self.keys, self.values = (held[:, :, : self.count] for held in self.held)


def key_values(model: Any, room: int = 0) -> Any:
    """A key-value cache keeps what a language model computed of each token, so that none is computed twice.

    Layers that attend to everything get memory for `room` tokens at once, without room it grows by copying; layers
    with a sliding window keep transformers' own.

    >>> from locution.speech.decoder import DecoderConfig, build_decoder
    >>> model, said = build_decoder(DecoderConfig(width=8, layers=1, heads=1, inner=16)), torch.tensor([[6, 4, 2, 9]])
    >>> cache = key_values(model, room=8)
    >>> _ = model(said[:, :3], past_key_values=cache)
    >>> last = model(said[:, 3:], past_key_values=cache).logits  # reads one token, not four
    >>> torch.allclose(last, model(said).logits[:, 3:], atol=1e-5), tuple(cache.layers[0].keys.shape)
    (True, (1, 1, 4, 8))

    Reference: R. Pope et al., 2023, "Efficiently scaling transformer inference", section 2.
    """
    cache = DynamicCache(config=model.config)
    if room:
        cache.layers = [RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


@torch.inference_mode()
def read_prefix(model: Any, embeddings: Tensor) -> KeyValues:
    """Read what stands before the audio of every clip once: embeddings (P, H) to each layer's keys and values.

    Gives nothing where nothing stands there, or where a layer's window counts places: then it is read with each clip.
    """
    cache = key_values(model)
    if not len(embeddings) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return []
    model(inputs_embeds=embeddings[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return [(layer.keys, layer.values) for layer in cache.layers]


def begin(cache: Any, prefix: KeyValues, batch: int) -> None:
    """Put a prefix that was read once before each of `batch` clips."""
    for number, (keys, values) in enumerate(prefix):
        cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), number)
