"""Sound files in and out: any format, rate and number of channels to 16 kHz mono, under a cap on memory."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import LocutionError, UserError
from locution.speech import decode_av

SAMPLE_RATE = 16_000
RATES = (1_000, 768_000)  # what a recording can plausibly have; a rate of 1 Hz would blow up when resampled
BLOCK = 2**18  # samples over all channels that are decoded at a time: 1 MiB
CAP_SECONDS = 4 * 3600.0
SILENT_PEAK = 1e-3  # -60 dB below full scale: 33 steps of 16 bits, nothing that speech could hide in
LOUDEST = 1e6  # times full scale: files of whole numbers kept as floats reach 3e4
STREAMED = (0, 0xFFFFFFFF)  # what a WAV header says when it was written to a pipe: no promise

Samples = NDArray[np.float32]


class AudioError(LocutionError):
    """A sound file that is there but cannot be heard: empty, cut off, damaged, too long."""


@dataclass(frozen=True)
class Audio:
    """A waveform is the air pressure at a microphone, measured many times a second.

    `samples` is float32 of shape (N,), full scale 1.0; `rate` counts the samples of a second.

    >>> audio = Audio(np.zeros(8000, np.float32), 16000)
    >>> audio.seconds, audio.silent
    (0.5, True)

    Reference: C. E. Shannon, 1949, "Communication in the Presence of Noise", theorem 1 (what a rate can
    hold).
    """

    samples: Samples
    rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Say how long it lasts."""
        return len(self.samples) / self.rate

    @property
    def silent(self) -> bool:
        """Say whether nothing in it rises above -60 dB, a constant offset aside."""
        if not len(self.samples):
            return True
        middle = float(self.samples.mean(dtype=np.float64))
        return bool(max(self.samples.max() - middle, middle - self.samples.min()) < SILENT_PEAK)


def read_audio(path: str | Path, *, rate: int = SAMPLE_RATE, cap_seconds: float = CAP_SECONDS) -> Audio:
    """Read a sound file of any format, rate and number of channels as one channel at one rate.

    What libsndfile does not know is tried with PyAV. Channels are averaged; the rate is changed by soxr's band-limited
    filter. The file is decoded block by
    block, so that a small file that unpacks to hours costs no more memory than `cap_seconds` of samples.

    Raises UserError for a path that is no file, AudioError (one line) for a file that is empty, cut off,
    damaged or longer than the cap.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_flac(f"{folder}/a.flac", np.full(800, 0.25, np.float32), 8000)
    ...     audio = read_audio(f"{folder}/a.flac")
    >>> len(audio.samples), round(float(audio.samples[800]), 2)
    (1600, 0.25)

    Reference: J. O. Smith, 2002, "Digital Audio Resampling", band-limited interpolation.
    """
    blocks = list(audio_blocks(path, rate=rate, cap_seconds=cap_seconds))
    return Audio(np.concatenate(blocks), rate)


def audio_blocks(path: str | Path, *, rate: int = SAMPLE_RATE, cap_seconds: float = CAP_SECONDS) -> Iterator[Samples]:
    """Decode a sound file block by block, each float32 (N,) of one channel at `rate`, never the whole of it at once.

    Formats that libsndfile does not know go through PyAV where it is installed. Raises as `read_audio` does, after the
    blocks that were still good.
    """
    path, any_sound = Path(path), False
    _check_path(path)
    try:
        for block in _decode(path, rate, cap_seconds):
            if len(block):
                any_sound = True
                yield _checked(path, block)
    except (TypeError, ValueError, RuntimeError) as error:  # TypeError: headerless formats
        raise AudioError(f"{path}: is no sound file that can be read ({_reason(error)}).") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not any_sound:
        raise AudioError(f"{path}: holds no sound (0 samples).")


def _decode(path: Path, rate: int, cap_seconds: float) -> Iterator[Samples]:
    """Decode with libsndfile what it knows, else with PyAV."""
    soundfile = _soundfile()
    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.SoundFileError as error:
        if not decode_av.available():
            hint = "" if path.suffix.lower() not in decode_av.ENDINGS else "; for more formats: pip install av"
            raise ValueError(f"{_reason(error)}{hint}") from error
    else:
        with file:
            _check_header(path, file)
            yield from _resampled(_mono(path, file, cap_seconds), file.samplerate, rate)
        return
    found = decode_av.av_blocks(path)
    source, first = next(found, (rate, np.zeros(0, np.float32)))
    _check_rate(path, source)
    rest = (block for _, block in found)
    yield from _resampled(_capped(path, itertools.chain([first], rest), source, cap_seconds), source, rate)


def _capped(path: Path, blocks: Iterable[Samples], rate: int, cap_seconds: float) -> Iterator[Samples]:
    """Hand on blocks until they are longer than the cap together."""
    done = 0
    for block in blocks:
        done += len(block)
        if done > cap_seconds * rate:
            raise AudioError(f"{path}: is longer than {cap_seconds:g} s; cut it into pieces first.")
        yield block


def _checked(path: Path, block: Samples) -> Samples:
    """Refuse samples that no microphone gives."""
    if not np.isfinite(block).all():
        raise AudioError(f"{path}: is damaged (samples that are not numbers).")
    if max(block.max(), -block.min()) > LOUDEST:
        raise AudioError(f"{path}: is damaged (samples of more than {LOUDEST:g} times full scale).")
    return block


def write_flac(path: str | Path, samples: Samples, rate: int = SAMPLE_RATE) -> None:
    """Write a waveform (N,) as FLAC of 16 bits, losslessly packed; what exceeds full scale is cut.

    The file appears under its name only when it is whole.
    """
    soundfile, path = _soundfile(), Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        soundfile.write(str(aside), np.clip(samples, -1.0, 32767 / 32768), rate, format="FLAC", subtype="PCM_16")
        os.replace(aside, path)
    except (OSError, soundfile.SoundFileError) as error:
        aside.unlink(missing_ok=True)
        raise LocutionError(f"{path}: cannot be written ({_reason(error)}).") from error


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise UserError("reading sound needs the speech extra: pip install 'locution[speech]'.") from error
    return soundfile


def _check_path(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such file.")
    if not path.is_file():  # a pipe or a device could block or never end
        raise UserError(f"{path}: is no regular file; allowed: WAV, FLAC, OGG, MP3, AIFF and the like.")
    if not path.stat().st_size:
        raise AudioError(f"{path}: is empty (0 bytes).")


def _check_rate(path: Path, rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{path}: has {rate} samples a second; allowed: {RATES[0]} to {RATES[1]}.")


def _check_header(path: Path, file: Any) -> None:
    _check_rate(path, file.samplerate)
    found = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if found and int(found[1]) not in STREAMED and int(found[1]) > int(found[2]):
        raise AudioError(f"{path}: is cut off ({found[2]} of {found[1]} bytes of sound are there).")


def _mono(path: Path, file: Any, cap_seconds: float) -> Iterator[Samples]:
    """Decode a file up to the cap."""
    return _capped(path, _averaged(path, file), file.samplerate, cap_seconds)


def _averaged(path: Path, file: Any) -> Iterator[Samples]:
    """Decode block by block, averaging the channels, and compare what comes with what the header promised."""
    promised, done = file.frames, 0
    frames = max(1, BLOCK // file.channels)
    while True:
        try:
            block = file.read(frames, dtype="float32", always_2d=True)  # (frames, channels)
        except RuntimeError as error:  # libsndfile met bytes that make no sense
            heard = f"after {done / file.samplerate:.2f} s of {promised / file.samplerate:.2f} s"
            raise AudioError(f"{path}: is cut off or damaged {heard}.") from error
        if not len(block):
            break
        done += len(block)
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number is refused further on
            mixed = block.mean(axis=1, dtype=np.float32)
        yield mixed
    if done < 0.98 * promised:  # lossy formats only estimate their length
        raise AudioError(f"{path}: is cut off ({done} of {promised} samples are there).")


def _resampled(blocks: Iterator[Samples], source: int, target: int) -> Iterator[Samples]:
    if source == target:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(source, target, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _reason(error: Exception) -> str:
    """Keep of libsndfile's message what says why, on one line, without the path."""
    return str(error).splitlines()[0].rpartition(": ")[2].strip().rstrip(".") or type(error).__name__
