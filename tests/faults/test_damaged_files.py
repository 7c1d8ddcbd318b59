"""Flipped bits, cut, lost and swapped files: each is noticed, and the checkpoint before it is used."""

from __future__ import annotations

import logging
import random
import shutil
from pathlib import Path

import pytest
import torch
from train_small import large_state, number_of

from locution.engine.checkpoint import checkpoints, read_checkpoint, write_checkpoint
from locution.engine.checkpoint_files import MANIFEST, STRUCTURE, TENSORS


def damage(path: Path, source: random.Random) -> str:
    """Harm one file of a checkpoint in one way, and say which."""
    name = source.choice((TENSORS, STRUCTURE, MANIFEST))
    data = bytearray((path / name).read_bytes())
    kind = source.choice(("flip", "flip", "flip", "cut", "zero", "more", "lost", "empty"))
    if kind == "flip":
        place = source.randrange(8 * len(data))
        data[place // 8] ^= 1 << (place % 8)
        kind = f"flip of bit {place}"
    elif kind == "cut":
        del data[source.randrange(len(data)) :]
    elif kind == "zero":
        start = source.randrange(len(data) - 1)
        length = source.randint(1, min(512, len(data) - start))
        if not any(data[start : start + length]):
            data[start] = 1
        else:
            data[start : start + length] = bytes(length)
    elif kind == "more":
        data += bytes([source.randrange(256)]) * source.randint(1, 9)
    elif kind == "empty":
        data.clear()
    if kind == "lost":
        (path / name).unlink()
    else:
        (path / name).write_bytes(data)
    return f"{kind} in {name}"


def harmed(folder: Path, caplog: pytest.LogCaptureFixture, times: int, seed: int) -> None:
    """Harm the newest checkpoint so many times; each time it must be named, and the one before it read."""
    source = random.Random(seed)
    for number in (1, 2):
        newest = write_checkpoint(folder, large_state(number, 400))
    shutil.copytree(newest, folder / "copy")
    for _ in range(times):
        what = damage(newest, source)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert number_of(read_checkpoint(folder)) == 1, what
        assert len(caplog.records) == 1, what
        assert str(newest) in caplog.text
        assert "\n" not in caplog.records[0].getMessage()
        shutil.rmtree(newest)
        shutil.copytree(folder / "copy", newest)
    assert number_of(read_checkpoint(folder)) == 2


def test_sixty_harms_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    harmed(tmp_path, caplog, times=60, seed=0)


@pytest.mark.long
def test_a_thousand_harms_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    harmed(tmp_path, caplog, times=1000, seed=1)


@pytest.mark.long
def test_every_single_bit_of_the_manifest_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        newest = write_checkpoint(tmp_path, large_state(number, 4))
    whole = (newest / MANIFEST).read_bytes()
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        (newest / MANIFEST).write_bytes(data)
        assert number_of(read_checkpoint(tmp_path)) == 1, place


def test_files_of_two_checkpoints_do_not_mix(tmp_path: Path) -> None:
    old, new = (write_checkpoint(tmp_path, large_state(number, 400)) for number in (1, 2))
    shutil.copy(old / TENSORS, new / TENSORS)
    assert number_of(read_checkpoint(tmp_path)) == 1


def test_a_file_that_holds_a_pickle_is_never_opened_as_one(tmp_path: Path) -> None:
    for number in (1, 2):
        newest = write_checkpoint(tmp_path, large_state(number, 400))
    torch.save({"w": torch.ones(1)}, newest / TENSORS)
    assert number_of(read_checkpoint(tmp_path)) == 1


def test_odd_names_in_the_folder_are_nobodys_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, large_state(1, 4))
    for name in ("latest", "000002.old", ".writing-000002", "12", "notes-000003"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["000001"]
