"""The pages are what the code says, and their examples run as they stand on the page."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from locution.vocabulary import lookup
from locution.vocabulary.entry import FLAGS, Entry, Near
from locution.vocabulary.pages import pages, write

DOCS = Path(__file__).parents[2] / "docs" / "vocabulary"


def test_the_pages_are_up_to_date() -> None:
    stale = [
        name for name, text in pages(DOCS) if not (DOCS / name).is_file() or (DOCS / name).read_text("utf-8") != text
    ]
    gone = {path.name for path in DOCS.glob("*.md")} - {name for name, _ in pages()}
    assert not stale, "run: make pages"
    assert not gone, "run: make pages"


@pytest.mark.parametrize("term", list(lookup.terms().values()), ids=lambda term: term.name)
def test_the_example_on_the_page_runs(term: lookup.Term) -> None:
    text = dict(pages())[f"{term.name}.md"].replace("```", "\n\n")
    names = dict(vars(__import__(term.code.partition(":")[0], fromlist=["_"])))
    test = doctest.DocTestParser().get_doctest(text, names, term.name, None, 0)
    runner = doctest.DocTestRunner(Near(), optionflags=FLAGS)
    assert runner.run(test).attempted == len(Entry(term).examples)
    assert runner.failures == 0


def test_pages_of_terms_that_are_gone_are_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("old")
    assert write(tmp_path) == len(list(tmp_path.glob("*.md")))
    assert not (tmp_path / "gone.md").exists()
