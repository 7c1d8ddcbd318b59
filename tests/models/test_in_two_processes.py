"""Tasks, choices and the load of experts shared out among two processes give the update of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from in_two_processes import main


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = Path(__file__).with_name("in_two_processes.py")
    both, one = tmp_path / "both", tmp_path / "one"
    both.mkdir()
    one.mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*torchrun, str(script), str(both)], env=surroundings, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    main(one)
    for name in ("maml", "gumbel", "experts"):
        shared, alone = load_file(both / f"{name}.safetensors"), load_file(one / f"{name}.safetensors")
        assert shared.keys() == alone.keys()
        for key in alone:
            torch.testing.assert_close(shared[key], alone[key], rtol=0, atol=1e-6)
