"""One's own recordings: parted whole or in time, copies and broken files left out, nonsense refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from locution import runs
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.basic import IGNORED
from locution.speech.audio import write_flac
from locution.speech.own_sounds import RATE, own_sounds, sound_of
from locution.speech.sound_data import SoundData

SHARES = (0.15, 0.15)
SMALL: dict[str, Any] = {"length": 128, "heard": 32}


def record(path: Path, seconds: float = 0.5, number: int = 0) -> Path:
    """Write a recording of noise that runs through a resonance, another for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = torch.randn(round(seconds * RATE), generator=generator(number, "recording"), dtype=torch.float64).numpy()
    made = np.zeros_like(noise)
    for step in range(2, len(noise)):
        made[step] = 1.5 * made[step - 1] - 0.8 * made[step - 2] + 0.05 * noise[step]
    write_flac(path, made.astype(np.float32), RATE)
    return path


def test_whole_recordings_stand_in_one_part_each(tmp_path: Path) -> None:
    files = [record(tmp_path / f"{number}.flac", number=number) for number in range(10)]
    parts, said = own_sounds(str(tmp_path), SHARES, seed=0)
    assert {name: len(sounds) for name, sounds in parts.items()} == {"train": 6, "development": 2, "test": 2}
    found = sorted(tuple(sound.tolist()) for sounds in parts.values() for sound in sounds)
    assert found == sorted(tuple(sound_of(file).tolist()) for file in files)
    assert said == ["6 to learn from, 2 to tune on, 2 to be judged by: drawn at random."]
    again, _ = own_sounds(str(tmp_path), SHARES, seed=0)
    assert all(torch.equal(a, b) for name in parts for a, b in zip(parts[name], again[name], strict=True))


def test_folders_name_the_parts_and_a_copy_stays_where_it_is_judged_by(tmp_path: Path) -> None:
    for place, number in (("train/a", 0), ("train/b", 1), ("valid/c", 2), ("test/d", 3), ("train/e", 3)):
        record(tmp_path / f"{place}.flac", number=number)
    parts, said = own_sounds(str(tmp_path), SHARES, seed=0)
    assert {name: len(sounds) for name, sounds in parts.items()} == {"train": 2, "development": 1, "test": 1}
    assert torch.equal(parts["test"][0], sound_of(tmp_path / "test" / "d.flac"))
    assert said[0] == "1 recording is an exact copy of another and was left out."
    assert said[1].startswith("1 recording stood in more than one part")
    assert said[2].endswith("as the data say.")


def test_a_single_recording_is_parted_in_time(tmp_path: Path) -> None:
    file = record(tmp_path / "long.flac", seconds=2.0)
    whole = sound_of(file)
    for path in (file, tmp_path):
        parts, said = own_sounds(str(path), SHARES, seed=0)
        ((train,), (development,), (test,)) = parts.values()
        assert torch.equal(torch.cat([train, development, test]), whole)
        assert (len(train), len(test)) == (round(0.7 * len(whole)), len(whole) - round(0.85 * len(whole)))
        assert said == ["1 recording, each parted in time: its last part is judged by."]


def test_what_cannot_be_heard_is_left_out_and_said(tmp_path: Path) -> None:
    record(tmp_path / "good.flac")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    _, said = own_sounds(str(tmp_path), SHARES, seed=0)
    assert said[0].startswith("2 files could not be heard and left out: ")
    assert "broken.wav" in said[0]
    assert "empty.wav: is empty (0 bytes)" in said[0]


@pytest.mark.parametrize("kind", ["missing", "empty folder", "only broken", "a text"])
def test_where_there_is_nothing_to_hear_one_line_says_what_fits(kind: str, tmp_path: Path) -> None:
    place = tmp_path / kind
    if kind == "a text":
        place.write_text("hello")
    elif kind != "missing":
        place.mkdir()
        if kind == "only broken":
            (place / "a.wav").touch()
    with pytest.raises(UserError, match=r"allowed: sound files \(\.wav, \.flac.* or a folder of them") as error:
        own_sounds(str(place), SHARES, seed=0)
    assert "\n" not in str(error.value)


def test_windows_of_recordings_cover_what_is_learnt_from_and_are_spread_over_what_is_judged_by(tmp_path: Path) -> None:
    file = record(tmp_path / "long.flac", seconds=2.0)
    data = SoundData(path=str(file), test=3, **SMALL).load(seed=0)
    train: Any = data.train
    parts, _ = own_sounds(str(file), SHARES, seed=0)
    assert torch.equal(train.inputs[0], parts["train"][0][:128])
    assert len(train) == len(parts["train"][0]) // 129
    held: Any = data.test
    assert held.inputs.shape == (3, 160)
    pieces = parts["test"][0].unfold(0, 161, 161)
    wanted = [step * len(pieces) // 3 for step in range(3)]
    assert torch.equal(held.inputs, pieces[wanted, :-1])
    assert torch.equal(held.targets[:, 32:], pieces[wanted, 33:])
    assert (held.targets[:, :32] == IGNORED).all()
    assert data.source.startswith("one's own recordings, 0.0 min")
    with pytest.raises(UserError, match=r"data\.length is 99999; allowed: less, the recordings for the part 'train'"):
        SoundData(path=str(file), length=99999).load(seed=0)


def test_a_folder_of_ones_own_is_trained_on_judged_and_drawn_from(tmp_path: Path) -> None:
    for number in range(4):
        record(tmp_path / "sounds" / f"{number}.flac", number=number)
    words = (f"data={tmp_path / 'sounds'}", "data.length=128", "data.heard=32", "model.layers=4", "model.blocks=1")
    run = runs.train("speech/next_sample", *words, "epochs=1", f"run_dir={tmp_path / 'run'}", quiet=True)
    assert run.evaluate().limits[-1].startswith("It was trained on one's own recordings, 0.0 min, at 8000 samples")
    assert 0 < run.results["metrics"]["bits_per_sample"]["value"] < 9
    assert run.predict([str(tmp_path / "sounds" / "0.flac")])[0].startswith(tuple("0123456789"))
