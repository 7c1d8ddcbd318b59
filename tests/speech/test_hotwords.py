"""Hotwords: the trie against counting by hand, and where they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from real_halves import chat_tokenizer, write_smollm3

from locution.errors import UserError
from locution.speech import asked
from locution.speech.asked import Wishes, answer
from locution.speech.hotwords import Hotwords, expecting, parse, with_hotwords
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.prompt import CHAT, Prompt, encode
from locution.speech.recogniser import Recogniser

pytestmark = pytest.mark.filterwarnings("ignore")


def by_hand(words: list[str], tokenizer: Any, weight: float, written: list[int]) -> dict[int, float]:
    """The oracle: every hotword laid at every place of the text."""
    found: dict[int, float] = {}
    for word in words:
        for start in range(len(written) + 1):
            tokens = encode(tokenizer, word if start == 0 else f" {word}")
            stands = written[start:]
            if len(stands) < len(tokens) and stands == tokens[: len(stands)]:
                share = len(stands) / (len(tokens) - 1) if len(tokens) > 1 else 1.0
                if share:
                    token = tokens[len(stands)]
                    found[token] = max(found.get(token, 0.0), weight * share)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_trie_lifts_what_counting_by_hand_does(seed: int) -> None:
    draw, tokenizer = np.random.default_rng(seed), chat_tokenizer()
    words = ["Ada", "Kant", "Adalbert", "the radio", "timer", "tim"]
    drawn = Hotwords(words, tokenizer, weight=2.5)
    lifted = 0
    for _ in range(20):
        text = " ".join(draw.choice([*words, "on", "so"], size=3))
        tokens = encode(tokenizer, text)[: int(draw.integers(0, 12))]
        expected = by_hand(words, tokenizer, 2.5, tokens)
        assert drawn.bonus(tokens) == pytest.approx(expected)
        lifted += bool(expected)
    assert lifted > 3


def make(folder: Any, prompt: Prompt | None = None) -> Recogniser:
    from locution.speech.frozen import load_language_model

    torch.manual_seed(1)
    model, tokenizer = load_language_model(write_smollm3(folder))
    return Recogniser(MLPProjector(24, 32, gain=0.5, stack=2), model, tokenizer, prompt=prompt).eval()


def test_a_chat_is_told_in_its_prompt_and_drawn_too(tmp_path: Any) -> None:
    recogniser = make(tmp_path)
    assert recogniser.prompt == CHAT
    untouched, _ = expecting(recogniser, ["Ada", "Kant"])
    assert untouched.prompt == CHAT, "of itself the prompt stays that of training, byte for byte"
    both, bias = expecting(recogniser, ["Ada", "Kant"], "both")
    said = "<|im_start|>user\nThese words may occur: Ada, Kant.\n"
    assert both.prompt.before == said
    assert both.before.tolist() == encode(recogniser.tokenizer, said)
    assert (both.prompt.after, both.prompt.end) == (CHAT.after, CHAT.end)
    assert bias is not None
    assert bias.words == ["Ada", "Kant"]
    assert both.projector is recogniser.projector
    assert recogniser.prompt == CHAT  # what came keeps its own
    assert expecting(recogniser, ["Ada"], "prompt")[1] is None
    assert expecting(recogniser, ["Ada"], "bias")[0] is recogniser
    assert expecting(recogniser, []) == (recogniser, None)
    with pytest.raises(UserError, match="Did you mean 'both'"):
        expecting(recogniser, ["Ada"], "bothe")


def test_one_that_does_not_chat_is_only_drawn(tmp_path: Any) -> None:
    recogniser = make(tmp_path, Prompt(after="the", end="<|im_end|>"))
    same, bias = expecting(recogniser, ["Ada"])
    assert same is recogniser
    assert bias is not None
    with pytest.raises(UserError, match="does not chat"):
        expecting(recogniser, ["Ada"], "prompt")


def test_a_hotword_cannot_close_the_prompt() -> None:
    told = with_hotwords(CHAT, ["<|im_end|>", "a<|im_start|>b"]).before
    assert told == "<|im_start|>user\nThese words may occur: im_end, aim_startb.\n"


def test_what_is_typed_reaches_the_recogniser(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser, seen = make(tmp_path), []

    def heard(given: Recogniser, files: Any, bias: Hotwords | None = None) -> list[Any]:
        seen.append((given.prompt.before, bias.words if bias else None))
        return []

    monkeypatch.setattr(asked, "transcribing", heard)
    for where in ("both", "prompt", "bias"):
        assert answer(lambda: recogniser, ["a.wav"], Wishes(hotwords="Ada, Kant,", hotwords_in=where)) == 0
    told = with_hotwords(CHAT, ["Ada", "Kant"]).before
    assert seen == [(told, ["Ada", "Kant"]), (told, None), (CHAT.before, ["Ada", "Kant"])]
    with pytest.raises(UserError, match=r"'promt' is no place for hotwords\. Did you mean 'prompt'"):
        Wishes(hotwords_in="promt")
    assert parse("Ada") == ["Ada"]
