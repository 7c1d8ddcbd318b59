"""Writing: what is written token by token is what the model itself finds likeliest, and how sure it was is true."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from locution.speech.generate import generate, write_all
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.prompt import Prompt
from locution.speech.recogniser import Recogniser, embedding_scale

PROMPT = Prompt("turn the", "light [SEP]", "[EOS]")


def clips(seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 24, generator=draw) for n in (30, 41, 9, 77, 3, 30)]


def make(language_model: Any, tokenizer: Any, prompt: Prompt = PROMPT) -> Recogniser:
    torch.manual_seed(3)
    projector = MLPProjector(24, 32, gain=embedding_scale(language_model), stack=2)
    return Recogniser(projector, language_model, tokenizer, prompt=prompt).eval()


@torch.no_grad()
def greedy(recogniser: Recogniser, clip: torch.Tensor, limit: int) -> tuple[list[int], list[float]]:
    """The oracle: the whole sequence through the model anew for every token."""
    tokens: list[int] = []
    logs: list[float] = []
    while len(tokens) < limit and 2 not in tokens:
        text = torch.tensor([[*tokens, 0]])
        inputs = {"frames": clip[None], "lengths": torch.tensor([len(clip)]), "text": text}
        scores = recogniser(inputs | {"text_lengths": torch.tensor([text.shape[1]])})[0, -1].log_softmax(-1)
        tokens.append(int(scores.argmax()))
        logs.append(float(scores.max()))
    return tokens, logs


def test_confidence_is_the_mean_probability_of_what_was_written(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    found = write_all(recogniser, clips(), batch_size=3)
    reasons = set()
    for clip, one in zip(clips(), found, strict=True):
        _, logs = greedy(recogniser, clip, one.tokens + 1)
        counted = logs[: one.tokens + (one.stopped == "end")]
        assert one.confidence == pytest.approx(torch.tensor(counted).mean().exp().item(), rel=1e-4)
        assert 0 < one.confidence <= 1
        reasons.add(one.stopped)
    assert len(reasons) > 1


def test_confidence_of_a_clip_that_says_nothing_is_that_of_the_end_mark(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    clip = clips()[0]
    tokens, logs = greedy(recogniser, clip, 1)
    recogniser.end = tokens[:1]
    one = generate(recogniser, clip[None], torch.tensor([len(clip)]))[0]
    assert (one.text, one.stopped, one.tokens) == ("", "end", 0)
    assert one.confidence == pytest.approx(torch.tensor(logs[0]).exp().item(), rel=1e-4)
