"""Chapters of running text: cut into paragraphs, freed of what stands twice, and dealt out to three parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch

from locution.data.near_duplicate_texts import near_duplicate_texts
from locution.engine.random import generator

SHORT = 40  # letters: a shorter paragraph, a heading or a line of code, may stand in many chapters
OWN = 0.5  # of a chapter's letters: one that has less of its own stands in another chapter
ALIKE = 0.5  # shared pieces over all pieces: paragraphs that are more alike say the same
PARTS = ("train", "development", "test")

Chapters = dict[str, dict[str, str]]


def paragraphs(chapter: str) -> list[str]:
    """Cut a chapter into its paragraphs, as they stand.

    >>> paragraphs("Title\\n=====\\n\\nSome\\nwords.\\n\\n   x = 1\\n")
    ['Title\\n=====', 'Some\\nwords.', '   x = 1']
    """
    return [found for found in re.split(r"\n(?:[ \t]*\n)+", chapter.strip("\n")) if found.strip()]


def own_paragraphs(chapters: Mapping[str, str]) -> dict[str, list[str]]:
    """Leave each paragraph in one chapter, the longest in which it stands; leave out chapters with little of their own.

    >>> whole = "This paragraph stands in one chapter and in another too."
    >>> own_paragraphs({"part": whole, "all": whole + "\\n\\nAnd then comes something else, of which there is more."})
    {'all': ['This paragraph ...', 'And then comes ...']}
    """
    kept: dict[str, list[str]] = {}
    seen: set[str] = set()
    for name in sorted(chapters, key=lambda name: (-len(chapters[name]), name)):
        every = paragraphs(chapters[name])
        keys = [" ".join(one.split()) for one in every]
        own = [one for one, key in zip(every, keys, strict=True) if len(key) < SHORT or key not in seen]
        seen.update(keys)
        if sum(map(len, own)) >= OWN * sum(map(len, every)):
            kept[name] = own
    return kept


def divided(chapters: Mapping[str, Sequence[str]], shares: Sequence[float], seed: int) -> list[list[str]]:
    """Deal whole chapters out by a seed: the first part takes the rest, each other up to its share of all letters.

    >>> divided({"a": ["1234"], "b": ["12"], "c": ["1234"]}, [0.25], seed=0)
    [['a', 'c'], ['b']]
    """
    sizes = {name: sum(map(len, own)) for name, own in chapters.items()}
    names = sorted(chapters)
    left = [names[at] for at in torch.randperm(len(names), generator=generator(seed, "chapters")).tolist()]
    parts: list[list[str]] = []
    for share in shares:
        room, part = share * sum(sizes.values()), list[str]()
        for name in left:
            if sizes[name] <= room:
                part.append(name)
                room -= sizes[name]
        left = [name for name in left if name not in part]
        parts.append(sorted(part))
    return [sorted(left), *parts]


def into_parts(
    texts: Mapping[str, str], given: Mapping[str, str], shares: tuple[float, float], split: int
) -> tuple[Chapters, int]:
    """Sort chapters into the parts that they were given to, or deal them out: of each part, its chapters by name; and
    how many paragraphs were left out.

    A chapter is in one part alone. Paragraphs of training that a held-out chapter has too, word for word or nearly so,
    are left out of training, and those of the development chapters that the test has are left out there.

    >>> texts = {"a": "The first chapter.", "b": "Another one, which was given to the test."}
    >>> parts, _ = into_parts(texts, {"b": "test"}, (0.0, 0.5), 0)
    >>> {part: list(chapters) for part, chapters in parts.items()}
    {'train': ['a'], 'development': [], 'test': ['b']}
    """
    chapters = own_paragraphs(texts)
    free = {name: own for name, own in chapters.items() if given.get(name, "train") == "train"}
    wanted = [0.0 if part in given.values() else share for part, share in zip(PARTS[1:], shares, strict=True)]
    training, *drawn = divided(free, wanted, split)
    sorted_out = {part: [name for name in chapters if given.get(name) == part] for part in PARTS[1:]}
    held = [[*some, *there] for some, there in zip(drawn, sorted_out.values(), strict=True)]
    parts: Chapters = {}
    taken: list[str] = []
    dropped = 0
    for name, chosen in zip(reversed(PARTS), [*reversed(held), training], strict=True):
        own = {chapter: [one for one in chapters[chapter] if one.strip()] for chapter in chosen}
        flat = [one for some in own.values() for one in some]
        alike = {
            flat[pair.second] for pair in near_duplicate_texts(taken, flat, ALIKE) if len(flat[pair.second]) >= SHORT
        }
        dropped += sum(one in alike for one in flat)
        left = {chapter: [one for one in some if one not in alike] for chapter, some in own.items()}
        taken += [one for some in left.values() for one in some]
        parts[name] = {chapter: "\n\n".join(some) + "\n" for chapter, some in left.items() if some}
    return {name: parts[name] for name in PARTS}, dropped
