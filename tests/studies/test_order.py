"""The plan of a recipe: who acts where and in which order, and what excludes what, for every method there is."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from locution.cli import run as command
from locution.engine.method import SEAMS, Method, ordered, seams
from locution.studies.order import WHEN, acting, excluded, lines, planned
from locution.vocabulary.lookup import names, part

METHODS = names("method")


def buildable(name: str) -> Method | None:
    """The method as its defaults make it, where they do."""
    kind: type[Method] = part("method", name)
    try:
        return kind()
    except Exception:  # a teacher must be named, or the like
        return None


@pytest.mark.parametrize("name", [name for name in METHODS if buildable(name) is not None])
def test_every_method_can_be_planned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned("digits", [f"+{name}"])
    (one,) = found["methods"]
    kind = part("method", name)
    assert one["seams"] == list(seams(kind))
    assert set(found["seams"]) == set(seams(kind))
    assert set(one["settings"]) <= {field.name for field in fields(kind)}
    said = dict(lines(found))
    assert all(said[seam].startswith(f"{name}   (") for seam in found["seams"])
    assert command(["plan", "digits", f"+{name}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"][0]["name"] == name


def test_the_order_is_the_engines_own_whatever_was_typed() -> None:
    typed = ["+lookahead", "+sam", "+one_cycle", "+averaging"]
    found, other = planned("digits", typed), planned("digits", typed[::-1])
    assert found == other
    listed = [one["name"] for one in found["methods"]]
    assert listed == [method.name for method in ordered(part("method", name)() for name in listed)]
    wrapped = found["seams"]["optimizer"]
    assert wrapped.index("sam") < wrapped.index("lookahead") < wrapped.index("one_cycle")
    assert dict(lines(found))["optimizer"].startswith(f"{' in '.join(wrapped)}   (")


def test_an_estimator_is_planned_by_its_settings_and_without_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["plan", "digits/neighbours", "estimator.neighbours=3"]) == 0
    said = capsys.readouterr().out
    assert "estimation, no gradients" in said
    assert "nearest_neighbours neighbours=3" in said
    assert "None" not in said


def test_each_side_of_a_pair_names_the_other() -> None:
    pairs = {(name, other) for name in METHODS for other in excluded(name)}
    assert pairs
    assert pairs == {(other, name) for name, other in pairs}
    assert all(mend for name in METHODS for mend in excluded(name).values())


def test_a_pair_that_excludes_itself_is_refused_with_the_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["plan", "digits", "+one_cycle", "+trapezoid"]) == 2
    said = capsys.readouterr().err
    assert "'one_cycle' and 'trapezoid' cannot be combined; " in said
    assert said.count("\n") == 1
    assert command(["plan", "digits", "+samm"]) == 2
    assert "Did you mean 'sam'" in capsys.readouterr().err


def test_the_parts_and_the_budget_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["plan", "digits", "steps=7", "+sam"]) == 0
    said = capsys.readouterr().out
    for line in ("task", "classification, 7 steps", "digits batch_size=32", "adamw lr=0.002", "+sam", "rho=0.05"):
        assert line in said
    assert command(["plan", "line"]) == 0
    assert "regression, 1000 steps" in capsys.readouterr().out


def test_what_compares_whole_batches_says_so() -> None:
    whole = [name for name in METHODS if part("method", name).whole_batch]
    for name in whole:
        assert ("  not with", "accumulate, or several processes: it compares whole batches") in lines(
            planned("digits", [f"+{name}"])
        )


def test_every_seam_has_its_words() -> None:
    assert tuple(WHEN) == SEAMS
    assert acting.__doc__
