"""The forecast of memory against the peak that was measured, operation by operation."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from real_halves import SENTENCES, chat_tokenizer

from locution.engine import Engine, Turn
from locution.inference.memory import peak_memory
from locution.models.lora import add_lora
from locution.speech.checkpoint import build_recogniser
from locution.speech.memory import Forecast, forecast, growth, saved_bytes
from locution.speech.memory_watch import MemoryForecast, largest, states
from locution.speech.recogniser import Recogniser, transcript_objective
from locution.speech.utterances import Utterances
from locution.speech.whisper import Shape

LENGTHS = (160, 150, 155, 160, 120, 140, 160, 158)


class Ear(nn.Module):
    config = Shape(n_mels=80, width=48)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def build(width: int, layers: int, *, kind: str = "mlp", lora: bool = False, vocabulary: int = 0) -> Recogniser:
    import transformers

    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = transformers.SmolLM3Config(
        vocab_size=vocabulary or len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=2,
        eos_token_id=2,
        bos_token_id=0,
    )
    recogniser = build_recogniser(Ear(), transformers.SmolLM3ForCausalLM(config), tokenizer, projector=kind)
    if lora:
        add_lora(recogniser.language_model, "*_proj", rank=8)
    return recogniser


def utterances(recogniser: Recogniser) -> Utterances:
    frames = [torch.randn(n, 48, generator=torch.Generator().manual_seed(n)) for n in LENGTHS]
    return Utterances.of(recogniser, frames, [SENTENCES[0]] * 8, batch_size=8)


def trained(recogniser: Recogniser, **settings: Any) -> tuple[Engine, MemoryForecast]:
    """Two steps, so that the optimizer has its state."""
    data = utterances(recogniser)
    watch = MemoryForecast(data, quiet=True)
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-3, fused=True))
    engine = Engine(recogniser, turn, observers=[watch], device="cpu", **settings)
    return engine.fit(data, steps=2), watch


@pytest.mark.parametrize(
    ("width", "layers", "settings", "run"),
    [
        (64, 4, {}, {}),
        (128, 3, {"lora": True}, {}),
        (96, 4, {"lora": True}, {"precision": "bf16", "accumulate": 2}),
        (64, 2, {"vocabulary": 8000}, {}),
        (64, 3, {"kind": "qformer"}, {}),
    ],
    ids=["projector", "lora", "bf16 in parts", "many words", "qformer"],
)
def test_the_forecast_is_within_15_percent_of_the_measured_peak(
    width: int, layers: int, settings: dict[str, Any], run: dict[str, Any]
) -> None:
    recogniser = build(width, layers, **settings)
    engine, watch = trained(recogniser, **run)
    batch = next(iter(utterances(recogniser).epoch(0, 0)))
    for parameter in recogniser.parameters():
        parameter.grad = None
    measured = peak_memory(lambda: engine.step(batch))  # what a step adds to what is always there
    said = watch.forecast
    assert said is not None
    assert said.step == pytest.approx(measured, rel=0.15)
    assert said.total == pytest.approx(measured + said.weights + said.optimizer, rel=0.15)
    weights = {p.data_ptr(): p.nbytes for p in [*recogniser.parameters(), *recogniser.buffers()]}
    assert said.weights == sum(weights.values())
    moments = [v for s in engine.turns[0].optimizer.state.values() for k, v in s.items() if k != "step"]
    assert said.optimizer == sum(moment.nbytes for moment in moments)


def test_more_micro_batches_take_less() -> None:
    recogniser = build(64, 2)
    sizes = [forecast(recogniser, batch=8, frames=160, tokens=20, accumulate=k).total for k in (1, 2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[3]


def test_what_a_pass_keeps_by_hand() -> None:
    layer = nn.Linear(10, 20)
    x = torch.ones(5, 10)
    weights = list(layer.parameters())
    assert saved_bytes(lambda: layer(x).relu(), weights) == 4 * (5 * 10 + 5 * 20)  # the input, and relu's result
    layer.requires_grad_(False)
    x.requires_grad_(True)
    assert saved_bytes(lambda: layer(x).relu(), weights) == 4 * 5 * 20  # a frozen layer keeps its weight alone
    assert growth([16, 32, 48], [7.0 + 2 * n + 0.5 * n * n for n in (16, 32, 48)]) == pytest.approx((7.0, 2.0, 0.5))


def test_it_is_said_before_training_and_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    plain = build(64, 2)
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-3))
    Engine(plain, turn, device="cpu").fit(utterances(plain), steps=2)
    watched = build(64, 2)
    data = utterances(watched)
    watch = MemoryForecast(data)
    turn = Turn(transcript_objective, partial(torch.optim.AdamW, lr=1e-3))
    Engine(watched, turn, observers=[watch], device="cpu").fit(data, steps=2)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name])
    said = capsys.readouterr().err.splitlines()
    assert said == watch.lines[:2]
    assert said[0].startswith("attention kernels on cpu: ")
    assert said[1].startswith("memory forecast: ")
    assert " of " in said[1]


def test_a_forecast_beyond_the_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.speech.memory_watch.available", lambda device: 1e5)
    _, watch = trained(build(64, 2))
    assert "it will not fit at once: batches will be cut finer" in watch.lines[1]


def test_the_largest_batch_counts() -> None:
    recogniser = build(64, 1)
    frames = [torch.zeros(n, 48) for n in (10, 90, 20, 80)]
    data = Utterances.of(recogniser, frames, ["a", "b", "c", SENTENCES[0]], batch_size=2)
    rows, longest, tokens = largest(data, 50.0, 0)
    assert (rows, longest) == (2, 90)
    assert tokens == len(data.tokens[3])
    waves = Utterances.of(recogniser, frames, ["a"] * 4, batch_size=4, sound="waves", counts=[16000] * 4)
    assert largest(waves, 50.0, 0)[:2] == (4, 51)
    assert states({"betas": (0.9, 0.99)}) == 2


def test_the_height_is_the_larger_of_two_moments() -> None:
    facts = {"weights": 100.0, "optimizer": 20.0, "activations": 50.0, "logits": 10.0, "gradients": 30.0}
    assert Forecast(**facts).total == 180
    assert Forecast(**facts, accumulate=2).total == 210
    assert Forecast(**facts | {"gradients": 90.0}).total == 210
    assert Forecast(**facts, projector=70.0).total == 190
