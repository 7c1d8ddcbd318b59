"""A process that has imported everything once and forks off others to be killed, in milliseconds each."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class End:
    """How a process ended: its exit code (minus the signal that killed it), when, and what it said."""

    code: int
    seconds: float
    after_signal: float
    orphans: bool
    output: str


class Zygote:
    """Runs functions of `train_small` in processes of their own and sends them signals at set moments."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "output"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(
        self,
        function: str,
        *arguments: Any,
        signals: list[tuple[float, int]] | None = None,
        once: Path | None = None,
    ) -> End:
        """Run a function; send it signals so long after its start, or after the file `once` is there."""
        order = {"function": function, "arguments": arguments, "signals": signals or [], "log": str(self.log)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({**order, "once": str(once or "")}) + "\n")
        self.process.stdin.flush()
        end = json.loads(self.process.stdout.readline())
        return End(**end, output=self.log.read_text(errors="replace"))

    def kill_within(self, seconds: float, source: random.Random, function: str, *arguments: Any) -> End:
        """Run a function and kill it at a random moment of its first seconds."""
        return self.run(function, *arguments, signals=[(source.uniform(0, seconds), signal.SIGKILL)])

    def close(self) -> None:
        """End the process; what it had running ends with it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def child(order: dict[str, Any]) -> None:
    """Be the process that is killed."""
    code = 70
    try:
        os.setpgrp()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import train_small

        getattr(train_small, order["function"])(*order["arguments"])
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def oversee(pid: int, order: dict[str, Any]) -> dict[str, Any]:
    """Send a child its signals and wait for its end; it is not reaped before, so its number stays its own."""
    begun = time.monotonic()

    def running() -> bool:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    while order["once"] and not os.path.exists(order["once"]) and running():
        time.sleep(0.001)
    start = last = time.monotonic()
    for after, number in order["signals"]:
        while time.monotonic() - start < after and running():
            time.sleep(0.0005)
        last = time.monotonic()
        os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    end = time.monotonic()
    orphans = True
    for _ in range(200):  # workers may take a moment to follow
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            orphans = False
            break
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "seconds": end - begun, "after_signal": end - last, "orphans": orphans}


def main() -> None:
    """Read orders, one a line, until there are no more."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import torch._dynamo  # noqa: F401  (torch's optimizers import it when the first one is made)
    import train_small

    train_small.built(train_small.methods_found())
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            child(order)
        print(json.dumps(oversee(pid, order)), flush=True)
    os._exit(0)  # torch takes seconds to leave politely


if __name__ == "__main__":
    main()
