"""Every term resolves, and says in a sentence what it is, shows an example and names its source."""

from __future__ import annotations

import re

import pytest

from locution.errors import UserError
from locution.vocabulary import lookup
from locution.vocabulary.entry import Entry, Near

TERMS = list(lookup.terms().values())


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_term_has_a_sentence_an_example_and_a_source(term: lookup.Term) -> None:
    entry = Entry(term)
    assert len(entry.definition.split()) >= 5, "the docstring's first sentence says what it is"
    assert len(entry.definition) <= 250
    assert any(example.want for example in entry.examples), "a doctest that prints something"
    assert entry.source, "a line that begins with 'Reference:'"


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_terms_example_gives_what_it_promises(term: lookup.Term) -> None:
    failed, ran, said = Entry(term).run_example()
    assert ran
    assert not failed, said


def test_every_spelling_leads_to_one_term() -> None:
    owners: dict[str, str] = {}
    for term in TERMS:
        for spelling in {lookup.plain(s) for s in (term.name, term.title, *term.aliases)}:
            assert owners.setdefault(spelling, term.name) == term.name, spelling


def test_no_entry_hides_another_of_the_same_name() -> None:
    listed = re.findall(r"^(\w+):", lookup.TERMS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(lookup.terms())


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("evidence lower bound", "elbo"),
        ("Generative Adversarial Network", "gan"),
        ("Fréchet distance", "frechet_distance"),
        ("evidence", "marginal_likelihood"),
        ("KV cache", "key_value_cache"),
        ("hidden state", "recurrent"),
        ("cell state", "lstm"),
        ("Sobel", "edge_detection"),
        ("feature map", "filter"),
        ("hinge loss", "hinge_gan"),
    ],
)
def test_what_people_say_leads_to_the_term(said: str, name: str) -> None:
    assert lookup.find(said).name == name


def test_a_misspelt_term_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'batch'"):
        lookup.find("bacth")


def test_a_part_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match="'batch' is no method"):
        lookup.part("method", "batch")


@pytest.mark.parametrize(
    ("want", "got", "same"),
    [("0.66\n", "0.6667\n", True), ("0.66\n", "0.71\n", False), ("1\n", "2\n", False), ("-1.50\n", "-1.495\n", True)],
)
def test_numbers_are_compared_to_the_digits_promised(want: str, got: str, same: bool) -> None:
    assert Near().check_output(want, got, 0) is same
