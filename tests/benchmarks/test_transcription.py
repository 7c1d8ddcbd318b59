"""Both ways of writing speech down write what the script says, each token once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.arithmetic import Pair
from benchmarks.cached_training import Ours
from benchmarks.projector_training import recogniser_of
from benchmarks.speech_models import SMALL, clips, save_whisper
from benchmarks.transcription import Script, ours, pipeline
from benchmarks.true_sizes import build, facts, peak, train_both


@pytest.mark.parametrize("unpadded", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_locution_writes_the_script(folder: Path, unpadded: bool, batch: int) -> None:
    said = clips([2.0] * 3)
    texts = ours(folder, 7, "cpu", batch, unpadded=unpadded)(said)
    assert len(texts) == 3


@pytest.mark.parametrize("batch", [1, 3])
def test_the_pipeline_writes_the_script(folder: Path, batch: int) -> None:
    run = pipeline(folder, 41, "cpu", batch)
    said = clips([2.0] * 3)
    assert run(said) == run(said)  # and says so where a token is computed twice


def test_a_script_that_is_not_followed_is_noticed(folder: Path) -> None:
    recogniser, tokenizer = recogniser_of(folder)
    script = Script(5, recogniser.end[0])
    script.calls = 5
    text = script.text(tokenizer)
    assert script.followed([text], tokenizer, 1) == [text]
    with pytest.raises(AssertionError, match="more than once"):
        script.followed([text], tokenizer, 1)
    with pytest.raises(AssertionError, match="another text"):
        script.followed([text + "s"], tokenizer, 1)


def test_both_decoders_have_as_many_weights_and_layers(tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    from benchmarks.arithmetic import writer_parameters

    whisper = WhisperForConditionalGeneration.from_pretrained(save_whisper(tmp_path / "whisper", SMALL))
    own = sum(weight.numel() for weight in whisper.model.decoder.parameters())
    assert own == pytest.approx(writer_parameters(SMALL.writer), rel=0.02)
    assert whisper.config.decoder_layers == SMALL.writer.layers


def test_the_true_sizes_path_trains_in_bf16(tmp_path: Path, tiny_pair: Pair) -> None:
    recogniser = build(tmp_path, tiny_pair, "cpu")
    assert recogniser.language_model.dtype == torch.bfloat16
    assert recogniser.encoder.encoder.conv1.weight.dtype == torch.bfloat16
    trained = Ours(recogniser, clips([1.0, 2.0]), tmp_path / "frames", "cpu", batch=2)
    trained.epoch()
    trained.epoch()
    assert trained.found.losses[1] < trained.found.losses[0]
    lines = facts({"ours": trained.found, "plain": trained.found}, {"ours": 0, "plain": 0}, clips([1.0]), 2, "H200")
    assert "of the chip's peak" in lines[0]


def test_a_chip_that_nobody_knows_has_no_peak() -> None:
    assert peak("NVIDIA H200") == 989e12
    assert peak("abacus") is None


def test_without_an_accelerator_the_true_sizes_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert train_both(quick=True) == 1
    assert "no CUDA device" in capsys.readouterr().out
