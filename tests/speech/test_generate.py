"""Writing: what is written token by token is what the model itself finds likeliest, and how sure it was is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from locution.speech.generate import generate, write_all
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.prompt import Prompt
from locution.speech.recogniser import Recogniser, embedding_scale
from locution.speech.token_by_token import CHECK_EVERY, REPEATS, Prefix, choose, write_tokens
from locution.speech.utterances import pad_frames

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
    frames, lengths = pad_frames(clips())
    found = generate(recogniser, frames, lengths, tokens_per_second=4.0)
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


@pytest.mark.parametrize("room", [0, 1, 64])
@pytest.mark.parametrize("kept", [False, True])
def test_room_made_beforehand_and_a_prompt_read_once_change_nothing(
    language_model: Any, tokenizer: Any, room: int, kept: bool
) -> None:
    """The oracle: transformers' own cache, grown by copying, and the whole prompt read with every clip."""
    recogniser = make(language_model, tokenizer)
    frames, lengths = pad_frames(clips())
    audio, heard = recogniser.audio(frames, lengths)
    limits = torch.tensor([12, 30, 9, 20, 12, 12])

    def written(prefix: Prefix | None, room: int) -> list[list[tuple[int, int, float]]]:
        return list(write_tokens(recogniser, audio, heard, limits, prefix=prefix, room=room))

    expected = written(None, 0)
    found = written(Prefix.of(recogniser) if kept else None, room)
    assert [[one[:2] for one in step] for step in found] == [[one[:2] for one in step] for step in expected]
    for step, other in zip(found, expected, strict=True):
        assert [one[2] for one in step] == pytest.approx([one[2] for one in other], abs=1e-4)
    assert Prefix.of(recogniser).count == len(recogniser.before) > 0


def test_a_model_with_windows_reads_its_prompt_with_every_clip(tokenizer: Any) -> None:
    import transformers

    torch.manual_seed(1)
    shape = {"vocab_size": 18, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "sliding_window": 5}
    model = transformers.MistralForCausalLM(transformers.MistralConfig(**shape, **heads)).eval()
    recogniser = make(model, tokenizer)
    assert Prefix.of(recogniser).count == 0
    assert len(write_all(recogniser, clips()[:2])) == 2


class Never:
    """A bias that forbids one token."""

    def __init__(self, token: int) -> None:
        self.token = token

    def bonus(self, tokens: Sequence[int]) -> dict[int, float]:
        return {self.token: -1e9}


def test_a_bias_draws_and_leaves_the_confidence_true(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    scores = torch.tensor([[2.0, 1.0, 0.0]])
    assert choose(scores, [[]], None)[0].tolist() == [0]
    token, log = choose(scores, [[]], Never(0))
    assert token.tolist() == [1]
    assert log.item() == pytest.approx(scores.log_softmax(-1)[0, 1].item())
    first = greedy(recogniser, clips()[0], 1)[0][0]
    text = write_all(recogniser, clips()[:1], bias=Never(first))[0].text
    assert tokenizer.decode([first]) not in text.split()


class Always:
    """A bias that makes a model say the same words over and over."""

    def __init__(self, *cycle: int) -> None:
        self.cycle = cycle

    def bonus(self, tokens: Sequence[int]) -> dict[int, float]:
        return {self.cycle[len(tokens) % len(self.cycle)]: 1e9}


def test_one_who_repeats_himself_is_stopped_soon_and_said_once(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    clip, cycle = torch.randn(400, 24, generator=torch.Generator().manual_seed(0)), (5, 7, 9)
    (one,) = write_all(recogniser, [clip], bias=Always(*cycle))
    assert (one.stopped, one.tokens, one.text) == ("loop", 3, tokenizer.decode(list(cycle)))
    audio, heard = recogniser.audio(clip[None], torch.tensor([400]))
    steps = len(list(write_tokens(recogniser, audio, heard, torch.tensor([500]), bias=Always(*cycle))))
    assert 3 * REPEATS <= steps < 3 * REPEATS + CHECK_EVERY  # long before the limit
