"""One's own pictures and texts from end to end: trained, kept, asked again, compared; without the files learnt from."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from locution import runs
from locution.errors import LocutionError, UserError
from locution.studies.compare import compare
from locution.tasks.own_files import READER, reader_of

SMALL = ("log_every=20", "measure_every=20")


def pictures(root: Path, count: int = 24) -> Path:
    """Light and dark noise: a task that any network learns."""
    draw = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 110)):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = draw.integers(low, low + 140, (10, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:02}.png")
    return root


def table(path: Path, count: int = 80, *, values: bool = False) -> Path:
    """Sentences that say what they are: by a word for a class, by how often a word comes for a value."""
    draw = random.Random(0)
    lines = ["body,answer"]
    for at in range(count):
        words = [f"w{draw.randrange(60)}" for _ in range(5)]
        if values:
            words[: at % 4] = ["more"] * (at % 4)
            lines.append(f"{' '.join(words)},{1000 + 50 * (at % 4) + draw.random()}")
        else:
            words[draw.randrange(5)] = ("good", "bad")[at % 2]
            lines.append(f"{' '.join(words)},{('yes', 'no')[at % 2]}")
    path.write_text("\n".join(lines))
    return path


def train(recipe: str, data: Path, folder: Path, *words: str, quiet: bool = True) -> runs.Run:
    return runs.train(recipe, f"data={data}", f"run_dir={folder}", *SMALL, *words, quiet=quiet)


def test_pictures_from_a_folder_to_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pictures(tmp_path / "mine")
    (source / "dark" / "broken.png").write_bytes(b"x")
    run = train("images", source, tmp_path / "run", "steps=40", "+flip", "+shift", quiet=False)
    told = capsys.readouterr().out
    decided = [
        "1 file could not be read and left out: broken.png (no picture of a known kind).",
        "All pictures are 10 x 10 pixels.",
        "34 to learn from, 7 to tune on, 7 to be judged by: drawn at random, each class by the same share.",
        "model: a convolutional network of stages of 32, 64 channels,",
    ]
    report = (run.folder / "report.html").read_text()
    for line in decided:
        assert told.count(line) == 1, "said once"
        assert line.removeprefix("model: ") in report, "and kept"
    assert run.results["metrics"]["accuracy"]["value"] == 1.0
    answers = run.predict([str(source / "light" / "00.png"), "test:0"])
    shutil.rmtree(source / "light")
    assert answers[0].startswith("light (")
    file = source / "dark" / "00.png"
    (source / "dark" / "broken.png").unlink()
    assert run.predict([str(file)])[0].startswith("dark (")
    listed = runs.Run.open(tmp_path / "run").predict([str(source / "dark")])
    assert len(listed) == 24
    assert listed[3].startswith("03.png: dark (")


def test_texts_from_a_table_to_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = table(tmp_path / "mine.csv")
    words = ("text=body", "target=answer", "steps=60", "+word_dropout", "+word_swap", "+label_smoothing")
    run = train("texts", source, tmp_path / "run", *words, quiet=False)
    told = capsys.readouterr().out
    assert told.count("56 to learn from, 12 to tune on, 12 to be judged by") == 1
    assert "words known, of those to learn from alone" in told
    assert run.results["metrics"]["accuracy"]["value"] > 0.9
    evaluated = run.evaluate()
    assert evaluated.metrics[0].value == run.results["metrics"]["accuracy"]["value"]
    source.unlink()
    again = runs.Run.open(tmp_path / "run")
    assert [line.split()[0] for line in again.predict(["a good day", "BAD!", "good good w1"])] == ["yes", "no", "yes"]
    new = table(tmp_path / "new.csv", 6)
    assert [line.split()[0] for line in again.predict([str(new)])] == ["yes", "no"] * 3


def test_values_are_judged_and_answered_in_their_own_units(tmp_path: Path) -> None:
    source = table(tmp_path / "mine.csv", 120, values=True)
    run = train("texts", source, tmp_path / "run", "target=answer", "steps=150")
    figures = {name: figure["value"] for name, figure in run.results["metrics"].items()}
    assert 1 < figures["mae"] < 25, "in units of the table, where the spread is 56"
    assert 5 < figures["mse"] < 900
    assert figures["r2"] > 0.7
    low, high = (float(line) for line in run.predict(["w1 w2 w3 w4 w5", "more more more w1 w2"]))
    assert 980 < low < 1060 < 1100 < high < 1180
    assert run.evaluate().metrics[0].value == figures["mse"]


def test_what_was_decided_is_the_same_for_a_run_that_goes_on(tmp_path: Path) -> None:
    source = table(tmp_path / "mine.csv")
    run = train("texts", source, tmp_path / "run", "target=answer", "steps=10")
    before = (run.folder / READER).read_bytes()
    assert reader_of(json.loads(before)).target.name == "answer"
    (run.folder / "results.json").unlink()
    (run.folder / READER).unlink()
    with pytest.raises(LocutionError, match=r"reader\.json is missing or damaged"):
        run.predict(["good"])
    runs.resume(run.folder, quiet=True)
    assert (run.folder / READER).read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"kind": "sounds"}', b'{"kind": "images"}', b'{"kind": "texts"}']
)
def test_a_damaged_reader_is_one_line(tmp_path: Path, content: bytes) -> None:
    run = train("texts", table(tmp_path / "mine.csv"), tmp_path / "run", "target=answer", "steps=2")
    (run.folder / READER).write_bytes(content)
    with pytest.raises(LocutionError, match=r"reader\.json is missing or damaged") as refused:
        run.predict(["good"])
    assert "\n" not in str(refused.value)


def test_near_copies_are_said_before_training_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pictures(tmp_path / "mine")
    for name in ("dark", "light"):
        for index in range(4):
            pale = Image.open(source / name / f"{index:02}.png").point(lambda value: int(value * 0.9 + 8))
            pale.save(source / name / f"pale{index}.png")
    run = train("images", source, tmp_path / "run", "steps=2", "data.test=0.4", quiet=False)
    told = capsys.readouterr().out
    line = next(line for line in run.results["warnings"] if "near cop" in line)
    assert told.index(f"warning: {line}") < told.index("accuracy")
    assert told.count(line) == 1


@pytest.mark.parametrize(
    ("recipe", "method", "line"),
    [
        ("images", "+word_swap", "'word_swap' came upon inputs that are no words"),
        ("texts", "+flip", "'flip' came upon inputs that are no pictures"),
        ("texts", "+mixup", "words do not blend"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_in_one_line(tmp_path: Path, recipe: str, method: str, line: str) -> None:
    source = pictures(tmp_path / "mine", 10) if recipe == "images" else table(tmp_path / "mine.csv")
    words = ["target=answer"] if recipe == "texts" else []
    with pytest.raises(UserError, match=line) as refused:
        train(recipe, source, tmp_path / "run", "steps=2", method, *words)
    assert "\n" not in str(refused.value)


def test_a_comparison_answers_what_augmentation_is_worth_to_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = pictures(tmp_path / "mine", 16)
    words = (f"data={source}", "steps=3", "+flip", "+shift")
    found, where = compare("images", *words, seeds=2, out=tmp_path / "out", quiet=True)
    assert [effect.name for effect in found.effects] == ["flip", "shift"]
    assert where == tmp_path / "out"


def test_what_the_commonest_class_alone_would_get_stands_beside_where_classes_are_uneven(tmp_path: Path) -> None:
    even = train("images", pictures(tmp_path / "even"), tmp_path / "a", "steps=2")
    assert "commonest" not in even.results["metrics"]
    for file in sorted((tmp_path / "even" / "dark").iterdir())[6:]:
        file.unlink()
    uneven = train("images", tmp_path / "even", tmp_path / "b", "steps=2")
    assert uneven.results["metrics"]["commonest"]["value"] == 0.75, "three of the four held out are light"
