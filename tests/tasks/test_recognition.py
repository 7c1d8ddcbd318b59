"""The main job in small: speech is made, a projector trained and judged between its halves, and files written down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import locution
from locution.errors import UserError
from locution.recipe import resolve
from locution.runs import Run, prepare
from locution.speech.frozen import EMBEDDED
from locution.tasks.recognition import Recognition

SMALL = ("data.train=40", "data.dev=10", "data.test=10", "data.everyday=0", "data.silence=0", "steps=2", "log_every=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("speech")
    shutil.copytree(EMBEDDED / "encoder", folder / "encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUTION_CACHE", str(folder / "cache"))
        words = (f"model.encoder={folder / 'encoder'}", f"run_dir={folder}/run")
        return locution.train("speech", *SMALL, *words, quiet=True)


def test_it_is_judged_beside_its_halves(run: Run) -> None:
    metrics = run.results["metrics"]
    assert {"wer", "encoder_wer", "text_only_wer", "raw_wer", "whisper_english_wer"} <= set(metrics)
    assert {"hallucination_noise", "hallucination_silence", "loop_rate", "calibration_error"} <= set(metrics)
    assert metrics["encoder_wer"]["value"] < 0.5 < metrics["wer"]["value"], "two steps teach nothing"
    assert (run.folder / "report.html").read_text(encoding="utf-8").count("<image") >= 1, "a spectrogram"


def test_its_utterances_are_kept_to_compare_it_with(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.show_evaluation(against=str(run.folder), as_json=True)
    values = {name: metric["value"] for name, metric in json.loads(capsys.readouterr().out)["metrics"].items()}
    first = next(name for name in values if name.startswith("wer"))
    assert values[first] == pytest.approx(run.results["metrics"]["wer"]["value"]), "no clip is decoded again"
    assert all(value == 0.0 for name, value in values.items() if name.startswith("difference"))


def test_the_projector_knows_its_halves(run: Run) -> None:
    card = json.loads((run.folder / "model" / "projector.json").read_text())
    assert card["encoder"].endswith("/encoder")
    assert card["encoder"] != "embedded"
    assert card["language_model"] == "embedded"


def test_files_are_written_down_and_bad_ones_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    clips = sorted((run.folder.parent / "cache" / "corpus").rglob("test/*.flac"))
    (run.folder / "junk.flac").write_bytes(b"junk")
    assert run.transcribe([str(clips[0])]) == 0
    assert run.transcribe([str(clips[0]), str(run.folder / "junk.flac")], as_json=True) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [bool(answer["error"]) for answer in answers] == [False, True]


def test_a_manifest_of_ones_own_with_missing_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path / "cache"))
    corpus = next((run.folder.parent / "cache" / "corpus").iterdir())
    shutil.copytree(corpus, tmp_path / "mine")
    (tmp_path / "mine" / "train" / "00000.flac").unlink()
    words = (*SMALL, f"data={tmp_path / 'mine'}", f"run_dir={tmp_path}/run")
    with pytest.raises(
        UserError, match=r"1 of 60 clips have problems: sound file is missing \(1: 00000\.flac\)\. locution check-data"
    ):
        locution.train("speech", *words, quiet=True)
    again = locution.train("speech", *words[:-1], f"run_dir={tmp_path}/rest", "data.allow_missing=true", quiet=True)
    assert again.results["metrics"]["wer"]["value"] > 0


def test_without_the_cache_the_same_speech_gives_the_same_loss(run: Run) -> None:
    """One batch of all clips: heard anew from samples, or taken from the cache as bf16 frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUTION_CACHE", str(run.folder.parent / "cache"))
        words = (*SMALL, f"model.encoder={run.folder.parent / 'encoder'}", "data.batch_size=40", "precision=fp32")
        losses = []
        for cache in ("true", "false"):
            where = f"run_dir={run.folder.parent}/cache_{cache}"
            again = locution.train("speech", *words, where, f"data.cache={cache}", quiet=True)
            lines = (again.folder / "metrics.jsonl").read_text().splitlines()
            losses.append([one["loss"] for one in map(json.loads, lines) if one["kind"] == "step"])
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], abs=2e-3)


def test_without_the_cache_samples_are_what_is_learnt_from(run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUTION_CACHE", str(run.folder.parent / "cache"))
        words = [*SMALL, f"model.encoder={run.folder.parent / 'encoder'}"]
        fresh, cached = (
            prepare(resolve("speech", [*words, *more]), Recognition(), quiet=True).batches
            for more in (["data.cache=false"], [])
        )
    assert set(next(iter(fresh.epoch(0, 0))).inputs) >= {"waves", "lengths"}
    assert set(next(iter(cached.epoch(0, 0))).inputs) >= {"frames", "lengths"}


def test_routers_are_watched_where_there_are_some_and_shown_in_the_report(run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUTION_CACHE", str(run.folder.parent / "cache"))
        words = [*SMALL, f"model.encoder={run.folder.parent / 'encoder'}", f"run_dir={run.folder.parent}/routed"]
        routed = locution.train("speech", *words, "model.projector=shared_moe", "measure_every=1", quiet=True)
    lines = (routed.folder / "metrics.jsonl").read_text().splitlines()
    assert any("router/entropy" in json.loads(line) for line in lines)
    assert "router/entropy" not in (run.folder / "metrics.jsonl").read_text()
    assert 'id="routing"' in (routed.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="routing"' not in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_misspelt_setting_of_the_monitor_is_named() -> None:
    with pytest.raises(UserError, match=r"'patients' is no setting of model.listening. Did you mean 'patience'"):
        resolve("speech", ["model.listening={patients: 3}"])


def test_batches_of_a_budget_and_ones_own_folder_by_its_path_alone(run: Run, tmp_path: Path) -> None:
    corpus = next((run.folder.parent / "cache" / "corpus").iterdir())
    words = (*SMALL, f"data={corpus}", "data.token_budget=800", f"run_dir={tmp_path}/run")
    again = locution.train("speech", *words, quiet=True)
    examples = [json.loads(line)["examples"] for line in (again.folder / "metrics.jsonl").read_text().splitlines()]
    assert 2 <= max(examples) <= 20, "two steps of at most ten short utterances each"
    assert again.recipe.data["path"] == str(corpus)


def test_what_changes_the_sound_is_refused_with_the_cache_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    before = tmp_path / "runs" / "speech" / "2026-01-01_00-00-00"
    before.mkdir(parents=True)
    (before / "recipe.yaml").write_text("task: recognition")
    (before.parent / "latest").symlink_to(before.name)
    for place in ("seed=1", f"run_dir={tmp_path}/run"):
        with pytest.raises(UserError, match=r"'\+noise' changes sounds.*data\.cache=false"):
            locution.train("speech", *SMALL, "+noise", place, quiet=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [before.name, "latest", "recipe.yaml", "runs", "speech"]
    assert (before.parent / "latest").resolve() == before, "a run that was refused leaves nothing, nor is it the latest"
