"""Writing that survives: after a power cut a file is there whole, or it is not there at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from locution.errors import LocutionError

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not become that large here",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one clear line; what stood there before stays as it was."""
    try:
        yield
    except OSError as error:
        why = FULL.get(error.errno or 0) or error.strerror or str(error)
        mend = " Free some space and go on with --resume." if error.errno in FULL else ""
        kept = "what was there before is whole"
        raise LocutionError(f"{path} could not be written: {why}; {kept}.{mend}") from error


def write_new(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write a new file down to the disk; return the SHA-256 of what was meant to be written."""
    digest = hashlib.sha256()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for chunk in chunks:
            left = memoryview(chunk)
            digest.update(left)
            while len(left):
                left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return digest.hexdigest()


def sync_folder(path: Path) -> None:
    """Bring the names in a folder down to the disk: a rename is only safe after this."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, and bring their names down to the disk."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder of files, leaving alone what cannot be removed."""
    with suppress(OSError):
        for name in os.listdir(path):
            os.unlink(path / name)
        os.rmdir(path)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file all at once: whoever reads it, at whatever moment, finds the old text or the new.

    Raises LocutionError in one line if the disk is full; the old text is then still there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "note.txt", "first")
    ...     write_text(Path(folder) / "note.txt", "second")
    ...     (Path(folder) / "note.txt").read_text(), os.listdir(folder)
    ('second', ['note.txt'])
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file all at once: whoever reads it, at whatever moment, finds the old content or the new."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        make_folder(path.parent)
        try:
            with suppress(FileNotFoundError):
                os.unlink(aside)  # of a process that was killed and had the same number
            write_new(aside, [content])
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise
        sync_folder(path.parent)
