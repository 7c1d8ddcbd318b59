"""Sound on its way through a batch: samples, then a spectrogram, then an encoder's frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from locution.engine.batch import Batch
from locution.engine.method import Step
from locution.errors import UserError
from locution.speech.logmel import log_mel_padded
from locution.speech.recogniser import Recogniser

KINDS = ("waves", "mel", "frames")
AT_ONCE = 32  # clips that an encoder hears at a time, whatever the batch: what it computes on the way is large
CACHED = (
    "which are not in the cache of encoder frames; allowed: data.cache=false, or +frame_masking and +frame_dropout, "
    "which act on cached frames"
)


def sound(batch: Batch, name: str) -> Mapping[str, Tensor]:
    """Take a batch's inputs where they are sound, and refuse any other in one line.

    >>> sound(Batch(torch.zeros(2, 3)), "noise")
    Traceback (most recent call last):
    locution.errors.UserError: 'noise' came upon inputs that are no sound; allowed: recipes of speech.
    """
    inputs = batch.inputs
    if isinstance(inputs, Mapping) and "lengths" in inputs and any(kind in inputs for kind in KINDS):
        return inputs
    raise UserError(f"'{name}' came upon inputs that are no sound; allowed: recipes of speech.")


def with_sound(batch: Batch, kind: str, values: Tensor, lengths: Tensor) -> Batch:
    """Put changed sound into a batch, as samples, spectrogram or frames, in place of what it came from."""
    rest = {key: value for key, value in batch.inputs.items() if key not in KINDS}
    return replace(batch, inputs={kind: values, **rest, "lengths": lengths})


def waves_of(batch: Batch, name: str) -> tuple[Tensor, Tensor]:
    """Take a batch's samples (B, N) and their number (B,)."""
    inputs = sound(batch, name)
    if "frames" in inputs:
        raise UserError(f"'{name}' changes samples, {CACHED}.")
    if "waves" not in inputs:
        raise UserError(
            f"'{name}' changes samples, and this recipe keeps its sounds as spectrograms; allowed: +spec_augment, or "
            "recipe speech with data.cache=false."
        )
    return inputs["waves"], inputs["lengths"]


def mel_of(batch: Batch, step: Step, name: str) -> tuple[Tensor, Tensor]:
    """Take a batch's log-mel spectrograms (B, F, M) and their frames (B,), made of its samples if need be."""
    inputs = sound(batch, name)
    if "mel" in inputs:
        return inputs["mel"], inputs["lengths"]
    if "waves" not in inputs:
        raise UserError(f"'{name}' changes spectrograms, {CACHED}.")
    encoder: Any = recogniser_of(step, name).encoder
    return log_mel_padded(inputs["waves"], inputs["lengths"], encoder.config.n_mels)


def frames_of(batch: Batch, step: Step, name: str) -> tuple[Tensor, Tensor]:
    """Take a batch's encoder frames (B, T, D) and their number (B,), computed of its sound if need be."""
    inputs = sound(batch, name)
    if "frames" in inputs:
        return inputs["frames"], inputs["lengths"]
    recogniser = recogniser_of(step, name)
    parts = [recogniser.hear(batch.rows(start, start + AT_ONCE).inputs) for start in range(0, len(batch), AT_ONCE)]
    room = max(frames.shape[1] for frames, _ in parts)
    padded = [torch.nn.functional.pad(frames, (0, 0, 0, room - frames.shape[1])) for frames, _ in parts]
    return torch.cat(padded), torch.cat([lengths for _, lengths in parts])


def recogniser_of(step: Step, name: str) -> Recogniser:
    """Say that the model that learns is a recogniser."""
    if not isinstance(step.model, Recogniser):
        what = type(step.model).__name__
        raise UserError(f"'{name}' needs a recogniser's encoder; this recipe trains a {what}; allowed: recipe speech.")
    return step.model


def there(lengths: Tensor, room: int) -> Tensor:
    """Mark what belongs to each clip and is no padding: (B,) to (B, room).

    >>> there(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(room, device=lengths.device) < lengths[:, None]


def mean_power(waves: Tensor, lengths: Tensor) -> Tensor:
    """Measure the mean power of each clip over its own samples: (B, N), silent behind its end, to (B, 1).

    >>> mean_power(torch.tensor([[3.0, 3.0, 0.0], [1.0, 2.0, 2.0]]), torch.tensor([2, 3])).flatten()
    tensor([9., 3.])
    """
    return waves.square().sum(1, keepdim=True) / lengths[:, None]


def samples_stream(step: Step, name: str, device: torch.device) -> torch.Generator:
    """Hand out the stream of this step and method that draws whole sounds, on the device where they are needed."""
    return torch.Generator(device).manual_seed(step.generator(f"{name} samples").initial_seed())
