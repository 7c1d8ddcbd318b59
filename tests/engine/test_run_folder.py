"""Run folders: one each, one writer each, and a clear line for a folder that is none."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from locution.engine import durable, run_folder
from locution.engine.lock import LOCK
from locution.engine.run_folder import RunFolder, cut_metrics, write_text
from locution.errors import LocutionError, UserError


def test_a_run_gets_a_folder_named_by_the_time(tmp_path: Path) -> None:
    run = RunFolder.create("speech/encoder", None, "seed: 0\n", root=tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run.path.name)
    assert run.path.parent == tmp_path / "speech" / "encoder"
    assert (run.path / "recipe.yaml").read_text() == "seed: 0\n"
    assert (run.metrics, run.checkpoints, run.report) == tuple(
        run.path / name for name in ("metrics.jsonl", "checkpoints", "report.html")
    )


def test_latest_points_to_the_newest_by_a_relative_link(tmp_path: Path) -> None:
    runs = [RunFolder.create("digits", None, f"seed: {n}", root=tmp_path) for n in range(3)]
    assert len({run.path for run in runs}) == 3
    latest = tmp_path / "digits" / "latest"
    assert os.readlink(latest) == runs[-1].path.name
    assert not [name for name in os.listdir(latest.parent) if name.startswith(".")]
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))
    assert (moved / "digits" / "latest" / "recipe.yaml").read_text() == "seed: 2"


def test_runs_that_begin_together_get_folders_of_their_own(tmp_path: Path) -> None:
    def create(number: int) -> Path:
        return RunFolder.create("digits", None, f"seed: {number}", root=tmp_path).path

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(create, range(24)))
    assert len(set(paths)) == 24
    assert {(path / "recipe.yaml").read_text() for path in paths} == {f"seed: {n}" for n in range(24)}


def test_latest_that_cannot_be_a_link_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "digits" / "latest" / "copy").mkdir(parents=True)
    run = RunFolder.create("digits", None, "", root=tmp_path)
    assert (run.path / "recipe.yaml").exists()
    assert "latest could not be pointed to" in caplog.text


def test_a_folder_that_is_asked_for_must_be_new_or_empty(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "b"
    run = RunFolder.create("digits", wanted, "seed: 0", root=tmp_path / "runs")
    assert run.path == wanted
    assert not (tmp_path / "runs").exists()
    with run.lock():
        pass
    with pytest.raises(UserError, match=r"not empty; allowed: a new .*--resume .*/a/b\.$"):
        RunFolder.create("digits", wanted, "seed: 1")
    assert (wanted / "recipe.yaml").read_text() == "seed: 0"
    with run.lock():  # the refusal holds no lock
        pass


def test_somebodys_own_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(UserError, match=r"not empty; allowed: a new or an empty folder\.$"):
        RunFolder.create("digits", tmp_path, "")
    assert os.listdir(tmp_path) == ["thesis.txt"]
    with pytest.raises(UserError, match="which is a file"):
        RunFolder.create("digits", tmp_path / "thesis.txt", "")


def test_what_a_run_killed_at_its_beginning_leaves_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / ".recipe.yaml.123").touch()
    assert RunFolder.create("digits", tmp_path, "seed: 0").path == tmp_path


def test_a_run_opens_by_path_by_link_and_by_recipe(tmp_path: Path) -> None:
    run = RunFolder.create("speech/encoder", None, "", root=tmp_path)
    for where in (run.path, run.path.parent / "latest"):
        assert RunFolder.open(where) == run
    assert RunFolder.open("speech/encoder", root=tmp_path) == run


def test_a_run_folder_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    RunFolder.create("digits", None, "", root=tmp_path)
    for where, fault in (
        (tmp_path / "nowhere", "it does not exist"),
        (tmp_path / "file", "it is a file"),
        (tmp_path, "it holds no recipe.yaml"),
        (tmp_path / "digits", "Did you mean '.*/digits/latest'"),
    ):
        with pytest.raises(UserError, match=f"is no run folder: .*{fault}") as error:
            RunFolder.open(where, root=tmp_path / "runs")
        assert "\n" not in str(error.value)


HOLD = "import sys, pathlib; from locution.engine.lock import locked\n"
HOLD += "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_is_at_work(tmp_path: Path) -> None:
    run = RunFolder.create("digits", tmp_path / "run", "")
    with run.lock():
        pass
    with another_process(run.path) as process:
        told = f"in use: process {process.pid} trains in it; wait for it or stop it"
        with pytest.raises(LocutionError, match=told) as error, run.lock():
            pass
        assert error.value.exit_code == 1
        assert "\n" not in str(error.value)
        with pytest.raises(LocutionError, match=told):
            RunFolder.create("digits", run.path, "other")
    with run.lock():  # it was killed: nothing stays locked
        assert (run.path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_new_run_is_locked_from_its_first_moment(tmp_path: Path) -> None:
    first = RunFolder.create("digits", tmp_path, "first")
    with pytest.raises(LocutionError, match=f"process {os.getpid()} trains"):
        RunFolder.create("digits", tmp_path, "second")
    with first.lock(), pytest.raises(LocutionError, match="in use"), first.lock():
        pass
    assert (tmp_path / "recipe.yaml").read_text() == "first"


def child_can_lock(folder: Path, answer: Connection) -> None:
    try:
        with RunFolder(folder).lock():
            answer.send("yes")
    except LocutionError as error:
        answer.send(str(error))


def test_a_child_that_was_forked_off_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    run = RunFolder(tmp_path)
    with run.lock():
        process = multiprocessing.get_context("fork").Process(target=child_can_lock, args=(tmp_path, theirs))
        process.start()
        assert f"process {os.getpid()} trains" in ours.recv()
        process.join()
        with pytest.raises(LocutionError, match="in use"), run.lock():  # the child's end freed nothing
            pass


def test_other_processes_of_a_group_leave_the_lock_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with RunFolder(tmp_path).lock(), RunFolder(tmp_path).lock():
        assert not (tmp_path / LOCK).exists()


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "note"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(durable.os, name, fail)
            with pytest.raises(LocutionError, match="note could not be written: the disk is full") as error:
                write_text(path, "new")
            assert error.value.exit_code == 1
            assert "\n" not in str(error.value)
        assert path.read_text() == "old"
        assert os.listdir(path.parent) == ["note"]


def test_a_text_too_large_for_the_limit_is_one_clear_line(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(LocutionError, match="a file may not become that large"):
            write_text(tmp_path / "note", "x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_makes_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(run_folder.os, "mkdir", full)
    with pytest.raises(LocutionError, match="the disk is full"):
        RunFolder.create("digits", None, "", root=tmp_path)


def line(kind: str, step: int, epoch: int) -> str:
    return json.dumps({"kind": kind, "step": step, "epoch": epoch}) + "\n"


def test_metrics_behind_the_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    before = [line("step", 5, 0), line("step", 10, 0), line("epoch", 10, 1), line("step", 15, 1)]
    behind = [line("step", 20, 1), line("epoch", 20, 2), '{"kind": "step", "st']
    path.write_text("".join(before + behind))
    assert cut_metrics(path, 15, 1) == 3
    assert path.read_text() == "".join(before)
    assert cut_metrics(path, 15, 1) == 0


def test_the_end_of_an_epoch_behind_a_checkpoint_at_its_last_step_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line("step", 10, 0) + line("epoch", 10, 1) + line("end", 10, 0))
    assert cut_metrics(path, 10, 0) == 2
    assert path.read_text() == line("step", 10, 0)


def test_odd_lines_are_cut_and_no_file_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert cut_metrics(path, 0, 0) == 0
    path.write_text('[]\n"x"\n{}\n{"step": "a"}\n{"step": 1}\n')
    assert cut_metrics(path, 9, 9) == 4
    assert path.read_text() == '{"step": 1}\n'
