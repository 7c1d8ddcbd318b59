"""Splits: the ones that data bring with them, or made so that no speaker is in two of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from locution.engine.random import stream_key
from locution.errors import UserError
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.sources.found import listed

SPLITS = ("train", "dev", "test")
HELD_OUT = 0.1  # share of the clips that a split which is made takes


def divided(clips: Sequence[Clip]) -> tuple[list[Clip], str]:
    """A split parts data into what is learnt from, what is tuned on and what is judged on.

    Splits that the clips bring with them are used. A missing "dev" or "test" takes a tenth of what there is to train
    on: by speaker where three or more are known, else by clip, clips that say the same kept together unless they are
    a few phrases said again and again. The same clips are always split alike. Returns the clips, each with its split,
    and what was done in words. Raises UserError for a name that is no split, and where there is too little to part.

    >>> from pathlib import Path
    >>> clips = [Clip(Path(f"{n}.flac"), "a", speaker=f"s{n % 40}") for n in range(400)]
    >>> parts, said = divided(clips)
    >>> {split: len({clip.speaker for clip in parts if clip.split == split}) for split in SPLITS}
    {'train': 32, 'dev': 4, 'test': 4}
    >>> said
    'dev and test were split off, each a tenth, by speaker'

    Reference: V. Panayotov et al., 2015, "LibriSpeech: an ASR corpus based on public domain audio books", section 3
    (speakers of the parts kept apart).
    """
    odd = sorted({clip.split for clip in clips} - {"", *SPLITS})
    if odd:
        raise UserError(f"the data name the splits {', '.join(odd)}; allowed: {', '.join(SPLITS)}, or none at all.")
    found = [clip if clip.split else replace(clip, split="train") for clip in clips]
    missing = [split for split in ("test", "dev") if not any(clip.split == split for clip in found)]
    how = "" if missing else "the splits are those of the data"
    for split in missing:
        found, by = split_off(found, split)
        how = how or by
    if missing:
        made = " and ".join(sorted(missing))
        how = f"{made} {'were' if len(missing) > 1 else 'was'} split off, {'each ' * (len(missing) > 1)}a tenth, {how}"
    lacking = [split for split in SPLITS if not any(clip.split == split for clip in found)]
    if lacking:
        raise UserError(
            f"{len(clips)} clips leave none for {listed(lacking)}; allowed: at least one clip in each split."
        )
    return found, how


def split_off(clips: Sequence[Clip], split: str) -> tuple[list[Clip], str]:
    """Take about a tenth of the training clips for another split; say by what."""
    train = [clip for clip in clips if clip.split == "train"]
    speakers = {clip.speaker for clip in train}
    by_speaker = len(speakers) >= 3 and "" not in speakers

    texts = {normalise(clip.text) for clip in train}
    by_text = 2 * len(texts) >= len(train)  # else they are a few phrases, said again and again

    def owner(clip: Clip) -> str:
        said = normalise(clip.text) if by_text else ""
        return clip.speaker if by_speaker else said or clip.path.name

    groups = group_by(train, owner)
    # a hash gives the order, so that it depends on nothing else that is in the data
    order = sorted(groups, key=lambda name: (stream_key(0, f"split {split} {name}"), name))
    wanted, taken, chosen = max(1.0, HELD_OUT * len(train)), 0, set[str]()
    for name in order:
        size = len(groups[name])
        if taken < wanted and taken + size <= 2 * wanted and len(groups) - len(chosen) > 1:
            chosen.add(name)
            taken += size
    if not chosen and len(groups) > 1:
        chosen.add(min(order, key=lambda name: len(groups[name])))
    moved = [replace(clip, split=split) if clip.split == "train" and owner(clip) in chosen else clip for clip in clips]
    return moved, "by speaker" if by_speaker else "by clip"


def group_by(clips: Sequence[Clip], owner: Callable[[Clip], str]) -> dict[str, list[Clip]]:
    """Gather clips by whatever `owner` says of them."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[owner(clip)].append(clip)
    return groups
