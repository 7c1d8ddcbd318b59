"""The command line: each word reaches its function, each mistake is one line and the right exit code."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from locution.cli import COMMANDS, run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs/ be in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCUTION_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["trian"], 2, 'Did you mean "train"'),
        (["train", "digit"], 2, "'digit' is no recipe. Did you mean 'digits'?"),
        (["train"], 2, "no recipe was named; allowed: a YAML file, or "),
        (["train", "digits", "+samm"], 2, "Did you mean 'sam'?"),
        (["train", "digits", "-sam"], 2, "switched on"),
        (["train", "digits", "optimizer.leaning_rate=0.1"], 2, "Did you mean 'optimizer.lr'?"),
        (["train", "digits", "device=cuda:9"], 2, "device"),
        (["train", "digits", "--resume", "runs/x"], 2, "--resume came with digits"),
        (["train", "--resume", "nowhere"], 2, "is no run folder"),
        (["train", "--quite"], 2, "quiet"),
        (["evaluate", "nowhere"], 2, "is no run folder"),
        (["evaluate"], 2, "run"),
        (["neighbours", "nowhere", "test:0", "-k", "2.5"], 2, "-k: '2.5'; allowed: a whole number, such as 10."),
        (["sample", "nowhere", "-n", "many"], 2, "-n: 'many'; allowed: a whole number"),
        (["tune", "line", "--trials", "1e3"], 2, "--trials: '1e3'; allowed: a whole number"),
        (["compare", "line", "--seeds", "6.4"], 2, "--seeds: '6.4'; allowed: a whole number"),
        (["generate", "nowhere", "a", "--top-k", "0.5"], 2, "--top-k: '0.5'; allowed: a whole number"),
        (["term", "smoothig"], 2, "is no term"),
        (["transcribe", "nowhere", "a.wav"], 2, "is no run folder"),
        (
            ["terms", "curiculum"],
            2,
            "'curiculum' is more than this takes; allowed: what `locution terms --help` lists.",
        ),
        (
            ["terms", "--jsn"],
            2,
            "Unknown option: --jsn. Did you mean --json? Allowed: --about, --json, --kind, --row, --help.",
        ),
    ],
)
def test_a_mistake_is_one_line(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == code
    out, err = capsys.readouterr()
    assert said in err, err
    assert err.startswith("locution: ")
    assert err.count("\n") == 1
    assert out == ""


def test_train_evaluate_predict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "line", "steps=5", "run_dir=mine"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "run: mine"
    assert run(["evaluate", "mine", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert set(metrics["mse"]) == {"value", "low", "high"}
    assert run(["predict", "mine", "-1.5"]) == 0
    float(capsys.readouterr().out)


def test_a_method_is_switched_off_with_one_dash(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", "+sam", "+mixup", "-sam", "steps=1", "run_dir=mine", "--quiet"]) == 0
    recipe = Path("mine/recipe.yaml").read_text()
    assert "mixup" in recipe
    assert "sam" not in recipe


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    assert "digits" in capsys.readouterr().out
    assert run(["methods"]) == 0
    assert "+label_smoothing" in capsys.readouterr().out
    assert run(["terms", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert all(entry["definition"] and entry["example"] and entry["source"] for entry in entries)


def test_lists_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "--about", "own pictures GAN"]) == 0
    shown = capsys.readouterr().out
    assert "images/gan" in shown
    assert "pictures of one's own" in shown
    assert "images/vae" not in shown
    assert "handwritten" not in shown
    assert run(["terms", "--kind", "method", "--about", "dropout"]) == 0
    shown = capsys.readouterr().out
    assert "dropconnect" in shown
    assert "DropConnect leaves out random weights" in " ".join(shown.split()), "of few it is said what they are"
    assert "adamw" not in shown
    assert run(["terms", "--row", "1", "--json"]) == 0
    assert {entry["row"] for entry in json.loads(capsys.readouterr().out)} == {1}
    for words, said in (
        (["terms", "--kind", "modell"], "'modell' is no kind of term. Did you mean 'model'?"),
        (["terms", "--row", "0"], "--row is 0; allowed: a row of the vocabulary, from 1 to"),
        (["terms", "--about", "xyzzy"], "no term is about 'xyzzy' here; allowed: other words"),
        (["recipes", "--about", "xyzzy"], "no recipe is about 'xyzzy'; allowed: other words"),
    ):
        assert run(words) == 2
        assert said in capsys.readouterr().err


def test_every_recipe_is_described_in_a_line() -> None:
    from locution import config
    from locution.recipe import resolve
    from locution.vocabulary.show import FAMILIES

    for name in config.recipes():
        assert 10 < len(resolve(name).describe) <= 120, name
    families = {name.split("/")[0] for name in config.recipes() if "/" in name}
    assert set(FAMILIES) - {""} <= families


def test_a_term_shows_and_runs_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["term", "Sharpness-Aware Minimisation"]) == 0
    shown = capsys.readouterr().out
    assert "Foret" in shown
    assert "sam, a method" in shown
    assert run(["term", "cross-entropy"]) == 0
    assert "cross_entropy, an objective" in capsys.readouterr().out
    assert run(["term", "batch", "--run"]) == 0
    assert "lines gave what they promise" in capsys.readouterr().out


def test_a_fault_of_the_world_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    from locution import runs

    def full(*words: str, quiet: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/digits")

    monkeypatch.setattr(runs, "train", full)
    assert run(["train", "digits"]) == 1
    assert capsys.readouterr().err == (
        "locution: No space left on device (runs/digits). Free some space, then go on with --resume.\n"
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_help_describes_each_parameter(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command.__name__.replace("_", "-"), "--help"]) == 0
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    lines = (command.__doc__ or "").partition("----------")[2].splitlines()
    said = dict(zip(inspect.signature(command).parameters, parameters(lines), strict=True))
    for name, text in said.items():
        assert " ".join(text.replace("`", "").split()[:3]) in shown, name


def parameters(lines: list[str]) -> list[str]:
    """The descriptions of a docstring's parameters: what stands indented below each name."""
    found: list[str] = []
    for line in lines:
        if re.match(r"^    \w+$", line):
            found.append("")
        elif found:
            found[-1] += f" {line.strip()}"
    return found


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from locution.cli import COMMANDS, app; app(['--help'], result_action='return_value');"
        "assert not {'torch', 'hydra', 'sklearn', 'transformers', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_and_the_usual_code(number: int, code: int, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "locution.cli", "train", "digits", "epochs=100000", "run_dir=mine"]
    metrics = tmp_path / "mine" / "metrics.jsonl"
    with subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        for _ in range(1200):
            if metrics.is_file() and metrics.stat().st_size:
                break
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "go on with: locution train --resume mine" in err
    assert list((tmp_path / "mine" / "checkpoints").iterdir())
