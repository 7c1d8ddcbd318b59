"""What a frozen encoder says of a clip never changes: computed once, kept on disk, mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from locution.errors import LocutionError
from locution.speech.frozen import weights_digest
from locution.speech.kept import aside, publish, use

FORMAT = 1
FRAMES, INDEX = "frames.bf16", "index.json"


def cache_folder() -> Path:
    """Say where computed things go: $LOCUTION_CACHE, else locution under $XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("LOCUTION_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "locution"


def files_digest(paths: Iterable[str | Path]) -> str:
    """Hash what files hold, in their order; their names and times do not count."""
    whole = hashlib.blake2b(digest_size=20)
    for path in paths:
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "blake2b").digest())
    return whole.hexdigest()


def frames_key(encoder: Any, content: str, precision: str = "bf16") -> str:
    """Name the frames that this encoder makes of this content: the same name only where the numbers are the
    same.

    The encoder's weights, its way of padding, the mel settings, the precision and the content all count.
    """
    facts = {
        "format": FORMAT,
        "encoder": weights_digest(encoder),
        "unpadded": bool(getattr(encoder, "unpadded", True)),
        "mel": f"whisper-16000-400-160-{encoder.config.n_mels}",
        "precision": precision,
        "content": content,
    }
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


class CachedFrames(Sequence[Tensor]):
    """Frames of many clips in one file on disk: `frames[i]` is (T_i, D) in bf16, read only when it is asked
    for.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        self.folder, self.width = folder, int(index["width"])
        self.places: list[tuple[int, int]] = [(int(start), int(count)) for start, count in index["places"]]
        path, total = folder / FRAMES, sum(count for _, count in self.places)
        if path.stat().st_size != 2 * self.width * total:
            raise ValueError("the file of frames is not as long as its index says")
        shape = (total, self.width)
        self.data = np.memmap(path, np.int16, "c", shape=shape) if total else np.zeros(shape, np.int16)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        start, count = self.places[row]
        return torch.from_numpy(self.data[start : start + count]).view(torch.bfloat16)  # (T_i, D)


def keep_frames(
    key: str,
    count: int,
    make: Callable[[], Iterator[tuple[int, Tensor]]],
    folder: Path | None = None,
    about: str = "",
) -> CachedFrames:
    """A cache keeps what was costly to compute; here the frames of `count` clips under a key, made if
    missing.

    make() yields (number of the clip, frames (T, D)) in any order, each clip once. They are written aside and
    renamed when whole, so that two processes or a kill leave nothing half done; what is damaged is made
    again. `about` says in words what they are, for whoever looks into the cache.

    >>> import tempfile
    >>> made = lambda: iter([(1, torch.ones(2, 3)), (0, torch.zeros(1, 3))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frames = keep_frames("a", 2, made, Path(folder))
    ...     again = keep_frames("a", 2, lambda: iter([]), Path(folder))
    ...     print([tuple(clip.shape) for clip in again], again[1].dtype)
    [(1, 3), (2, 3)] torch.bfloat16
    """
    home = (folder or cache_folder() / "frames") / key
    if (found := _open(home, count)) is not None:
        return found
    try:
        with aside(home) as place:
            _write(place, count, make(), about)
            found = CachedFrames(place)  # mapped: these frames stay readable whatever becomes of their folder
            if not publish(place, home) and _open(home, count) is None:
                shutil.rmtree(home, ignore_errors=True)  # damaged: make room
                publish(place, home)
    except OSError as error:
        why = f"{error.strerror or error}; LOCUTION_CACHE moves it elsewhere"
        raise LocutionError(f"the cache {home} cannot be written ({why}).") from error
    return _open(home, count) or found


def _open(home: Path, count: int) -> CachedFrames | None:
    try:
        if not use(home):
            return None
        found = CachedFrames(home)
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged
        return None
    return found if len(found) == count else None


def _write(folder: Path, count: int, clips: Iterator[tuple[int, Tensor]], about: str) -> None:
    places: dict[int, tuple[int, int]] = {}
    width = start = 0
    with open(folder / FRAMES, "wb") as file:
        for row, frames in clips:
            width = frames.shape[1]
            places[row] = (start, len(frames))
            start += len(frames)
            file.write(frames.to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())
    if sorted(places) != list(range(count)):
        raise LocutionError(f"{len(places)} clips were encoded; {count} were asked for.")
    index = {"format": FORMAT, "about": about, "width": width, "places": [places[row] for row in range(count)]}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
