"""The cache of frames: what goes in comes out, nothing half done is ever seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from locution.errors import LocutionError
from locution.speech import cache
from locution.speech.cache import cache_folder, files_digest, frames_key, keep_frames
from locution.speech.encode import encode_clips
from locution.speech.logmel import log_mel


def clips(seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 6, generator=draw) for n in (5, 2, 9, 1)]


def shuffled() -> Iterator[tuple[int, torch.Tensor]]:
    return ((i, clips()[i]) for i in (3, 0, 2, 1))


def never() -> Iterator[tuple[int, torch.Tensor]]:
    raise AssertionError("made again")


def test_what_goes_in_comes_out_in_bf16_and_is_made_once(tmp_path: Path) -> None:
    keep_frames("k", 4, shuffled, tmp_path)
    found = keep_frames("k", 4, never, tmp_path)
    for clip, kept in zip(clips(), found, strict=True):
        assert torch.equal(clip.to(torch.bfloat16), kept)
    assert [len(clip) for clip in found[1:3]] == [2, 9]
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize("harm", ["short", "long", "index", "gone", "count"])
def test_what_is_damaged_is_made_again(tmp_path: Path, harm: str) -> None:
    keep_frames("k", 4, shuffled, tmp_path)
    if harm == "short":
        (tmp_path / "k" / cache.FRAMES).write_bytes(b"1234")
    elif harm == "long":
        with open(tmp_path / "k" / cache.FRAMES, "ab") as file:
            file.write(b"12")
    elif harm == "index":
        (tmp_path / "k" / cache.INDEX).write_text('{"width"')
    elif harm == "gone":
        (tmp_path / "k" / cache.INDEX).unlink()
    else:
        keep_frames("k", 1, lambda: iter([(0, torch.ones(1, 6))]), tmp_path)
    found = keep_frames("k", 4, shuffled, tmp_path)
    assert torch.equal(found[2], clips()[2].to(torch.bfloat16))
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[int, torch.Tensor]]:
        yield 0, clips()[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(LocutionError, match="No space left on device; LOCUTION_CACHE"):
        keep_frames("k", 4, broken, tmp_path)
    with pytest.raises(LocutionError, match="1 clips were encoded; 4"):
        keep_frames("k", 4, lambda: iter([(0, clips()[0])]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_that_write_at_once_both_get_whole_frames(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)

    def slow() -> Iterator[tuple[int, torch.Tensor]]:
        barrier.wait(30)  # both are writing now
        yield from shuffled()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(keep_frames, "k", 4, slow, tmp_path) for _ in range(2)]
        for found in both:
            assert torch.equal(found.result()[2], clips()[2].to(torch.bfloat16))
    assert [path.name for path in tmp_path.iterdir()] == ["k"]
    keep_frames("k", 4, never, tmp_path)


def test_the_key_knows_everything_that_changes_the_frames(tiny_encoder: nn.Module) -> None:
    first = frames_key(tiny_encoder, "content")
    assert frames_key(tiny_encoder, "content") == first
    others = {frames_key(tiny_encoder, "other"), frames_key(tiny_encoder, "content", "fp32")}
    tiny_encoder.unpadded = False  # type: ignore[assignment]
    others.add(frames_key(tiny_encoder, "content"))
    del tiny_encoder.unpadded
    with torch.no_grad():
        tiny_encoder.layer.weight[0, 0] += 1e-3  # type: ignore[union-attr,index]
    others.add(frames_key(tiny_encoder, "content"))
    assert len(others) == 4
    assert first not in others


def test_files_count_by_what_they_hold(tmp_path: Path) -> None:
    for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(data)
    a, b, c = (tmp_path / name for name in "abc")
    assert files_digest([a, c]) == files_digest([b, c])
    assert len({files_digest([a, c]), files_digest([c, a]), files_digest([a]), files_digest([a, a])}) == 4


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", "/x/y")
    assert cache_folder() == Path("/x/y")
    monkeypatch.delenv("LOCUTION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/z")
    assert cache_folder() == Path("/z/locution")


def test_encoding_in_batches_equals_each_clip_alone(tiny_encoder: nn.Module) -> None:
    draw = torch.Generator().manual_seed(0)
    waves = [torch.randn(n, generator=draw) for n in (16000, 4000, 7000, 100, 16100)]
    found = dict(encode_clips(tiny_encoder, waves.__getitem__, [len(w) / 16000 for w in waves], budget=2.1))
    assert sorted(found) == list(range(5))
    for i, wave in enumerate(waves):
        wave = nn.functional.pad(wave, (0, max(0, 400 - len(wave))))
        mel = log_mel(wave)[None]
        alone, lengths = tiny_encoder.features(mel, torch.tensor([mel.shape[1]]))  # type: ignore[operator]
        torch.testing.assert_close(found[i], alone[0, : lengths[0]])
