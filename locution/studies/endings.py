"""Which runs of a comparison diverged, and whether a variant keeps training from it or makes it diverge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from locution.evaluation.significance import holm, sign_test
from locution.studies.effects import LEVEL, known

FEWEST = 6  # pairs that differ below which no verdict is possible
LOSS = "the loss became "  # how a run ends that diverged
NUMBERS = (" is nan", " is inf", " is -inf")  # and one that came to its end without a figure


@dataclass(frozen=True)
class Ending:
    """A run diverges if its loss, or the figure that is asked for, becomes no number; this counts it on both sides.

    diverged, plain: seeds on which the variant, and the plain recipe, diverged, of so many `pairs` of which both ended
    one way or the other. saved: seeds on which only the plain recipe did; lost: only the variant. p, adjusted: sign
    test on saved and lost, before and after Holm's correction over the variants; verdict: helps (it keeps training
    from diverging), hurts, or cannot tell.
    """

    name: str
    diverged: int
    plain: int
    pairs: int
    saved: int
    lost: int
    p: float
    adjusted: float = 1.0
    verdict: str = "cannot tell"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {key: known(value) for key, value in asdict(self).items()}


def diverged(name: str, seeds: Sequence[int], failures: Mapping[str, str]) -> set[int]:
    """Find the seeds on which a variant diverged, by why its runs failed.

    >>> why = {"sam, seed 3": "the loss became nan at step 7", "sam, seed 4": "its process was ended by SIGKILL"}
    >>> diverged("sam", range(5), why)
    {3}
    """
    told = {seed: failures.get(f"{name}, seed {seed}", "") for seed in seeds}
    return {seed for seed, why in told.items() if why.startswith(LOSS) or why.endswith(NUMBERS)}


def ending(name: str, varied: set[int], plain: set[int], pairs: Sequence[int]) -> Ending:
    """Weigh on which of some seeds a variant diverged against where the plain recipe did.

    >>> ending("sam", set(), {0, 1, 2, 3, 4, 5}, range(8)).p  # six seeds saved, none lost: 2 / 2^6
    0.03125
    """
    here = set(pairs)
    varied, plain = varied & here, plain & here
    saved, lost = len(plain - varied), len(varied - plain)
    return Ending(name, len(varied), len(plain), len(here), saved, lost, sign_test(saved, lost))


def weighed(endings: Sequence[Ending]) -> list[Ending]:
    """Correct for the number of variants and say of each whether it keeps training from diverging.

    Where fewer than six pairs differ no verdict is possible: the smallest p-value of five is 2 / 2^5 = 0.0625.
    """
    found = []
    for one, adjusted in zip(endings, holm([one.p for one in endings]), strict=True):
        word = "helps" if one.saved > one.lost else "hurts"
        found.append(replace(one, adjusted=adjusted, verdict=word if adjusted <= LEVEL else "cannot tell"))
    return found


def endings_of(
    names: Sequence[str],
    plain: str,
    done: Mapping[str, Mapping[int, Any]],
    failed: Mapping[str, str],
    seeds: Sequence[int],
) -> list[Ending]:
    """Weigh every variant against the plain recipe; nothing where no run diverged at all.

    done: the runs that have results, by variant and seed. failed: why runs came to no end, or to no number.
    """
    off = {name: diverged(name, seeds, failed) for name in names}
    if not any(off.values()):
        return []
    ended = {name: set(done.get(name, {})) | off[name] for name in names}  # what was killed says nothing
    others = [name for name in names if name != plain]
    return weighed([ending(n, off[n], off[plain], sorted(ended[n] & ended[plain])) for n in others])
