"""From sound to frames: many clips through a frozen encoder, like lengths together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from locution.speech.audio import AudioError, Samples, read_audio
from locution.speech.cache import CachedFrames, files_digest, frames_key, keep_frames
from locution.speech.logmel import log_mel_batch

SHORTEST = 400  # samples, one window of the spectrogram: a shorter clip is filled up with silence


def waveform(samples: Any) -> Tensor:
    """Take samples as a tensor (N,) of float32, at least one window long."""
    wave = torch.as_tensor(samples, dtype=torch.float32)
    return torch.nn.functional.pad(wave, (0, max(0, SHORTEST - len(wave))))


def like_lengths(seconds: Sequence[float], budget: float) -> list[list[int]]:
    """Sort clips by length and cut them into batches whose padded length stays within a budget of seconds.

    >>> like_lengths([3.0, 1.0, 1.0, 9.0], budget=4.0)
    [[1, 2], [0], [3]]
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(seconds)), key=lambda i: seconds[i]):
        if batches and seconds[row] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def encode_clips(
    encoder: Any,
    load: Callable[[int], Any],
    seconds: Sequence[float],
    *,
    budget: float = 120.0,
    precision: str = "fp32",
) -> Iterator[tuple[int, Tensor]]:
    """To encode is to turn sound into frames that say what was heard; here of many clips, each once.

    load(i) gives the samples of clip i at 16 kHz, seconds[i] about its length. Batches hold up to `budget`
    seconds; the next one is read while the encoder works. Yields (i, frames (T_i, D)), shortest clips first.
    """
    device = next(encoder.parameters()).device

    def read(rows: list[int]) -> tuple[Tensor, Tensor]:
        return log_mel_batch([waveform(load(i)) for i in rows], encoder.config.n_mels)

    batches = like_lengths(seconds, budget)
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, rows) for rows in batches[:1]]
        for number, rows in enumerate(batches):
            mel, lengths = ahead.pop().result()
            if number + 1 < len(batches):
                ahead.append(reader.submit(read, batches[number + 1]))
            bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
            with torch.inference_mode(), bf16:
                frames, kept = encoder.features(mel.to(device), lengths.to(device))
            for row, clip, count in zip(rows, frames.cpu(), kept.tolist(), strict=True):
                yield row, clip[:count].clone()


def frames_of_files(
    encoder: Any,
    paths: Sequence[str | Path],
    seconds: Sequence[float],
    *,
    precision: str = "fp32",
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CachedFrames:
    """Give the frames of sound files, from the cache where this encoder has heard the same sound before.

    `progress` is told (clips done, of how many). Raises the error of the first file that cannot be heard.
    """

    def load(row: int) -> Samples:
        try:
            return read_audio(paths[row]).samples
        except AudioError as error:
            raise AudioError(f"{error} locution check-data lists every such file.") from error

    def make() -> Iterator[tuple[int, Tensor]]:
        clips = encode_clips(encoder, load, seconds, precision=precision)
        for done, clip in enumerate(clips, 1):
            if progress is not None:
                progress(done, len(paths))
            yield clip

    key, about = frames_key(encoder, files_digest(paths), precision), str(Path(paths[0]).parent) if paths else ""
    return keep_frames(key, len(paths), make, folder, about)
