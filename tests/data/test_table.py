"""One's own tables: what columns are, where rows go, what numbers come out; and one line for whatever is damaged."""

from __future__ import annotations

import csv
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import datasets
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from locution.data.table import Table, TableData
from locution.data.tables.columns import find_kind
from locution.data.tables.encoding import BUCKETS, Encoding, bucket
from locution.data.tables.reading import parse, read_table
from locution.data.tables.splitting import by_group
from locution.data.tables.target import Target
from locution.data.tables.values import date, number
from locution.errors import LocutionError, UserError


def write(path: Path, header: list[str], rows: list[list[Any]], separator: str = ",") -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return str(path)


def toy(folder: Path, name: str) -> str:
    found = getattr(datasets, f"load_{name}")()
    names = [str(one) for one in found.feature_names]
    answers = found.target if name == "diabetes" else [str(found.target_names[one]) for one in found.target]
    rows = [[*map(float, row), answer] for row, answer in zip(found.data, answers, strict=True)]
    return write(folder / f"{name}.csv", [*names, "answer"], rows)


def people(folder: Path, count: int = 120, **changed: Any) -> str:
    stream = random.Random(0)
    rows = []
    for at in range(count):
        row = {
            "customer": f"C{at:04}",
            "age": stream.randint(18, 80),
            "city": stream.choice(["Bern", "Rome", "Genoa, Italy"]),
            "income": round(stream.gauss(50_000, 9_000), 2) if at % 10 else "",
            "since": f"20{stream.randint(10, 23)}-0{stream.randint(1, 9)}-1{stream.randint(0, 9)}",
            "letters": stream.choice(["yes", "no"]),
            "country": "CH",
            "note": f"Dear sir, this is letter {at} of mine",
            "churn": stream.choice(["stays", "leaves"]),
        }
        rows.append(row | {key: make(at) for key, make in changed.items()})
    return write(folder / "people.csv", list(rows[0]), [list(row.values()) for row in rows])


def read(path: str, target: str = "churn", **settings: Any) -> Table:
    return TableData(path=path, target=target, **settings).read()


@pytest.mark.parametrize(
    ("name", "features", "outputs", "counts"),
    [("iris", 4, 3, (106, 22, 22)), ("breast_cancer", 30, 2, (399, 85, 85)), ("diabetes", 10, 1, (310, 66, 66))],
)
def test_scikit_learns_tables_are_read(
    tmp_path: Path, name: str, features: int, outputs: int, counts: tuple[int, ...]
) -> None:
    table = read(toy(tmp_path, name), "answer")
    data = table.dataset
    assert (data.inputs, data.outputs) == ((features,), outputs)
    assert sum(len(part) for part in (data.train, data.development, data.test)) == sum(counts)  # type: ignore[arg-type]
    assert abs(len(data.test) - counts[2]) <= 1  # type: ignore[arg-type]
    assert [leak.kind for leak in table.leaks] in ([], ["copies"])


def test_numbers_are_standardised_by_the_rows_learnt_from_as_scikit_learn_does(tmp_path: Path) -> None:
    table = read(toy(tmp_path, "breast_cancer"), "answer")
    train = table.dataset.train.inputs.double()  # type: ignore[attr-defined]
    uncut = train.abs().amax(0) < 10
    assert int(uncut.sum()) >= 27
    assert float(train.mean(0)[uncut].abs().max()) < 1e-6
    assert float((train.std(0, correction=0) - 1)[uncut].abs().max()) < 1e-6
    assert float(table.dataset.test.inputs.mean(0).abs().max()) > 1e-3  # type: ignore[union-attr]
    raw = datasets.load_breast_cancer()
    rows = torch.tensor(raw.data[:5])
    names = [str(one) for one in raw.feature_names]
    encoding, _ = Encoding.fit({name: [repr(v) for v in raw.data[:, at].tolist()] for at, name in enumerate(names)})
    ours = encoding.encode({name: [repr(v) for v in rows[:, at].tolist()] for at, name in enumerate(names)})
    theirs = torch.tensor(StandardScaler().fit(raw.data).transform(raw.data[:5])).float()
    assert torch.allclose(ours, theirs.clamp(-10, 10), atol=1e-5)


def test_categories_become_one_column_each_as_in_scikit_learn() -> None:
    cells = ["Bern", "Rome", "Oslo", "Rome"]
    encoding, _ = Encoding.fit({"city": cells})
    oracle = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit([[cell] for cell in cells])
    asked = [*cells, "Paris"]
    assert encoding.encode({"city": asked}).tolist() == oracle.transform([[cell] for cell in asked]).tolist()


def test_the_columns_are_found_and_said(tmp_path: Path) -> None:
    said = read(people(tmp_path)).said
    assert said["numbers"].startswith("age, income (")
    assert said["yes or no"] == "letters"
    assert said["dates"] == "since"
    assert said["categories"] == "city (3)"
    assert said["left out"] == (
        "customer (an identifier: each row has its own), country (always 'CH'), "
        "note (texts, which a table's model does not read)"
    )
    shares = "at random, each class by the same share (seed 0): 84, 18 and 18 rows"
    assert said["split"] == f"{shares} (data.time=since would judge by the latest)"
    assert said["target"] == "churn: 2 classes: leaves, stays"


def test_what_is_missing_becomes_the_median_and_has_a_mark() -> None:
    table = {"income": ["1", "", "3", "8", "n/a", "inf"]}
    encoding, _ = Encoding.fit(table)
    assert encoding.features == ("income", "income missing")
    mean, spread = 4.0, (26 / 3) ** 0.5  # of 1, 3, 8
    expected = [[(v - mean) / spread, gone] for v, gone in ((1, 0), (3, 1), (3, 0), (8, 0), (3, 1), (3, 1))]
    assert torch.allclose(encoding.encode(table), torch.tensor(expected), atol=1e-6)


def test_a_missing_category_has_a_column_of_its_own_and_many_are_hashed() -> None:
    encoding, _ = Encoding.fit({"city": ["Bern", "", "Rome"]})
    assert encoding.encode({"city": ["", "Bern"]}).tolist() == [[0, 0, 1], [1, 0, 0]]
    many = [f"town {at % 60}" for at in range(240)]
    encoding, _ = Encoding.fit({"city": many})
    found = encoding.encode({"city": ["town 7", "never met"]})
    assert found.shape == (2, BUCKETS)
    assert found.argmax(1).tolist() == [bucket("town 7"), bucket("never met")]
    wide, _ = Encoding.fit({"city": many}, one_hot=60)
    assert len(wide.features) == 60


def test_dates_turn_with_the_year_the_week_and_the_day() -> None:
    days = ["2024-01-01", "2024-07-01", "2024-12-31"]
    encoding, _ = Encoding.fit({"when": days})
    found = encoding.encode({"when": days})
    assert found.shape == (3, 5)
    assert torch.allclose(found[0, 1:3], found[2, 1:3], atol=0.03)  # the ends of a year meet
    assert float(found[0, 1:3] @ found[1, 1:3]) < -0.9  # its middle is opposite
    assert torch.allclose(encoding.encode({"when": ["2024-01-08"]})[0, 3:], found[0, 3:], atol=1e-5)  # a Monday
    timed, _ = Encoding.fit({"when": ["2024-01-01T06:00", "2024-01-02 18:00"]})
    assert timed.encode({"when": ["2024-03-05 06:00"]})[0, 5].item() == pytest.approx(1.0, abs=1e-4)


def test_what_lies_far_beyond_is_cut_and_nothing_overflows() -> None:
    encoding, _ = Encoding.fit({"x": ["0", "1", "2", "1e300"], "y": ["1", "2", "3", "4"]})
    found = encoding.encode({"x": ["1e308", "-1e120", "1", ""], "y": ["1e30"] * 4})
    assert bool(torch.isfinite(found).all())
    assert float(found.abs().max()) <= 10.0


def test_the_kept_encoding_is_json_and_the_same_again(tmp_path: Path) -> None:
    table = read(people(tmp_path))
    kept = json.loads(json.dumps(table.encoding.as_json()))
    assert Encoding.from_json(kept) == table.encoding
    assert Target.from_json(json.loads(json.dumps(table.target.as_json()))) == table.target
    for damaged in ([{"name": "x"}], 3, [3], [{"name": "x", "kind": "number", "values": [], "odd": 1}]):
        with pytest.raises(LocutionError, match="damaged"):
            Encoding.from_json(damaged)


@pytest.mark.parametrize(
    ("cells", "kind", "said"),
    [
        (["1", "2", "x"] + ["3"] * 30, "number", "1 of another kind ('x') count as missing"),
        (["1,5", "2,5", "1.000,25"], "number", ""),
        (["01234", "99999", "10000"], "category", ""),
        (["True", "FALSE"], "boolean", ""),
        (["02/29/2024", "12/31/2023"], "date", "read as month/day/year"),
        (["29/02/2024", "01/02/2024"], "date", "read as day, month, year"),
        (["29.02.2024", "01.02.2024"], "date", "read as day, month, year"),
        ([str(row) for row in range(50)], "none", "an identifier: each row has its own"),
        (["", "n/a"], "none", "no value in it"),
        (["a", "b", "a"], "category", ""),
        (["12", "x", "y", "12"], "category", ""),
    ],
)
def test_kinds(cells: list[str], kind: str, said: str) -> None:
    column = find_kind("thing", cells)
    assert (column.kind, column.said) == (kind, said)


def test_numbers_that_name_things_are_categories() -> None:
    assert find_kind("store_id", ["1", "2", "7"] * 20).kind == "category"
    assert find_kind("valid", ["1", "2", "7"] * 20).kind == "number"


@pytest.mark.parametrize("text", ["2024-02-30", "31.02.2024", "0000-01-01", "12", "tomorrow", "²", "9" * 400])
def test_what_is_no_date_is_none(text: str) -> None:
    assert date(text) is None


@pytest.mark.parametrize("text", ["1_000", "1,00", "1,5", "--1", "0x10", "nan", "1.2.3", ""])
def test_what_is_no_number_is_none(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("\ufeffa,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("a;b\n1,5;2\n", {"a": ["1,5"], "b": ["2"]}),
        ("a\tb\r\n1\t\r\n", {"a": ["1"], "b": [""]}),
        ('a,b\n"x, ""y""",2\n\n', {"a": ['x, "y"'], "b": ["2"]}),
        ('a,b\n"two\nlines",2\n', {"a": ["two\nlines"], "b": ["2"]}),
        (",b\n0,x\n", {"column_1": ["0"], "b": ["x"]}),
        ("a,b,\n1,2,\n", {"a": ["1"], "b": ["2"], "column_3": [""]}),
        ("a,b\n1,2,,\n", {"a": ["1"], "b": ["2"]}),
        ("name\nAnn\nBob\n", {"name": ["Ann", "Bob"]}),
        ("a|b\n1|2\n", {"a": ["1"], "b": ["2"]}),
        ('a, b\n1, "x, y"\n', {"a": ["1"], "b": ["x, y"]}),
    ],
)
def test_tables_are_cut_into_cells(text: str, columns: dict[str, list[str]]) -> None:
    assert parse(text.removeprefix("\ufeff"), "t.csv").columns == columns


def test_bytes_in_other_codes_are_read_and_said(tmp_path: Path) -> None:
    for coding, said in (("cp1252", "no UTF-8"), ("utf-16", ""), ("utf-8-sig", "")):
        place = tmp_path / f"{coding}.csv"
        place.write_bytes("stadt,x\nZürich,1\n".encode(coding))
        table = read_table(place)
        assert table.columns["stadt"] == ["Zürich"]
        assert any(said in line for line in table.said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "t.csv is empty"),
        ("\n \n", "t.csv is empty"),
        ("a,b\n", "no row below it"),
        ("a,a\n1,2\n", "names the column 'a' twice"),
        ("1,2\n3,4\n", "holds numbers alone"),
        ("a,b\n1,2\n1,2,3\n", "line 3 of t.csv has 3 cells"),
        ("a,b\n1\n", "line 2 of t.csv has 1 cells"),
        ('a,b\n1,"2\n3,4\n', "a quote is never closed"),
        ("a,churn\n1,2\0\n", "zero bytes"),
        ("a,churn\n" + "1,yes\n" * 20, "the target churn is always 'yes'"),
        ("a,churn\n" + "1,\n" * 20, "has 0 rows with a churn; allowed: 10 or more"),
        ("a,chrun\n" + "1,yes\n" * 20, "Did you mean 'chrun'?"),
        ("churn\n" + "yes\nno\n" * 20, "no column to learn churn from"),
        ("a,churn\n" + "".join(f"{n},name{n}\n" for n in range(40)), "has 40 different values in 40 rows"),
        ("a,churn\n" + "".join(f"{n % 3},{n}.5\n" for n in range(40)) + "1,lots\n", "is 'lots' in a row"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    place = tmp_path / "t.csv"
    place.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read(str(place))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    for path in ("none.csv", str(tmp_path), str(tmp_path / "picture.png")):
        with pytest.raises(UserError, match="allowed"):
            read(path)
    with pytest.raises(UserError, match=r"data.target is missing; allowed: target=COLUMN, one of customer, age"):
        read(people(tmp_path), target="")


def test_whole_numbers_are_classes_if_few_and_values_if_asked_for(tmp_path: Path) -> None:
    path = people(tmp_path, churn=lambda at: at % 3)
    table = read(path)
    assert table.target.labels == ("0", "1", "2")
    assert "data.answers=values" in table.said["target"]
    assert read(path, answers="values").target.labels == ()
    assert read(people(tmp_path, churn=lambda at: (at % 12) * 10 + 2)).target.labels[:2] == ("2", "12")  # by size
    assert read(people(tmp_path, churn=lambda at: at)).target.labels == ()


def test_values_are_standardised_by_the_rows_learnt_from(tmp_path: Path) -> None:
    table = read(people(tmp_path, churn=lambda at: f"{1000 + at * at}"))
    answers = table.dataset.train.targets  # type: ignore[attr-defined]
    assert abs(float(answers.mean())) < 1e-5
    assert float(answers.std(correction=0)) == pytest.approx(1.0, abs=1e-5)
    back = table.target.decode(answers).flatten()
    assert all(abs(round(v) - v) < 1e-2 for v in back.tolist())


def test_a_column_may_say_the_split(tmp_path: Path) -> None:
    said = ["train", "train", "valid", "test"]
    path = people(tmp_path, part=lambda at: said[at % 4])
    table = read(path, split="part")
    assert table.said["split"] == "as the column part says: 60, 30 and 30 rows"
    assert "part (the split goes by it)" in table.said["left out"]
    with pytest.raises(UserError, match="the column city says"):
        read(path, split="city")


def test_by_time_the_latest_rows_are_judged_by(tmp_path: Path) -> None:
    path = people(tmp_path, since=lambda at: f"20{10 + at % 12}-05-01", age=lambda at: 10 + at % 12)
    table = read(path, time="since", development=0.2, test=0.2)
    data, code = table.dataset, table.encoding.codes[0]
    ages = [
        part.inputs[:, 0].double() * code.spread + code.mean  # type: ignore[union-attr]
        for part in (data.train, data.development, data.test)
    ]
    assert float(ages[0].max()) < float(ages[1].min())  # rows of one moment stay together
    assert float(ages[1].max()) < float(ages[2].min())
    with pytest.raises(UserError, match=r"data\.time is city"):
        read(path, time="city")


def test_no_group_is_in_two_parts(tmp_path: Path) -> None:
    table = read_table(people(tmp_path, customer=lambda at: f"P{at % 23}"))
    split = by_group(table, "customer", (0.2, 0.2), 0)
    cells = table.columns["customer"]
    groups = [{cells[row] for row in rows} for rows in (split.train, split.development, split.test)]
    assert sum(map(len, groups)) == 23  # each once
    assert all(abs(len(rows) - 24) <= 5 for rows in (split.development, split.test))
    lopsided = read_table(people(tmp_path, customer=lambda at: f"P{max(0, at - 110)}"))  # 111 rows of one group
    giant = by_group(lopsided, "customer", (0.2, 0.2), 0)
    assert len(giant.train) >= 100
    assert giant.test
    assert giant.development


def test_a_split_at_random_that_tears_groups_apart_is_said(tmp_path: Path) -> None:
    path = people(tmp_path, customer=lambda at: f"P{at % 40}")
    assert [leak.kind for leak in read(path).leaks] == ["group"]
    assert "data.group=customer keeps them apart" in read(path).leaks[0].line
    assert read(path, group="customer").leaks == ()


def test_planted_leaks_are_reported_refused_or_left_alone(tmp_path: Path) -> None:
    stream = random.Random(1)
    path = people(tmp_path, churn=lambda at: "yes" if stream.random() > 0.5 else "no")
    rows = list(csv.reader(Path(path).read_text(encoding="utf-8").splitlines()))
    rows = [[*row, "code"] if at == 0 else [*row, {"yes": "J", "no": "N"}[row[-1]]] for at, row in enumerate(rows)]
    copied = [*rows, *rows[1:40]]
    path = write(tmp_path / "leaky.csv", copied[0], copied[1:])
    found = read(path).leaks
    assert {"copies", "giveaway"} <= {leak.kind for leak in found}
    here, there = (int(row) for row in re.findall(r"row (\d+)", found[0].line))
    assert copied[here] == copied[there]
    assert abs(here - there) == 120  # as they were planted, by their places in the file
    assert [leak.column for leak in found if leak.kind == "giveaway"] == ["code"]
    with pytest.raises(UserError, match=r"the data leak: .*code alone gives the target"):
        read(path, leaks="refuse")
    quiet = read(path, leaks="off")
    assert quiet.leaks == ()
    assert quiet.said["leaks"] == "not looked for"
    assert "giveaway" not in {leak.kind for leak in read(path, drop=("code",)).leaks}


@pytest.mark.parametrize(
    "settings",
    [
        {"test": 1.0},
        {"development": 0.6, "test": 0.6},
        {"one_hot": 0},
        {"batch_size": 0},
        {"time": "a", "group": "b"},
        {"split": "a", "time": "b"},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^data\..*; allowed:"):
        TableData(**settings)


def test_parquet_is_read_like_the_same_table_as_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = ["age", "income", "letters", "churn"]
    columns = [[31, None, 45] * 10, [1.5, 2.25, None] * 10, [True, False, True] * 10, ["no", "yes", "no"] * 10]
    parquet.write_table(pyarrow.table(dict(zip(names, columns, strict=True))), tmp_path / "t.parquet")
    rows = [["" if cell is None else cell for cell in row] for row in zip(*columns, strict=True)]
    text = read(write(tmp_path / "t.csv", names, rows))
    binary = read(str(tmp_path / "t.parquet"))
    assert torch.equal(text.dataset.train.inputs, binary.dataset.train.inputs)  # type: ignore[attr-defined]
    (tmp_path / "broken.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:100])
    with pytest.raises(LocutionError, match=r"broken\.parquet cannot be read"):
        read(str(tmp_path / "broken.parquet"))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow to be read; install: pip install 'locution\[tables\]'"):
        read(str(tmp_path / "t.parquet"))


BITS = [b'"', b";", b",", b"\t", b"\n", b"\r", b"\0", b"\xff", b"1e999", b"-inf", b"9" * 400, b"9999-12-31T23:59+14:00"]


def damaged(whole: bytes, stream: random.Random) -> bytes:
    found = bytearray(whole)
    for _ in range(stream.choice([1, 1, 3, 20])):
        at, kind = stream.randrange(len(found) + 1), stream.randrange(6)
        if kind == 0:
            found[at:at] = stream.choice(BITS)
        elif kind == 1:
            del found[at : at + stream.choice([1, 5, 200])]
        elif kind == 2:
            found[at : at + 1] = bytes([stream.randrange(256)])
        elif kind == 3:
            found[at:at] = found[at : at + stream.randrange(200)]
        elif kind == 4 and stream.random() < 0.2:
            del found[at:]
        else:
            found = bytearray(bytes(found).replace(stream.choice(BITS[:5]), stream.choice(BITS), 3))
    return bytes(found)


@pytest.mark.parametrize("tenth", range(10))
def test_300_damaged_tables_each_give_a_result_or_one_line(tmp_path: Path, tenth: int) -> None:
    whole = Path(people(tmp_path, 40)).read_bytes()
    place, good, said = tmp_path / "damaged.csv", 0, []
    for seed in range(30 * tenth, 30 * tenth + 30):
        place.write_bytes(damaged(whole, random.Random(seed)))
        try:
            table = read(str(place))
        except LocutionError as error:
            said.append(str(error))
        else:
            good += 1
            assert bool(torch.isfinite(table.dataset.train.inputs).all()), seed  # type: ignore[attr-defined]
    assert 3 <= good <= 27
    assert not [line for line in said if "\n" in line]
