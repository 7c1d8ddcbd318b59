"""The small language model: its objective by hand, its hearing, its folder, and that it learns to repeat."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from locution.engine.batch import Batch
from locution.engine.loop import Engine, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.optimizers.muon import Muon
from locution.speech.babble import Texts
from locution.speech.decoder import (
    DecoderConfig,
    build_decoder,
    load_decoder,
    moments,
    repeat_objective,
    rms,
    save_decoder,
    shaken,
    spell,
    write,
)
from locution.speech.repetition import IGNORE, Noise, Repetitions, repetition
from locution.speech.tokenizer import EARLY, EOS, LATE, SEP, train_tokenizer

pytest.importorskip("transformers")
TINY = DecoderConfig(width=32, layers=2, heads=2, inner=48)
TEXTS = ["go home", "stop", "", "turn on the light"]


def tiny(seed: int = 0) -> Any:
    return build_decoder(TINY, seed)


def heard(texts: list[str], level: float = 0.0) -> Batch:
    return repetition(texts, generator(0, "data"), Noise(), level)


def loss_of(model: Any, batch: Batch) -> float:
    return float(repeat_objective(model, batch)[1].detach())


def test_the_loss_is_the_mean_over_the_tokens_to_write() -> None:
    model, batch = tiny().eval(), heard(TEXTS)
    _, loss = repeat_objective(model, batch)
    table = model.get_input_embeddings().weight
    surprise, count = 0.0, 0
    for row, text in enumerate(TEXTS):  # one text at a time, without padding, a token at a time
        sound = moments(
            table, {name: value[row : row + 1] for name, value in batch.inputs.items() if name != "text"}
        )
        tokens = [SEP, *train_tokenizer().encode(text), EOS] if text else [SEP, EOS]
        prompt = torch.cat([sound, table[torch.tensor(tokens[:-1])][None]], dim=1)
        logits = model(inputs_embeds=prompt).logits[0, sound.shape[1] :]
        for place, token in enumerate(tokens[1:]):
            surprise -= float(logits[place].detach().double().log_softmax(-1)[token])
            count += 1
    assert count == batch.weight()
    assert float(loss.detach()) == pytest.approx(surprise / count, rel=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    model, batch = tiny().eval(), heard(TEXTS)
    parts = sum(share * loss_of(model, part) for part, share in batch.split(3))
    assert parts == pytest.approx(loss_of(model, batch), rel=1e-5)


def test_the_future_is_not_seen() -> None:
    model, batch = tiny().eval(), heard(["stop"])
    other = Batch({**batch.inputs, "text": batch.inputs["text"].clone()}, batch.targets)
    other.inputs["text"][0, -1] = 9
    one, two = repeat_objective(model, batch)[0], repeat_objective(model, other)[0]
    assert torch.equal(one[:-1], two[:-1])
    assert not torch.equal(one[-1], two[-1])


def test_a_moment_is_the_scaled_sum_of_its_halves() -> None:
    table = torch.randn(61, 16, generator=generator(0, "table"))
    inputs = {
        "frames": torch.tensor([[3, 7, 0, 0]]),
        "others": torch.tensor([[4, 7, 0, 5]]),
        "mix": torch.tensor([[0.25, 0.0, 0.0, 0.4]]),
    }
    first = 0.75 * table[EARLY + 3] + 0.25 * table[EARLY + 4] + table[LATE + 7]
    second = table[EARLY] + 0.6 * table[LATE] + 0.4 * table[LATE + 5]
    size = float(table.pow(2).mean().sqrt())
    wanted = torch.stack([pair / pair.pow(2).mean().sqrt() * size for pair in (first, second)])
    torch.testing.assert_close(moments(table, inputs)[0], wanted, rtol=1e-5, atol=1e-6)


def test_noise_is_within_its_size_and_only_drawn_in_training() -> None:
    torch.manual_seed(0)
    clean = torch.randn(40, 50, 16)
    sizes = (shaken(clean, 0.4) - clean).pow(2).mean((1, 2)).sqrt() / float(rms(clean))
    assert float(sizes.min()) > 0
    assert float(sizes.max()) < 0.44
    assert 0.15 < float(sizes.mean()) < 0.25
    model, batch = tiny(), heard(TEXTS)
    losses = {mode: {loss_of(model.train(mode), batch) for _ in range(2)} for mode in (True, False)}
    assert (len(losses[True]), len(losses[False])) == (2, 1)


def test_weights_come_from_the_seed_and_leave_torch_s_own_stream_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = tiny(0), tiny(0), tiny(1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_model_comes_back_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny()
    save_decoder(tmp_path, model, train_tokenizer(), dtype)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    loaded, tokenizer = load_decoder(tmp_path)
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name].to(dtype).float())
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert tokenizer.decode(tokenizer.encode("it's")) == "it's"
    if dtype == torch.float32:
        batch = heard(TEXTS)
        ours, theirs = (repeat_objective(net.eval(), batch)[0] for net in (model, loaded))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_writing_with_a_cache_equals_writing_without() -> None:
    model = tiny().eval()
    table = model.get_input_embeddings().weight
    sound = moments(table, heard(TEXTS).inputs).detach()
    with torch.no_grad():
        for row, tokens in enumerate(write(model, sound, limit=12)):
            text = [SEP]
            for _ in range(12):
                prompt = torch.cat([sound[row : row + 1], table[torch.tensor(text)][None]], dim=1)
                text.append(int(model(inputs_embeds=prompt).logits[0, -1].argmax()))
                if text[-1] == EOS:
                    break
            assert [token for token in text[1:] if token > EOS] == tokens


def test_a_tiny_model_learns_to_repeat() -> None:
    sentences = ["ab", "ba", "cab", "abc", "bca", "cc"]
    data = Repetitions(
        Texts(sentences, {"sentence": 1.0}), Noise(clean=1.0, slow=0.4), tokens=400, longest=8, batches=100
    )
    engine = Engine(
        tiny(), Turn(partial(repeat_objective, worst=0.1), Muon(lr=0.01, adamw_lr=0.01, small=16).build)
    )
    engine.fit(data, steps=150)
    model, tokenizer = engine.trained(), train_tokenizer()
    batch = repetition(sentences * 4, generator(9, "data"), Noise(slow=0.4), level=0.0)
    lines = [
        spell(row, tokenizer)
        for row in write(model, moments(model.get_input_embeddings().weight, batch.inputs))
    ]
    right = sum(line == text for line, text in zip(lines, sentences * 4, strict=True))
    assert right >= 20, f"{right} of 24 repeated: {lines}"


def test_targets_behind_the_end_do_not_count() -> None:
    batch = heard(["stop", "go home"])
    longer = Batch(
        {**batch.inputs, "text": torch.nn.functional.pad(batch.inputs["text"], (0, 3))},
        torch.nn.functional.pad(batch.targets, (0, 3), value=IGNORE),
    )
    model = tiny().eval()
    assert loss_of(model, longer) == pytest.approx(loss_of(model, batch), rel=1e-5)


def test_bad_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.width"):
        DecoderConfig(width=30, heads=4)
    with pytest.raises(UserError, match=r"model\.layers"):
        DecoderConfig(layers=0)
    with pytest.raises(UserError, match="holds no language model"):
        load_decoder(tmp_path)
