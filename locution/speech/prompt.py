"""What stands around the audio: the same bytes in training and in transcription."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """The prompt is the text that a language model reads before and after the audio, and what ends a
    transcript.

    It is written out and kept with the projector, never made again from a template: a template may hold
    today's date.

    >>> Prompt(after="[SEP]", end="[EOS]").digest[:8]
    'bcc7186f'
    """

    before: str = ""
    after: str = ""
    end: str = ""

    @property
    def digest(self) -> str:
        """Hash every byte of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


CHAT = Prompt(
    before="<|im_start|>user\n",
    after="\nWrite down what was said.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
    end="<|im_end|>",
)
"""ChatML with thinking switched off, as SmolLM3 and Qwen read it."""


def prompt_for(tokenizer: Any) -> Prompt:
    """Choose the prompt that suits a tokenizer: a separator, a chat, or a new line.

    A tokenizer with a separator token belongs to a model raised to repeat what stands before it; one that
    knows ChatML's marks belongs to a chat model; any other model continues after a new line.
    """
    if tokenizer.sep_token and tokenizer.eos_token:
        return Prompt(after=tokenizer.sep_token, end=tokenizer.eos_token)
    if "<|im_start|>" in tokenizer.get_vocab():
        return CHAT
    return Prompt(before="Audio: ", after="\nTranscript: ", end=tokenizer.eos_token or "\n")


def encode(tokenizer: Any, text: str) -> list[int]:
    """Turn text into tokens, marks such as [SEP] included where they are written, none added."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


PROBE = "Aa Zz 0123456789 don't, it's 7:30! über naïve 你好 <|im_start|><think></think>[SEP]\n\ttwenty-one thousand"


def tokenizer_digest(tokenizer: Any) -> str:
    """Hash what a tokenizer does: its vocabulary, and how it cuts a text that tries its rules.

    >>> from locution.speech.tokenizer import train_tokenizer
    >>> tokenizer = train_tokenizer()
    >>> before = tokenizer_digest(tokenizer)
    >>> _ = tokenizer.add_tokens(["[NEW]"])
    >>> before == tokenizer_digest(tokenizer)
    False
    """
    facts = [sorted(tokenizer.get_vocab().items()), encode(tokenizer, PROBE)]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=20).hexdigest()
