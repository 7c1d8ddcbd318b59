"""Going on from given weights: the same numbers, awake and trainable; another shape is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from locution.errors import UserError
from locution.speech.decoder import DecoderConfig, build_decoder, save_decoder
from locution.speech.decoder_parts import DecoderModel
from locution.speech.encoder_parts import EncoderModel
from locution.speech.tokenizer import train_tokenizer


def test_an_encoder_goes_on_from_given_weights(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"width": 16, "heads": 2, "blocks": 1, "stem": 8, "feed_forward": 16}
    first = EncoderModel(**shape).build(seed=5)
    first.save(tmp_path, torch.float32)
    again = EncoderModel(**shape, start=str(tmp_path)).build(seed=6)
    assert all(torch.equal(first.state_dict()[name], value) for name, value in again.state_dict().items())
    assert again.training
    assert all(weight.requires_grad for weight in again.parameters())
    with pytest.raises(UserError, match=r"model\.start is .* weights of the shape"):
        EncoderModel(**{**shape, "blocks": 2}, start=str(tmp_path)).build(seed=0)


def test_a_language_model_goes_on_from_given_weights(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"width": 8, "layers": 1, "heads": 1, "inner": 16}
    first = build_decoder(DecoderConfig(**shape), 5)
    save_decoder(tmp_path, first, train_tokenizer())
    again = DecoderModel(**shape, start=str(tmp_path)).build(seed=6)
    assert all(torch.equal(first.state_dict()[name], value) for name, value in again.state_dict().items())
    assert all(weight.requires_grad for weight in again.parameters())
    with pytest.raises(UserError, match=r"model\.start is .* weights of the shape"):
        DecoderModel(**{**shape, "inner": 32}, start=str(tmp_path)).build(seed=0)
