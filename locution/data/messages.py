"""Messages from two places: a filter learns from short ones of the phone and must hold for longer mails."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.engine.batches import TensorBatches
from locution.engine.random import stream_key
from locution.errors import UserError, require

PHRASES = Path(__file__).with_name("messages.yaml")
KINDS = ("wanted", "unwanted")
LENGTHS = {"phone": (1, 3), "mail": (4, 8)}  # phrases of a message
SHARED = 0.4  # of the phrases are heard on the phone and in mails alike
STRAY = 0.1  # of the phrases behind the first are of the other kind: nobody's words are all of one sort


@cache
def phrases() -> dict[str, Any]:
    """Read the phrases of which messages are made."""
    import yaml

    found: dict[str, Any] = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    return found


def fill(phrase: str, draw: random.Random) -> str:
    """Put a word of its kind into each place of a phrase that is left open.

    >>> fill("see you {day}", random.Random(0)).split()[:2]
    ['see', 'you']
    """
    slots = phrases()["slots"]
    return re.sub(r"\{(\w+)\}", lambda found: str(draw.choice(slots[found.group(1)])), phrase)


def message(kind: str, source: str, draw: random.Random) -> str:
    """Write one message: a few phrases of its kind, in the way of its source, between what is polite there.

    >>> len(message("unwanted", "phone", random.Random(0)).split()) < len(
    ...     message("unwanted", "mail", random.Random(0)).split()
    ... )
    True
    """
    if kind not in KINDS or source not in LENGTHS:
        raise UserError(f"message came with {kind!r} of {source!r}; allowed: wanted or unwanted, of phone or mail.")
    around = phrases()["around"][source]
    body = []
    for place in range(draw.randint(*LENGTHS[source])):
        of = KINDS[1 - KINDS.index(kind)] if place and draw.random() < STRAY else kind
        body.append(draw.choice(phrases()[of]["both" if draw.random() < SHARED else source]))
        if around["between"] and draw.random() < 0.5:
            body.append(draw.choice(around["between"]))
    polite = 1.0 if source == "mail" else 0.4
    opening = [draw.choice(around["opening"])] if draw.random() < polite else []
    closing = [draw.choice(around["closing"])] if draw.random() < polite else []
    return ". ".join(fill(part, draw) for part in (*opening, *body, *closing))


def bag_of_words(texts: Sequence[str], buckets: int) -> Tensor:
    """A bag of words counts the words of a text and forgets their order; hashed, each word has a place by its spelling.

    texts: N of them. buckets: places; words that fall into one place are counted together. Gives ln(1 + count) of each
    place, scaled to length 1: (N, buckets), so that a long text weighs as much as a short one.

    >>> bag = bag_of_words(["Free, free!", "call now"], 1024)
    >>> bag.shape, bag[0].max().item(), bag[1].count_nonzero().item()
    (torch.Size([2, 1024]), 1.0, 2)

    Reference: K. Weinberger et al., 2009, "Feature hashing for large scale multitask learning", section 2 (unsigned).
    """
    require(buckets >= 2, "buckets", buckets, "a whole number from 2, usually 1024")
    counts = torch.zeros(len(texts), buckets)
    for row, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            counts[row, zlib.crc32(word.encode()) % buckets] += 1
    return torch.nn.functional.normalize(counts.log1p(), dim=1)


@dataclass(frozen=True)
class MessagesData:
    """Messages are wanted or unwanted; a filter learns from short ones of the phone and must hold for longer mails.

    They are written, no two alike, by a small grammar of 150 phrases with open places, some of them heard on the phone,
    some in mails and some in both, by the seed `split`: `count` labelled messages of the phone to learn from, as many
    mails beside each batch as "target" whose labels are withheld, and `held` of either to be judged by. It is the mails
    that a filter is judged by, and the messages of the phone besides ("source"); it is tuned on other messages of the
    phone. Each text becomes a bag of words with `buckets` places.

    >>> data = MessagesData().load(seed=0)
    >>> data.describe()
    'messages: 800 to learn from, 400 to tune on, 400 to be judged by; each (1024,) -> 2 classes'
    >>> data.reader("you have won a cash prize").shape
    torch.Size([1024])

    Reference: J. Blitzer, M. Dredze, F. Pereira, 2007, "Biographies, Bollywood, boom-boxes and blenders: domain
    adaptation for sentiment classification" (bags of words of two sources).
    """

    count: int = 800
    held: int = 400
    buckets: int = 1024
    batch_size: int = 32
    split: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("count", 2, 100_000), ("held", 2, 100_000), ("buckets", 2, 2**24)):
            came = getattr(self, name)
            require(least <= came <= most, f"data.{name}", came, f"a whole number from {least} to {most}")
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "a whole number from 1")

    def texts(self, source: str) -> list[tuple[list[str], Tensor]]:
        """Write all messages of a source, to learn from, tune on and be judged by: texts and kinds, 1 is unwanted."""
        draw = random.Random(stream_key(self.split, f"messages {source}"))
        there: dict[str, int] = {}
        sizes = (self.count, self.held, self.held)
        while len(there) < sum(sizes):
            kind = len(there) % 2
            there.setdefault(message(KINDS[kind], source, draw), kind)
        texts, kinds = list(there), torch.tensor(list(there.values()))
        ends = [sum(sizes[: part + 1]) for part in range(3)]
        return [(texts[end - size : end], kinds[end - size : end]) for end, size in zip(ends, sizes, strict=True)]

    def load(self, seed: int) -> Dataset:
        """Write the messages and count their words; the run's seed has no part in it."""
        phone, mail = (
            [(bag_of_words(texts, self.buckets), kinds) for texts, kinds in self.texts(source)] for source in LENGTHS
        )
        beside = {"target": mail[0][0]}
        return Dataset(
            TensorBatches(*phone[0], batch_size=self.batch_size, beside=beside),
            held_out(*phone[1]),
            held_out(*mail[2]),
            inputs=(self.buckets,),
            outputs=2,
            labels=KINDS,
            source="messages",
            others={"source": TensorBatches(*phone[2], batch_size=1024, shuffle=False)},
            reader=self.read,
        )

    def read(self, text: str) -> Tensor:
        """Count the words of a message that somebody has written: (buckets,)."""
        words = bag_of_words([text], self.buckets)[0]
        if not bool(words.any()):
            raise UserError(f"{text!r} holds no word; allowed: a message in words, in quotes.")
        return words
