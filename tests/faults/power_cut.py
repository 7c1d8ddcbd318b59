"""A disk that remembers what was flushed: what may be left of a folder when the power goes at any moment."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORLDS = (
    "all that was not flushed is lost",
    "names stay, contents are lost",
    "contents stay, names are lost",
)


@dataclass
class Node:
    """A file or a folder, as the system sees it and as it is on the disk."""

    folder: bool
    data: bytes = b""
    flushed: bytes = b""
    names: dict[str, Node] = field(default_factory=dict)
    waiting: list[Callable[[dict[str, Node]], Any]] = field(default_factory=list)
    kept: dict[str, Node] = field(default_factory=dict)

    def change(self, act: Callable[[dict[str, Node]], Any]) -> None:
        """Change the names of a folder; the disk hears of it later."""
        act(self.names)
        self.waiting.append(act)

    def flush(self) -> None:
        """Bring it down to the disk."""
        self.flushed = self.data
        self.kept = dict(self.names)
        self.waiting.clear()


class Recorder:
    """Stands in for the module `os` and notes each thing that is done to the disk below a root."""

    def __init__(self, root: Path) -> None:
        self.root, self.done, self.handles = root, [], {}  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def note(self, *what: Any) -> None:
        """Note one thing that was done."""
        self.done.append(tuple(str(w.relative_to(self.root)) if isinstance(w, Path) else w for w in what))

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        handle = os.open(path, flags, mode)
        self.handles[handle] = Path(path)
        if flags & os.O_CREAT:
            self.note("create", Path(path))
        return handle

    def write(self, handle: int, data: memoryview) -> int:
        written = os.write(handle, data[:5000])  # in pieces, as a system may
        self.note("write", self.handles[handle], bytes(data[:written]))
        return written

    def fsync(self, handle: int) -> None:
        os.fsync(handle)
        self.note("fsync", self.handles[handle])

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)
        self.note("mkdir", Path(path))

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)
        self.note("rename", Path(old), Path(new))

    def replace(self, old: Path, new: Path) -> None:
        os.replace(old, new)
        self.note("rename", Path(old), Path(new))

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self.note("remove", Path(path))

    def rmdir(self, path: Path) -> None:
        os.rmdir(path)
        self.note("remove", Path(path))


def find(root: Node, path: str) -> Node:
    """Follow a path."""
    node = root
    for name in Path(path).parts:
        node = node.names[name]
    return node


def replay(done: list[tuple[Any, ...]]) -> Node:
    """Do what was noted on a disk that remembers what was flushed."""
    root = Node(folder=True)
    for what, path, *rest in done:
        parent, name = find(root, str(Path(path).parent)), Path(path).name
        if what in ("create", "mkdir"):
            node = parent.names.get(name) or Node(folder=what == "mkdir")
            parent.change(lambda names, name=name, node=node: names.__setitem__(name, node))
        elif what == "write":
            parent.names[name].data += rest[0]
        elif what == "fsync":
            find(root, path).flush()
        elif what == "remove":
            parent.change(lambda names, name=name: names.pop(name, None))
        else:
            assert Path(rest[0]).parent == Path(path).parent
            parent.change(lambda names, old=name, new=Path(rest[0]).name: names.__setitem__(new, names.pop(old)))
    return root


def left(node: Node, world: str | random.Random) -> Node:
    """Say what is left of a node after a power cut, in one of the worlds or in one drawn at random."""
    if not node.folder:
        choices = [node.flushed, node.data, node.data[: len(node.data) // 2], b"\0" * len(node.data)]
        if isinstance(world, random.Random):
            data = world.choice(choices) if node.flushed != node.data else node.data
        else:
            data = node.data if world == WORLDS[2] else node.flushed
        return Node(folder=False, data=data)
    if isinstance(world, random.Random):
        names = dict(node.kept)
        for act in node.waiting[: world.randint(0, len(node.waiting))]:
            act(names)
    else:
        names = node.names if world == WORLDS[1] else node.kept
    return Node(folder=True, names={name: left(inner, world) for name, inner in names.items()})


def description(node: Node) -> bytes | dict[str, Any]:
    """Say what a node holds, so that equal disks are read once."""
    return {name: description(inner) for name, inner in node.names.items()} if node.folder else node.data


def build(node: Node, path: Path) -> None:
    """Put what is left where it can be read."""
    if not node.folder:
        path.write_bytes(node.data)
        return
    path.mkdir()
    for name, inner in node.names.items():
        build(inner, path / name)


def worlds(done: list[tuple[Any, ...]], seed: int, drawn: int) -> Iterator[Node]:
    """Go through what may be left after these things were done: three extremes, and some drawn at random."""
    disk = replay(done)
    for world in (*WORLDS, *(random.Random(f"{seed} {number}") for number in range(drawn))):
        yield left(disk, world)
