"""An epoch with the cache and one without learn from the same frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cached_epochs import CACHED, PLAIN, contestants
from benchmarks.side_by_side import AUDIO, compare
from locution.speech.audio import write_flac
from locution.speech.manifest import Clip


def test_both_train_for_an_epoch_from_the_same_weights(tmp_path: Path) -> None:
    draw, clips = np.random.default_rng(0), []
    for number, seconds in enumerate((0.8, 1.2, 1.0)):
        path = tmp_path / f"{number}.flac"
        write_flac(path, (0.1 * draw.standard_normal(int(16000 * seconds))).astype(np.float32))
        clips.append(Clip(path, "turn it off", seconds=seconds))
    both, filled = contestants(clips, tmp_path, "cpu", batch=2)
    assert filled > 0
    engines = {name: run() for name, run in both.items()}
    assert [engine.number for engine in engines.values()] == [2, 2]
    pairs = zip(*(engines[name].model.projector.parameters() for name in (PLAIN, CACHED)), strict=True)
    for heard, kept in pairs:
        assert (heard - kept).norm() < 0.1 * heard.norm()  # frames kept in bf16, two small steps


def test_a_ratio_may_count_seconds_of_audio() -> None:
    ratio = compare({"a": [1.0, 2.0], "b": [4.0, 4.0]}, "a", "b", 10.0, 0.5, AUDIO)
    assert (ratio.median, ratio.unit, ratio.met) == (0.375, AUDIO, True)
    assert ratio.microseconds == pytest.approx(150_000)


def test_a_table_of_audio_shows_the_speed() -> None:
    from benchmarks.show import table

    ratio = vars(compare({"a": [1.0], "b": [4.0]}, "a", "b", 100.0, 0.5, AUDIO)) | {"met": True}
    lines = table("t", [ratio])
    assert lines[2] == "| | s of audio a second | ratio | middle half | goal | |"
    assert lines[4] == "| a | 100 | 0.25 | 0.25 to 0.25 | 0.50 | met |"
