"""One's own recordings in one command: a folder, checked, split, trained on by budget, judged; and a stream by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import locution
from locution.cli import run
from locution.errors import UserError
from locution.speech.corpus import CorpusSettings, synthesise_corpus
from locution.speech.manifest import Clip, read_manifest

pytest.importorskip("espeakng_loader")
SHORT = ("steps=2", "log_every=1", "threads=1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    settings = CorpusSettings(train=28, dev=1, test=1, everyday=0, silence=0)
    return read_manifest(synthesise_corpus(settings, tmp_path_factory.mktemp("made") / "corpus"))


def test_a_folder_of_recordings_is_trained_on_in_one_command(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "my $speech=(1)"
    own.mkdir()
    for number, clip in enumerate(clips):
        shutil.copy(clip.path, own / f"{number:02d}.flac")
        (own / f"{number:02d}.txt").write_text(clip.text.title() + "!\n")
    monkeypatch.chdir(tmp_path)
    words = ("train", "speech", f"data={own.name}", "data.token_budget=1500", *SHORT)
    assert run([*words, "run_dir=run"]) == 0
    err = capsys.readouterr().err
    assert "folder of recordings with a text each, 30 clips" in err
    assert "dev and test were split off, each a tenth, by clip: train 24, dev 3, test 3" in err
    settings = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert settings["data"]["path"] == str(own), "a whole path, so that the run is judged from anywhere"
    (own / "07.txt").write_text("[noise]")
    assert run([*words, "run_dir=other", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "1 of 30 clips have problems" in err
    assert "locution check-data" in err


def test_a_dataset_is_streamed_by_its_name(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)
    audio = [{"bytes": clip.path.read_bytes(), "path": clip.path.name} for clip in clips]
    made = datasets.Dataset.from_dict({"audio": audio, "text": [clip.text for clip in clips]})
    made.cast_column("audio", datasets.Audio(decode=False)).to_parquet(tmp_path / "speech" / "train.parquet")
    words = (f"data=hf:{tmp_path / 'speech'}", "data.dev=3", "data.test=3", "data.batch_size=8", "log_every=1")
    with pytest.raises(UserError, match=r"epochs is 1, but hf:.* is streamed"):
        locution.train("speech", *words, "epochs=1", f"run_dir={tmp_path}/none", quiet=True)
    done = locution.train("speech", *words, "steps=2", f"run_dir={tmp_path}/run", quiet=True)
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 2]
    assert done.results["metrics"]["encoder_wer"]["value"] < 0.5
