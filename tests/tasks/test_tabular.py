"""A table of one's own from the command line to the answer, and back without the table."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from locution import runs
from locution.cli import run as command
from locution.data.dataset import Dataset, held_out
from locution.data.leakage import Leak, dataset_leaks
from locution.data.tables.encoding import Encoding
from locution.engine import TensorBatches
from locution.errors import LocutionError, UserError
from locution.models.tabular import TabularModel, fitting_widths
from locution.recipe import resolve
from locution.tasks import supervised
from locution.tasks.table_rows import read_rows

CITIES = ("Bern", "Rome", "Genoa, Italy")


def table(folder: Path, rows: int = 400, leak: bool = False, target: str = "churn") -> Path:
    """Customers who leave if they are old, or live in Rome."""
    stream = random.Random(0)
    lines = [f"age;city;joined (date);note_id;{target}{';code' if leak else ''}"]
    for at in range(rows):
        age, city = stream.randint(18, 80), stream.choice(CITIES)
        churn = "leaves" if age > 60 or city == "Rome" else "stays"
        price = f"{10 * age + (300 if city == 'Rome' else 0) + stream.gauss(0, 5):.2f}"
        answer = churn if target == "churn" else price
        cell = "" if at % 17 == 0 else str(age)
        lines.append(f"{cell};{city};20{stream.randint(10, 22)}-0{stream.randint(1, 9)}-11;N{at};{answer}")
        lines[-1] += f";{'XY'[churn == 'stays']}" if leak else ""
    place = folder / "customers.csv"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


def train(folder: Path, place: Path, *words: str, quiet: bool = True) -> runs.Run:
    return runs.train("table", f"data={place}", "target=churn", f"run_dir={folder}/run", *words, quiet=quiet)


def test_a_table_is_learnt_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, table(tmp_path), quiet=False)
    assert run.results["metrics"]["accuracy"]["value"] > 0.9
    told = capsys.readouterr().out
    lines = (
        "table: customers.csv, 400 rows, 5 columns, separated by semicolons",
        "target: churn: 2 classes: leaves, stays",
        "categories: city (3)",
        "left out: note_id (an identifier: each row has its own)",
        "leaks: none found",
        "model: a linear model, chosen for 280 rows of",
    )
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    for line in lines:
        assert told.count(line) == 1, line
        assert line.partition(": ")[2].split(",")[0] in report
    assert run.results["warnings"] == []


def test_a_run_answers_new_rows_without_the_table(tmp_path: Path) -> None:
    place = table(tmp_path)
    run = train(tmp_path, place)
    place.unlink()
    named = ["age=75,city=Bern", "age=20, city=Genoa, Italy", "city=Rome,joined (date)=2015-03-04", "city=Oslo,age=22"]
    answers = runs.Run.open(run.folder).predict(named)
    assert [answer.split()[0] for answer in answers] == ["leaves", "stays", "leaves", "stays"]
    fresh = tmp_path / "new.tsv"
    rows = ["city\tage\tjoined (date)\tother", "Bern\t75\t\tx", "Genoa, Italy\t20\t\tx", "Rome\t\t2015-03-04\tx"]
    fresh.write_text("\n".join([*rows, "Oslo\t22\t\tx"]), encoding="utf-8")
    assert runs.Run.open(run.folder).predict([str(fresh)]) == answers
    kept = json.loads((run.folder / "encoding.json").read_text(encoding="utf-8"))
    assert [code["name"] for code in kept["encoding"]] == ["age", "city", "joined (date)"]
    assert kept["target"]["labels"] == ["leaves", "stays"]


def test_values_are_judged_and_answered_in_their_own_units(tmp_path: Path) -> None:
    place = table(tmp_path, target="price")
    run = runs.train("table", f"data={place}", "target=price", f"run_dir={tmp_path}/run", quiet=True)
    metrics = {name: one["value"] for name, one in run.results["metrics"].items()}
    assert metrics["r2"] > 0.9
    assert 5 < metrics["mae"] < 60  # prices go from 180 to 1100
    low, high = (float(answer) for answer in run.predict(["age=30,city=Bern", "age=30,city=Rome"]))
    assert abs(low - 300) < 60
    assert abs(high - 600) < 60


def test_leaks_are_said_before_training_and_stand_in_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = table(tmp_path, leak=True)
    run = train(tmp_path, place, "steps=5", quiet=False)
    (line,) = run.results["warnings"]
    assert line.startswith("code alone gives the target (balanced accuracy 1.000")
    told = capsys.readouterr().out
    assert told.index(f"warning: {line}") < told.index("accuracy")
    assert told.count(line) == 1
    with pytest.raises(UserError, match="the data leak: code alone"):
        train(tmp_path / "second", place, "data.leaks=refuse")
    assert not (tmp_path / "second" / "run").exists()
    assert train(tmp_path / "third", place, "data.leaks=off", "steps=5").results["warnings"] == []


@pytest.mark.parametrize("words", [["+mixup", "+sam"], ["+label_smoothing", "accumulate=3"], ["model={name: mlp}"]])
def test_methods_and_other_models_take_a_table(tmp_path: Path, words: list[str]) -> None:
    run = train(tmp_path, table(tmp_path), *words, "steps=60")
    assert run.predict(["age=75"])[0].split()[0] in ("leaves", "stays")


def test_the_same_seed_gives_the_same_weights_and_the_split_does_not_move_with_it(tmp_path: Path) -> None:
    place = table(tmp_path)
    weights = [
        (train(tmp_path / str(at), place, "steps=20", f"seed={seed}").folder / "model.safetensors").read_bytes()
        for at, seed in enumerate((1, 1, 2))
    ]
    assert weights[0] == weights[1] != weights[2]
    first, second = (resolve("table", [f"data={place}", "target=churn", f"seed={seed}"]) for seed in (1, 2))
    inputs = [recipe.part("data").load(recipe.seed).test.inputs for recipe in (first, second)]
    assert torch.equal(*inputs)


def test_target_and_text_name_columns_of_ones_own_data() -> None:
    settings = resolve("table", ["data=none/such.csv", "target=churn (yes/no), all", "data.group=a b"])
    assert settings.data["target"] == "churn (yes/no), all"
    assert settings.data["group"] == "a b"
    assert settings.data["path"] == "none/such.csv"
    with pytest.raises(UserError, match=r"'data.text' is no key"):
        resolve("table", ["text=body"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["target=chrn"], "Did you mean 'churn'?"),
        ([], "data.target is missing; allowed: target=COLUMN, one of age, city"),
        (["target=churn", "data.grp=x"], "Did you mean 'data.group'?"),
        (["target=churn", "data.time=city"], "data.time is city"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    place = table(tmp_path)
    assert command(["train", "table", f"data={place}", *words, f"run_dir={tmp_path}/run", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agee=31", "'agee' is no column of this model. Did you mean 'age'?"),
        ("age=31,citty=Bern", "'citty' is no column of this model. Did you mean 'city'?"),
        ("age=old", "age is 'old'; allowed: a number, or nothing where it is missing."),
        ("age=1,age=2", "age came twice"),
        ("31,Bern", "is no row; allowed: a CSV, TSV or Parquet file, or age=...,city=..."),
        ("", "names no column; allowed: age, city"),
        ("none.csv", "there is no file none.csv"),
    ],
)
def test_a_row_that_is_none_is_one_line(text: str, said: str) -> None:
    encoding, _ = Encoding.fit({"age": ["20", "40"], "city": ["Bern", "Rome"]})
    with pytest.raises(UserError) as caught:
        read_rows([text], encoding)
    assert said in str(caught.value)


def test_a_file_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    encoding, _ = Encoding.fit({"age": ["20", "40"], "city": ["Bern", "Rome"]})
    (tmp_path / "new.csv").write_text("Age,city\n3,Bern\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"has no column 'age'\. Is it 'Age' there\?"):
        read_rows([str(tmp_path / "new.csv")], encoding)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"encoding": [], "target": 3, "rows": 1}'])
def test_a_damaged_encoding_is_one_line(tmp_path: Path, damage: str) -> None:
    run = train(tmp_path, table(tmp_path), "steps=3")
    (run.folder / "encoding.json").write_text(damage, encoding="utf-8")
    with pytest.raises(LocutionError, match="damaged"):
        run.predict(["age=3"])


def test_the_model_grows_with_the_table() -> None:
    sizes = [fitting_widths(rows, 20) for rows in (50, 299, 300, 5000, 100_000)]
    assert sizes == [(), (), (32,), (128, 64), (256, 128)]
    assert fitting_widths(400, 100) == ()
    assert TabularModel(widths=(7,), rows=10).chosen((3,)) == (7,)
    for settings in ({"widths": (0,)}, {"dropout": 1.0}, {"rows": -1}):
        with pytest.raises(UserError, match=r"model\."):
            TabularModel(**settings)  # type: ignore[arg-type]


def test_a_task_on_tables_asks_for_a_table() -> None:
    recipe = resolve("table", ["data={name: digits}"])
    with pytest.raises(UserError, match=r"data\.name is 'digits'; allowed: table"):
        runs.prepare(recipe, runs.build_task(recipe), quiet=True)


def planted() -> Dataset:
    draw = torch.Generator().manual_seed(0)
    inputs, answers = torch.rand(80, 5, generator=draw), torch.randint(2, (80,), generator=draw)
    test = torch.cat([inputs[:3], torch.rand(17, 5, generator=draw)])
    return Dataset(
        TensorBatches(inputs, answers),
        held_out(inputs[70:] + 0.0, answers[70:]),
        held_out(test, answers[:20]),
        inputs=(5,),
        outputs=2,
        labels=("no", "yes"),
    )


def test_both_held_out_parts_are_looked_at() -> None:
    found = dataset_leaks(planted())
    assert [(leak.kind, len(leak.pairs)) for leak in found] == [("copies", 3), ("copies", 10)]
    assert "test:0 = train:0" in found[0].line
    assert "development:0 = train:70" in found[1].line


def test_built_in_data_are_looked_over_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(data: Any) -> list[Leak]:
        assert data.source == "digits"
        return [*dataset_leaks(data), Leak("copies", "2 of 3 stand in training.")]

    monkeypatch.setattr(supervised, "dataset_leaks", look)
    run = runs.train("digits", "steps=2", f"run_dir={tmp_path}/run", quiet=True)
    assert run.results["warnings"] == ["2 of 3 stand in training."]
