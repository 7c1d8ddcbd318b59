"""A run from recipe to report: what is written, that it opens again, and that it goes on exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import locution
from locution.data.digits import DigitsData
from locution.data.line import LineData
from locution.errors import LocutionError, UserError
from locution.runs import Run, train
from locution.tasks.inputs import read_input


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs/ be in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model.safetensors")


def test_line_prints_the_figures_of_plain_gradient_descent(capsys: pytest.CaptureFixture[str]) -> None:
    run = locution.train("line")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "step    0  loss  33.0000  w 1.4000  b 0.5000"
    assert "step  200  loss   0.0000  w 2.0002  b 0.9994" in said
    assert "step  999  loss   0.0000  w 2.0000  b 1.0000" in said
    assert said[-1] == f"run: {run.folder}"
    assert run.predict(["10"]) == ["21.0"]


def test_a_run_folder_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    run = locution.train("digits", "steps=20", "+sam", quiet=True)
    assert capsys.readouterr().out == f"run: {run.folder}\n"
    for name in ("recipe.yaml", "metrics.jsonl", "results.json", "report.html", "model.safetensors", "checkpoints"):
        assert (run.folder / name).exists(), name
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in report.replace("http://www.w3.org/", "").replace("http-equiv", "")
    records = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["reason"] == "finished"
    assert any("gradient_norm" in record for record in records)
    assert (run.folder.parent / "latest").resolve() == run.folder.resolve()


@pytest.mark.parametrize(("words", "gradients"), [((), 20), (("+sam",), 40), (("+sam", "accumulate=3"), 40)])
def test_gradients_are_counted_and_the_count_goes_on_when_resumed(words: tuple[str, ...], gradients: int) -> None:
    """SAM takes two a step; micro-batches are parts of one."""
    run = locution.train("digits", "steps=20", *words, quiet=True)
    assert run.results["cost"]["gradient_evaluations"] == gradients
    (run.folder / "results.json").unlink()
    assert locution.resume(run.folder, quiet=True).results["cost"]["gradient_evaluations"] == gradients


def test_a_run_is_evaluated_again_to_the_same_figures() -> None:
    run = locution.train("digits", "steps=40", "+averaging", "+spectral_norm", quiet=True)
    again = Run.open("digits")
    assert again.folder.resolve() == run.folder.resolve()
    assert again.evaluate().as_json()["metrics"] == json.loads((run.folder / "results.json").read_text())["metrics"]


def test_predict_answers_for_examples_numbers_and_files(tmp_path: Path) -> None:
    import numpy as np

    run = locution.train("digits", "epochs=4", quiet=True)
    first = run.predict(["test:0"])[0]
    pixels = run.job().data.test.inputs[0].flatten()
    np.save(tmp_path / "digit.npy", pixels.numpy())
    np.savetxt(tmp_path / "digit.csv", pixels.numpy()[None], delimiter=",", fmt="%.6f")
    numbers = ",".join(f"{value:.6f}" for value in pixels.tolist())
    assert run.predict([str(tmp_path / "digit.npy"), str(tmp_path / "digit.csv"), numbers]) == [first] * 3
    assert first.split()[0] in "0123456789"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2,3", "the input has 3 numbers; allowed: 64"),
        ("test:100000", "allowed: test:0 to test:269"),
        ("nowhere.npy", "there is no file nowhere.npy"),
        ("hello", "'hello' is no input; allowed: 64 numbers"),
        (",".join(["nan"] * 64), "not finite"),
        ("a" * 5000, f"'{'a' * 80}...' is no input"),
        ("a" * 300 + ".png", f"there is no file {'a' * 80};"),
        ("-1", "the input has 1 number; allowed: 64"),
    ],
)
def test_an_input_that_is_none_gets_one_line(text: str, said: str) -> None:
    run = locution.train("digits", "steps=1", quiet=True)
    with pytest.raises(UserError) as caught:
        run.predict([text])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_one_number_nobody_asks_for_commas() -> None:
    with pytest.raises(UserError, match=r"'x' is no input; allowed: a number, a \.npy, \.csv or \.png file, or test:3"):
        read_input("x", LineData().load(seed=0))


def test_a_numpy_file_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    import numpy as np

    run = locution.train("line", "steps=1", quiet=True)
    np.save(tmp_path / "trap.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        run.predict([str(tmp_path / "trap.npy")])


def test_a_file_that_holds_no_numbers_gets_one_line(tmp_path: Path) -> None:
    import numpy as np

    data = LineData().load(seed=0)
    (tmp_path / "text.npy").write_text("x")
    for name in ("empty.npy", "empty.csv", "empty.png"):
        (tmp_path / name).touch()
    np.save(tmp_path / "words.npy", np.array(["one"]))
    np.save(tmp_path / "complex.npy", np.array([1j]))
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "large.npy", np.array([1e300]))
    allowed = {
        "text.npy": "it is no array of numbers that numpy.save wrote",
        "object.npy": "it is no array of numbers that numpy.save wrote",
        "empty.npy": "it is empty",
        "empty.csv": "the input has 0 numbers; allowed: 1",
        "empty.png": "not a PNG file",
        "words.npy": "allowed: real numbers",
        "complex.npy": "allowed: real numbers",
        "large.npy": "not finite",
    }
    for name, said in allowed.items():
        with pytest.raises(UserError) as caught:
            read_input(str(tmp_path / name), data)
        assert said in str(caught.value)
        assert "allow_pickle" not in str(caught.value)


def test_what_is_drawn_on_a_transparent_picture_is_ink_and_the_rest_is_not(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    drawn = np.zeros((8, 8, 4), dtype=np.uint8)  # black, and nothing of it is seen
    drawn[2, 3, 3] = 255
    Image.fromarray(drawn).save(tmp_path / "stroke.png")
    ink = read_input(str(tmp_path / "stroke.png"), DigitsData().load(seed=0))
    assert ink.sum() == ink[0, 2, 3] == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one = weights(locution.train("digits", "steps=10", "run_dir=a", quiet=True))
    two = weights(locution.train("digits", "steps=10", "run_dir=b", quiet=True))
    other = weights(locution.train("digits", "steps=10", "run_dir=c", "seed=1", quiet=True))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from locution.engine import Engine

    words = ("steps=60", "+sam", "+mixup", "+lookahead", "accumulate=3", "log_every=5")
    whole = weights(locution.train("digits", *words, "run_dir=whole", quiet=True))
    step = Engine.step

    def interrupted(self: Engine, batch: object) -> torch.Tensor:
        if self.number == 33:
            raise LocutionError("the power is gone")
        return step(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "step", interrupted)
    with pytest.raises(LocutionError, match="the power is gone"):
        locution.train("digits", *words, "run_dir=parts", "checkpoint_every=0", quiet=True)
    monkeypatch.setattr(Engine, "step", step)
    parts = weights(locution.resume("parts", quiet=True))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = (Path("parts") / "metrics.jsonl").read_text().splitlines()
    steps = [record["step"] for record in map(json.loads, lines) if record["kind"] == "step"]
    assert steps == sorted(set(steps))


def test_a_finished_run_is_not_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    run = locution.train("line", "steps=3", quiet=True)
    before = (run.folder / "model.safetensors").stat().st_mtime_ns
    locution.resume(run.folder)
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == before


def test_overfitting_is_said_in_the_results() -> None:
    words = ("data.limit=200", "model.widths=[512,512]", "model.dropout=0", "epochs=60", "optimizer.lr=0.01")
    run = locution.train("digits", *words, quiet=True)
    assert any("overfitting" in line for line in run.results["warnings"])


def test_what_was_said_while_it_trained_is_not_said_again_at_the_end(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = ("data.limit=60", "epochs=40", "model.dropout=0", "optimizer.lr=0.01", "run_dir=first")
    run = train("digits", *words)
    told = [record.getMessage() for record in caplog.records if "overfitting since" in record.getMessage()]
    assert len(told) == 1
    assert "overfitting since" not in capsys.readouterr().out
    assert told[0] in run.results["warnings"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        Run.open(tmp_path)
    with pytest.raises(UserError, match="which does not hear"):
        locution.train("line", "steps=1", quiet=True).transcribe(["a.wav"])


def test_a_run_folder_in_use_is_refused(tmp_path: Path) -> None:
    from locution.engine.run_folder import RunFolder

    run = locution.train("line", "steps=2", quiet=True)
    (run.folder / "results.json").unlink()
    with RunFolder.open(run.folder).lock(), pytest.raises(LocutionError, match="is in use"):
        locution.resume(run.folder)


def test_the_library_says_what_it_has() -> None:
    assert {"train", "Engine", "SAM", "mixup"} <= set(dir(locution))
    for name in locution.__all__:
        assert getattr(locution, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        _ = locution.tarin


def test_a_shape_that_does_not_fit_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from locution.models.mlp import MLP, MLPModel

    monkeypatch.setattr(MLPModel, "build", lambda self, inputs, outputs: MLP([63, outputs]))
    with pytest.raises(UserError, match="63"):
        locution.train("digits", "steps=1", quiet=True)


def test_what_was_heard_is_shown_with_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    from locution.reporting.results import Metric, RunResults, Utterance
    from locution.reporting.tables import print_heard

    heard = [Utterance(str(row), f"word{row}", f"word{row}") for row in range(30)]
    metrics = [Metric("wer", 0.5)]
    print_heard(RunResults("speech", metrics=metrics, utterances=heard, notes=["a note"], limits=["a limit"]))
    shown = capsys.readouterr().out
    words = set(shown.split())
    assert {"word0", "word3", "word27"} <= words
    assert "word1" not in words
    assert shown.index("a note") < shown.index("a limit")


def test_a_picture_is_read_ink_dark_on_white(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    run = locution.train("digits", "epochs=4", quiet=True)
    pixels = run.job().data.test.inputs[0, 0]
    imsave(tmp_path / "digit.png", 1 - pixels.numpy(), cmap="gray", vmin=0, vmax=1)
    assert run.predict([str(tmp_path / "digit.png")])[0].split()[0] == run.predict(["test:0"])[0].split()[0]


def test_the_surest_mistakes_are_shown_first() -> None:
    from locution.tasks.judge import judge_classes

    outputs = torch.tensor([[2.0, 0.0], [5.0, 0.0], [0.0, 3.0]])
    found = judge_classes("two", outputs, torch.zeros(3, 1, 2, 2), torch.tensor([1, 1, 1]), ("no", "yes"), "three")
    assert [wrong.name for wrong in found.wrong] == ["test:1", "test:0"]
    assert (found.wrong[0].truth, found.wrong[0].answer) == ("yes", "no")


def test_a_run_that_stopped_early_says_so() -> None:
    from locution.conclusion import conclude
    from locution.reporting.results import Cost, RunResults

    run = locution.train("line", "steps=1", quiet=True)
    results = conclude(run, RunResults("line"), Cost(), "early stopping: enough", ["a warning"])
    assert results.notes == ["Training stopped early: early stopping: enough."]
    assert results.warnings == ["a warning"]


@pytest.mark.parametrize(
    ("words", "came"),
    [
        (["digits/vae", "task=classification"], r"model 'vae' answers with {outputs: \(1, 1, 8, 8\)"),
        (["bayesian", "task=regression"], r"model 'bayesian_linear' answers with {outputs: \(1, 1\)"),
        (["digits/diffusion", "task=classification"], r"model 'denoiser' answers with \(1, 1, 8, 8\)"),
    ],
)
def test_a_model_that_answers_with_something_else_is_refused_before_training(
    tmp_path: Path, words: list[str], came: str
) -> None:
    with pytest.raises(UserError, match=came + r".*; allowed here: \(1, "):
        train(*words, f"run_dir={tmp_path}/run", quiet=True)
    assert not (tmp_path / "run").exists()
