"""An encoder is raised, judged, kept, taken up again, and fits where a recogniser wants one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from locution import runs
from locution.errors import UserError
from locution.recipe import resolve
from locution.speech.audio import write_flac
from locution.speech.encoder import SpeechEncoder
from locution.speech.frozen import load_encoder
from locution.speech.sentences import split_of
from locution.speech.synthesis import Utterance, speak
from locution.speech.wer import word_error_rate
from locution.tasks import hearing

TINY = (
    "data.train=3",
    "data.kinds={commands:1,everyday:0,prose:0}",
    "data.joined=0",
    "data.dev=1",
    "data.test=2",
    "model.width=64",
    "model.blocks=2",
    "model.heads=2",
    "model.feed_forward=64",
    "model.stem=32",
    "optimizer.small=32",
    "methods.trapezoid.warmup=5",
    "measure_every=100",
    "threads=1",
)


def train(folder: Path, *words: str) -> runs.Run:
    return runs.train("speech/encoder", *TINY, f"run_dir={folder}", *words, quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> runs.Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(folder, "data.augment=false", "precision=fp32", "steps=60")


def test_it_spells_what_it_has_heard_often(run: runs.Run) -> None:
    job = run.job()
    said, clips = job.data["train"].texts, hearing.clear(job.data["train"])
    rate = word_error_rate(said, hearing.spell(run.load(job), clips))
    assert rate.value < 0.2
    assert word_error_rate(said, hearing.spell(job.model.eval(), clips)).value > 0.9, "untrained"


def test_it_is_judged_on_other_sentences_and_other_voices(run: runs.Run) -> None:
    stores = run.job().data
    voices = {name: {speaker.split("+")[1] for speaker in store.speakers} for name, store in stores.items()}
    assert not voices["train"] & (voices["test_commands"] | voices["test_everyday"])
    assert {split_of(text) for name in ("test_commands", "test_everyday") for text in stores[name].texts} == {"test"}
    found = run.results["metrics"]
    assert set(found) == {"wer", "wer_everyday", "wer_noisy", "heard_in_noise"}
    assert found["wer"]["low"] <= found["wer"]["value"] <= found["wer"]["high"]


def test_what_is_judged_is_what_is_kept(run: runs.Run) -> None:
    assert run.evaluate().as_json()["metrics"] == run.results["metrics"]


def test_what_it_keeps_is_an_encoder_for_a_recogniser(run: runs.Run) -> None:
    encoder = load_encoder(run.folder / "model")
    assert isinstance(encoder, SpeechEncoder)
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert (run.folder / "model" / "model.safetensors").stat().st_size < 2.1 * sum(
        weight.numel() for weight in encoder.parameters()
    ) + 10_000, "kept in two bytes a weight"


def test_the_encoder_alone_transcribes(run: runs.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = run.job().data["train"]
    path = tmp_path / "a.flac"
    accent = store.speakers[0]
    write_flac(path, (speak([Utterance(store.texts[0], accent)])[0] / 32768).astype(np.float32))
    assert run.transcribe([str(path)]) == 0
    heard = capsys.readouterr().out.strip().removeprefix(f"{path}: ")
    assert word_error_rate([store.texts[0]], [heard]).value < 0.9, "the same words at another rate and pitch"
    assert run.transcribe([str(tmp_path / "none.flac")]) == 1


def test_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("steps=6", "checkpoint_every=0", "log_every=1")
    whole = train(tmp_path / "whole", *words).folder
    calls = 0

    def dies(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyError("the power went")
        return objective(*given)  # type: ignore[arg-type]

    objective = hearing.ctc_objective
    with monkeypatch.context() as patch:
        patch.setattr(hearing, "ctc_objective", dies)
        with pytest.raises(KeyError):
            train(tmp_path / "broken", *words)
    resumed = runs.resume(tmp_path / "broken", quiet=True).folder
    one, other = (SpeechEncoder.load(folder / "model").state_dict() for folder in (whole, resumed))
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.train=0", "data.train is 0"),
        ("data.kinds={comands:1}", "Did you mean 'commands'"),
        ("data.seconds=0", "data.seconds is 0"),
        ("model.heads=3", "heads is 3"),
        ("data.joined=2", "data.joined is 2"),
        ("model.widht=8", "Did you mean 'model.width'"),
    ],
)
def test_settings_are_checked_before_anything_is_made(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve("speech/encoder", [word])


def test_the_recipe_makes_the_shipped_shape() -> None:
    encoder = resolve("speech/encoder").part("model").build(0)
    assert sum(weight.numel() for weight in encoder.parameters()) == sum(
        weight.numel() for weight in load_encoder("embedded").parameters()
    )
