"""Folders of computed things: written aside and renamed, locked while in use, swept when their writer was killed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from locution.engine.durable import disk_errors

USED, WRITING = ".used", ".writing"
ASIDE = re.compile(r"^\..+\.\d+\.[0-9a-f]{8}\.part$")
ABANDONED = 3600.0  # seconds after which a folder that nobody ever locked counts as left behind
HELD: dict[Path, int] = {}
"""What this process uses, and the open file whose lock says so; the system drops the lock when the process ends."""


def lock(path: Path, *, alone: bool) -> int | None:
    """Lock a file, which is made if need be, alone or with others; None where somebody else holds it.

    The lock lasts until the file is closed or the process ends, however it ends. Where the system has no such locks,
    everything counts as free.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl

        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except ImportError:
        return handle
    except OSError:
        os.close(handle)
        return None
    return handle


def use(home: Path) -> bool:
    """Say that this process uses a kept folder from now on, and note the time; False where it is not there any more.

    Until the process ends, `remove` leaves the folder alone.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = keep_folder(Path(folder, "a"), lambda place: None)
    ...     use(kept), remove(kept), use(Path(folder, "b"))
    (True, False, False)
    """
    mark, place = home / USED, home.resolve()
    try:
        handle = HELD.get(place)
        if handle is None or not _same(handle, mark):
            if handle is not None:
                os.close(HELD.pop(place))
            handle = lock(mark, alone=False)
            if handle is None:
                return False
            if not _same(handle, mark):  # removed and made again meanwhile
                os.close(handle)
                return False
            HELD[place] = handle
        os.utime(mark)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a cache that this user may only read
        return home.is_dir()
    return True


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


@contextmanager
def aside(home: Path) -> Iterator[Path]:
    """Give a locked folder beside `home` to write in; it is gone afterwards, unless `publish` renamed it.

    What writers that were killed left beside it is swept away.
    """
    place = home.with_name(f".{home.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
    sweep(home.parent)
    place.mkdir(parents=True)
    handle = lock(place / WRITING, alone=True)
    try:
        yield place
    finally:
        if handle is not None:
            os.close(handle)
        shutil.rmtree(place, ignore_errors=True)


def publish(place: Path, home: Path) -> bool:
    """Rename a folder that is complete to its name; False where another stands there already."""
    (place / WRITING).unlink(missing_ok=True)
    try:
        place.rename(home)
    except OSError:
        if not home.is_dir():
            raise
        return False
    return True


def keep_folder(home: Path, make: Callable[[Path], None]) -> Path:
    """Give a kept folder, in use from now on; make(place) fills it where it is missing, whole or not at all.

    Two processes that make it at once both succeed, and one of the two is kept. Raises LocutionError on a full disk.
    """
    while not use(home):
        with disk_errors(home), aside(home) as place:
            make(place)
            publish(place, home)
    return home


def remove(home: Path) -> bool:
    """Remove a kept folder at once for everybody; False where it is in use, by this process or another."""
    try:
        handle = lock(home / USED, alone=True)
    except FileNotFoundError:
        return True
    if handle is None:
        return False
    try:
        gone = home.with_name(f".{home.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
        home.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    finally:
        os.close(handle)
    return True


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writers left in a folder: half-written folders whose lock nobody holds any more."""
    swept = []
    with suppress(OSError):
        for place in folder.iterdir():
            if ASIDE.match(place.name) and place.is_dir() and _abandoned(place):
                shutil.rmtree(place, ignore_errors=True)
                swept.append(place)
    return swept


def _abandoned(place: Path) -> bool:
    try:
        if not (place / WRITING).exists():  # just made, just renamed, or half removed
            return time.time() - place.stat().st_mtime > ABANDONED
        handle = lock(place / WRITING, alone=True)
    except OSError:
        return False
    if handle is None:
        return False
    os.close(handle)
    return True
