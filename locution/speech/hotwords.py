"""Hotwords: names and rare words that are drawn to be written where what was heard leaves it open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from locution.errors import UserError, require, unknown
from locution.speech.prompt import Prompt, encode
from locution.speech.recogniser import Recogniser

Trie = dict[int, "Node"]
PLACES = ("both", "prompt", "bias")  # where hotwords are told


@dataclass
class Node:
    """A place in the trie: what may follow, and how much the way here counts, from 0 to 1."""

    follows: Trie = field(default_factory=dict)
    share: float = 0.0


class Hotwords:
    """Hotwords are words that a recogniser is told to expect; each token of one is lifted, the more stands of it.

    Shallow fusion with a trie: the token that goes on with a hotword of which k of n tokens stand gets weight times
    k / (n - 1) nats, so nothing is gained by its mere beginning, and the last token gets it all; a hotword of one token
    gets the whole weight. Works with any language model. It begins only where a word begins.

    >>> from locution.speech.tokenizer import train_tokenizer
    >>> drawn = Hotwords(["ada"], train_tokenizer(), weight=4.0)
    >>> drawn.bonus([]), drawn.bonus([6]), drawn.bonus([6, 9]), drawn.bonus([9, 6])
    ({}, {9: 2.0}, {6: 4.0}, {})

    Reference: D. Zhao et al., 2019, "Shallow-Fusion End-to-End Contextual Biasing", section 3.
    """

    def __init__(self, words: Iterable[str], tokenizer: Any, *, weight: float = 3.0) -> None:
        require(0 <= weight <= 20, "hotwords.weight", weight, "nats from 0 to 20, usually 3")
        self.weight = weight
        self.first: Trie = {}  # at the beginning of a text
        self.later: Trie = {}  # after another word: with the space that many tokenizers put into the token
        self.words = list(words)
        for word in self.words:
            self._add(self.first, encode(tokenizer, word))
            self._add(self.later, encode(tokenizer, f" {word}"))
        self.deepest = max((_depth(trie) for trie in (self.first, self.later)), default=0)

    @staticmethod
    def _add(trie: Trie, tokens: Sequence[int]) -> None:
        for place, token in enumerate(tokens):
            share = place / (len(tokens) - 1) if len(tokens) > 1 else 1.0
            node = trie.setdefault(token, Node())
            node.share = max(node.share, share)
            trie = node.follows

    def bonus(self, tokens: Sequence[int]) -> dict[int, float]:
        """Say which tokens are lifted after these, and by how many nats."""
        lifted: dict[int, float] = {}
        for start in range(max(0, len(tokens) - self.deepest), len(tokens) + 1):
            trie = self.later if start else self.first
            for token in tokens[start:]:
                if token not in trie:
                    break
                trie = trie[token].follows
            else:
                for token, node in trie.items():
                    if node.share:
                        lifted[token] = max(lifted.get(token, 0.0), self.weight * node.share)
        return lifted


def _depth(trie: Trie) -> int:
    return 1 + max((_depth(node.follows) for node in trie.values()), default=0) if trie else 0


def parse(text: str) -> list[str]:
    """Read hotwords as they are typed, parted by commas.

    >>> parse("Ada Lovelace, Kant,")
    ['Ada Lovelace', 'Kant']
    """
    words = [" ".join(word.split()) for word in text.split(",")]
    if not any(words):
        raise UserError(f"hotwords is {text!r}; allowed: words or names parted by commas.")
    return [word for word in words if word]


def with_hotwords(prompt: Prompt, words: Sequence[str]) -> Prompt:
    """Tell a chat model which words to expect: a sentence before the audio.

    This is another prompt than the one the projector was trained with, and has another hash: whether it helps must be
    measured on one's own recordings. A prompt that is no chat is refused.

    >>> with_hotwords(Prompt(before="<|im_start|>user\\n", end="<|im_end|>"), ["Ada", "Kant"]).before
    '<|im_start|>user\\nThese words may occur: Ada, Kant.\\n'
    """
    if not chats(prompt):
        raise UserError("this language model does not chat, so hotwords cannot stand in its prompt; allowed: its bias.")
    clean = [word.replace("<|", "").replace("|>", "") for word in words]
    return replace(prompt, before=f"{prompt.before}These words may occur: {', '.join(clean)}.\n")


def chats(prompt: Prompt) -> bool:
    """Say whether a prompt is that of a chat, in which something can be told."""
    return "<|im_start|>" in prompt.before


def expecting(recogniser: Recogniser, words: Sequence[str], where: str = "bias") -> tuple[Recogniser, Hotwords | None]:
    """Tell a recogniser which words to expect: in its prompt, by lifting their tokens ("bias"), or both.

    "both" is the bias alone where the language model does not chat. What is given back shares every weight with what
    came, which keeps its own prompt.
    """
    if where not in PLACES:
        raise unknown("place for hotwords", where, PLACES)
    if not words:
        return recogniser, None
    bias = None if where == "prompt" else Hotwords(words, recogniser.tokenizer)
    if where == "prompt" or (where == "both" and chats(recogniser.prompt)):
        recogniser = Recogniser(
            recogniser.projector,
            recogniser.language_model,
            recogniser.tokenizer,
            prompt=with_hotwords(recogniser.prompt, words),
            encoder=recogniser.encoder,
            frame_rate=recogniser.frame_rate,
        ).to(recogniser.before.device)
    return recogniser.eval(), bias
