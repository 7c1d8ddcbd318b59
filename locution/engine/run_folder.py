"""One run, one folder: recipe, metrics, checkpoints and report, written by one process at a time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from locution.engine.distributed import Group
from locution.engine.durable import disk_errors, make_folder, sync_folder, write_text
from locution.engine.lock import LOCK, locked, reserve
from locution.engine.metrics_file import cut_metrics
from locution.errors import UserError

__all__ = ["RunFolder", "cut_metrics", "write_text"]

log = logging.getLogger(__name__)
RECIPE, LATEST = "recipe.yaml", "latest"


@dataclass(frozen=True)
class RunFolder:
    """A run folder holds all that one training was told, did and found: everything later starts from it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     run = RunFolder.create("line", None, "seed: 0", root=root)
    ...     with run.lock():
    ...         (run.path / "recipe.yaml").read_text(), RunFolder.open("line", root=root) == run
    ('seed: 0', True)
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """Where each record is kept, a line of JSON each."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Where the state of training is kept."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """Where the report is written at the end."""
        return self.path / "report.html"

    @classmethod
    def create(cls, recipe: str, run_dir: str | Path | None, text: str, *, root: str | Path = "runs") -> RunFolder:
        """Make the folder of a new run, `runs/RECIPE/TIME` or the one asked for, with its resolved recipe.

        `runs/RECIPE/latest` then points to it. A folder that is asked for must be new or empty. In a group of
        processes the first one makes the folder and the others are told.
        """
        group = Group.current()
        path = Path()
        if group.first:
            path = _new(Path(root) / recipe) if run_dir is None else _wanted(Path(run_dir))
            write_text(path / RECIPE, text)
            if run_dir is None:
                _point(path.parent / LATEST, path.name)
        return cls(Path(_tell(group, str(path))))

    @classmethod
    def open(cls, where: str | Path, *, root: str | Path = "runs") -> RunFolder:
        """Open the folder of a run, by its path or, for the newest run of a recipe, by the recipe's name."""
        path = Path(where)
        newest = Path(root) / path / LATEST
        if not (path / RECIPE).is_file() and not path.is_absolute() and (newest / RECIPE).is_file():
            path = newest
        if (path / RECIPE).is_file():
            return cls(path.parent / path.readlink() if path.is_symlink() else path)
        held = f"it holds no {RECIPE}" if path.is_dir() else "it is a file"
        fault = held if path.exists() else "it does not exist"
        hint = f" Did you mean '{path / LATEST}'?" if (path / LATEST).is_dir() else ""
        allowed = "a folder that `locution train` made, such as runs/digits/latest, or a recipe's name"
        raise UserError(f"'{where}' is no run folder: {fault}.{hint} Allowed: {allowed}.")

    def discard(self) -> None:
        """Remove the folder of a run that was refused before it began; `latest` then points to the newest that did.

        A folder that holds anything but its recipe stays.
        """
        if set(os.listdir(self.path)) - {RECIPE, LOCK}:
            return
        for name in (RECIPE, LOCK):
            (self.path / name).unlink(missing_ok=True)
        self.path.rmdir()
        link = self.path.parent / LATEST
        if link.is_symlink() and os.readlink(link) == self.path.name:
            begun = sorted(path.parent.name for path in self.path.parent.glob(f"*/{RECIPE}") if path.parent != link)
            if begun:
                _point(link, begun[-1])
            else:
                link.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing here until the block ends, or this process does, however it ends.

        In a group of processes the first locks for all. Raises LocutionError, naming the process that has it.
        """
        if int(os.environ.get("RANK", "0")) != 0:
            yield
            return
        with locked(self.path):
            yield


def _new(parent: Path) -> Path:
    """Make a folder named by the time, with a number behind it if two runs begin in the same second."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    count = 1
    while True:
        path = parent / (stamp if count == 1 else f"{stamp}_{count}")
        with disk_errors(path):
            make_folder(parent)
            try:
                os.mkdir(path)
            except FileExistsError:
                count += 1
                continue
            sync_folder(parent)
            return path


def _wanted(path: Path) -> Path:
    """Make the folder that was asked for, or take it if it is empty; from now on it is this process's."""
    if path.exists() and not path.is_dir():
        raise UserError(f"run_dir is '{path}', which is a file; allowed: a new or an empty folder.")
    with disk_errors(path):
        make_folder(path)
    if _contents(path) and not (path / LOCK).exists():  # somebody's own folder: leave no lock in it
        raise _not_empty(path)
    reserve(path)
    if _contents(path):
        with locked(path):
            raise _not_empty(path)
    return path


def _contents(path: Path) -> list[str]:
    """List what is in a folder, but for what a run killed at its very beginning leaves."""
    return [name for name in os.listdir(path) if name != LOCK and not name.startswith(f".{RECIPE}.")]


def _not_empty(path: Path) -> UserError:
    mend = f"; or go on with it: locution train --resume {path}" if (path / RECIPE).is_file() else ""
    return UserError(f"run_dir is '{path}', which is not empty; allowed: a new or an empty folder{mend}.")


def _point(link: Path, name: str) -> None:
    """Point a link to a folder beside it, in one move; a file system without links goes without."""
    aside = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(name)
        os.replace(aside, link)
    except OSError as error:
        aside.unlink(missing_ok=True)
        log.warning("%s could not be pointed to %s: %s", link, name, error.strerror)


def _tell(group: Group, text: str) -> str:
    """Tell a text to all processes, as bytes."""
    if group.world == 1:
        return text
    nccl = distributed.get_backend() == "nccl"
    words = text.encode().ljust(4096, b"\0")
    line = torch.tensor(list(words), dtype=torch.uint8, device="cuda" if nccl else "cpu")
    distributed.broadcast(line, 0)
    return bytes(line.tolist()).rstrip(b"\0").decode()
