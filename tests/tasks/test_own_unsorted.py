"""One's own pictures, rows and texts without answers: every kind of model that needs none learns from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from locution import runs
from locution.cli import run as command
from locution.data.own.images import ImagesData
from locution.data.prose import ProseData
from locution.data.table import TableData
from locution.errors import UserError
from locution.recipe import resolve

QUICK = {
    "vae": ("steps=2", "model.widths=[8]"),
    "autoencoder": ("steps=2", "model.widths=[8]"),
    "gan": ("steps=2", "model.widths=[8]"),
    "diffusion": ("steps=2", "model.widths=[4]"),
    "flow": ("steps=2", "model.steps=1", "model.widths=[4]"),
    "boltzmann": ("steps=2", "model.hidden=4"),
    "simclr": ("steps=2", "model.widths=[4]"),
    "map": ("estimator.rows=2", "estimator.columns=2"),
}
DRAWS = ("vae", "gan", "diffusion", "flow", "boltzmann")


def pictures(root: Path, count: int = 30) -> Path:
    """Pictures in colour: dark ones and, in a folder beside them, light ones."""
    draw = np.random.default_rng(0)
    for index in range(count):
        place = root / ("dark", "light")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        low = 110 * (index % 2)
        Image.fromarray(draw.integers(low, low + 140, (9, 9, 3), dtype=np.uint8)).save(place / f"{index:02}.png")
    return root


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Pictures that nobody has sorted."""
    source, there = pictures(tmp_path / "sorted"), tmp_path / "loose"
    there.mkdir()
    for file in source.rglob("*.png"):
        file.rename(there / file.name)
    (there / "notes.md").write_text("mine")
    return there


def test_pictures_that_nobody_has_sorted(loose: Path) -> None:
    data = ImagesData(str(loose), answers="auto").load(seed=0)
    assert data.labels == ()
    assert data.train.targets is None  # type: ignore[attr-defined]
    assert (data.inputs, data.outputs) == ((3, 9, 9), 243)
    assert data.notes[:2] == ("30 pictures without classes.", "1 file of other kinds passed over.")
    assert data.notes[-1] == "22 to learn from, 4 to tune on, 4 to be judged by: drawn at random."
    with pytest.raises(UserError, match="holds no pictures; allowed: a folder for each class"):
        ImagesData(str(loose)).load(seed=0)


def test_classes_are_taken_where_there_are_two_unless_none_are_wanted(tmp_path: Path) -> None:
    source = pictures(tmp_path / "mine")
    assert ImagesData(str(source), answers="auto").load(seed=0).labels == ("dark", "light")
    bare = ImagesData(str(source), answers="none").load(seed=0)
    assert (bare.labels, len(bare.train)) == ((), 22)  # type: ignore[arg-type]
    (source / "light").rename(tmp_path / "elsewhere")
    assert ImagesData(str(source), answers="auto").load(seed=0).labels == ()


def test_parts_and_tables_of_unsorted_pictures(loose: Path) -> None:
    for part, some in (("train", "0*"), ("test", "1*"), ("valid", "2*")):
        (loose / part).mkdir()
        for file in sorted(loose.glob(f"{some}.png")):
            file.rename(loose / part / file.name)
    data = ImagesData(str(loose), answers="none").load(seed=0)
    assert [len(part) for part in (data.train, data.development, data.test)] == [10, 10, 10]  # type: ignore[arg-type]
    named = loose / "list.csv"
    named.write_text("file\n" + "\n".join(f"train/0{index}.png" for index in range(10)) + "\ngone.png\n")
    data = ImagesData(str(named), answers="none").load(seed=0)
    assert data.notes[:2] == ("10 pictures without classes.", "1 file of list.csv not there and left out: gone.png.")
    named.write_text("file\ngone.png\n")
    with pytest.raises(UserError, match=r"list.csv names no picture that is there"):
        ImagesData(str(named), answers="none").load(seed=0)
    with pytest.raises(UserError, match="which is not there; allowed: a folder of pictures"):
        ImagesData(str(loose / "nowhere"), answers="none").load(seed=0)
    (loose / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        ImagesData(str(loose / "empty"), answers="none").load(seed=0)


@pytest.mark.parametrize("kind", QUICK)
def test_every_model_without_answers_learns_from_ones_own_pictures(
    kind: str, loose: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"data={loose}", "data.size=8", "data.test=0.2", f"run_dir={tmp_path}/run", *QUICK[kind])
    run = runs.train(f"images/{kind}", *words)
    told = capsys.readouterr().out
    assert told.count("30 pictures without classes.\n") == 1
    kept = json.loads((run.folder / "results.json").read_text())
    assert kept["metrics"]
    assert "30 pictures without classes." in (run.folder / "report.html").read_text(encoding="utf-8")
    asked = str(loose / "00.png")
    assert len(run.predict([asked, "test:0"])) == 2
    with pytest.raises(UserError, match=r"holds 30 inputs; allowed here: one"):
        run.predict([str(loose)])
    if kind in DRAWS:
        assert command(["sample", str(run.folder), "-n", "3"]) == 0
        size = (1 if kind == "boltzmann" else 3, 8, 8)
        assert np.load(run.folder / "samples.npy").reshape(3, -1).shape == (3, int(np.prod(size)))


def test_too_few_pictures_to_judge_by_are_refused_before_training(loose: Path) -> None:
    with pytest.raises(UserError, match=r"4 pictures are there to judge by; allowed: 6 or more: more pictures, or a"):
        runs.train("images/gan", f"data={loose}", "data.size=8", *QUICK["gan"], quiet=True)


def test_pictures_are_read_as_they_were_learnt(loose: Path, tmp_path: Path) -> None:
    """An example and the file that it came from give the same answer: white is 1, as in the data."""
    words = (f"data={loose}", "data.size=8", f"run_dir={tmp_path}/run", *QUICK["autoencoder"])
    run = runs.train("images/autoencoder", *words, quiet=True)
    data = run.job().data
    from locution.tasks.inputs import read_input

    rows = [read_input(str(file), data) for file in sorted(loose.glob("*.png"))]
    assert any(torch.equal(row, data.test.inputs[0]) for row in rows)


def test_a_table_without_a_target_is_rows_of_numbers(tmp_path: Path) -> None:
    place = tmp_path / "mine.csv"
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal():.3f},{('a', 'b')[index % 2]},{draw.normal() + index % 2:.3f}" for index in range(60)]
    place.write_text("size,kind,weight\n" + "\n".join(rows))
    data = TableData(str(place)).load(seed=0)
    assert (data.inputs, data.outputs, data.labels) == ((4,), 4, ())
    assert [len(part) for part in (data.train, data.development, data.test)] == [42, 9, 9]  # type: ignore[arg-type]
    assert "none to be answered" in data.notes[0]
    answered = TableData(str(place), target="kind").load(seed=0)
    assert (answered.inputs, answered.labels) == ((2,), ("a", "b"))

    for kind, words in (("map", QUICK["map"]), ("autoencoder", QUICK["autoencoder"]), ("flow", QUICK["flow"])):
        run = runs.train(f"table/{kind}", f"data={place}", f"run_dir={tmp_path}/{kind}", *words, quiet=True)
        assert len(run.predict(["size=0.5,kind=b,weight=1", "test:0"])) == 2
        with pytest.raises(UserError, match=r"'sise' is no column of this model. Did you mean 'size'"):
            run.predict(["sise=1"])
    with pytest.raises(UserError, match="came upon data without classes; allowed: classes, as target=COLUMN"):
        runs.train("table/neighbours", f"data={place}", f"run_dir={tmp_path}/none", quiet=True)
    run = runs.train("table/neighbours", f"data={place}", "target=kind", f"run_dir={tmp_path}/near", quiet=True)
    assert run.predict(["size=0.5,weight=3"])[0][0] in "ab"
    with pytest.raises(UserError, match=r"data.target is missing"):
        runs.train("table", f"data={place}", f"run_dir={tmp_path}/wrong", quiet=True)


def books(root: Path, count: int = 12) -> Path:
    """Texts in which words follow each other by a rule, some of them long."""
    draw = np.random.default_rng(0)
    root.mkdir()
    for index in range(count):
        words = [f"the {('cat', 'dog', 'cow')[draw.integers(3)]} sat on mat {draw.integers(9999)}." for _ in range(60)]
        (root / f"book{index:02}.txt").write_text("\n\n".join(words))
    (root / "picture.png").write_bytes(b"x")
    return root


SMALL = ("data.length=16", "data.batch_size=4", "model.width=8", "model.layers=1", "model.heads=2", "steps=3")


@pytest.mark.parametrize("recipe", ["texts/causal", "texts/masked"])
def test_a_language_model_learns_ones_own_texts(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = books(tmp_path / "books")
    words = (f"data={source}", "data.vocabulary=300", f"run_dir={tmp_path}/run", *SMALL)
    run = runs.train(recipe, *words)
    told = capsys.readouterr().out
    assert "1 file of other kinds passed over.\n12 texts of " in told
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "statement" not in page, "Python's documentation has no part in it"
    for file in source.iterdir():
        file.unlink()
    if recipe == "texts/causal":
        assert command(["generate", str(run.folder), "the cat", "--length", "4"]) == 0
        assert capsys.readouterr().out.startswith("the cat")
    else:
        assert run.predict(["the [MASK] sat"])[0].startswith("the ")
    (source / "new.txt").write_text("Another text altogether, and not a short one.\n\n" * 200)
    with pytest.raises(UserError, match="the text has changed since"):
        run.evaluate()


def test_texts_come_from_folders_parts_files_and_tables(tmp_path: Path) -> None:
    source = books(tmp_path / "books")
    small = {"length": 16, "vocabulary": 300}
    whole = ProseData(path=str(source), **small).load(seed=0)
    prose = whole.reader
    assert {name.split(",")[0] for part in prose.chapters.values() for name in part} == {
        f"book{index:02}.txt" for index in range(12)
    }
    seen, held = (set("".join(prose.texts[part]).split("\n\n")) for part in ("train", "test"))
    assert held
    assert not {one for one in seen & held if len(one) >= 40}

    for part, some in (("train", "book0*"), ("test", "book1*")):
        (source / part).mkdir()
        for file in sorted(source.glob(some)):
            file.rename(source / part / file.name)
    given = ProseData(path=str(source), **small).load(seed=0).reader.chapters
    assert {name.split(",")[0] for name in given["test"]} == {"test/book10.txt", "test/book11.txt"}
    assert given["development"]
    assert all(name.startswith("train/") for part in ("train", "development") for name in given[part])

    one = tmp_path / "one.txt"
    one.write_text("\n\n".join(f"Line {index} of one long text." for index in range(2000)))
    alone = ProseData(path=str(one), **small).load(seed=0)
    assert alone.development is not None
    assert alone.test is not None
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n" + "\n".join(f'{row},"Row {row}, a text of its own, and so on."' for row in range(90)))
    assert "row 1" in {
        name for part in ProseData(path=str(rows), **small).load(0).reader.chapters.values() for name in part
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "'nowhere', which is not there; allowed: a text file, a folder"),
        ("empty", "holds no text; allowed: a text file, a folder"),
        ("short.txt", "a text of [0-9]+ tokens came; allowed: from 32, two passages"),
    ],
)
def test_texts_that_cannot_be_learnt_from(
    path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("short.txt").write_text("Too short.")
    with pytest.raises(UserError, match=said):
        ProseData(path=path, length=16).load(seed=0)


def test_recipes_of_ones_own_ask_for_data(tmp_path: Path) -> None:
    for kind in QUICK:
        with pytest.raises(UserError, match=r"data.path is missing; allowed: data=FOLDER"):
            resolve(f"images/{kind}").part("data").load(0)
