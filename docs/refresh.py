"""Fill in what the documents say that commands print: each block behind `<!-- prints: COMMAND -->` is run again.

Between `<!-- table: COMMAND -->` and `<!-- end -->` what is printed stands as Markdown.

Run from the root of the repository: `python docs/refresh.py README.md [part of the commands to run]`. With `--check`
nothing is written, and what would differ is said.
"""

from __future__ import annotations

import argparse
import difflib
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


def refresh(path: Path, only: str = "", *, check: bool = False) -> bool:
    """Write a document anew with the output of its commands, or only say what would differ; says whether it does."""
    text = path.read_text(encoding="utf-8")

    def fill(match: re.Match[str]) -> str:
        command = match["command"]
        if only not in command:
            return match[0]
        body = printed(command)
        if check and body != match["old"]:
            print(f"{path}: {command}")
            print(
                "\n".join(
                    difflib.unified_diff(match["old"].split("\n"), body.split("\n"), "stands", "prints", "", "", 0)
                )
            )
        return f"{match[1]}{body}{match[4]}"

    fresh = TABLE.sub(fill, BLOCK.sub(fill, text))
    if not check:
        path.write_text(fresh, encoding="utf-8")
    return fresh != text


if __name__ == "__main__":
    told = argparse.ArgumentParser(description="Fill in what the documents say that commands print.")
    told.add_argument("document", type=Path, help="such as README.md")
    told.add_argument("only", nargs="?", default="", help="a part of the commands to run; all, if none is named")
    told.add_argument("--check", action="store_true", help="write nothing, say what would differ; exit code 1 if any")
    asked = told.parse_args()
    if not asked.document.is_file():
        told.error(f"there is no document {asked.document}; allowed: a file that is there, such as README.md.")
    differs = refresh(asked.document, asked.only, check=asked.check)
    sys.exit(int(asked.check and differs))
