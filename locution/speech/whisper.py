"""Whisper's encoder as a frozen ear: frames in, frames out, thirty seconds or only what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import UserError


@dataclass(frozen=True)
class Shape:
    """What goes in, bands of a spectrogram, and what comes out, the width of a frame."""

    n_mels: int
    width: int


class WhisperFrames(nn.Module):
    """Whisper's encoder turns a log-mel spectrogram into fifty vectors a second that say what was heard.

    It was trained on thirty seconds, silence included; `unpadded` leaves the silence out, which is about ten
    times less work for clips of three seconds and changes the frames a little.

    `features(mel, lengths)` takes mel (B, F, n_mels) as `log_mel_batch` makes it, F at most 3000, and lengths
    (B,) in mel frames; it gives frames (B, ceil(F / 2), D) and their lengths.

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section
    2.2.
    """

    def __init__(self, encoder: Any, *, unpadded: bool = False) -> None:
        super().__init__()
        self.encoder, self.unpadded = encoder, unpadded
        self.config = Shape(encoder.config.num_mel_bins, encoder.config.d_model)

    @property
    def longest(self) -> int:
        """Count the mel frames that it can take: 3000, thirty seconds."""
        return 2 * int(self.encoder.config.max_source_positions)

    def features(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch of clips of unequal lengths."""
        if mel.shape[1] > self.longest:
            raise UserError(f"a clip of {mel.shape[1] / 100:g} s; allowed: {self.longest / 100:g} s, so cut it first.")
        room = mel.shape[1] + 4 if self.unpadded else self.longest  # both convolutions must see silence
        mel = with_silence(mel, lengths, min(room, self.longest))
        mel = mel.transpose(1, 2).to(self.encoder.conv1.weight.dtype)  # (B, n_mels, F)
        kept = (lengths + 1) // 2
        if self.unpadded:
            return self._short(mel, kept), kept
        frames = self.encoder(mel).last_hidden_state  # (B, 1500, D)
        return frames[:, : int(kept.max())], kept

    def _short(self, mel: Tensor, kept: Tensor) -> Tensor:
        """Run the encoder's own layers on as many frames as there are, none attending to the padding."""
        e = self.encoder
        x = nn.functional.gelu(e.conv2(nn.functional.gelu(e.conv1(mel))))  # (B, D, T)
        x = x.transpose(1, 2)[:, : int(kept.max())]  # (B, T, D)
        x = x + e.embed_positions.weight[: x.shape[1]]
        there = torch.arange(x.shape[1], device=x.device) < kept[:, None]  # (B, T)
        mask = torch.zeros(there.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(~there, torch.finfo(x.dtype).min)[:, None, None, :]  # (B, 1, 1, T)
        mask = mask.expand(-1, 1, x.shape[1], -1)
        for layer in e.layers:
            x = layer(x, mask)
        normed: Tensor = e.layer_norm(x)
        return normed


def with_silence(mel: Tensor, lengths: Tensor, room: int) -> Tensor:
    """Fill what lies behind each clip of (B, F, n_mels) with what silence looks like there, up to `room`
    frames.

    Whisper's scale puts silence eight decades below the clip's loudest place, that is 2.0 lower, and never
    below -1.5.

    >>> with_silence(torch.tensor([[[0.9], [0.0]]]), torch.tensor([1]), 3).flatten()
    tensor([ 0.9, -1.1, -1.1])
    """
    mel = nn.functional.pad(mel, (0, 0, 0, room - mel.shape[1]))
    beyond = (torch.arange(room, device=mel.device) >= lengths[:, None])[..., None]  # (B, room, 1)
    loudest = mel.masked_fill(beyond, -torch.inf).amax((1, 2), keepdim=True)
    return torch.where(beyond, (loudest - 2.0).clamp(min=-1.5), mel)
