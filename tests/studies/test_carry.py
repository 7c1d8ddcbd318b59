"""Carrying out runs: paired and counted whoever does it, and none left behind when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from locution.config import to_yaml
from locution.engine.checkpoint import read_checkpoint
from locution.engine.lock import locked
from locution.errors import UserError
from locution.recipe import resolve
from locution.studies import carry
from locution.studies.carry import GRACE, Planned, in_processes, one_by_one, run_one, stop
from locution.studies.compare import compare

LONG = ("line", "steps=1000000000", "same: log_every=777", "--seeds", "2", "--workers", "2", "--out")

OTHERS = (pytest.param(way, marks=pytest.mark.long) for way in (signal.SIGTERM, signal.SIGKILL))
WAYS = (signal.SIGINT, *OTHERS)


def planned(folder: Path, seed: int, *words: str, recipe: str = "line") -> Planned:
    place = folder / f"seed-{seed}"
    return Planned("plain", seed, recipe, (*words, f"seed={seed}", f"run_dir={place}"), place)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def writers(folder: Path) -> list[int]:
    """The processes that hold the locks of the runs in a folder, and live."""
    held = []
    for lock in folder.rglob(".lock"):
        number = lock.read_text().strip()
        if number and Path(f"/proc/{number}").exists():
            held.append(int(number))
    return held


def as_in_a_terminal() -> None:
    """Let Ctrl-C reach a process: where the tests run in a shell's background, what they begin would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begin(folder: Path) -> subprocess.Popen[str]:
    """Begin a long comparison in two processes, and wait until both train."""
    words = [sys.executable, "-m", "locution.cli", "compare", *LONG, str(folder)]
    study = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=as_in_a_terminal,
    )
    assert until(lambda: len(list(folder.rglob("metrics.jsonl"))) >= 2), "two runs train"
    return study


@pytest.mark.parametrize("way", WAYS)
def test_a_study_that_is_stopped_leaves_no_process_and_goes_on(way: signal.Signals, tmp_path: Path) -> None:
    study = begin(tmp_path)
    busy = writers(tmp_path)
    assert len(busy) == 2
    os.kill(study.pid, way)
    try:
        _, said = study.communicate(timeout=2 * GRACE)  # runs may lawfully take all their grace
    finally:
        study.kill()  # if it did not end by itself: its runs then notice and stop
    assert until(lambda: not any(Path(f"/proc/{number}").exists() for number in busy)), "none is left behind"
    if way != signal.SIGKILL:
        assert study.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[way]
        assert "0 of 4 runs are done; the same words go on from here" in said
    kept = list(tmp_path.rglob("checkpoints/*"))
    assert kept, "each run wrote a checkpoint first"
    folder = kept[0].parents[1]
    state = read_checkpoint(folder / "checkpoints")
    assert state is not None
    steps = state["position"]["step"] + 1  # the rest of so long a training is left out
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 1000000000", f"steps: {steps}"))
    assert run_one(Planned("plain", 0, "line", (), folder)) == (0, "")
    results = json.loads((folder / "results.json").read_text())
    assert results["cost"]["steps"] == steps
    assert results["cost"]["rate"] > 0


def test_what_is_done_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("line", "steps=5", "slow: optimizer.lr=0.001")
    compare(*words, seeds=2, out=tmp_path, quiet=True)
    asked = []

    def counted(left: list[Planned]) -> object:
        asked.extend(left)
        return one_by_one(left)

    monkeypatch.setattr("locution.studies.compare.one_by_one", counted)
    compare(*words, seeds=2, out=tmp_path, quiet=True)
    assert asked == [], "nobody is even asked"
    found, _ = compare(*words, seeds=4, out=tmp_path, quiet=True)
    assert [(one.variant, one.seed) for one in asked] == [("plain", 2), ("slow", 2), ("plain", 3), ("slow", 3)]
    assert found.effects[0].seeds == (0, 1, 2, 3)


def test_memory_is_compared_where_each_run_had_a_process_of_its_own(tmp_path: Path) -> None:
    words = ("line", "steps=5", "slow: optimizer.lr=0.001")
    apart, _ = compare(*words, seeds=2, workers=2, metric="mse,peak_memory", out=tmp_path / "two", quiet=True)
    assert [one.metric for one in apart.effects] == ["mse", "peak_memory"]
    assert 0.5 < apart.effects[0].memory < 2.0
    assert apart.effects[1].baseline > 1e7, "bytes"
    together, folder = compare(*words, seeds=2, out=tmp_path / "one", quiet=True)
    assert together.effects[0].memory != together.effects[0].memory
    assert json.loads((folder / "comparison.json").read_text())["effects"][0]["memory"] is None
    with pytest.raises(UserError, match=r"peak_memory is known only where .* --workers 2"):
        compare(*words, seeds=2, metric="peak_memory", out=tmp_path / "one", quiet=True)


def test_a_process_that_is_killed_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    long, short = planned(tmp_path, 0, "steps=1000000000"), planned(tmp_path, 1, "steps=5")
    ended = {}
    for one, code, why in in_processes([long, short], 2):
        ended[one.seed] = (code, why)
        if one.seed == 1:
            assert until(lambda: (long.folder / "metrics.jsonl").is_file())
            os.kill(int((long.folder / ".lock").read_text()), signal.SIGKILL)
    assert ended[1] == (0, "")
    assert ended[0][0] == 1
    assert "SIGKILL" in ended[0][1]


def test_a_run_that_another_process_trains_is_waited_for(tmp_path: Path) -> None:
    one = planned(tmp_path, 0, "steps=5")
    one.folder.mkdir()
    (one.folder / "recipe.yaml").write_text(to_yaml(resolve("line", ["steps=5"]).settings()))
    held, free = threading.Event(), threading.Event()

    def other() -> None:
        with locked(one.folder):
            held.set()
            free.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(30)
    threading.Timer(0.5, free.set).start()
    assert run_one(one) == (0, "")
    thread.join()
    assert one.done


def test_no_run_spends_its_time_on_importing(tmp_path: Path) -> None:
    """Each run in a process of its own would pay for it again, and a method that doubles a step would seem cheap."""
    program = (
        "import sys; from locution.studies.preload import runs; before = set(sys.modules); "
        "runs.train('digits', 'steps=2', 'run_dir=here', quiet=True); "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - {'locution'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not {"sympy", "torch._dynamo", "hydra", "mpmath"} & set(done.stdout.split()), done.stdout


def test_processes_work_where_the_study_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = Planned("plain", 0, "line", ("steps=5", "run_dir=here"), Path("here"))
    assert [code for _, code, _ in in_processes([one], 2)] == [0]
    assert (tmp_path / "here" / "results.json").is_file()


def test_a_run_that_breaks_is_told_and_one_that_is_refused_stops_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a part gave way")

    monkeypatch.setattr("locution.runs.train", broken)
    assert run_one(planned(tmp_path, 0, "steps=5")) == (1, "RuntimeError: a part gave way")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for workers in (1, 2):
        with pytest.raises(UserError, match=r"^odd: 'nowhere' is no"):
            compare("line", "steps=2", "odd: start=nowhere", seeds=9, workers=workers, out="refused", quiet=True)
    assert len(list(tmp_path.rglob("results.json"))) <= 2, "the first that is refused ends it"


def test_a_process_that_will_not_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()

    class Like:
        def __getattr__(self, name: str) -> object:
            return getattr(process, name)

        def join(self, timeout: float | None = None) -> None:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                return

        def is_alive(self) -> bool:
            return process.poll() is None

    monkeypatch.setattr(carry, "GRACE", 0.2)
    stop([Like()])
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
