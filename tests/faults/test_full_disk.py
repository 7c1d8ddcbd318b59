"""A full disk: one clear line, the checkpoint before is whole, and no half file stays."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from train_small import large_state, number_of

from locution.engine import checkpoint_files, durable
from locution.engine.checkpoint import checkpoints, read_checkpoint, write_checkpoint
from locution.errors import LocutionError

SIZE = 20_000  # numbers of four bytes


class Full:
    """Stands in for the module `os`: after so many calls or bytes the disk is full, whoever asks."""

    def __init__(self, calls: int = 1 << 60, bytes_left: int = 1 << 60, number: int = errno.ENOSPC) -> None:
        self.calls, self.bytes_left, self.number = calls, bytes_left, number

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def use(self, name: str, *arguments: Any) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise OSError(self.number, os.strerror(self.number))
        return getattr(os, name)(*arguments)

    def write(self, handle: int, data: memoryview) -> Any:
        fits = min(len(data), self.bytes_left, 4096)
        self.bytes_left -= fits
        if not fits:
            raise OSError(self.number, os.strerror(self.number))
        return self.use("write", handle, data[:fits])

    def open(self, *arguments: Any) -> Any:
        return self.use("open", *arguments)

    def fsync(self, handle: int) -> Any:
        return self.use("fsync", handle)

    def mkdir(self, path: Path) -> Any:
        return self.use("mkdir", path)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as `ulimit -f` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(folder: Path, words: str) -> None:
    """Write and be refused in one line, with nothing lost and nothing left."""
    with pytest.raises(LocutionError, match=f"could not be written: {words}; .*whole") as error:
        write_checkpoint(folder, large_state(2, SIZE))
    assert error.value.exit_code == 1
    assert "\n" not in str(error.value)
    assert os.listdir(folder) == ["000001"]
    assert number_of(read_checkpoint(folder)) == 1


def full_at(folder: Path, monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    """Let the disk be full after so many bytes, at points spread over the whole checkpoint."""
    write_checkpoint(folder, large_state(1, SIZE))
    size = sum(file.stat().st_size for file in checkpoints(folder)[0].iterdir())
    for point in range(points):
        with monkeypatch.context() as patch:
            full = Full(bytes_left=size * point // points, number=(errno.ENOSPC, errno.EDQUOT)[point % 2])
            patch.setattr(durable, "os", full)
            refused(folder, ("the disk is full", "the disk quota is used up")[point % 2])


def test_full_at_eight_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_at(tmp_path, monkeypatch, 8)


@pytest.mark.long
def test_full_at_a_hundred_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_at(tmp_path, monkeypatch, 100)


def test_refused_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, large_state(1, SIZE))
    said: list[str] = []
    for calls in range(1000):
        with monkeypatch.context() as patch:
            full = Full(calls=calls)
            patch.setattr(durable, "os", full)
            patch.setattr(checkpoint_files, "os", full)
            try:
                write_checkpoint(tmp_path, large_state(2, SIZE))
                break
            except LocutionError as error:
                said.append(str(error))
        assert not list(tmp_path.glob(".*"))
        newest = checkpoints(tmp_path)[0].name
        assert number_of(read_checkpoint(tmp_path)) == (1 if newest == "000001" else 2)
        for path in checkpoints(tmp_path)[:-1]:  # the last call only makes sure of what is there
            durable.remove_folder(path)
    assert len(said) > 20
    assert not any("\n" in line for line in said)


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 50_000, 79_000])
def test_a_limit_on_the_size_of_files(tmp_path: Path, size: int) -> None:
    write_checkpoint(tmp_path, large_state(1, SIZE))
    with at_most(size):
        refused(tmp_path, "a file may not become that large here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 8 MB, where this process may."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    write_checkpoint(small_disk / "checkpoints", large_state(1, SIZE))
    free = os.statvfs(small_disk).f_bavail * 4096
    (small_disk / "ballast").write_bytes(bytes(free - 40_000))
    refused(small_disk / "checkpoints", "the disk is full")
    (small_disk / "ballast").unlink()
    write_checkpoint(small_disk / "checkpoints", large_state(2, SIZE))
    assert number_of(read_checkpoint(small_disk / "checkpoints")) == 2
