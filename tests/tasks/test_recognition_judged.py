"""What is said of a judgement: figures of each test set, tables, the report, and two runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from locution import cli
from locution.errors import LocutionError, UserError
from locution.reporting.report import write_report
from locution.reporting.results import RunResults, Utterance
from locution.reporting.stored import FILE, read_utterances, write_utterances
from locution.reporting.tables import print_difference
from locution.runs import Run
from locution.speech.audio import write_flac
from locution.speech.generate import Written
from locution.speech.hallucination import Hallucinations
from locution.speech.judge import Judgement
from locution.speech.manifest import Clip
from locution.speech.normalise import normalise
from locution.speech.wer import error_table, rate_of, word_error_rate
from locution.tasks import recognition_judged
from locution.tasks.against import against

SAID = ["Set it to forty.", "turn it off", "call me at seven", "the puppy chewed", "it rained", "Don't go"]
ANSWERS = [
    Written("set it to fourteen", "end", 4, 0.9),
    Written("turn it off", "end", 3, 0.99),
    Written("call me at", "limit", 3, 0.4),
    Written("the poppy chewed chewed", "loop", 4, 0.5),
    Written("it reigned", "end", 2, 0.7),
    Written("don't go", "end", 2, 0.95),
]
HEARD = ["set it to forty", "turn it", "call me at seven", "the puppy", "it rained", "dont go"]


def judgement() -> Judgement:
    said, written = [normalise(text) for text in SAID], [normalise(one.text) for one in ANSWERS]
    speakers = ["ann", "bob"] * 3
    rates = [rate_of(error_table(said, texts), speakers=speakers) for texts in (written, HEARD)]
    control = word_error_rate(said, ["nothing"] * 6)
    return Judgement(rates[0], rates[1], control, tuple(said), tuple(written), tuple(ANSWERS), tuple(HEARD))


def clips(folder: Path) -> list[Clip]:
    groups = ["commands"] * 3 + ["everyday 10 dB"] * 3
    found = []
    for row, (text, group) in enumerate(zip(SAID, groups, strict=True)):
        path = folder / f"{row}.flac"
        write_flac(path, (0.1 * np.random.default_rng(row).standard_normal(16000)).astype(np.float32))
        found.append(Clip(path, text, ["ann", "bob"][row % 2], 1.0 + row, "test", group))
    return found


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunResults:
    made_up = Written("<b>thank you</b>", "end", 2, 0.3)
    unspoken = {"noise": [made_up, Written("", "end", 0, 0.9)], "silence": [Written("", "end", 0, 0.9)]}
    monkeypatch.setattr(recognition_judged, "judge", lambda *_, **__: judgement())
    monkeypatch.setattr(
        recognition_judged,
        "hallucinations",
        lambda _, sound, **__: Hallucinations(sound, tuple(unspoken[sound]), (made_up, made_up)),
    )
    recipe: Any = SimpleNamespace(name="speech", describe="hears", precision="fp32", model={"encoder": "whisper"})
    job: Any = SimpleNamespace(data={"test": clips(tmp_path)})
    model: Any = SimpleNamespace(encoder=object())
    frames: Any = []
    return recognition_judged.judged(recipe, job, model, frames)


def test_every_test_set_has_its_figure_beside_the_encoder_alone(results: RunResults) -> None:
    values = {metric.name: metric.value for metric in results.metrics}
    assert values["wer"] == pytest.approx(2 / 11)  # forty, and seven: of 4 + 3 + 4 words
    assert values["encoder_wer"] == pytest.approx(1 / 11)
    assert values["wer/everyday 10 dB"] == pytest.approx(3 / 7)  # puppy, chewed twice, rained
    assert values["encoder_wer/everyday 10 dB"] == pytest.approx(2 / 7)
    assert results.metrics[0].name == "wer"
    assert "by speaker [" in results.metrics[0].note
    assert values["raw_wer"] == pytest.approx(3 / 11)  # Set and forty. are others, as written; off is right
    assert values["whisper_english_wer"] == pytest.approx(2 / 11)
    assert values["text_only_wer"] == 1.0
    assert len({metric.name for metric in results.metrics}) == len(results.metrics)


def test_made_up_text_loops_and_confidence_are_figures(results: RunResults) -> None:
    values = {metric.name: (metric.value, metric.note) for metric in results.metrics}
    assert values["hallucination_noise"] == (0.5, "1 of 2")
    assert values["hallucination_silence"] == (0.0, "0 of 1")
    assert values["hallucination_noise_ungated"] == (1.0, "2 of 2")
    assert values["loop_rate"] == (pytest.approx(1 / 6), "1 of 6")
    assert values["cut_off_rate"] == (pytest.approx(1 / 6), "1 of 6")
    sure = [0.9**5, 0.99**4, 0.4**3, 0.5**4, 0.7**3, 0.95**3]
    right = [0, 1, 0, 0, 0, 1]
    places = [int(10 * one) for one in sure]
    expected = 0.0
    for place in set(places):
        inside = [row for row in range(6) if places[row] == place]
        expected += abs(sum(sure[row] - right[row] for row in inside)) / 6
    assert values["calibration_error"][0] == pytest.approx(expected)


def test_the_tables_say_which_words(results: RunResults) -> None:
    assert results.speech is not None
    tables = {table.title: table for table in (*results.speech.words, *results.speech.conditions)}
    assert ("forty", "fourteen", 1) in tables["Taken for another word"].rows
    assert tables["Numbers taken for numbers"].rows == [("forty", "fourteen", 1)]
    assert ("rained", "reigned", 1) in tables["Sounds the same"].rows or not tables["Sounds the same"].rows
    assert tables["Lost"].rows == [("seven", 1, 1)]
    assert [row[0] for row in tables["By test set"].rows] == ["commands", "everyday 10 dB"]
    assert [row[0] for row in tables["By length"].rows] == ["under 2 s", "2 to 4 s", "4 to 8 s"]
    kinds = {one.name: (one.words, one.taken, one.lost, one.made_up) for one in results.speech.kinds}
    assert kinds == {"commands": (11, 1, 1, 0), "everyday 10 dB": (7, 2, 0, 1)}


def test_the_report_shows_it_all_and_obeys_nothing(results: RunResults, tmp_path: Path) -> None:
    page = write_report(tmp_path, results).read_text(encoding="utf-8")
    for anchor in ("conditions", "words", "confidence", "failures", "utterances"):
        assert f'<section id="{anchor}">' in page
    assert "<b>thank you</b>" not in page
    assert "&lt;b&gt;thank you&lt;/b&gt;" in page
    assert "Reliability" in page
    assert "% sure" in page


def test_without_groups_an_encoder_head_or_seconds_less_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = judgement()
    bare = Judgement(found.wer, None, found.text_only, found.said, found.written, found.answers)
    monkeypatch.setattr(recognition_judged, "judge", lambda *_, **__: bare)
    plain = [Clip(clip.path, clip.text) for clip in clips(tmp_path)]
    recipe: Any = SimpleNamespace(name="speech", describe="hears", precision="fp32", model={})
    job: Any = SimpleNamespace(data={"test": plain})
    model: Any = SimpleNamespace(encoder=None)
    frames: Any = []
    results = recognition_judged.judged(recipe, job, model, frames)
    names = [metric.name for metric in results.metrics]
    assert names[:2] == ["wer", "text_only_wer"]
    assert not any(name.startswith(("encoder", "hallucination")) for name in names)
    assert results.speech is not None
    assert [one.name for one in results.speech.kinds] == ["all"]
    assert [len(table.rows) for table in results.speech.conditions] == [1, 0, 0]
    assert write_report(tmp_path, results).is_file()


def kept(folder: Path, written: list[str], **changes: str) -> Run:
    """Write a run folder that has just been judged."""
    folder.mkdir()
    groups = ["commands", "commands", "everyday", "everyday"]
    said = ["one two", "three four", "five six", "seven eight"]
    utterances = [
        Utterance(f"{row}.flac", said[row], text, None, 1.0, changes.get("group", groups[row]), f"s{row % 2}")
        for row, text in enumerate(written)
    ]
    write_utterances(folder, utterances)
    (folder / "recipe.yaml").write_text(json.dumps({"name": "speech"}))
    recipe: Any = SimpleNamespace(name="speech")
    return Run(folder, recipe)


def test_two_runs_are_compared_on_each_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = kept(tmp_path / "one", ["one two", "three four", "five six", "seven"])
    other = kept(tmp_path / "other", ["one two", "three for", "five six", "seven eight"])
    values = {metric.name: metric.value for metric in against(one.folder, other.folder).metrics}
    assert values == {
        "wer/commands": 0.0,
        "other_wer/commands": 0.25,
        "difference/commands": -0.25,
        "wer/everyday": 0.25,
        "other_wer/everyday": 0.0,
        "difference/everyday": 0.25,
    }
    one.show_difference(other)
    said = capsys.readouterr().out
    assert "not known" in said
    assert "-1" in said
    assert "three for" in said
    one.show_difference(other, as_json=True)
    assert json.loads(capsys.readouterr().out)["metrics"]["difference/commands"]["value"] == -0.25


def test_a_clear_difference_names_the_better_run(tmp_path: Path) -> None:
    said = [f"word{row} two three" for row in range(60)]
    for name, ending in (("one", "two three"), ("other", "two")):
        (tmp_path / name).mkdir()
        rows = [Utterance(f"{row}", text, f"word{row} {ending}") for row, text in enumerate(said)]
        write_utterances(tmp_path / name, rows[::-1] if name == "one" else rows)  # the order does not matter
    assert against(tmp_path / "one", tmp_path / "other").notes == [
        "the first run is better, by 0.333 in word error rate."
    ]
    assert against(tmp_path / "other", tmp_path / "one").notes == [
        "the other run is better, by 0.333 in word error rate."
    ]


def test_other_test_sets_and_missing_or_damaged_utterances_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = kept(tmp_path / "one", ["a", "b", "c", "d"])
    other = kept(tmp_path / "other", ["a", "b", "c"])
    with pytest.raises(UserError, match=r"on 4 utterances and .* on 3, of which 3 are the same; allowed: two runs"):
        against(one.folder, other.folder)
    with pytest.raises(UserError, match="of which 0 are the same"):
        against(one.folder, kept(tmp_path / "third", ["a", "b", "c", "d"], group="else").folder)
    newer = '{"name": "a", "reference": "b", "hypothesis": "c", "mood": "good"}'
    (other.folder / FILE).write_text(newer + "\n")
    assert read_utterances(other.folder) == [Utterance("a", "b", "c")]  # what a later version adds is passed over
    for line in ('{"name": "a"}', "[1]", "{", '{"name": 1, "reference": "a", "hypothesis": "b"}'):
        (other.folder / FILE).write_text(line + "\n")
        with pytest.raises(LocutionError, match=r"utterances\.jsonl is damaged in line 1"):
            read_utterances(other.folder)
    (other.folder / FILE).unlink()
    with pytest.raises(UserError, match="keeps no utterances"):
        against(one.folder, other.folder)
    assert cli.run(["evaluate", str(tmp_path / "one"), "--against", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_difference_is_printed_as_text_whatever_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, written in (("one", "\x1b[31mred [bold]"), ("other", "a")):
        (tmp_path / name).mkdir()
        write_utterances(tmp_path / name, [Utterance("u", "a", written)])
    print_difference(against(tmp_path / "one", tmp_path / "other"))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[bold]" in said
