"""The files of a checkpoint: on disk whole or not at all, and checked before they are believed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from locution.engine.durable import disk_errors, make_folder, remove_folder, sync_folder, write_new
from locution.engine.pack import State, pack, safetensors_chunks, unpack
from locution.errors import LocutionError

log = logging.getLogger(__name__)
TENSORS, STRUCTURE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
FORMAT = 1
NAME = re.compile(r"(\d{6,})(-.+)?")
WRITING, PRUNED = ".writing-", ".pruned-"


class Damaged(Exception):
    """A checkpoint is not what its manifest says."""


def manifest(files: dict[str, Any]) -> str:
    """Write down the size and SHA-256 of each file, and seal the whole with a SHA-256 of its own."""
    body = {"files": files, "format": FORMAT}
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "seal": seal}, sort_keys=True, indent=1)


def checkpoints(folder: str | Path) -> list[Path]:
    """List the checkpoints of a folder, the newest first; they are numbered in the order of their writing."""
    found = {}
    if Path(folder).is_dir():
        for path in Path(folder).iterdir():
            name = NAME.fullmatch(path.name)
            if name:
                found[int(name[1])] = path
    return [found[number] for number in sorted(found, reverse=True)]


def write_checkpoint(folder: str | Path, state: State, *, label: str = "", keep: int = 2) -> Path:
    """Write a checkpoint: aside, down to the disk, checked in by a rename; then older ones may go.

    Killed or out of power at any moment, the folder holds the old checkpoints or the old and the new, never
    half a one. The newest `keep` whole ones stay. `label` ends the name, for instance "step-300". One process
    at a time may write into a folder. Raises LocutionError if the disk is full, or if the state holds what no
    file can.
    """
    folder = Path(folder)
    structure, tensors = pack(state)
    text = json.dumps(structure, allow_nan=False).encode()
    with disk_errors(folder):
        make_folder(folder)
        for half in (*folder.glob(f"{WRITING}*"), *folder.glob(f"{PRUNED}*")):  # of a process that was killed
            remove_folder(half)
        newest = next(iter(checkpoints(folder)), None)
        number = 1 if newest is None else int(newest.name.partition("-")[0]) + 1
        name = f"{number:06d}-{label}" if label else f"{number:06d}"
        aside = folder / f"{WRITING}{name}"
        os.mkdir(aside)
        try:
            files = {TENSORS: safetensors_chunks(tensors), STRUCTURE: iter([text])}
            sums = {file: write_new(aside / file, chunks) for file, chunks in files.items()}
            write_new(aside / MANIFEST, [manifest(sums).encode()])
            sync_folder(aside)
            os.rename(aside, folder / name)
        except BaseException:
            remove_folder(aside)
            raise
        sync_folder(folder)
        _prune(folder, keep)
    return folder / name


def _prune(folder: Path, keep: int) -> None:
    """Remove what is older than the newest `keep`, counting only those that are still whole."""
    whole = 0
    for path in checkpoints(folder):
        if whole < keep:
            try:
                if whole:  # the newest has only just been written
                    verify(path)
                whole += 1
                continue
            except Damaged as reason:
                log.warning("checkpoint %s is damaged (%s) and makes room.", path, reason)
        aside = path.with_name(PRUNED + path.name)  # renamed first: half a removed one must not look like one
        os.rename(path, aside)
        remove_folder(aside)


def verify(path: Path) -> None:
    """Hold a checkpoint against its manifest; raises Damaged, saying what is wrong."""
    try:
        text = (path / MANIFEST).read_bytes().decode()
        kept = json.loads(text)
        if kept["format"] != FORMAT:
            raise Damaged(f"{MANIFEST} has format {kept['format']!r}, this version reads {FORMAT}")
        if text != manifest(kept["files"]) or set(kept["files"]) != {TENSORS, STRUCTURE}:
            raise Damaged(f"{MANIFEST} was changed")
        for name, expected in kept["files"].items():
            with open(path / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise Damaged(f"{name} is not what was written")
    except OSError as error:
        raise Damaged(f"{Path(error.filename or path).name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{MANIFEST} cannot be read") from error


def load(path: Path) -> State:
    """Read one checkpoint, checked first; raises Damaged."""
    verify(path)
    try:
        structure = json.loads((path / STRUCTURE).read_bytes())
        # cloned into memory of its own: what happens to the file later changes nothing
        tensors = {name: tensor.clone() for name, tensor in load_file(path / TENSORS).items()}
        return unpack(structure, tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise Damaged(" ".join(str(error).split())) from error


def read_checkpoint(folder: str | Path) -> State | None:
    """Read the newest whole checkpoint of a folder; None where none was ever written.

    A damaged one is named in a warning of one line, and the one before it is used. Raises LocutionError with
    the list if there are some and none is whole.
    """
    faults: dict[Path, str] = {}
    while True:
        # listed anew each time: a run at work may have pruned meanwhile
        left = [path for path in checkpoints(folder) if path not in faults]
        if not left:
            break
        try:
            return load(left[0])
        except Damaged as reason:
            faults[left[0]] = str(reason)
            if left[0].exists():
                log.warning("checkpoint %s is damaged (%s); the one before it is tried.", left[0], reason)
    if not faults:
        return None
    listed = ", ".join(f"{path.name} ({reason})" for path, reason in faults.items())
    raise LocutionError(f"no checkpoint in {folder} is whole: {listed}.")
