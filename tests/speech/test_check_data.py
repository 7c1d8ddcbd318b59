"""Checking data: each kind of problem is found where it was put, nothing else is, and nothing is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch import nn

from locution.cli import run
from locution.errors import UserError
from locution.speech.audio import AudioError
from locution.speech.check_data import check_clips, check_data, usable
from locution.speech.data_parts import SpeechData
from locution.speech.encode import frames_of_files
from locution.speech.findings import PROBLEMS, Heard, about_splits
from locution.speech.labels import markers, probable_rates
from locution.speech.manifest import Clip, read_manifest
from locution.speech.sources import read_source

HARM = {
    "gone": "missing",
    "broken": "broken",
    "cut": "broken",
    "nothing": "broken",
    "slow": "rate",
    "still": "silent",
    "long": "long",
    "unsaid": "empty",
    "laugh": "marker",
    "fast": "speed",
    "twin": "duplicate",
    "echo": "repeated",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty good clips, and one of each kind of harm."""
    home = tmp_path_factory.mktemp("own")
    draw = np.random.default_rng(0)
    entries = []

    def clip(name: str, text: str, speaker: str, split: str, seconds: float = 1.0, rate: int = 16000) -> Path:
        entries.append({"file": f"{name}.wav", "sentence": text, "speaker": speaker, "split": split})
        soundfile.write(home / f"{name}.wav", 0.1 * draw.standard_normal(int(seconds * rate)), rate)
        return home / f"{name}.wav"

    for number in range(30):
        split = ("train", "train", "train", "dev", "test")[number % 5]
        clip(f"good{number:02d}", f"this is number {number}", f"{split} {number % 3}", split)
    clip("gone", "hello all of you", "a", "train").unlink()
    clip("broken", "hello all of you", "b", "train").write_bytes(b"RIFF....WAVE and nothing")
    cut = clip("cut", "hello all of you", "c", "train")
    cut.write_bytes(cut.read_bytes()[:9000])
    clip("nothing", "hello all of you", "d", "train").write_bytes(b"")
    clip("slow", "hello all of you", "e", "train", rate=500)
    soundfile.write(clip("still", "hello all of you", "f", "train"), np.zeros(16000), 16000)
    clip("long", "word " * 100, "g", "train", seconds=30.5)
    clip("unsaid", " ... ", "h", "train")
    clip("laugh", "well [laughter] all of you", "i", "train")
    clip("fast", "word " * 30, "j", "train")
    soundfile.write(home / "twin.flac", soundfile.read(home / "good04.wav", dtype="int16")[0], 16000)
    clip("twin", "another text", "k", "train").unlink()
    entries[-1]["file"] = "twin.flac"
    clip("echo", "This is number 4!", "test 1", "dev")
    (home / "list.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries) + "{ broken line\n")
    return home


def test_each_harm_is_found_and_nothing_else(folder: Path) -> None:
    checked = check_data(str(folder / "list.jsonl"))
    found = {checked.clips[one.row].path.stem: one.problem for one in checked.findings}
    assert found == HARM
    assert len(checked.findings) == len(HARM)
    assert checked.counts() == {problem: list(HARM.values()).count(problem) or 1 for problem in PROBLEMS}
    assert len(checked.clean()) == 30
    assert all(clip.seconds == pytest.approx(1.0) for clip in checked.clean())


def test_the_table_the_clean_manifest_and_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clean.jsonl"
    assert run(["check-data", str(folder), "--clean", str(out)]) == 1
    printed = capsys.readouterr()
    for stem, problem in HARM.items():
        assert any(line.startswith(f"{problem}: ") and stem in line for line in printed.out.splitlines())
    assert "line: line 43: " in printed.out
    assert "30 clips in" in printed.out
    assert "checking" in printed.err
    rest = [json.loads(line) for line in (tmp_path / "clean.left_out.jsonl").read_text().splitlines()]
    assert len(rest) == len(HARM) + 1
    assert all(one["why"] for one in rest)
    assert {Path(one["path"]).stem for one in rest if "path" in one} == set(HARM)
    kept = read_manifest(out)
    assert [clip.path.stem for clip in kept] == [f"good{number:02d}" for number in range(30)]
    assert {clip.split for clip in kept} == {"train", "dev", "test"}
    assert run(["check-data", str(out), "--quiet"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_training_stops_and_names_the_check_or_goes_on_and_says_what_is_left_out(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        SpeechData(path=str(folder)).clips()
    told = str(caught.value)
    assert "\n" not in told
    named = ("gone.wav", "data.allow_missing=true", f"locution check-data {folder}")
    for said in ("10 of 43 clips have problems", *named):
        assert said in told, told
    lines: list[str] = []
    parts = SpeechData(path=str(folder), allow_missing=True).clips(say=lines.append)
    stems = {clip.path.stem for clips in parts.values() for clip in clips}
    unseen = {"still", "twin"}  # only decoding tells
    assert stems == {f"good{number:02d}" for number in range(30)} | (stems & unseen)
    assert "the splits are those of the data: train " in lines[1]
    assert "longer than 30 s (1: long.wav)" in lines[2]
    assert "sound file is missing (1: gone.wav)" in lines[2]


def test_long_clips_alone_do_not_stop_training_and_are_said(folder: Path, tmp_path: Path) -> None:
    good = {"good00": "train", "good03": "dev", "good04": "test"}
    entries = [{"path": str(folder / f"{stem}.wav"), "text": "one two", "split": split} for stem, split in good.items()]
    entries.append(
        {"path": str(folder / "long.wav"), "text": "a", "split": "train"}
    )  # too slow as well, but out anyway
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries)))
    lines: list[str] = []
    parts = SpeechData(path=str(tmp_path)).clips(say=lines.append)
    assert {split: [clip.path.stem for clip in clips] for split, clips in parts.items()} == {
        "train": ["good00"], "dev": ["good03"], "test": ["good04"],
    }  # fmt: skip
    assert "longer than 30 s (1: long.wav)" in lines[-1]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, entries[1:])))
    with pytest.raises(UserError, match="no clip is of the split 'train'"):
        SpeechData(path=str(tmp_path)).clips(say=lines.append)


def test_the_clean_file_never_takes_the_place_of_the_data(folder: Path, tmp_path: Path) -> None:
    before = (folder / "list.jsonl").read_bytes()
    for out in (folder / "list.jsonl", tmp_path / "clean.csv"):
        with pytest.raises(UserError, match="--clean is"):
            check_data(str(folder), str(out))
    with pytest.raises(UserError, match="is streamed and cannot be checked"):
        check_data("hf:a/b")
    assert (folder / "list.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[laughter] so <unk> {breath} ♪", ["[laughter]", "<unk>", "{breath}", "♪"]),
        ("(inaudible) and (background noise) *cough*", ["(inaudible)", "(background noise)", "*cough*"]),
        ("he (the man) said 2 * 3 * 4 (no kidding, really)", []),
        ("ignore_time_segment_in_scoring", ["ignore_time_segment_in_scoring"]),
        ("a < b and c > d", ["< b and c >"]),
        ("(((((" * 2000 + "no " * 2000, []),
    ],
)
def test_markers(text: str, found: list[str]) -> None:
    assert markers(text) == found


def test_rates_are_robust_and_bounded() -> None:
    draw = random.Random(0)
    usual = [draw.lognormvariate(2.7, 0.25) for _ in range(5000)]
    low, high = probable_rates(usual)
    assert low == pytest.approx(np.exp(2.7 - 6 * 0.25), rel=0.1)
    assert high == 40.0
    harmed = probable_rates(usual + [0.6] * 300 + [500.0] * 300)
    assert harmed[0] == pytest.approx(low, rel=0.25)
    assert all(harmed[0] <= rate <= harmed[1] for rate in usual)
    assert probable_rates([5.0] * 19) == (0.5, 40.0)
    assert probable_rates([0.7] * 50)[0] == 0.5


def test_of_doubles_the_one_to_judge_by_is_kept() -> None:
    names = [("a", "train"), ("a", "dev"), ("a", "test"), ("b", "train"), ("b", "train"), ("c", "dev"), ("c", "train")]
    clips = [Clip(Path(f"{row}.wav"), "", split=split) for row, (_, split) in enumerate(names)]
    found = about_splits(clips, [Heard(1.0, name) for name, _ in names])
    assert [(one.row, one.problem) for one in found] == [(0, "duplicate"), (1, "duplicate"), (6, "duplicate")]
    twice = [Clip(Path(f"{split}.wav"), "hello", "ann", split=split) for split in ("test", "train")]
    assert [(one.row, one.problem) for one in about_splits(twice, [Heard(1.0, "x")] * 2)] == [(1, "duplicate")]


def test_damaged_files_are_findings_never_a_crash(tmp_path: Path) -> None:
    good = tmp_path / "good"
    for ending in ("wav", "flac", "ogg", "aiff"):
        soundfile.write(f"{good}.{ending}", 0.1 * np.sin(np.arange(4000) / 5), 16000)
    draw, clips = random.Random(1), []
    for number in range(60):
        ending = draw.choice(("wav", "flac", "ogg", "aiff"))
        data = bytearray(Path(f"{good}.{ending}").read_bytes())
        for _ in range(draw.randint(1, 20)):
            data[draw.randrange(min(len(data), 200 if number % 2 else len(data)))] = draw.randrange(256)
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(data[: draw.randrange(1, len(data))] if number % 3 else data)
        clips.append(Clip(path, "hello you"))
    (tmp_path / "folder.wav").mkdir()
    checked = check_clips(type(read_source_of(good))((*clips, Clip(tmp_path / "folder.wav", "hello you")), "fuzz"))
    assert {one.problem for one in checked.findings} <= set(PROBLEMS)
    assert checked.counts()["broken"] > 30
    assert all("\n" not in one.why for one in checked.findings)


def read_source_of(good: Path) -> object:
    good.with_suffix(".txt").write_text("hello")
    return read_source(good.parent)


def test_damage_that_only_hearing_finds_names_the_check_too(tmp_path: Path, tiny_encoder: nn.Module) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(AudioError, match=r"a\.flac: is .* locution check-data lists every such file"):
        frames_of_files(tiny_encoder, [path], [1.0], folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_usable_names_the_command_for_odd_lines(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(16000) / 5), 16000)
    (tmp_path / "list.csv").write_text("path,text\na.wav,hello there\na.wav\n")
    with pytest.raises(
        UserError, match=r"1 of 2 clips have problems: line that cannot be read \(1: line 3: has 1 fields"
    ):
        usable(str(tmp_path), read_source(tmp_path), go_on=False, told=None, say=print)
