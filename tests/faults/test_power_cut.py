"""Power cuts: after any prefix of what was done to the disk, the old checkpoint is read or the new one."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from power_cut import Recorder, build, description, worlds
from train_small import large_state, number_of

from locution.engine import checkpoint_files, durable
from locution.engine.checkpoint import read_checkpoint, write_checkpoint
from locution.engine.durable import write_text
from locution.errors import LocutionError

Done = list[tuple[Any, ...]]


def recorded(root: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> list[Done]:
    """Write so many checkpoints; say what was done to the disk up to the end of each."""
    recorder, ends = Recorder(root), []
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", recorder)
        patch.setattr(checkpoint_files, "os", recorder)
        for number in range(1, count + 1):
            write_checkpoint(root / "run" / "checkpoints", large_state(number, 2000))
            ends.append(list(recorder.done))
    return ends


def check_prefixes(ends: list[Done], folder: Path, drawn: int) -> int:
    """Cut the power after each thing that was done; return how many disks were judged."""
    number = disks = 0
    known: dict[str, int] = {}
    for prefix in range(len(ends[-1]) + 1):
        while number < len(ends) and prefix >= len(ends[number]):
            number += 1
        for disk in worlds(ends[-1][:prefix], prefix, drawn):
            described = repr(description(disk))
            if described not in known:
                build(disk, folder / "disk")
                kept = read_checkpoint(folder / "disk" / "run" / "checkpoints")
                known[described] = 0 if kept is None else number_of(kept)
                shutil.rmtree(folder / "disk")
            found = known[described]
            assert found in (number, number + 1), f"{found} after {prefix} things, {number} were safe"
            disks += 1
    return disks


def test_after_any_prefix_the_old_or_the_new_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends = recorded(tmp_path, monkeypatch, 3)
    with caplog.at_level(logging.WARNING):
        assert check_prefixes(ends, tmp_path, drawn=2) > 250
    assert not caplog.records  # none even looked damaged


@pytest.mark.long
def test_after_any_prefix_of_many_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_prefixes(recorded(tmp_path, monkeypatch, 12), tmp_path, drawn=60) > 10_000


@pytest.mark.parametrize("forgotten", ["files", "folders"])
def test_it_shows_when_an_fsync_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    def without(done: Done) -> Done:
        files = {what[1] for what in done if what[0] == "create"}
        return [what for what in done if what[0] != "fsync" or (what[1] in files) != (forgotten == "files")]

    ends = [without(done) for done in recorded(tmp_path, monkeypatch, 2)]
    with pytest.raises(Exception, match=r"were safe|is whole"):
        check_prefixes(ends, tmp_path, drawn=10)


def test_it_shows_when_a_checkpoint_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "WRITING", "")
    monkeypatch.setattr(Recorder, "rename", lambda *_: None)
    ends = recorded(tmp_path, monkeypatch, 1)
    with pytest.raises(LocutionError, match=r"no checkpoint in .* is whole"):
        check_prefixes(ends, tmp_path, drawn=0)


def test_a_text_is_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, ends = Recorder(tmp_path), []
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", recorder)
        for text in ("first", "second" * 2000):
            write_text(tmp_path / "run" / "note", text)
            ends.append(len(recorder.done))
    for prefix in range(len(recorder.done) + 1):
        for disk in worlds(recorder.done[:prefix], prefix, drawn=5):
            build(disk, tmp_path / "disk")
            note = tmp_path / "disk" / "run" / "note"
            found = note.read_text() if note.exists() else ""
            safe = sum(prefix >= end for end in ends)
            assert found in ["", "first", "second" * 2000][safe : safe + 2]
            shutil.rmtree(tmp_path / "disk")
