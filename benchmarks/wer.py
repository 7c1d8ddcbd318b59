"""What counting word errors costs: locution against jiwer, and that both count the same.

    python -m benchmarks.wer [--quick] [--peers PYTHON]

jiwer lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn: 5,000 pairs of 20 words at three error rates, the time of one pass
over all. jiwer's side is `process_words`, which counts as ours does; its `wer` takes as long. Before the clock runs,
substitutions, deletions and insertions are compared on 10,000 random pairs. Exit code 1 when a goal is missed or a
count differs.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
PAIRS, WORDS, VOCABULARY = 5_000, 20, 2_000
RATES = (0.05, 0.15, 0.5)
GOAL = 0.2  # five times as fast
Texts = list[str]


def damaged(words: list[str], rate: float, draw: random.Random, vocabulary: int) -> list[str]:
    """Lose, replace and add words, each a third of the errors."""
    written: list[str] = []
    for word in words:
        chance = draw.random()
        if chance < rate / 3:
            continue
        written.append(f"w{draw.randrange(vocabulary)}" if chance < 2 * rate / 3 else word)
        if chance > 1 - rate / 3:
            written.append(f"w{draw.randrange(vocabulary)}")
    return written


def corpus(rate: float, seed: int = 0) -> tuple[Texts, Texts]:
    """Draw sentences of 20 words out of 2,000, and what a recogniser of a given error rate would write."""
    draw = random.Random(seed)
    said = [[f"w{draw.randrange(VOCABULARY)}" for _ in range(WORDS)] for _ in range(PAIRS)]
    return [" ".join(one) for one in said], [" ".join(damaged(one, rate, draw, VOCABULARY)) for one in said]


def random_pairs(count: int, seed: int = 1) -> tuple[Texts, Texts]:
    """Draw pairs of every kind: related and unrelated, of few words and many, up to nothing written at all."""
    draw = random.Random(seed)
    said, written = [], []
    for _ in range(count):
        vocabulary = draw.choice((2, 5, 50, 2_000))
        one = [f"w{draw.randrange(vocabulary)}" for _ in range(draw.randint(1, 40))]
        related = draw.random() < 0.7
        other = (
            damaged(one, draw.random(), draw, vocabulary)
            if related
            else [f"w{draw.randrange(vocabulary)}" for _ in range(draw.randint(0, 40))]
        )
        said.append(" ".join(one))
        written.append(" ".join(other))
    return said, written


def same_counts(jiwer: Any, count: int = 10_000) -> int:
    """Compare the counts pair by pair; return how many pairs differ."""
    from locution.speech.wer import error_table

    said, written = random_pairs(count)
    ours, differ = error_table(said, written).tolist(), 0
    for one, other, row in zip(said, written, ours, strict=True):
        theirs = jiwer.process_words(one, other)
        words = theirs.hits + theirs.substitutions + theirs.deletions
        differ += row != [words, theirs.substitutions, theirs.deletions, theirs.insertions]
    print(f"pairs of {count:,} whose counts differ from jiwer's: {differ} (goal 0)")
    return differ


def measure(*, quick: bool) -> int:
    """Run it in an environment that has jiwer."""
    import jiwer  # type: ignore[import-not-found,unused-ignore]

    from locution.speech.wer import error_table

    differ, table = same_counts(jiwer), list[Ratio]()
    for rate in RATES:
        said, written = corpus(rate)

        def ours(said: Texts = said, written: Texts = written) -> object:
            return error_table(said, written)

        def theirs(said: Texts = said, written: Texts = written) -> object:
            return jiwer.process_words(said, written)

        contestants: dict[str, Callable[[], object]] = {"locution": ours, "jiwer": theirs}
        ratio = compare(interleave(contestants, 9 if quick else 41), "locution", "jiwer", PAIRS, GOAL)
        ratio.name = f"locution / jiwer, {rate:.0%} of the words wrong"
        table.append(ratio)
    tables = {f"word errors of {PAIRS:,} pairs of {WORDS} words": table}
    for title, ratios in tables.items():
        show(title, ratios)
    code = finish("wer", tables, quick=quick)
    return code if not differ else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has jiwer; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.wer", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
