"""Fill in what the documents say that commands print: each block behind `<!-- prints: COMMAND -->` is run again.

Between `<!-- table: COMMAND -->` and `<!-- end -->` what is printed stands as Markdown.

Run from the root of the repository: `python docs/refresh.py README.md [word of the commands to run]`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"(<!-- prints: (?P<command>.+?) -->\n```text\n)(?P<old>.*?)(```)", re.DOTALL)

TABLE = re.compile(r"(<!-- table: (?P<command>.+?) -->\n)(?P<old>.*?)(<!-- end -->)", re.DOTALL)


def printed(command: str) -> str:
    """Run a command and return what it printed to standard output."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines()) + "\n"


def refresh(path: Path, only: str = "") -> None:
    """Write a document anew with the output of its commands."""
    text = path.read_text(encoding="utf-8")

    def fill(match: re.Match[str]) -> str:
        command = match["command"]
        body = printed(command) if only in command else match["old"]
        return f"{match[1]}{body}{match[4]}"

    path.write_text(TABLE.sub(fill, BLOCK.sub(fill, text)), encoding="utf-8")


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), *sys.argv[2:3])
