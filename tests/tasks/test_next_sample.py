"""Next-sample prediction: its figures, its pictures, and what it draws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from locution.commands.generating import sample
from locution.errors import UserError
from locution.models.dilated import DilatedModel
from locution.recipe import resolve
from locution.reporting.results import RunResults
from locution.runs import Run, train
from locution.speech.audio import read_audio
from locution.speech.mu_law import from_mu_law
from locution.speech.sound_data import SoundData
from locution.tasks.next_sample import NextSample, SoundSampling
from locution.tasks.sound_pictures import judged_bits, looking_back, waveforms

DATA = ["data.train=4", "data.development=1", "data.test=3", "data.length=256", "data.heard=64", "epochs=1"]
MODEL = ["model.layers=4", "model.blocks=1", "model.width=8", "model.skip=8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("sound") / "run"
    return train("speech/next_sample", *DATA, *MODEL, f"run_dir={folder}", quiet=True)


def test_a_run_is_judged_beside_those_who_know_little_and_has_its_pictures(run: Run) -> None:
    metrics = run.results["metrics"]
    assert list(metrics) == ["bits_per_sample", "frequency", "previous", "linear_prediction", "gain"]
    assert all(one["low"] <= one["value"] <= one["high"] for one in metrics.values())
    gain = metrics["linear_prediction"]["value"] - metrics["bits_per_sample"]["value"]
    assert metrics["gain"]["value"] == pytest.approx(gain, abs=0.005)
    report = (run.folder / "report.html").read_text()
    for title in (
        "Speech, and the next sample",
        "How far back it looks",
        "How it goes on with speech",
        "How likely each next",
    ):
        assert title in report


def test_bits_are_those_of_cross_entropy_over_what_counts() -> None:
    held = SoundData(train=1, development=1, test=3, length=256, heard=64).load(0).test
    assert held is not None
    torch.manual_seed(0)
    model = DilatedModel(layers=3, width=4).build((256,), 256).eval()
    found = judged_bits(model, held, batch_size=2)
    with torch.no_grad():
        for row in range(3):
            scores = model(held.inputs[row : row + 1])[0, 64:]
            expected = functional.cross_entropy(scores, held.targets[row, 64:]) / math.log(2)
            assert found[row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_sounds_are_drawn_written_and_the_same_for_a_seed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "again"):
        sample(str(run.folder), "seconds=0.01", count=3, seed=5, out=str(tmp_path / name))
    said = capsys.readouterr().out
    assert "samples.flac" in said
    one, again = (np.load(tmp_path / f"{name}.npy") for name in ("one", "again"))
    assert one.shape == (3, 80)
    assert np.array_equal(one, again)
    assert np.abs(one).max() <= 1
    assert (tmp_path / "one.svg").is_file()
    heard = read_audio(run.folder / "samples.flac", rate=8000).samples
    assert len(heard) == 3 * (80 + 800)
    assert np.abs(heard[:80] - one[0]).max() < 1e-4


def test_drawing_goes_on_with_a_sound_and_predict_says_how_surprising_it_is(run: Run) -> None:
    task = NextSample()
    going_on = task.sample(run.recipe, run.folder, 2, 0, SoundSampling(seconds=0.005, begin="test:1"))
    other = task.sample(run.recipe, run.folder, 2, 0, SoundSampling(seconds=0.005))
    assert going_on.values.shape == (2, 40)
    assert not torch.equal(going_on.values, other.values)
    sharp = task.sample(run.recipe, run.folder, 2, 0, SoundSampling(seconds=0.005, temperature=0, begin="test:1"))
    assert torch.equal(sharp.values[0], sharp.values[1]), "at temperature 0 nothing is left to chance"
    (line,) = run.predict(["test:0"])
    assert "bits a sample over 0.04 s; next" in line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seconds": 0.0}, "sampling.seconds is 0.0"),
        ({"seconds": 61.0}, "up to 60"),
        ({"temperature": -1.0}, "is -1.0"),
    ],
)
def test_settings_of_drawing_out_of_range_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SoundSampling(**settings)  # type: ignore[arg-type]


def test_data_and_models_of_another_kind_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="no sound in 256 numbers; allowed: data sound"):
        NextSample().prepare(resolve("adding", ["task=next_sample"]), quiet=True)
    with pytest.raises(UserError, match="does not answer after each sample; allowed: dilated"):
        NextSample().prepare(resolve("speech/next_sample", [*DATA, *MODEL, "model.reads=last"]), quiet=True)


def test_the_picture_of_the_field_ends_where_the_field_does() -> None:
    torch.manual_seed(0)
    model = DilatedModel(layers=4).build((60,), 256)
    graph = looking_back(model, torch.randint(256, (3, 60)))
    back, size = graph.lines["gradient"]
    assert "above zero for 16 samples, computed: 16" in graph.note
    assert all(value > -6 for value in size[:16])
    assert all(value == -6 for value in size[16:])
    assert list(back[:2]) == [1.0, 2.0]


def test_waveforms_stand_one_above_another() -> None:
    sounds = from_mu_law(torch.randint(256, (3, 50)))
    graph = waveforms("sounds", sounds)
    levels = [(min(ys), max(ys)) for _, ys in graph.lines.values()]
    assert levels[0][0] > levels[1][1] > levels[1][0] > levels[2][1]
    assert RunResults("a", graphs=[graph]).graphs[0].across == "seconds"
