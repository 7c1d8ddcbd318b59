"""A lock on a folder: one process at a time writes into it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from locution.engine.durable import disk_errors
from locution.errors import LocutionError

LOCK = ".lock"
HELD: dict[Path, int] = {}
"""What this process has locked, and its number: the system's locks keep out other processes only."""
RESERVED: dict[Path, int] = {}
"""Locks that are taken and wait for the block that they are for."""


class InUse(LocutionError):
    """Somebody else writes into this folder."""


def take(folder: Path) -> int:
    """Take the lock of a folder, leave this process's number in it, and return its open file.

    The system drops the lock when the process ends, however it ends; children that are forked off never hold
    it. Raises LocutionError, naming the process that has it.
    """
    import fcntl  # not on every system that can read a run

    place = folder.resolve()
    if HELD.get(place) == os.getpid():
        raise _in_use(folder, str(os.getpid()))
    with disk_errors(folder / LOCK):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with disk_errors(folder / LOCK):
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise _in_use(folder, os.read(handle, 32).decode("ascii", "replace").strip()) from None
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(handle)
        raise
    HELD[place] = os.getpid()
    return handle


def _in_use(folder: Path, holder: str) -> InUse:
    who = holder or "unknown"
    return InUse(f"{folder} is in use: process {who} trains in it; wait for it or stop it.")


def reserve(folder: Path) -> None:
    """Take the lock now for the block that `locked` opens later."""
    RESERVED[folder.resolve()] = take(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while a block runs.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name, locked(Path(name)):
    ...     take(Path(name))
    Traceback (most recent call last):
    locution.engine.lock.InUse: ... is in use: process ... trains in it; wait for it or stop it.
    """
    place = folder.resolve()
    handle = RESERVED.pop(place, None)
    if handle is None:
        handle = take(folder)
    try:
        yield
    finally:
        HELD.pop(place, None)
        os.close(handle)
