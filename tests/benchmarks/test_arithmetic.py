"""The arithmetic of a training step against what torch counts on small models of the same kinds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import arithmetic
from benchmarks.arithmetic import EncoderShape, Pair, WriterShape
from benchmarks.speech_models import whisper_config, writer_config

PAIR = Pair("tiny", EncoderShape(24, 2, 48, 2, mels=80), WriterShape(32, 3, 80, 4, 2, 50), stack=4)


def counted(function: Any) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        function()
    return int(counter.get_total_flops())


def make_writer(attention: str = "eager") -> Any:
    import transformers

    torch.manual_seed(0)
    config = writer_config(PAIR.writer, 1)
    config._attn_implementation = attention
    return transformers.SmolLM3ForCausalLM(config).requires_grad_(False)


@pytest.mark.parametrize("mel_frames", [3000])
def test_the_encoder_costs_what_torch_counts(mel_frames: int) -> None:
    import transformers

    config = whisper_config(PAIR.encoder, 100, (1, 16), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    encoder = transformers.WhisperModel(config).encoder.requires_grad_(False)
    with torch.no_grad():
        found = counted(lambda: encoder(torch.randn(1, 80, mel_frames)))
    assert found == arithmetic.encoder_flops(PAIR.encoder, mel_frames)


def test_unpadded_frames_cost_what_torch_counts() -> None:
    import transformers

    from locution.speech.whisper import WhisperFrames

    config = whisper_config(PAIR.encoder, 100, (1, 16), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    encoder = WhisperFrames(transformers.WhisperModel(config).encoder, unpadded=True).requires_grad_(False)
    with torch.no_grad():
        found = counted(lambda: encoder.features(torch.randn(1, 200, 80), torch.tensor([200])))
    # both convolutions see four frames of silence behind the clip, the layers do not
    extra = 6 * 4 * 80 * 24 + 6 * 2 * 24 * 24
    assert found == arithmetic.encoder_flops(PAIR.encoder, 200) + extra


@pytest.mark.parametrize(("places", "logits"), [(40, 40), (40, 7), (11, 1)])
def test_the_language_model_costs_what_torch_counts(places: int, logits: int) -> None:
    model = make_writer()
    x = torch.randn(1, places, 32, requires_grad=True)

    def forward() -> Any:
        return model(inputs_embeds=x, use_cache=False, logits_to_keep=logits).logits

    with torch.no_grad():
        alone = counted(forward)
    assert alone == arithmetic.writer_flops(PAIR.writer, places, logits, backward=False)
    both = counted(lambda: forward().sum().backward())
    assert both == arithmetic.writer_flops(PAIR.writer, places, logits)


def test_the_projector_costs_what_torch_counts() -> None:
    from locution.speech.projectors.mlp import MLPProjector

    projector = MLPProjector(24, 32, stack=4)
    frames, lengths = torch.randn(1, 44, 24), torch.tensor([44])
    found = counted(lambda: projector(frames, lengths)[0].sum().backward())
    assert found == arithmetic.projector_flops(PAIR, 11)


def test_weights_are_counted() -> None:
    import transformers

    config = whisper_config(PAIR.encoder, 100, (1, 16), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    encoder = transformers.WhisperModel(config).encoder
    matrices = sum(p.numel() for name, p in encoder.named_parameters() if p.dim() > 1 and "positions" not in name)
    assert arithmetic.encoder_parameters(PAIR.encoder) == matrices
    matrices = sum(p.numel() for p in make_writer().parameters() if p.dim() > 1)
    assert arithmetic.writer_parameters(PAIR.writer) == matrices


@pytest.mark.parametrize("places", [50, 200])
def test_what_the_backward_pass_needs_is_forecast(places: int) -> None:
    model, kept = make_writer("sdpa"), {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(1, places, 32, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.model(inputs_embeds=x, use_cache=False).last_hidden_state
    assert output.requires_grad
    assert sum(kept.values()) == pytest.approx(arithmetic.kept_for_backward(PAIR.writer, places, 4), rel=0.1)


def test_the_true_sizes_are_those_of_their_cards() -> None:
    # 637 million with biases, norms and places; 3.08 thousand million
    assert arithmetic.encoder_parameters(arithmetic.TRUE.encoder) == pytest.approx(635e6, rel=2e-3)
    assert arithmetic.writer_parameters(arithmetic.TRUE.writer) == pytest.approx(3.075e9, rel=1e-3)


def test_the_cache_saves_what_the_plan_says() -> None:
    for seconds, gain in ((4.0, 3.4), (12.0, 1.9)):
        full = arithmetic.clip_step(arithmetic.TRUE, seconds)
        cached = arithmetic.clip_step(arithmetic.TRUE, seconds, cached=True)
        assert full.total / cached.total == pytest.approx(gain, abs=0.05)


def test_the_table_has_a_line_for_each_length() -> None:
    lines = arithmetic.table(PAIR, (2.0, 5.0, 9.0))
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["2 s", "5 s", "9 s"]
