"""Datasets of Hugging Face: saved to disk and streamed by name, through the library itself, without the network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from locution.errors import LocutionError, UserError
from locution.speech import streamed
from locution.speech.audio import read_audio
from locution.speech.data_parts import SpeechData
from locution.speech.sources import read_source
from locution.speech.streamed import StreamedUtterances, refuse_epochs

datasets = pytest.importorskip("datasets")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def wave(number: int) -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(number)
    return (0.1 * draw.standard_normal(8000 + 400 * (number * 7 % 20))).astype(np.float32)


def coded(number: int, ending: str = "WAV", rate: int = 16000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave(number), rate, format=ending)
    return file.getvalue()


def dataset(numbers: range) -> Any:
    rows = {
        "audio": [{"bytes": coded(n, "FLAC"), "path": f"{n}.flac"} for n in numbers],
        "sentence": [f"{NUMBERS[n % 9]} {NUMBERS[n // 9 % 9]}" for n in numbers],
        "client_id": [f"s{n % 5}" for n in numbers],
    }
    made = datasets.Dataset.from_dict(rows)
    return made.cast_column("audio", datasets.Audio(decode=False))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    # the library waits so long at the end of each epoch of a stream
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hub") / "speech"
    dataset(range(60)).to_parquet(folder / "train.parquet")
    dataset(range(60, 66)).to_parquet(folder / "validation.parquet")
    return str(folder)


def test_a_saved_dataset_becomes_files_once(tmp_path: Path) -> None:
    parts = {"train": dataset(range(4)), "validation": dataset(range(4, 6)), "test": dataset(range(6, 8))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    told: list[tuple[int, int]] = []
    found = read_source(tmp_path / "saved", lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)
    assert [clip.split for clip in found.clips] == ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    for number, clip in enumerate(found.clips):
        assert np.allclose(read_audio(clip.path).samples, wave(number), atol=1e-4)
        assert clip.path.suffix == ".flac"
        assert clip.text == f"{NUMBERS[number % 9]} one"
        assert clip.speaker == f"s{number % 5}"
    again = read_source(tmp_path / "saved", lambda done, total: told.append((0, 0)))
    assert again == found
    assert (0, 0) not in told
    clips = SpeechData(path=str(tmp_path / "saved")).clips(say=lambda line: None)
    assert {split: len(part) for split, part in clips.items()} == {"train": 4, "dev": 2, "test": 2}


def test_one_dataset_with_paths_keeps_its_files_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(coded(0))
    datasets.Dataset.from_dict({"file": [str(tmp_path / "a.wav")], "text": ["one"]}).save_to_disk(tmp_path / "saved")
    assert [clip.path for clip in read_source(tmp_path / "saved").clips] == [tmp_path / "a.wav"]
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as a saved dataset"):
        read_source(tmp_path / "saved")
    datasets.Dataset.from_dict({"sound": ["a"], "text": ["one"]}).save_to_disk(tmp_path / "odd")
    with pytest.raises(UserError, match="no column says which file it is; it has sound, text"):
        read_source(tmp_path / "odd")


def test_what_is_judged_on_comes_out_of_the_stream_and_is_never_trained_on(parquet: str, tokenizer: Any) -> None:
    data = SpeechData(path=f"hf:{parquet}", dev=4, test=7)
    assert data.streams
    said: list[str] = []
    clips = data.clips(say=said.append)
    assert {split: len(part) for split, part in clips.items()} == {"train": 0, "dev": 4, "test": 7}
    assert {clip.group for clip in clips["dev"]} == {"validation"}
    heard = [read_audio(clip.path).samples for clip in (*clips["dev"], *clips["test"])]
    assert all(np.allclose(one, wave(n), atol=1e-4) for one, n in zip(heard, [*range(60, 64), *range(7)], strict=True))

    class Recogniser:
        end = (2,)

    Recogniser.tokenizer = tokenizer  # type: ignore[attr-defined]
    source = data.stream(Recogniser(), said.append)  # type: ignore[arg-type]
    assert any("the first 7 training examples are held out" in line for line in said)
    seen = [row for batch in source.epoch(0, 0) for row in rows(batch)]
    lengths = sorted(len(wave(n)) for n in range(7, 60))
    assert sorted(len(row) for row in seen) == lengths


def rows(batch: Any) -> list[torch.Tensor]:
    lengths = batch.inputs["lengths"].tolist()
    return [wave[:length] for wave, length in zip(batch.inputs["waves"], lengths, strict=True)]


def test_an_epoch_of_a_stream_repeats_and_can_be_taken_up_anywhere(parquet: str, tokenizer: Any) -> None:
    source = StreamedUtterances(streamed.training_stream(f"hf:{parquet}"), tokenizer, [2], batch_size=8)
    assert source.steps() is None
    whole = list(source.epoch(1, seed=3))
    assert sum(map(len, whole)) == 60
    for skip in (3, len(whole)):
        rest = list(source.epoch(1, seed=3, skip=skip))
        assert len(rest) == len(whole) - skip
        for one, other in zip(whole[skip:], rest, strict=True):
            assert torch.equal(one.inputs["waves"], other.inputs["waves"])
            assert torch.equal(one.targets, other.targets)
    source.batch_size = 1  # pools of 16: which of the 60 come first is the epoch's own affair too
    pools = [{example.sound for example in next(source.pools(number, 3))} for number in (1, 2, 1)]
    assert pools[0] == pools[2] != pools[1]
    source.batch_size = 8
    other = list(source.epoch(2, seed=3))
    assert not all(torch.equal(one.inputs["text"], two.inputs["text"]) for one, two in zip(whole, other, strict=True))


def entry(number: int, **changed: Any) -> dict[str, Any]:
    return {"path": {"bytes": coded(number), "path": None}, "text": f"Number {NUMBERS[number % 9]}!"} | changed


def test_what_cannot_be_learnt_from_is_counted_and_said_once(tokenizer: Any) -> None:
    long = io.BytesIO()
    soundfile.write(long, np.zeros(16000 * 31), 16000, format="FLAC")
    damaged = bytearray(coded(3, "FLAC"))
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    bad = [
        entry(1, text=""),
        entry(1, text="..."),
        entry(1, text=None),
        entry(1, text="[noise] one"),
        entry(1, text="one " * 100),
        entry(1, path={"bytes": b"nonsense", "path": None}),
        entry(1, path={"bytes": None, "path": "/no/such.wav"}),
        entry(1, path={"bytes": long.getvalue(), "path": None}),
        entry(1, path={"bytes": bytes(damaged), "path": None}),
    ]

    def examples(number: int, seed: int) -> Iterator[dict[str, Any]]:
        return iter([entry(0), *bad, entry(5, path={"bytes": coded(5, rate=8000), "path": None})])

    said: list[str] = []
    source = StreamedUtterances(examples, tokenizer, [2], batch_size=4, say=said.append)
    seen = [row for batch in source.epoch(0, 0) for row in rows(batch)]
    assert sorted(len(row) for row in seen) == sorted([len(wave(0)), 2 * len(wave(5))])
    assert source.left_out == {"empty": 3, "marker": 1, "speed": 1, "broken": 3, "long": 1}
    assert len(said) == 5


def test_labels_are_normalised_and_end_with_the_mark(tokenizer: Any) -> None:
    source = StreamedUtterances(lambda number, seed: iter([entry(0)]), tokenizer, [2], batch_size=4)
    (batch,) = source.epoch(0, 0)
    assert tokenizer.decode(batch.targets[0, :-1]).split()[-1] == "one"
    assert batch.targets[0, -1] == 2
    assert batch.weights.tolist() == [float(batch.targets.shape[1])]

    def damaged(number: int, seed: int) -> Iterator[dict[str, Any]]:
        data = coded(1, "FLAC")
        return iter([entry(1, path={"bytes": data[: len(data) // 3], "path": None})])

    with pytest.raises(LocutionError, match="none of the 1 examples of a batch can be decoded"):
        list(StreamedUtterances(damaged, tokenizer, [2]).epoch(0, 0))


def test_epochs_unknown_names_and_odd_datasets_are_refused(parquet: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="epochs is 2, but hf:a/b is streamed"):
        refuse_epochs("hf:a/b", 2)
    refuse_epochs("hf:a/b", None)
    with pytest.raises(UserError, match="'hf:' names no dataset"):
        SpeechData(path="hf:").clips()
    with pytest.raises(UserError, match=r"hf:/no/such cannot be opened \(.*\); allowed: the name of a dataset"):
        SpeechData(path="hf:/no/such").clips()
    dataset(range(2)).to_parquet(tmp_path / "only" / "test.parquet")
    with pytest.raises(UserError, match="has the splits test; allowed: one whose name begins with train"):
        SpeechData(path=f"hf:{tmp_path / 'only'}").clips()
