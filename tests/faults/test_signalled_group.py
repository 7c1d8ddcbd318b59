"""Several processes, one training: a signal to any of them stops all at the same step, with one checkpoint."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from locution.engine.checkpoint import checkpoints, read_checkpoint

SCRIPT = """
import sys
import train_small
train_small.in_a_group(sys.argv[1])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.long
@pytest.mark.parametrize("struck", [0, 1])
def test_a_signal_to_one_process_stops_all(tmp_path: Path, struck: int) -> None:
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in range(2):
        environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), environment.get("PYTHONPATH", "")])
        words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        processes.append(subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True))
    begun = time.monotonic()
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() - begun < 120:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    processes[struck].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], said
    assert len(checkpoints(tmp_path / "run" / "checkpoints")) == 1
    step = read_checkpoint(tmp_path / "run" / "checkpoints")["position"]["step"]
    assert [int((tmp_path / f"stopped-{rank}").read_text()) for rank in range(2)] == [step, step]
    assert (tmp_path / "run" / "recipe.yaml").read_text() == "rank: 0"
