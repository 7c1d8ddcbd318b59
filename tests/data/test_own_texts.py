"""One's own texts: words of every script, tables and folders, copies, damage; every decision said."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from locution.data.manual import CHAPTERS, ManualData, read_manual
from locution.data.own.texts import TextsData
from locution.data.own.words import TextReader, list_words, plain, tokens
from locution.data.tables.target import Target
from locution.errors import LocutionError, UserError

GOOD, BAD = ("good", "fine", "lovely", "great"), ("bad", "poor", "awful", "sad")


def sentence(draw: random.Random, words: tuple[str, ...]) -> str:
    """Six words of many, two of which say the mood; no two alike."""
    return " ".join([*draw.choices(words, k=2), *(f"w{draw.randrange(400)}" for _ in range(4))])


def rows(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [(sentence(draw, GOOD if at % 2 else BAD), "yes" if at % 2 else "no") for at in range(count)]


def table(path: Path, lines: list[tuple[str, ...]], names: str = "body,label") -> Path:
    path.write_text("\n".join([names, *(",".join(f'"{cell}"' for cell in line) for line in lines)]), encoding="utf-8")
    return path


def loaded(path: Path, **settings: Any) -> Any:
    return TextsData(path=str(path), **settings).load(seed=0)


def said(data: Any) -> str:
    return "\n".join(data.notes)


# Words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("It's John’s e-mail", ["it's", "john’s", "e", "-", "mail"]),
        ("ﬁne ＡＢＣ x²", ["fine", "abc", "x2"]),
        ("Ärger über Öl", ["ärger", "über", "öl"]),
        ("Привет, мир", ["привет", ",", "мир"]),
        ("ありがとう。", ["あ", "り", "が", "と", "う", "。"]),
        ("我喜欢 Python", ["我", "喜", "欢", "python"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("so 😀👍 nice", ["so", "😀", "👍", "nice"]),
        ("👩\u200d💻 ❤\ufe0f", ["👩", "💻", "❤"]),
        ("", []),
        (" \t\n ", []),
        ("snake_case 3.14", ["snake_case", "3", ".", "14"]),
    ],
)
def test_texts_are_cut_into_words_of_any_script(text: str, words: list[str]) -> None:
    assert tokens(text) == words


def test_letters_are_all_runs_of_three() -> None:
    assert tokens("Cat", "letters") == ["_ca", "cat", "at_"]
    assert tokens("a", "letters") == ["_a_"]
    assert tokens("  ", "letters") == []
    assert plain("A\u00a0 B\n") == "a b"


def test_the_most_frequent_words_are_known_and_ties_go_by_name() -> None:
    assert list_words([["b", "a", "b"], ["c", "a", "d"]], most=3) == ["a", "b", "c"]
    many = [[f"w{at}", "w0", f"x{at % 700}"] for at in range(1400)]
    known = list_words(many, most=10_000)
    assert known[0] == "w0"
    assert set(known[1:]) == {f"x{at}" for at in range(700)}, "what was seen once is not known where words are many"


def test_words_become_their_places_and_back_through_json() -> None:
    reader = TextReader(("the", "cat"), length=3, target=Target("t", ("a", "b")), text="body", examples=7)
    assert reader.encode([["the", "dog", "cat", "the"], [], ["cat"]]).tolist() == [[2, 1, 3], [0, 0, 0], [3, 0, 0]]
    assert reader.sizes == {"vocabulary": 4, "examples": 7}
    assert TextReader.from_json(json.loads(json.dumps(reader.as_json()))) == reader
    hashed = TextReader((), 2, Target("t", ("a", "b")), pieces="letters", buckets=50)
    assert hashed.encode([["_ca", "cat"]]).tolist() == [[2 + zlib.crc32(b"_ca") % 50, 2 + zlib.crc32(b"cat") % 50]]
    assert hashed.sizes["vocabulary"] == 52


# Tables and folders ----------------------------------------------------------------------------------------


def test_a_table_becomes_numbers_by_the_words_to_learn_from_alone(tmp_path: Path) -> None:
    data = loaded(table(tmp_path / "a.csv", rows()), text="body", target="label")
    assert data.describe() == "a.csv: 42 to learn from, 9 to tune on, 9 to be judged by; each (6,) -> 2 classes"
    assert data.labels == ("no", "yes")
    words = data.reader.words
    learnt = {words[place - 2] for place in data.train.inputs.flatten().tolist()}
    assert set(words) == learnt, "no word of the test is known that was not learnt"
    assert (data.test.inputs == 1).any()
    texts = {" ".join(words[place - 2] for place in row) for row in data.train.inputs.tolist()}
    assert texts < {text for text, _ in rows()}
    moods = [words[row[0] - 2] in GOOD for row in data.train.inputs.tolist()]
    assert data.train.targets.tolist() == [int(mood) for mood in moods]
    assert "text is the column" not in said(data)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_the_same_table_in_any_form_is_the_same_data(tmp_path: Path, kind: str) -> None:
    expected = loaded(table(tmp_path / "a.csv", rows()))
    path = tmp_path / f"b.{kind}"
    if kind == "csv":
        path.write_text("\ufeffLabel;Body\n" + "\n".join(f"{label};{text}" for text, label in rows()), encoding="utf-8")
    elif kind == "tsv":
        path.write_text("label\tbody\n" + "\n".join(f"{label}\t{text}" for text, label in rows()))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"body": text, "label": label}) for text, label in rows()) + "\n\n")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"body": [r[0] for r in rows()], "label": [r[1] for r in rows()]}), path)
    data = loaded(path)
    assert torch.equal(data.train.inputs, expected.train.inputs)
    assert torch.equal(data.test.targets, expected.test.targets)
    assert data.notes[0].lower() == "text is the column 'body', target the column 'label'."


def test_folders_of_text_files_are_classes(tmp_path: Path) -> None:
    for at, (text, label) in enumerate(rows()):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{at:02}.txt").write_text(text)
    (tmp_path / "yes" / "extra.pdf").write_text("x")
    (tmp_path / "empty").mkdir()
    data = loaded(tmp_path)
    assert len(data.train) + len(data.development) + len(data.test) == 60
    assert data.labels == ("no", "yes")
    assert "empty: no .txt files, no class." in said(data)
    assert "1 file of other kinds passed over." in said(data)
    (tmp_path / "parts" / "train").mkdir(parents=True)
    for label in ("yes", "no"):
        (tmp_path / label).rename(tmp_path / "parts" / "train" / label)
        (tmp_path / "parts" / "test" / label).mkdir(parents=True)
        (tmp_path / "parts" / "test" / label / "1.txt").write_text(f"another {label} text")
    data = loaded(tmp_path / "parts", development=0.0)
    assert (len(data.train), data.development, len(data.test)) == (60, None, 2)


def test_numbers_as_targets_are_values(tmp_path: Path) -> None:
    lines = [(f"{'good ' * (at % 9)}w{at} x", f"{2.5 * (at % 9) + 100.0 + at / 1000}") for at in range(80)]
    data = loaded(table(tmp_path / "a.csv", lines, "review,score"))
    assert (data.labels, data.outputs) == ((), 1)
    learnt = data.reader.decode(data.train.targets)
    torch.testing.assert_close(data.train.targets.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.train.targets.std(correction=0), torch.tensor(1.0))
    assert 100 <= learnt.min() < learnt.max() < 121
    five = [(f"w{at} {GOOD[at % 4]}", str(1 + at % 5)) for at in range(50)]
    assert loaded(table(tmp_path / "b.csv", five, "review,score")).labels == ("1", "2", "3", "4", "5")
    assert loaded(tmp_path / "b.csv", answers="values").labels == ()


def test_parts_may_be_given(tmp_path: Path) -> None:
    parts = ["train"] * 40 + ["dev"] * 8 + ["test"] * 12
    lines = [(*row, part) for row, part in zip(rows(), parts, strict=True)]
    data = loaded(table(tmp_path / "a.csv", lines, "body,label,split"))
    assert [len(part) for part in (data.train, data.development, data.test)] == [40, 8, 12]


def test_texts_are_read_once_until_their_file_changes(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", rows())
    data = loaded(path)
    assert loaded(path) is data
    assert loaded(path, length=3) is not data
    data = loaded(path)
    table(path, rows(59))
    assert loaded(path) is not data


# What is left out, and said ----------------------------------------------------------------------------------


def test_what_cannot_be_learnt_from_is_left_out_and_said(tmp_path: Path) -> None:
    lines = [*rows(), ("", "yes"), ("  ", "no"), ("a text without an answer", ""), rows()[0], ("both ways", "yes")]
    lines += [("BOTH  ways", "no"), (rows()[3][0].upper(), "yes")]
    data = loaded(table(tmp_path / "a.csv", lines))
    assert "1 row without label left out." in said(data)
    assert "2 texts without a word left out." in said(data)
    assert "2 texts are exact copies of others and were left out." in said(data)
    assert "2 texts have copies with other targets, which contradict each other: left out." in said(data)
    assert len(data.train) + len(data.development) + len(data.test) == 60


def test_long_texts_are_cut_and_that_is_said(tmp_path: Path) -> None:
    long = [(f"{' '.join(f'y{at}z{word}' for word in range(300 + at))}", "no") for at in range(10)]
    data = loaded(table(tmp_path / "a.csv", [*rows(), *long]))
    assert data.inputs == (256,)
    assert "10 texts cut behind 256 words; data.length=N reads more." in said(data)
    assert loaded(tmp_path / "a.csv", length=400).inputs == (400,)
    few = loaded(table(tmp_path / "b.csv", [*rows(100), *long[:2]]))
    assert few.inputs == (6,), "95 in 100 need no more"


def test_near_copies_across_parts_are_a_warning_or_refused(tmp_path: Path) -> None:
    long = [
        " ".join(f"{chr(97 + (at * 7 + word * 3) % 26)}{at * word % 89}q" for word in range(30)) for at in range(60)
    ]
    lines = [(text, ("yes", "no")[at % 2], "train") for at, text in enumerate(long[:50])]
    lines += [(text, ("yes", "no")[at % 2], "test") for at, text in enumerate(long[50:])]
    lines.append((long[4] + " indeed", "yes", "test"))
    (warning,) = loaded(table(tmp_path / "a.csv", lines, "body,label,split")).warnings
    assert warning.startswith("1 text to be judged by is a near copy of one to learn from")
    assert long[4][:50] in warning
    assert loaded(tmp_path / "a.csv", leaks="off").warnings == ()
    with pytest.raises(LocutionError, match=r"Take them out, or say data\.leaks=warn"):
        loaded(tmp_path / "a.csv", leaks="refuse")


@pytest.mark.parametrize(
    ("content", "settings", "line"),
    [
        ("", {}, "is empty"),
        ("body,label\n", {}, "no row below it"),
        ("body,label\nx,a\ny,b\n", {"target": "lable"}, "target is 'lable', .* Did you mean 'label'"),
        ("body,label\nx,a\ny,b\n", {"text": "bodi"}, "text is 'bodi', .* Did you mean 'body'"),
        ("body,label\nx,a\ny,b\n", {"text": "label"}, "text and target are both 'label'"),
        ("body,mood\nx,a\ny,b\n", {}, "has no column 'label': say target=NAME. It has: body, mood"),
        ("label\na\nb\n", {}, "no column beside 'label'"),
        ("body,label\nx,a\ny,a\nz,a\n", {}, "always 'a'|always a"),
        ("body,label\nx,a\nx,b\n", {}, "0 texts of 2 can be learnt from"),
        ("body,body\nx,a\n", {}, "twice"),
        ("body,label,split\nx,a,train\ny,b,later\n", {}, "the split 'later' is none"),
        ("body,label,split\nx,a,test\ny,b,test\n", {}, "none to learn from"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_one_line(
    tmp_path: Path, content: str, settings: dict[str, Any], line: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=line) as refused:
        loaded(tmp_path / "a.csv", **settings)
    assert "\n" not in str(refused.value)


def test_paths_and_lines_that_are_none_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "a.jsonl").write_text('{"body": "x", "label": "a"}\n{"body": ')
    (tmp_path / "b.jsonl").write_text("[1]\n")
    (tmp_path / "c.jsonl").write_text("\n")
    (tmp_path / "d.doc").write_text("x")
    (tmp_path / "e.parquet").write_text("x")
    for name, line in (
        ("gone.csv", "is not there; allowed: a CSV"),
        ("none", "holds no texts"),
        ("a.jsonl", r"line 2 of a\.jsonl is no JSON"),
        ("b.jsonl", r"line 1 of b\.jsonl is no object"),
        ("c.jsonl", "is empty"),
        ("d.doc", "is no table"),
        ("e.parquet", "cannot be read"),
    ):
        with pytest.raises(LocutionError, match=line) as refused:
            loaded(tmp_path / name)
        assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"data\.path is missing"):
        TextsData().load(0)


def test_two_hundred_damaged_tables_give_data_or_a_line(tmp_path: Path) -> None:
    chance, results = random.Random(0), []
    lines = [(text, label) for text, label in rows(30)]
    table(tmp_path / "a.csv", lines)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"body": text, "label": label}) for text, label in lines))
    for number in range(200):
        kind = ("csv", "jsonl")[number % 2]
        content = bytearray((tmp_path / f"a.{kind}").read_bytes())
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(content))
            content[at : at + chance.randrange(3)] = chance.choice(
                (b'"', b",", b"\n", b"\xff", b"\0", b"", b";", b"\t{")
            )
        (tmp_path / f"b.{kind}").write_bytes(content[: chance.randrange(1, 3 * len(content))])
        try:
            data = loaded(tmp_path / f"b.{kind}")
            assert len(data.train) >= 1
            results.append("data")
        except LocutionError as error:
            results.append(str(error))
    assert 20 < results.count("data") < 190
    assert all(line and "\n" not in line for line in results)


# New texts -------------------------------------------------------------------------------------------------


def test_new_texts_are_typed_or_stand_in_a_file(tmp_path: Path) -> None:
    reader = TextReader(("good", "bad"), 3, Target("label", ("no", "yes")), text="body")
    (tmp_path / "one.txt").write_text("bad bad")
    table(tmp_path / "new.csv", [("good", "1"), ("", "2"), ("so bad", "3")], "body,other")
    table(tmp_path / "named.csv", [("x", "good")], "id,text")
    words = [
        "Good, bad",
        str(tmp_path / "one.txt"),
        str(tmp_path / "new.csv"),
        str(tmp_path / "named.csv"),
        "good\n" * 2,
    ]
    names, read = reader.read(words)
    assert names == [""] * 7
    assert read.tolist() == [[2, 1, 3], [3, 3, 0], [2, 0, 0], [0, 0, 0], [1, 3, 0], [2, 0, 0], [2, 2, 0]]
    assert reader.read(["not.txt"])[1].tolist() == [[1, 1, 1]], "a word that is no file is a text"
    with pytest.raises(UserError, match=r"there is no file .*gone"):
        reader.read([str(tmp_path / "gone.csv")])
    assert reader.read(["x" * 5000])[1].tolist() == [[1, 0, 0]]


# Python's manual -------------------------------------------------------------------------------------------


def test_the_manual_is_eight_chapters_of_sentences_that_stand_in_one_alone() -> None:
    texts, chapters = read_manual()
    assert len(texts) > 300
    assert set(chapters) == set(CHAPTERS.values())
    assert all(len(text.split()) >= 5 and text.endswith(".") for text in texts)
    data = ManualData().load(seed=0)
    assert torch.equal(data.test.targets, ManualData().load(seed=1).test.targets)
    assert data.warnings == (), "no near copies in the test"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"batch_size": 0}, r"data\.batch_size is 0"),
        ({"most": 0}, r"data\.most is 0"),
        ({"length": -1}, r"data\.length is -1"),
        ({"development": -0.1}, r"data\.development is -0\.1"),
        ({"test": 0.5, "development": 0.5}, r"data\.development \+ data\.test is 1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        TextsData(**settings)
