"""Sound that libsndfile does not know: AAC, ALAC, WMA, Opus in WebM, the sound of a film; through PyAV if it is there.

FFmpeg would follow a playlist to other files and to the net; here it gets an open file, a list of containers that hold
their sound themselves, and no protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,gsm,matroska,mov,mp3,mpeg,mpegts,mpc,mpc8,ogg,tak,tta,"
    "voc,w64,wav,webm,wv"
)
ENDINGS = (
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".webm", ".mkv", ".mka", ".aac", ".ac3", ".wma", ".wmv", ".asf"),
    *(".amr", ".ape", ".wv", ".tta", ".avi", ".flv", ".ts", ".mpg"),
)
MOST_CHANNELS = 8  # PyAV reads beyond its memory where there are more
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "", "probesize": "5000000", "max_streams": "64"}


def available() -> bool:
    """Say whether PyAV is installed."""
    from importlib.util import find_spec

    return find_spec("av") is not None


def av_blocks(path: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Decode the first sound track of a file packet by packet: (samples a second, samples (N,) of one channel).

    Channels are averaged. Raises ValueError with FFmpeg's reason for a file that it cannot read, or whose rate or
    channels change on the way; what was decoded before has been handed over then.

    Reference: FFmpeg project, "FFmpeg Formats Documentation", options format_whitelist and protocol_whitelist.
    """
    import av

    errors: Any = (av.FFmpegError, av.error.InvalidDataError, EOFError, UnicodeDecodeError, IndexError, TypeError)
    try:
        with path.open("rb") as file, av.open(file, options=OPTIONS, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise ValueError("it holds no sound track")
            yield from _decoded(av, container)
    except errors as error:
        raise ValueError(_reason(error)) from error


def _decoded(av: Any, container: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
    stream = container.streams.audio[0]
    stream.thread_type = "NONE"
    resampler = av.AudioResampler(format="fltp")  # the format alone: rate and channels stay
    first: tuple[int, int] | None = None
    for packet in container.demux(stream):
        for frame in packet.decode():
            shape = (frame.sample_rate, frame.layout.nb_channels)
            if shape[1] > MOST_CHANNELS:
                raise ValueError(f"it has {shape[1]} channels; allowed here: {MOST_CHANNELS}")
            if first is not None and shape != first:
                raise ValueError("its rate or channels change on the way")
            first = shape
            for plain in resampler.resample(frame):
                samples = plain.to_ndarray()  # (channels, N)
                if samples.shape[1]:
                    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is refused further on
                        mixed = samples.mean(axis=0, dtype=np.float32)
                    yield frame.sample_rate, mixed


def _reason(error: BaseException) -> str:
    """Keep of FFmpeg's message what says why, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
