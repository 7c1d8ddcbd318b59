"""The card: Markdown that says what the run is, in which nothing from outside is an order."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from locution.errors import UserError
from locution.reporting.card import escape, write_card
from locution.reporting.results import Confusion, Cost, MethodUsed, Metric, RunResults

markdown = pytest.importorskip("markdown_it")

ODD = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "| a | b |",
    "`code` ```fence",
    "**bold** _it_ ~~gone~~",
    "# heading",
    "- item",
    "+ item",
    "1. one",
    "12) twelve",
    "> quoted",
    "&lt;b&gt; &#60;",
    "$x^2$",
    "a\n\n---\n\nb",
    "```\nfence\n```",
    "line\\",
    "    indented",
    "\x1b[31m \u202e \ud800",
)


def full(word: str) -> RunResults:
    return RunResults(
        title=word,
        summary=word,
        metrics=[Metric("wer", 0.1, 0.05, 0.2, label=word, note=word)],
        warnings=[word],
        notes=[word],
        limits=[word],
        cost=Cost(10.0, peak_memory=1e9, steps=10, parameters_trained=10, parameters_frozen=5, device=word),
        methods=[MethodUsed(word, word, {word: word})],
        data={word: word},
        recipe={word: word, "task": word},
        environment={word: word},
    )


def kinds(text: str) -> list[str]:
    """List the elements that a reader of Markdown would make of a card, without its front matter."""
    body = text.split("\n---\n", 1)[1]
    tokens = markdown.MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(body)
    return [inner.type for token in tokens for inner in (token, *(token.children or []))]


@pytest.mark.parametrize("odd", ODD)
def test_nothing_from_outside_is_an_order(odd: str, tmp_path: Path) -> None:
    innocent = write_card(tmp_path / "innocent", full("word")).read_text(encoding="utf-8")
    text = write_card(tmp_path / "odd", full(odd)).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "locution"

    def marked(card: str) -> list[str]:
        return [kind for kind in kinds(card) if kind not in ("text", "softbreak", "text_special")]

    assert marked(text) == marked(innocent)


@pytest.mark.parametrize("odd", ODD)
def test_what_is_escaped_is_shown_as_it_was(odd: str) -> None:
    tokens = markdown.MarkdownIt("commonmark").parse(escape(odd))
    shown = "".join(inner.content for token in tokens for inner in (token.children or []))
    assert shown == " ".join(odd.replace("\x1b", "\ufffd").replace("\ud800", "\ufffd").split())


def test_the_card_says_how_good_the_model_is_and_where_it_fails(tmp_path: Path) -> None:
    path = write_card(tmp_path, full("word"))
    text = path.read_text(encoding="utf-8")
    assert path.name == "README.md"
    assert "| word | 0.100 | \\[0.050, 0.200\\] | word |" in text
    assert text.index("## Limits") < text.index("## Recipe")
    bare = write_card(tmp_path / "bare", RunResults("bare")).read_text(encoding="utf-8")
    assert "judge it on your own data" in bare  # it does not pretend to have no limits
    assert "## Recipe" not in bare


def test_results_are_checked_where_they_are_made() -> None:
    with pytest.raises(UserError, match=r"wer\.better is 'up'; allowed: lower or higher"):
        Metric("wer", 0.1, better="up")
    with pytest.raises(UserError, match=r"the confusion matrix is \(1, 2\) for 2 labels"):
        Confusion(["a", "b"], [[1, 2]])
    metric = Metric("wer", 0.1, 0.05, 0.2)
    assert RunResults("x", metrics=[metric]).as_json() == {"metrics": {"wer": {"value": 0.1, "low": 0.05, "high": 0.2}}}
