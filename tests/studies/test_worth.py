"""What a term is worth: measured by the words it names, kept with its conditions, shown as it came out."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from locution.cli import run as command
from locution.errors import UserError
from locution.studies.variants import read_words
from locution.studies.worth import Question, chosen, machine, measure, up_to_date
from locution.vocabulary import lookup, measured, pages
from locution.vocabulary.entry import Entry
from locution.vocabulary.lookup import Term, find, terms
from locution.vocabulary.measured import conditions, current, markdown, pictures, read, sentences

WITH = [term for term in terms().values() if term.effect]
STORED = sorted(measured.EFFECTS.glob("*.json"))
SLOW = replace(find("sam"), effect='line steps=5 "slow: optimizer.lr=0.001" --metric mse,mae')


@pytest.mark.parametrize("term", WITH, ids=lambda term: term.name)
def test_the_words_of_an_effect_make_a_comparison(term: Term) -> None:
    asked = Question.of(term.effect)
    _, variants = read_words(asked.words)
    assert variants, "something is compared"
    assert all(asked.digests().values()), "each recipe is one that can be trained"


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_was_measured_is_what_the_vocabulary_asks(path: Path) -> None:
    term, stored = terms()[path.stem], read(path.stem)
    assert stored is not None
    assert current(term, stored), f"terms.yaml asks '{term.effect}', measured was '{stored['effect']}'"
    assert stored["seeds"] >= 10
    assert stored["recipes"] == Question.of(term.effect).digests(), "the recipe changed: locution effects " + term.name


def test_an_effect_is_measured_kept_and_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = measure(SLOW, seeds=2, folder=tmp_path / "effects", quiet=True)
    assert stored == read("sam", tmp_path / "effects")
    assert stored["command"] == f"locution compare {SLOW.effect} --seeds 2"
    assert [(one["name"], one["metric"], one["better"]) for one in stored["effects"]] == [
        ("slow", "mse", "lower"),
        ("slow", "mae", "lower"),
    ]
    assert len(stored["effects"][0]["differences"]) == 2
    assert stored["machine"] == machine()
    assert stored["environment"]["torch"]
    assert up_to_date(SLOW, 2, tmp_path / "effects")
    assert not up_to_date(SLOW, 3, tmp_path / "effects"), "more seeds are asked for"
    assert not up_to_date(replace(SLOW, effect="line steps=5 +sam"), 2, tmp_path / "effects"), "other words"
    path = tmp_path / "effects" / "sam.json"
    path.write_text(path.read_text().replace(stored["recipes"]["slow"], "0" * 10))
    assert not up_to_date(SLOW, 2, tmp_path / "effects"), "another recipe"


def test_the_command_measures_what_is_not_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = replace(find("mixup"), effect="line steps=5 +lookahead start=nowhere")
    every = {"sam": SLOW, "mixup": odd, "batch": find("batch")}
    monkeypatch.setattr("locution.studies.worth.terms", lambda: every)
    monkeypatch.setattr("locution.studies.worth.find", lambda name: every[name])
    assert command(["effects", "--list", "--out", "kept"]) == 0
    assert capsys.readouterr().out == "sam: not measured yet\nmixup: not measured yet\n"
    assert not (tmp_path / "kept").exists()
    assert command(["effects", "--seeds", "2", "--out", "kept"]) == 1, "one is refused, the other is measured"
    out, err = capsys.readouterr()
    assert "sam: slow cannot be told from chance: mse" in out
    assert "not measured: mixup." in err
    assert read("sam", tmp_path / "kept") is not None
    written = (tmp_path / "kept" / "sam.json").stat().st_mtime_ns
    assert command(["effects", "sam", "--seeds", "2", "--out", "kept"]) == 0
    assert (tmp_path / "kept" / "sam.json").stat().st_mtime_ns == written
    assert command(["effects", "sam", "--seeds", "2", "--out", "kept", "--again"]) == 0
    assert (tmp_path / "kept" / "sam.json").stat().st_mtime_ns != written
    assert command(["effects", "batch"]) == 2


def test_a_question_that_is_none_is_refused() -> None:
    assert Question.of("digits +sam --metric=sharpness --equal compute").options == {
        "metric": "sharpness",
        "equal": "compute",
    }
    for words, said in (("digits +sam --seed 3", "'seed' is no option"), ("digits --metric", "without a value")):
        with pytest.raises(UserError, match=said):
            Question.of(words)
    with pytest.raises(UserError, match="names no recipe"):
        Question.of("--metric accuracy")
    with pytest.raises(UserError, match="'batch' says no effect"):
        chosen(["batch"])


def stored(verdict: str = "hurts") -> dict[str, Any]:
    one = {"name": "sam", "metric": "accuracy", "better": "higher", "baseline": 0.9, "value": 0.88, "mean": -0.02}
    one |= {"low": -0.03, "high": -0.01, "adjusted": 0.002, "time": 2.0, "memory": None, "verdict": verdict}
    one |= {"failed": 0, "differences": [-0.03, -0.01], "seeds": [0, 1]}
    kept = {"effects": [one], "recipe": "digits", "shared": [], "seeds": 2, "first": 0, "plain": "plain", "equal": ""}
    return kept | {
        "effect": "digits +sam",
        "command": "locution compare digits +sam --seeds 2",
        "machine": "a processor (2 cores)",
        "environment": {"torch": "2.13"},
        "date": "2026-01-01",
        "seconds": 1.0,
    }


@pytest.mark.parametrize("verdict", ["helps", "hurts", "cannot tell", "differs"])
def test_a_page_says_what_came_out_whatever_it_is(verdict: str) -> None:
    term, found = find("sam"), stored(verdict)
    text = "\n".join(markdown(term, found))
    assert (
        "| sam | accuracy (higher is better) | 0.900 | 0.880 | -0.020 | [-0.030, -0.010] | 0.002 | 2.00x |  |" in text
    )
    assert f"| {verdict} |" in text
    assert "2 seeds (0 to 1)" in text
    assert "locution compare digits +sam --seeds 2" in text
    assert measured.VERDICTS[verdict] in sentences(found)[0]
    ((name, drawing),) = pictures(term, found)
    assert f"({name})" in text
    assert len(ElementTree.fromstring(drawing).findall("{http://www.w3.org/2000/svg}circle")) == 2
    assert "a processor (2 cores), torch 2.13" in conditions(found)


def test_pages_and_pictures_are_written_and_removed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "sam.json").write_text(json.dumps(stored()))
    monkeypatch.setattr("locution.vocabulary.entry.read", lambda name: read(name, tmp_path / "kept"))
    (tmp_path / "docs" / "effects").mkdir(parents=True)
    (tmp_path / "docs" / "effects" / "gone-wer.svg").write_text("<svg/>")
    count = pages.write(tmp_path / "docs")
    assert [path.name for path in (tmp_path / "docs" / "effects").iterdir()] == ["sam-accuracy.svg"]
    assert count == len(terms()) + 1, "a page a term, and the list"
    text = (tmp_path / "docs" / "sam.md").read_text()
    assert text.index("## What it is worth") < text.index("## Where")
    assert re.search(r"!\[differences of accuracy.*\]\(effects/sam-accuracy.svg\)", text)


def test_the_terminal_says_what_a_term_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sam.json").write_text(json.dumps(stored()))
    monkeypatch.setattr("locution.vocabulary.entry.read", lambda name: read(name, tmp_path))
    assert command(["term", "sam"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "worth sam hurts: accuracy 0.900 to 0.880, -0.020 [-0.030, -0.010], p 0.002" in said
    assert "measured Recipe digits, against the recipe as it is; 2 seeds" in said
    assert Entry(find("sam")).as_dict()["measured"]["effects"][0]["verdict"] == "hurts"
    (tmp_path / "sam.json").unlink()
    asked = {"sam": replace(find("sam"), effect="digits +sam")}
    monkeypatch.setattr(lookup, "terms", lambda: asked)
    assert command(["term", "sam"]) == 0
    assert "not measured yet: locution compare digits +sam" in " ".join(capsys.readouterr().out.split())
