"""The recogniser: a batch of unequal clips is as many clips alone, and nothing frozen moves."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from locution.engine.loop import Engine, Turn
from locution.errors import UserError
from locution.speech.generate import generate, loop_start, write_all
from locution.speech.projectors.linear import LinearProjector
from locution.speech.projectors.mlp import MLPProjector
from locution.speech.prompt import CHAT, Prompt, prompt_for
from locution.speech.recogniser import Recogniser, attention, embedding_scale, transcript_objective
from locution.speech.utterances import Utterances

TEXTS = [
    "one two three",
    "turn the light on",
    "nine",
    "off off six seven eight one one",
    "the light",
    "five four",
]
PROMPTS = [Prompt("", "[SEP]", "[EOS]"), Prompt("turn the", "light [SEP]", "[EOS]")]


def clips(seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 24, generator=draw) for n in (30, 41, 9, 77, 3, 30)]


def make(language_model: Any, tokenizer: Any, prompt: Prompt = PROMPTS[0]) -> Recogniser:
    torch.manual_seed(3)
    projector = MLPProjector(24, 32, gain=embedding_scale(language_model), stack=2)
    return Recogniser(projector, language_model, tokenizer, prompt=prompt)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_logits_equal_those_of_the_plain_model_on_the_plain_sequence(
    language_model: Any, tokenizer: Any, prompt: Prompt
) -> None:
    """The oracle: one clip, its sequence put together by hand, run through the model as anyone would."""
    recogniser = make(language_model, tokenizer, prompt)
    data = Utterances.of(recogniser, clips(), TEXTS)
    logits = recogniser(data.batch(range(6)).inputs)  # (6, L, V)
    for row, (clip, text) in enumerate(zip(clips(), TEXTS, strict=True)):
        audio, _ = recogniser.projector(clip[None], torch.tensor([len(clip)]))
        pieces = [prompt.before, None, prompt.after, text, prompt.end]
        tokens = [tokenizer(piece, add_special_tokens=False)["input_ids"] if piece else [] for piece in pieces]
        x = [language_model.get_input_embeddings()(torch.tensor([ids], dtype=torch.long)) for ids in tokens]
        x = torch.cat([x[0], audio, *x[2:]], dim=1)
        wanted = len(tokens[3]) + 1
        expected = language_model(inputs_embeds=x).logits[0, -wanted - 1 : -1]
        torch.testing.assert_close(logits[row, -wanted:], expected, atol=1e-4, rtol=1e-4)


def test_places_are_counted_behind_the_padding() -> None:
    """Rotary models cannot tell, models with a table of positions can."""
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]).bool()
    said = attention(mask)
    assert said["position_ids"].tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert said["attention_mask"].tolist() == mask.long().tolist()
    assert attention(mask[1:])["attention_mask"] is None


def test_the_loss_of_a_batch_is_the_token_mean_of_its_clips_alone(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    data = Utterances.of(recogniser, clips(), TEXTS)
    _, together = transcript_objective(recogniser, data.batch(range(6)))
    total = weight = 0.0
    for i in range(6):
        batch = data.batch([i])
        total += transcript_objective(recogniser, batch)[1].item() * batch.weight()
        weight += batch.weight()
    assert together.item() == pytest.approx(total / weight, rel=1e-5)
    assert weight == sum(len(text.split()) + 1 for text in TEXTS)


def test_generation_of_a_batch_equals_clips_alone(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer, PROMPTS[1])
    together = write_all(recogniser, clips(), batch_size=6)
    alone = [write_all(recogniser, [clip])[0] for clip in clips()]
    assert together == alone
    assert len({one.text for one in alone}) > 3  # they do say different things


def test_generation_with_the_cache_equals_the_forward_pass_taken_again_and_again(
    language_model: Any, tokenizer: Any
) -> None:
    recogniser = make(language_model, tokenizer)
    for clip in clips():
        written: list[int] = []
        for _ in range(6):
            text = torch.tensor([[*written, 0]])
            inputs = {"frames": clip[None], "lengths": torch.tensor([len(clip)]), "text": text}
            logits = recogniser(inputs | {"text_lengths": torch.tensor([text.shape[1]])})
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == 2:
                break
        found = generate(recogniser, clip[None], torch.tensor([len(clip)]))[0]
        expected = tokenizer.decode([t for t in written if t != 2], skip_special_tokens=True)
        assert found.text.startswith(expected) or expected.startswith(found.text)


def test_generation_stops_at_the_length_that_the_clip_allows(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    recogniser.end = [-1]  # a mark that never comes
    frames, lengths = torch.randn(2, 100, 24), torch.tensor([100, 25])
    long, short = generate(recogniser, frames, lengths, tokens_per_second=2.0)
    assert long.tokens <= 16
    assert short.tokens <= 10
    assert {long.stopped, short.stopped} <= {"limit", "loop"}


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([1] * 6, 1),
        ([5, 4, *[1] * 20], 3),
        ([1] * 5, None),
        ([9, *[1, 2, 3] * 6], 4),
        ([1, 2, 3, 4] * 3, None),
        ([], None),
    ],
)
def test_loops(tokens: list[int], start: int | None) -> None:
    assert loop_start(tokens, repeats=6, longest=8) == start


def test_only_the_projector_trains_and_nothing_frozen_wakes(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    recogniser.encoder = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).requires_grad_(False)
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    data = Utterances.of(recogniser, clips(), TEXTS, batch_size=4)
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-2))
    engine = Engine(recogniser, turn, device="cpu").fit(data, epochs=3)
    assert engine.number == 6
    for name, value in recogniser.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("projector."), name
    recogniser.train()
    assert recogniser.projector.training
    assert not any(module.training for module in recogniser.language_model.modules())
    assert not any(module.training for module in recogniser.encoder.modules())


def test_it_learns_its_clips_by_heart(language_model: Any, tokenizer: Any) -> None:
    recogniser = make(language_model, tokenizer)
    data = Utterances.of(recogniser, clips(), TEXTS, batch_size=6)
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=2e-2, weight_decay=0.0))
    Engine(recogniser, turn, device="cpu").fit(data, steps=200)
    assert [one.text for one in write_all(recogniser.eval(), clips())] == TEXTS


def test_accumulation_over_ragged_micro_batches_equals_the_whole_batch(language_model: Any, tokenizer: Any) -> None:
    def weights(accumulate: int) -> torch.Tensor:
        recogniser = make(language_model, tokenizer)
        data = Utterances.of(recogniser, clips(), TEXTS, batch_size=6)
        turn = Turn(transcript_objective, partial(torch.optim.SGD, lr=0.1))
        Engine(recogniser, turn, device="cpu", accumulate=accumulate).fit(data, steps=3)
        return recogniser.projector.enter.weight.detach()

    torch.testing.assert_close(weights(4), weights(1), atol=1e-5, rtol=1e-4)


def test_epochs_repeat_by_seed_and_number_and_visit_everything(language_model: Any, tokenizer: Any) -> None:
    frames = [torch.randn(5 + i % 7, 4) for i in range(50)]
    data = Utterances(frames, ["one"] * 50, tokenizer, [2], batch_size=8)
    first, again, other = data.order(0, 1), data.order(0, 1), data.order(1, 1)
    assert first == again != other
    assert sorted(i for rows in first for i in rows) == list(range(50))
    assert len(first) == data.steps() == 7
    whole, rest = list(data.epoch(2, 5)), list(data.epoch(2, 5, skip=4))
    assert len(rest) == 3
    assert torch.equal(whole[4].inputs["frames"], rest[0].inputs["frames"])
    for batch in whole:
        assert torch.isfinite(batch.inputs["frames"]).all()


def test_the_projector_starts_as_loud_as_the_embeddings(language_model: Any) -> None:
    scale = embedding_scale(language_model)
    for projector in (MLPProjector(24, 32, gain=scale), LinearProjector(24, 32, gain=scale)):
        out, _ = projector(50 * torch.randn(2, 40, 24), torch.tensor([40, 40]))
        assert out.square().mean().sqrt().item() == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize("length", range(1, 14))
@pytest.mark.parametrize("stack", [1, 2, 4, 5])
def test_projector_lengths_follow_their_formula(length: int, stack: int) -> None:
    out, lengths = MLPProjector(3, 8, stack=stack)(torch.randn(1, length, 3), torch.tensor([length]))
    expected = max((length - stack) // stack + 1, 1)
    assert out.shape[1] == lengths.item() == expected


def test_mlp_is_its_formula() -> None:
    torch.manual_seed(0)
    projector = MLPProjector(3, 5, gain=0.7, stack=2, hidden=4)
    x = torch.randn(1, 7, 3)
    out, _ = projector(x, torch.tensor([7]))
    for i in range(3):
        row = torch.cat([x[0, 2 * i], x[0, 2 * i + 1]]) @ projector.enter.weight.T
        row = nn.functional.gelu(row / (row.square().mean() + 1e-6).sqrt()) @ projector.leave.weight.T
        torch.testing.assert_close(out[0, i], 0.7 * row / (row.square().mean() + 1e-6).sqrt())


def test_prompts(tokenizer: Any, language_model: Any) -> None:
    with pytest.raises(UserError, match=r"prompt\.end is 'one two'"):
        Recogniser(MLPProjector(2, 32), language_model, tokenizer, prompt=Prompt(end="one two"))
    assert prompt_for(tokenizer) == Prompt(after="[SEP]", end="[EOS]")
    tokenizer.sep_token = None
    assert prompt_for(tokenizer).end == "[EOS]"
    tokenizer.add_tokens(["<|im_start|>"])
    assert prompt_for(tokenizer) == CHAT
    assert "<think>\n\n</think>" in CHAT.after  # thinking off, in training and in use alike
    assert Prompt("a", "b").digest != Prompt("ab", "").digest
