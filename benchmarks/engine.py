"""What a training step costs: locution against the loop people write, and against other engines.

    python -m benchmarks.engine [--quick] [--peers PYTHON]

One thread, CPU time, everyone in turn. The peers run in an environment of their own (`make bench` builds it), each
in one process with the raw loop and with locution. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.networks import TINY, WIDE, locution_loop, raw_loop
from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
PEERS = ("lightning", "transformers", "skorch", "keras", "fastai")
RAW = "the loop people write"


def tiny(rounds: int) -> list[Ratio]:
    """20-64-2, batch 32, SGD, eight methods that do nothing; then the whole step compiled."""
    plain, compiled = "locution, eight methods", "locution, compiled"
    contestants = {
        RAW: raw_loop(TINY),
        plain: locution_loop(TINY),
        compiled: locution_loop(TINY, compile=True),
    }
    times = interleave(contestants, rounds)
    goals = {RAW: None, plain: 0.60, compiled: 0.30}
    return [compare(times, name, RAW, TINY.steps, goal) for name, goal in goals.items()]


def wide(rounds: int) -> list[Ratio]:
    """784-1024-1024-10, batch 128, AdamW."""
    name = "locution, fused AdamW"
    times = interleave({RAW: raw_loop(WIDE), name: locution_loop(WIDE)}, rounds)
    return [compare(times, RAW, RAW, WIDE.steps), compare(times, name, RAW, WIDE.steps, 0.70)]


def peers(python: str, *, quick: bool) -> list[Ratio]:
    """Let every peer run in its own process; locution must cost less than each."""
    found = []
    for peer in PEERS:
        command = [python, "-m", "benchmarks.peers", peer, *(["--quick"] if quick else [])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "torch"}
        name = f"locution / {peer}"
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["no output"])[-1]
                raise RuntimeError(said)
            for ratio in json.loads(done.stdout.strip().splitlines()[-1]):
                found.append(Ratio(**ratio))
        except (OSError, RuntimeError, subprocess.TimeoutExpired, ValueError) as error:
            found.append(Ratio(name, peer, float("nan"), 0.0, 0.0, 0.0, note=str(error)[:200]))
    return found


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers" / "bin" / "python"), help="the peers' python")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 9 if chosen.quick else 41
    tables = {"20-64-2, batch 32, SGD": tiny(rounds), "784-1024-1024-10, batch 128, AdamW": wide(rounds)}
    if not chosen.no_peers:
        tables["20-64-2, batch 32, SGD, beside other engines"] = peers(chosen.peers, quick=chosen.quick)
    for title, ratios in tables.items():
        show(title, ratios)
    return finish("engine", tables, quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
