"""What the documents show is run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from locution.vocabulary.entry import FLAGS, Entry, Near
from locution.vocabulary.lookup import Term

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Cut the code blocks of one language out of a document."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The worked example of CONTRIBUTING.md, as a module."""
    import importlib.util
    import sys

    path = tmp_path_factory.mktemp("contributing") / "gradient_noise.py"
    path.write_text("\n\n".join(blocks(CONTRIBUTING, "python")))
    spec = importlib.util.spec_from_file_location("contributing_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_worked_examples_doctests_hold(example: Any) -> None:
    runner = doctest.DocTestRunner(Near(), optionflags=FLAGS)
    found = doctest.DocTestFinder().find(example)
    assert sum(runner.run(test).attempted for test in found) >= 5
    assert runner.failures == 0


def test_the_worked_examples_tests_pass(example: Any) -> None:
    tests = [value for name, value in vars(example).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_worked_examples_entry_is_complete(example: Any) -> None:
    (name, entry), *_ = yaml.safe_load(blocks(CONTRIBUTING, "yaml")[0]).items()
    module, _, attribute = entry.pop("code").partition(":")
    assert module == "locution.gradients.gradient_noise"
    term = Term(name=name, code=f"{example.__name__}:{attribute}", **entry)
    shown = Entry(term)
    assert shown.definition.startswith("Gradient noise shakes")
    assert shown.source.startswith("Neelakantan")
    assert shown.run_example()[0] == 0


def test_the_worked_example_trains(example: Any) -> None:
    from functools import partial

    import torch
    from torch import nn

    from locution.engine import Engine, Turn

    def mse(model: nn.Module, batch: Any) -> Any:
        output = model(batch.inputs)
        return output, ((output - batch.targets) ** 2).mean()

    def weights(*methods: Any) -> torch.Tensor:
        torch.manual_seed(0)
        x = torch.arange(5.0)[:, None]
        engine = Engine(nn.Linear(1, 1), Turn(mse, partial(torch.optim.SGD, lr=0.05)), methods)
        return next(engine.fit([(x, 2 * x + 1)], steps=20).model.parameters()).detach().clone()

    noisy = weights(example.GradientNoiseMethod())
    assert torch.equal(noisy, weights(example.GradientNoiseMethod()))
    assert not torch.equal(noisy, weights())


README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(blocks(README, "python"))))
def test_the_readmes_python_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(blocks(README, "python")[number], f"README.md, block {number}", "exec")
    exec(code, {"__name__": "readme"})


def test_the_readmes_words_resolve() -> None:
    from locution.recipe import resolve

    lines = [line.split("#")[0].split() for block in blocks(README, "bash") for line in block.splitlines()]
    trains = [words[2:] for words in lines if words[:2] == ["locution", "train"] and "--resume" not in words]
    digits = [words for words in trains if words[0] == "digits"]
    assert len(digits) >= 2
    assert resolve("digits", digits[0][1:]).methods.keys() == {"sam", "mixup"}


def test_what_commands_print_stands_in_the_readme() -> None:
    shown = re.findall(r"<!-- prints: .+? -->\n```text\n(.*?)```", README, re.DOTALL)
    assert len(shown) >= 4
    assert all(block.strip() for block in shown), "run: python docs/refresh.py README.md"


GUIDE = (ROOT / "docs" / "speech.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings in `voices`, as the guide's Python expects: tones, for nothing is to be understood."""
    import numpy as np

    from locution.speech.audio import write_flac

    folder = tmp_path_factory.mktemp("guide")
    (folder / "voices").mkdir()
    for row, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]):
        tone = 0.1 * np.sin(np.arange(16000) * (row + 2) / 40).astype(np.float32)
        write_flac(folder / "voices" / f"{row}.flac", tone)
        (folder / "voices" / f"{row}.txt").write_text(f"call number {word}")
    return folder


@pytest.mark.parametrize("number", range(len(blocks(GUIDE, "python"))))
def test_the_guides_python_runs(number: int, voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(voices)
    monkeypatch.setenv("LOCUTION_CACHE", str(voices / "cache"))
    code = compile(blocks(GUIDE, "python")[number], f"docs/speech.md, block {number}", "exec")
    exec(code, {"__name__": "guide"})


def guide_commands() -> list[list[str]]:
    """The words of every command that the guide shows."""
    import shlex

    lines = [line for block in blocks(GUIDE, "bash") for line in block.splitlines()]
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True))[:1] == ["locution"]]


def test_the_guides_commands_are_there() -> None:
    from locution.cli import app
    from locution.recipe import resolve

    words = guide_commands()
    assert {line[0] for line in words} >= {"check-data", "train", "evaluate", "transcribe"}
    for command, *rest in words:
        app.parse_args([command, *rest], exit_on_error=False, print_error=False)
        if command == "train":
            resolve(rest[0], rest[1:])


def test_the_guide_names_every_projector_with_settings_that_hold() -> None:
    from locution.recipe import resolve
    from locution.speech.projectors import projector_kinds

    rows = re.findall(r"^\| (\w+) \|.*\| `(\{name: .*\})` \|$", GUIDE, re.MULTILINE)
    assert {kind for kind, _ in rows} == projector_kinds().keys()
    for kind, settings in rows:
        found = resolve("speech", [f"model.projector={settings}"]).model["projector"]
        assert found == yaml.safe_load(settings)
        assert found["name"] == kind


def test_the_guide_says_which_augmentation_the_cache_takes() -> None:
    from locution.speech.augmentation import ON_SOUND

    rows = re.findall(r"^\| (`\+.*?) \| the (?:encoder|samples|spectrogram).*? \| (yes|no).*\|$", GUIDE, re.MULTILINE)
    refused = {name for names, fits in rows if fits == "no" for name in re.findall(r"\+(\w+)", names)}
    taken = {name for names, fits in rows if fits == "yes" for name in re.findall(r"\+(\w+)", names)}
    assert refused == {method.name for method in ON_SOUND}
    assert taken == {"frame_masking", "frame_dropout"}


def test_the_guide_shows_what_it_runs() -> None:
    """The folder that is checked is made by the lines that are shown, and what commands print is there."""
    made = next(block for block in blocks(GUIDE, "bash") if "transcripts.txt" in block)
    assert f"<!-- prints: ({made});" in GUIDE
    shown = re.findall(r"<!-- prints: .+? -->\n```text\n(.*?)```", GUIDE, re.DOTALL)
    assert len(shown) >= 8
    assert all(block.strip() for block in shown), "run: python docs/refresh.py docs/speech.md"


def test_the_links_of_the_guides_lead_somewhere() -> None:
    for path in (*(ROOT / "docs").glob("*.md"), ROOT / "docs" / "studies" / "projectors.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path}: {link}"


def test_no_document_names_a_place_of_one_machine() -> None:
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")):
        assert not re.search(r"/(root|home|Users)/", path.read_text(encoding="utf-8")), path


MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_python_of_the_models_runs() -> None:
    for block in blocks(MODELS, "python"):
        names: dict[str, object] = {}
        exec(compile(block, "docs/models.md", "exec"), names)
        assert names["scores"].shape == (5, 10)  # type: ignore[attr-defined]


def test_the_table_of_the_models_is_that_of_the_last_cases() -> None:
    import json

    from benchmarks.cases import KEPT, table

    shown = re.search(r"<!-- table: .+? -->\n(.*?)<!-- end -->", MODELS, re.DOTALL)
    assert shown is not None
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["cases"]
    assert shown.group(1).splitlines() == table(kept), "run: python docs/refresh.py docs/models.md --show"
    printed = re.findall(r"<!-- prints: .+? -->\n```text\n(.*?)```", MODELS, re.DOTALL)
    assert len(printed) >= 2
    assert all(block.strip() for block in printed), "run: python docs/refresh.py docs/models.md"
