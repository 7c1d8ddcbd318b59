"""The cache under two processes, and under a kill while writing: real processes, nothing half done, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from locution.cli import run
from locution.errors import LocutionError, UserError
from locution.speech import kept
from locution.speech.cache_shown import clear, entries
from locution.speech.kept import aside, keep_folder, remove, sweep, use

WRITER = """
import sys, time
from pathlib import Path
from locution.speech.kept import keep_folder
home, pause = Path(sys.argv[1]), float(sys.argv[2])
def make(place):
    (place / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(pause)
    (place / "whole").write_text("whole")
keep_folder(home, make)
print("kept", flush=True)
sys.stdin.read()
"""


def writer(home: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(home), str(pause)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def close(process: subprocess.Popen[str]) -> None:
    pipes: list[IO[str] | None] = [process.stdin, process.stdout]
    for pipe in pipes:
        assert pipe is not None
        pipe.close()
    process.wait(30)


def make(place: Path) -> None:
    (place / "whole").write_text("whole")


def test_a_kill_while_writing_leaves_nothing_half_done_and_is_swept_by_the_next(tmp_path: Path) -> None:
    home = tmp_path / "frames" / "k"
    process = writer(home, 60)
    assert line(process) == "writing"
    left = [place for place in home.parent.iterdir() if (place / "half").exists()]
    assert len(left) == 1
    assert sweep(home.parent) == []  # its writer lives
    process.send_signal(signal.SIGKILL)
    close(process)
    assert not home.exists()
    assert left[0].exists()
    keep_folder(home, make)
    assert [place.name for place in home.parent.iterdir()] == ["k"]
    assert sorted(path.name for path in home.iterdir()) == [kept.USED, "whole"]


def test_two_processes_at_once_both_succeed_and_what_one_uses_the_other_cannot_clear(tmp_path: Path) -> None:
    home = tmp_path / "corpus" / "k"
    both = [writer(home, 0.5), writer(home, 0.5)]
    assert [line(process) for process in both] == ["writing", "writing"]
    assert [line(process) for process in both] == ["kept", "kept"]
    assert [place.name for place in home.parent.iterdir()] == ["k"]
    assert (home / "whole").read_text() == "whole"
    assert not remove(home)
    close(both[0])
    assert clear("corpus", tmp_path)[1][0].path == home  # the second still uses it
    assert (home / "whole").exists()
    close(both[1])
    gone, stay = clear("corpus", tmp_path)
    assert ([entry.key for entry in gone], stay) == (["k"], [])
    assert list(home.parent.iterdir()) == []


def test_a_folder_that_is_cleared_and_made_again_is_used_again(tmp_path: Path) -> None:
    home = keep_folder(tmp_path / "k", make)
    os.utime(home / kept.USED, (1, 1))
    assert use(home)
    assert time.time() - (home / kept.USED).stat().st_mtime < 60
    (home / kept.USED).unlink()  # as if another process had cleared and made it
    assert use(home)
    assert not remove(home)
    assert not use(tmp_path / "nowhere")
    assert remove(tmp_path / "nowhere")


def test_a_failure_while_making_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def full(place: Path) -> None:
        (place / "half").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(LocutionError, match="the disk is full"):
        keep_folder(tmp_path / "k", full)
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_ours_and_old_is_swept(tmp_path: Path) -> None:
    others = [tmp_path / "film.part", tmp_path / ".x.1.part", tmp_path / "k"]
    fresh, old = tmp_path / ".k.1.0123abcd.part", tmp_path / ".k.2.0123abcd.part"
    for place in (*others, fresh, old):
        place.mkdir()
    os.utime(old, (1, 1))
    with aside(tmp_path / "k") as place:
        assert not old.exists()
        assert place.exists()
        assert sweep(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == sorted([*others, fresh])


def test_the_cache_is_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path))
    assert run(["cache"]) == 0
    assert "0 entries" in capsys.readouterr().out
    for kind, key in (("frames", "abc1"), ("frames", "abd2"), ("corpus", "xyz3")):
        place = tmp_path / kind / key
        place.mkdir(parents=True)
        (place / "data").write_bytes(b"0" * 3 * 2**20)
    (tmp_path / "frames" / "abc1" / "index.json").write_text('{"places": [[0, 1]], "width": 7, "about": "/my/speech"}')
    (tmp_path / "corpus" / "xyz3" / "manifest.jsonl").write_text("{}\n{}\n")
    held = use(tmp_path / "frames" / "abd2")
    assert held
    assert {entry.key: entry.what for entry in entries(tmp_path)} == {
        "abc1": "an encoder's frames of /my/speech: 1 clips, 7 wide",
        "abd2": "an encoder's frames",
        "xyz3": "synthetic speech, sound files: 2 clips",
    }
    assert run(["cache"]) == 0
    out = capsys.readouterr().out
    assert "3 entries, 9 MiB" in out
    assert "abc1" in out
    for wrong in ("zzz", "ab"):
        assert run(["cache", wrong, "--clear"]) == 2
        assert "is no kind or key" in capsys.readouterr().err
    assert run(["cache", "--clear", "xy"]) == 0
    assert not (tmp_path / "corpus" / "xyz3").exists()
    assert run(["cache", "--clear"]) == 1
    assert "frames abd2 is in use by a process and stays" in capsys.readouterr().out
    assert [entry.key for entry in entries(tmp_path)] == ["abd2"]
    with pytest.raises(UserError, match="'nix' is no kind or key"):
        clear("nix", tmp_path)


def test_a_name_that_nothing_kept_has_is_refused_when_showing_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path))
    for key in ("ab1", "ab2", "cd3"):
        (tmp_path / "frames" / key).mkdir(parents=True)
    assert run(["cache", "cd"]) == 0
    assert "1 entries" in capsys.readouterr().out
    assert run(["cache", "spoken"]) == 0
    for wanted in ("ab", "frmaes"):
        assert run(["cache", wanted]) == 2
        assert capsys.readouterr().err.count("\n") == 1
