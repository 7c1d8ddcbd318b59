"""The log-mel spectrogram: what a Whisper-style encoder sees of a sound."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from locution.errors import UserError, require

SAMPLE_RATE = 16_000
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms: 100 frames a second
FLOOR = 1e-10


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """Map frequencies to Slaney's mel scale: linear to 1 kHz (15 mels), then logarithmic.

    >>> hertz_to_mel(torch.tensor([0.0, 200.0, 1000.0, 6400.0]))
    tensor([ 0.,  3., 15., 42.], dtype=torch.float64)
    """
    hertz = hertz.double()
    steep = 15 + torch.log(hertz.clamp(min=1e-9) / 1000) * 27 / math.log(6.4)
    return torch.where(hertz < 1000, hertz * 3 / 200, steep)


def mel_to_hertz(mel: Tensor) -> Tensor:
    """Map mels back to frequencies.

    >>> mel_to_hertz(torch.tensor([3.0, 42.0]))
    tensor([ 200., 6400.], dtype=torch.float64)
    """
    mel = mel.double()
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


@cache
def mel_filters(n_mels: int = 80) -> Tensor:
    """Build triangular filters, evenly spaced in mels from 0 to 8 kHz, each of area one (Slaney's norm).

    Returns (201, n_mels), float32.

    >>> mel_filters(80).shape
    torch.Size([201, 80])
    """
    require(n_mels in (80, 128), "n_mels", n_mels, "80 or 128, as Whisper's encoders take")
    bins = torch.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1, dtype=torch.float64)  # (201,)
    top = hertz_to_mel(torch.tensor([SAMPLE_RATE / 2])).item()
    edges = mel_to_hertz(torch.linspace(0, top, n_mels + 2, dtype=torch.float64))  # (n_mels + 2,)
    width = edges.diff()
    slopes = edges[None, :] - bins[:, None]  # (201, n_mels + 2)
    rising, falling = -slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (edges[2:] - edges[:-2])).float()


def frame_counts(samples: Tensor) -> Tensor:
    """Count the frames of clips of so many samples: one for every whole hop.

    >>> frame_counts(torch.tensor([16000, 319]))
    tensor([100,   1])
    """
    return torch.div(samples, HOP, rounding_mode="floor")


def powers(waveform: Tensor, n_mels: int = 80) -> Tensor:
    """Measure the power in each mel band of one clip, in log10, unscaled: (samples,) to (frames, n_mels)."""
    if waveform.ndim != 1 or len(waveform) <= WINDOW // 2:
        raise UserError(f"a clip of shape {tuple(waveform.shape)}; allowed: one axis, more than {WINDOW // 2} samples.")
    half = WINDOW // 2
    padded = torch.nn.functional.pad(waveform[None], (half, half), mode="reflect")[0]
    frames = padded.unfold(0, WINDOW, HOP)[: len(waveform) // HOP]  # (frames, 400): Whisper drops the last frame
    window = torch.hann_window(WINDOW, periodic=True, device=waveform.device)
    spectrum = torch.view_as_real(torch.fft.rfft(frames * window))  # (frames, 201, 2)
    energy = spectrum.square().sum(-1)  # (frames, 201)
    mel = energy @ mel_filters(n_mels).to(waveform.device)
    return mel.clamp_(min=FLOOR).log10_()


def scale(mel: Tensor) -> Tensor:
    """Scale a clip's log10 powers as Whisper does: at most eight decades below the loudest, (x + 4) / 4.

    >>> scale(torch.tensor([[0.0, -4.0, -20.0]]))
    tensor([[ 1.,  0., -1.]])
    """
    return torch.maximum(mel, mel.max() - 8).add_(4).div_(4)


def log_mel(waveform: Tensor, n_mels: int = 80) -> Tensor:
    """A log-mel spectrogram shows how much energy a sound has in each pitch band, 100 times a second.

    waveform: (samples,) at 16 kHz, float32 from -1 to 1. Returns (samples // 160, n_mels), Whisper's features
    without its padding to 30 seconds. Raises UserError for clips of 200 samples or fewer.

    >>> log_mel(torch.sin(torch.arange(16000) * 0.1)).shape
    torch.Size([100, 80])

    Reference: Radford et al., 2022, "Robust speech recognition via large-scale weak supervision", section
    2.2; Slaney, 1998, "Auditory toolbox".
    """
    return scale(powers(waveform, n_mels))


def log_mel_batch(waveforms: list[Tensor], n_mels: int = 80) -> tuple[Tensor, Tensor]:
    """Turn clips of any lengths into one padded batch: (N, frames, n_mels) and the frames of each (N,).

    Each clip comes out as it would alone; the padding behind it is zero.

    >>> mel, lengths = log_mel_batch([torch.randn(1600), torch.randn(800)])
    >>> mel.shape, lengths
    (torch.Size([2, 10, 80]), tensor([10,  5]))
    """
    mels = [log_mel(waveform, n_mels) for waveform in waveforms]
    lengths = torch.tensor([len(mel) for mel in mels])
    return torch.nn.utils.rnn.pad_sequence(mels, batch_first=True), lengths


def log_mel_padded(waves: Tensor, lengths: Tensor, n_mels: int = 80) -> tuple[Tensor, Tensor]:
    """Turn padded clips (B, N) of so many samples (B,) into log-mel (B, F, n_mels) and the frames of each (B,).

    All on the waves' device and at once; each clip comes out as it would alone, whatever lies behind it, and the
    padding of the result is zero. Raises UserError for clips of 200 samples or fewer.

    >>> wave = torch.randn(1, 1600, generator=torch.Generator().manual_seed(0))
    >>> mel, frames = log_mel_padded(torch.nn.functional.pad(wave, (0, 800)), torch.tensor([1600]))
    >>> torch.allclose(mel[0, :10], log_mel(wave[0]), atol=1e-5), frames
    (True, tensor([10]))
    """
    half = WINDOW // 2
    if waves.ndim != 2 or int(lengths.min()) <= half:
        raise UserError(f"clips of shape {tuple(waves.shape)}; allowed: (B, N), each of more than {half} samples.")
    last = lengths[:, None] - 1  # (B, 1)
    place = torch.arange(-half, int(lengths.max()) + half, device=waves.device).abs()  # reflected at the start
    place = (last - (last - place).abs()).clamp_(min=0)  # (B, N + 400), reflected at each clip's own end
    frames = waves.gather(1, place).unfold(1, WINDOW, HOP)  # (B, F + 1, 400)
    counts = frame_counts(lengths)
    frames = frames[:, : int(counts.max())]  # Whisper drops the last frame
    window = torch.hann_window(WINDOW, periodic=True, device=waves.device)
    energy = torch.view_as_real(torch.fft.rfft(frames * window)).square().sum(-1)  # (B, F, 201)
    with torch.autocast(waves.device.type, enabled=False):  # in bf16 the sum would be wrong by 4 in 1,000
        mel = (energy @ mel_filters(n_mels).to(waves.device)).clamp_(min=FLOOR).log10_()  # (B, F, n_mels)
    there = (torch.arange(mel.shape[1], device=waves.device) < counts[:, None])[..., None]  # (B, F, 1)
    loudest = mel.masked_fill(~there, -torch.inf).amax((1, 2), keepdim=True)
    return torch.where(there, torch.maximum(mel, loudest - 8).add(4).div(4), 0.0), counts
