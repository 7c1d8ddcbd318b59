"""The project's own speech encoder: log-mel frames to 25 features a second."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from locution.errors import UserError, require


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder: mel bands, stem width, width, blocks, heads, feed-forward width, memory.

    `window`: how many frames of 40 ms each frame attends to on either side. Because it is bounded, a long
    clip is heard as well as a short one.

    >>> EncoderConfig(width=100, heads=8)
    Traceback (most recent call last):
    locution.errors.UserError: heads is 8; allowed: a divisor of width 100 with an even share.
    """

    n_mels: int = 80
    stem: int = 160
    width: int = 256
    blocks: int = 6
    heads: int = 4
    feed_forward: int = 768
    kernel: int = 9
    window: int = 64
    dropout: float = 0.0
    classes: int = 29

    def __post_init__(self) -> None:
        even = self.heads >= 1 and self.width % (2 * self.heads) == 0
        require(even, "heads", self.heads, f"a divisor of width {self.width} with an even share")
        require(self.kernel % 2 == 1, "kernel", self.kernel, "an odd number")
        require(self.window >= 1, "window", self.window, "a whole number from 1")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a share from 0 to below 1")


def keep(lengths: Tensor, frames: int) -> Tensor:
    """Mark the frames that belong to each clip: (N,) lengths to (N, frames) booleans.

    >>> keep(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def rotations(frames: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines (frames, size / 2) of rotary positions."""
    rates = 10_000 ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(frames, device=device)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of channels by its position's angle, so that products depend on distances alone.

    Reference: Su et al., 2021, "RoFormer: enhanced transformer with rotary position embedding", equation 34.
    """
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Attention(nn.Module):
    """Self-attention with rotary positions over a window of neighbouring frames."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.inward = nn.Linear(config.width, 3 * config.width, bias=False)
        self.outward = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, allowed: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        batch, frames, width = x.shape
        parts = self.inward(x).view(batch, frames, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, size) each
        query, key = (rotate(part, *turns).to(value.dtype) for part in (query, key))
        scores = (query @ key.transpose(-1, -2)).float() * (width // self.heads) ** -0.5  # (N, heads, T, T)
        shares = scores.masked_fill(~allowed, -1e9).softmax(-1).to(value.dtype)
        heard = (shares @ value).transpose(1, 2).reshape(batch, frames, width)
        output: Tensor = self.outward(heard)
        return output


class Convolution(nn.Module):
    """A gated depthwise convolution: what the neighbouring frames say.

    Reference: Gulati et al., 2020, "Conformer: convolution-augmented transformer for speech recognition",
    figure 2 (layer normalisation in place of batch normalisation, so that no clip depends on its batch).
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, 2 * config.width)
        self.depthwise = nn.Conv1d(
            config.width, config.width, config.kernel, padding=config.kernel // 2, groups=config.width
        )
        self.norm = nn.LayerNorm(config.width)
        self.mix = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        gated = F.glu(self.gate(x), -1) * mask  # silence behind each clip's end, whatever the padding
        mixed = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        output: Tensor = self.mix(F.silu(self.norm(mixed)))
        return output


class Block(nn.Module):
    """One layer of the encoder: convolution, attention, feed-forward, each normalised first and added."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.convolution, self.attention = Convolution(config), Attention(config)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))
        self.widen = nn.Linear(config.width, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, allowed: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.drop(self.convolution(self.norms[0](x), mask))
        x = x + self.drop(self.attention(self.norms[1](x), allowed, turns))
        output: Tensor = x + self.drop(self.narrow(F.gelu(self.widen(self.norms[2](x)))))
        return output


class SpeechEncoder(nn.Module):
    """A speech encoder turns a log-mel spectrogram into 25 vectors a second that say what is being said.

    Two convolutions of stride two, then blocks of convolution, windowed attention and feed-forward; a linear
    head gives the log-probabilities of characters for CTC. A batch of clips of unequal lengths gives each
    clip what it gets alone.

    >>> _ = torch.manual_seed(0)
    >>> encoder = SpeechEncoder(EncoderConfig(width=16, heads=2, blocks=1, stem=8, feed_forward=16)).eval()
    >>> features, lengths = encoder.features(torch.zeros(2, 100, 80), torch.tensor([100, 50]))
    >>> features.shape, lengths
    (torch.Size([2, 25, 16]), tensor([25, 13]))

    Reference: Radford et al., 2022, "Robust speech recognition via large-scale weak supervision", section
    2.2 (the stem); Gulati et al., 2020, "Conformer: convolution-augmented transformer for speech
    recognition" (the blocks).
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        self.first = nn.Conv1d(config.n_mels, config.stem, 5, stride=2, padding=2)
        self.second = nn.Conv1d(config.stem, config.width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)

    def stem(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Bring 100 frames a second down to 25: (N, T, mels) to (N, T / 4, width), and the new lengths."""
        x = mel * keep(lengths, mel.shape[1])[..., None]
        x = x.transpose(1, 2)  # (N, mels, T)
        for convolution in (self.first, self.second):
            x = F.gelu(convolution(x))
            lengths = (lengths + 1) // 2
            x = x * keep(lengths, x.shape[2])[:, None]
        return x.transpose(1, 2), lengths

    def layers(self, mel: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what every block hands on, each (N, T / 4, width) in float32, and the lengths."""
        x, lengths = self.stem(mel, lengths)
        x, frames = x.float(), x.shape[1]
        mask = keep(lengths, frames)
        where = torch.arange(frames, device=x.device)
        near = (where[:, None] - where).abs() <= self.config.window  # (T, T)
        allowed = (near & (mask[:, None] | ~mask[:, :, None]))[:, None]  # padding sees all, or its row would be empty
        turns = rotations(frames, self.config.width // self.config.heads, x.device)
        outputs = []
        for block in self.blocks:
            x = block(x, mask[..., None], allowed, turns)
            outputs.append(x)
        return outputs, lengths

    def features(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode log-mel (N, T, mels), lengths (N,): features (N, T / 4 rounded up, width), lengths (N,)."""
        outputs, lengths = self.layers(mel, lengths)
        features: Tensor = self.norm(outputs[-1])
        return features, lengths

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Score characters: log-probabilities (N, T', classes) for CTC, and the lengths (N,)."""
        features, lengths = self.features(mel, lengths)
        return self.head(features).float().log_softmax(-1), lengths

    def save(self, folder: Path, precision: torch.dtype = torch.bfloat16) -> None:
        """Write weights (safetensors) and shape (config.json) into a folder."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.to(precision).contiguous() for name, weight in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> SpeechEncoder:
        """Read an encoder that `save` wrote: float32 weights, in eval mode.

        Raises UserError for a folder that holds none, or one of another shape.
        """
        from safetensors.torch import load_file

        weights, config = folder / "model.safetensors", folder / "config.json"
        if not (weights.exists() and config.exists()):
            raise UserError(f"{folder} holds no speech encoder; allowed: a folder with model.safetensors, config.json.")
        try:
            settings: dict[str, Any] = json.loads(config.read_text())
            encoder = cls(EncoderConfig(**settings))
            encoder.load_state_dict({name: weight.float() for name, weight in load_file(weights).items()})
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{folder} is no speech encoder of this kind: {str(error).splitlines()[0]}") from None
        return encoder.eval()
