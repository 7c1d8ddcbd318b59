"""The samples of sound files, read when they are asked for: what a recogniser hears anew in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from locution.speech.audio import SAMPLE_RATE, read_audio
from locution.speech.encode import waveform


class Waves(Sequence[Tensor]):
    """A waveform is the pressure of a sound, sample after sample; here of many files: `waves[i]` is (N_i,), 16 kHz.

    Nothing is kept: each file is read whenever it is asked for. `counts[i]` is about the number of its samples, from
    the seconds that are known of it.

    >>> import tempfile
    >>> from locution.speech.audio import write_flac
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_flac(Path(folder, "a.flac"), torch.zeros(1600).numpy())
    ...     waves = Waves([Path(folder, "a.flac")], [0.1])
    ...     waves[0].shape, waves.counts
    (torch.Size([1600]), [1600])

    Reference: L. Rabiner and R. Schafer, 1978, "Digital Processing of Speech Signals", section 2.4.
    """

    def __init__(self, paths: Sequence[str | Path], seconds: Sequence[float]) -> None:
        self.paths = list(paths)
        self.counts = [max(int(SAMPLE_RATE * (length or 5.0)), 1) for length in seconds]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        return waveform(torch.from_numpy(read_audio(self.paths[row]).samples))
