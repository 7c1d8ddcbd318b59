"""The encoder: clips of a batch do not hear each other, long clips sound like short ones, folders hold it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from locution.errors import UserError
from locution.speech.encoder import EncoderConfig, SpeechEncoder, keep, rotate, rotations

SMALL = EncoderConfig(stem=8, width=16, blocks=2, heads=2, feed_forward=24, kernel=5, window=6)


@pytest.fixture
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return SpeechEncoder(SMALL).eval()


def test_a_batch_of_unequal_clips_equals_each_clip_alone(encoder: SpeechEncoder) -> None:
    draw = torch.Generator().manual_seed(1)
    lengths = [101, 64, 7, 1]
    mel = torch.randn(len(lengths), max(lengths), 80, generator=draw)  # the padding is noise: it must not be heard
    features, counts = encoder.features(mel, torch.tensor(lengths))
    assert counts.tolist() == [26, 16, 2, 1]
    for row, length, count in zip(range(len(lengths)), lengths, counts.tolist(), strict=True):
        alone, one = encoder.features(mel[row : row + 1, :length], torch.tensor([length]))
        assert one.item() == count == alone.shape[1]
        assert torch.allclose(features[row, :count], alone[0], atol=1e-5)


def test_in_training_too_and_the_gradient_ignores_padding(encoder: SpeechEncoder) -> None:
    encoder.train()
    mel = torch.randn(2, 40, 80, generator=torch.Generator().manual_seed(2)).requires_grad_()
    features, _ = encoder.features(mel, torch.tensor([40, 20]))
    features[1, :5].sum().backward()
    assert mel.grad is not None
    assert not mel.grad[0].any()
    assert not mel.grad[1, 20:].any()
    assert mel.grad[1, :20].any()


def test_a_frame_hears_no_further_than_its_window(encoder: SpeechEncoder) -> None:
    mel = torch.randn(1, 400, 80, generator=torch.Generator().manual_seed(3))
    before, _ = encoder.features(mel, torch.tensor([400]))
    mel[:, 300:] += 1.0
    after, _ = encoder.features(mel, torch.tensor([400]))
    reach = SMALL.blocks * (SMALL.window + SMALL.kernel // 2) + 2  # frames of 40 ms
    assert torch.allclose(before[:, : 75 - reach], after[:, : 75 - reach], atol=1e-6)
    assert not torch.allclose(before[:, 74], after[:, 74], atol=1e-3)


def test_rotary_products_depend_on_distance_alone() -> None:
    draw = torch.Generator().manual_seed(4)
    query, key = torch.randn(8, generator=draw), torch.randn(8, generator=draw)
    cos, sin = rotations(20, 8, torch.device("cpu"))
    queries, keys = rotate(query.expand(20, 8), cos, sin), rotate(key.expand(20, 8), cos, sin)
    products = queries @ keys.T
    assert torch.allclose(products[3, 7], products[10, 14], atol=1e-5)
    assert not torch.allclose(products[3, 7], products[7, 3], atol=1e-3)


def test_scores_are_log_probabilities(encoder: SpeechEncoder) -> None:
    scores, lengths = encoder(torch.zeros(1, 30, 80), torch.tensor([30]))
    assert scores.shape == (1, 8, 29)
    assert lengths.tolist() == [8]
    assert torch.allclose(scores.exp().sum(-1), torch.ones(1, 8))


def test_a_folder_keeps_it(encoder: SpeechEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "one", torch.float32)
    again = SpeechEncoder.load(tmp_path / "one")
    assert again.config == SMALL
    assert not again.training
    mel, lengths = torch.randn(1, 50, 80), torch.tensor([50])
    assert torch.equal(encoder(mel, lengths)[0], again(mel, lengths)[0])
    encoder.save(tmp_path / "half")
    half = SpeechEncoder.load(tmp_path / "half")
    assert next(half.parameters()).dtype == torch.float32
    assert torch.allclose(encoder(mel, lengths)[0], half(mel, lengths)[0], atol=0.05)


def test_a_folder_without_it_is_refused_in_one_line(encoder: SpeechEncoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no speech encoder"):
        SpeechEncoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "config.json").write_text('{"width": 32, "heads": 2}')
    with pytest.raises(UserError, match="no speech encoder of this kind"):
        SpeechEncoder.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="no speech encoder of this kind"):
        SpeechEncoder.load(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"kernel": 4}, {"window": 0}, {"dropout": 1.0}],
    ids=["heads", "kernel", "window", "dropout"],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="allowed"):
        EncoderConfig(**wrong)  # type: ignore[arg-type]


def test_the_shipped_shape_stays_small() -> None:
    weights = sum(weight.numel() for weight in SpeechEncoder().parameters())
    assert 2 * weights <= 12e6  # bytes in bf16


def test_the_mask_marks_what_belongs_to_a_clip() -> None:
    assert keep(torch.tensor([0, 2]), 2).tolist() == [[False, False], [True, True]]
