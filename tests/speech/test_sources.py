"""Own data in every form: found, told apart, split; what cannot be is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from locution.errors import UserError
from locution.speech.manifest import Clip
from locution.speech.sources import read_source
from locution.speech.splits import SPLITS, divided


def sound(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(16000 * seconds)), 16000)
    return path


def facts(where: Path) -> list[tuple[str, str, str, str]]:
    return [(clip.path.name, clip.text, clip.speaker, clip.split) for clip in read_source(where).clips]


def test_a_text_beside_each_recording_and_folders_that_name_splits(tmp_path: Path) -> None:
    for name in ("train/a", "train/deep/b", "test-clean/c"):
        sound(tmp_path / f"{name}.wav").with_suffix(".txt").write_text(f"this is\n {name[-1]} \n")
    sound(tmp_path / "train/unsaid.flac")
    (tmp_path / "train/unheard.txt").write_text("nobody")
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / ".hidden.wav").write_bytes(b"")
    assert sorted(facts(tmp_path)) == [
        ("a.wav", "this is a", "", "train"),
        ("b.wav", "this is b", "", "train"),
        ("c.wav", "this is c", "", "test"),
        ("unheard.wav", "nobody", "", "train"),
        ("unsaid.flac", "", "", "train"),
    ]


@pytest.mark.parametrize(
    "line", ["a.wav\thello there", "a hello there", "a|Hello 2|hello there", "wavs/a.wav|hello there"]
)
def test_one_list_of_transcripts(tmp_path: Path, line: str) -> None:
    place = sound(tmp_path / "wavs" / "a.wav")
    sound(tmp_path / "wavs" / "b.wav")
    (tmp_path / "transcripts.txt").write_text(f"{line}\n\nlost gone away\n{line}\n", encoding="utf-8-sig")
    found = read_source(tmp_path)
    texts = {clip.path: clip.text for clip in found.clips}
    assert texts == {place: "hello there", tmp_path / "lost": "gone away", place.with_name("b.wav"): ""}
    assert len(found.wrong) == 1
    assert "again" in found.wrong[0]


def test_lj_speech_has_a_list_that_is_called_a_table(tmp_path: Path) -> None:
    sound(tmp_path / "wavs" / "LJ001-0001.wav")
    (tmp_path / "metadata.csv").write_text('LJ001-0001|In 1455, "printing"|in fourteen fifty five "printing"\n')
    assert facts(tmp_path) == [("LJ001-0001.wav", 'in fourteen fifty five "printing"', "", "")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_are_sniffed(tmp_path: Path, delimiter: str) -> None:
    sound(tmp_path / "a.wav")
    rows = [["Speaker_ID", "FILE", "age", "Sentence", "Subset"], ["ann", "a", "7", "yes", "validation"], ["bob", "a"]]
    path = tmp_path / ("t.tsv" if delimiter == "\t" else "t.csv")
    path.write_text("".join(delimiter.join(row) + "\r\n" for row in rows))
    found = read_source(path)
    assert facts(path) == [("a.wav", "yes", "ann", "dev")]
    assert found.wrong == ("line 3: has 2 fields; allowed: 5, as the first line has",)


def test_common_voice_has_tables_named_after_splits_and_bare_quotes(tmp_path: Path) -> None:
    sound(tmp_path / "clips" / "x.mp3.wav")
    for split in ("train", "dev", "test", "invalidated"):
        lines = f'client_id\tpath\tsentence\nu{split}\tx.mp3.wav\t"Stop, he said\n'
        (tmp_path / f"{split}.tsv").write_text(lines)
    assert facts(tmp_path) == [("x.mp3.wav", '"Stop, he said', f"u{one}", one) for one in ("dev", "test", "train")]
    assert all(clip.path.is_file() for clip in read_source(tmp_path).clips)


def test_json_lines_of_nemo_and_of_our_own(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    entries = [
        {"audio_filepath": "a.wav", "text": "one", "duration": 0.1},
        {"audio_filepath": "a.wav", "text": "cut", "offset": 1.5},
        {"audio_filepath": "a.wav", "text": None},
        {"audio_filepath": "a.wav", "text": "x", "duration": "long"},
        ["a.wav"],
        {"audio_filepath": "a.wav", "txt": "x"},
        {"path": "a.wav", "sentence": "other names", "speaker": 7, "group": "g"},
    ]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)) + "\n{\n" + "[" * 100_000 + "\n")
    found = read_source(path)
    assert [(clip.text, clip.seconds, clip.speaker, clip.group) for clip in found.clips] == [
        ("one", 0.1, "", ""),
        ("other names", 0.0, "7", "g"),
    ]
    told = " ".join(found.wrong)
    for said in (
        "line 2: offset",
        "line 3: text is None",
        "line 4: duration is 'long'",
        "line 5: is list",
        "line 6: no column says what is said",
        "line 8",
        "line 9",
    ):
        assert said in told


def test_librispeech(tmp_path: Path) -> None:
    for split, speaker in (("train-clean-100", "19"), ("dev-other", "84"), ("test-clean", "61")):
        chapter = tmp_path / "LibriSpeech" / split / speaker / "198"
        for number in (0, 1):
            sound(chapter / f"{speaker}-198-000{number}.flac")
        lines = f"{speaker}-198-0000 AH WELL\n{speaker}-198-0009 GONE\n{speaker}-198-0000 TWICE\n"
        (chapter / f"{speaker}-198.trans.txt").write_text(lines)
    found = read_source(tmp_path)
    assert [(c.path.name, c.text, c.speaker, c.split, c.group) for c in found.clips if c.split == "dev"] == [
        ("84-198-0000.flac", "AH WELL", "84", "dev", "dev-other"),
        ("84-198-0009.flac", "GONE", "84", "dev", "dev-other"),
        ("84-198-0001.flac", "", "84", "dev", "dev-other"),
    ]
    assert {clip.split for clip in found.clips} == set(SPLITS)
    assert len(found.wrong) == 3
    alone = read_source(tmp_path / "LibriSpeech" / "test-clean")
    assert {clip.split for clip in alone.clips} == {"test"}


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("wave,words\na.wav,b\n")
    (tmp_path / "latin.csv").write_bytes("path,text\na.wav,caf\xe9\n".encode("latin-1"))
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "picture.png").write_bytes(b"")
    sound(tmp_path / "bare" / "a.wav")
    for table in ("one.csv", "two.csv"):
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / table).write_text("path,text\n")
    for name, said in (
        ("nowhere", "there is no .*nowhere; allowed"),
        ("empty", "holds no recordings"),
        ("bad.csv", r"no column says which file it is; it has wave.*allowed: path"),
        ("latin.csv", "byte 19 is not UTF-8"),
        ("none.jsonl", "lists nothing"),
        ("picture.png", "is no list of recordings"),
        ("bare", "came without a transcript"),
        ("many", "holds 2 tables"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            read_source(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_splits_keep_speakers_apart_and_stay_the_same() -> None:
    clips = [Clip(Path(f"{n}.wav"), f"text {n}", f"s{n % 30}") for n in range(600)]
    parts, said = divided(clips)
    owners = {split: {clip.speaker for clip in parts if clip.split == split} for split in SPLITS}
    assert sum(map(len, owners.values())) == 30
    shares = {split: sum(clip.split == split for clip in parts) / 600 for split in SPLITS}
    assert shares["dev"] == pytest.approx(0.1, abs=0.04)
    assert shares["test"] == pytest.approx(0.1, abs=0.04)
    assert said.endswith("by speaker")
    again = {clip.path: clip.split for clip in divided(clips[::-1])[0]}
    assert all(again[clip.path] == clip.split for clip in parts)


def test_splits_without_speakers_keep_equal_texts_together() -> None:
    clips = [Clip(Path(f"{n}.wav"), f"Text {n % 50}!", "one" if n % 2 else "") for n in range(100)]
    parts, said = divided(clips)
    assert said.endswith("by clip")
    for text in {clip.text for clip in clips}:
        assert len({clip.split for clip in parts if clip.text == text}) == 1
    assert {clip.split for clip in parts} == set(SPLITS)
    assert {clip.split for clip in divided(clips[:3])[0]} == set(SPLITS)


def test_given_splits_are_kept_and_missing_ones_come_out_of_training() -> None:
    clips = [Clip(Path(f"{n}.wav"), f"t{n}", split="test" if n < 30 else "train") for n in range(100)]
    parts, said = divided(clips)
    assert [clip for clip in parts if clip.split == "test"] == clips[:30]
    assert sum(clip.split == "dev" for clip in parts) == 7
    assert said == "dev was split off, a tenth, by clip"
    whole = [*clips, Clip(Path("d.wav"), "d", split="dev")]
    assert divided(whole) == (whole, "the splits are those of the data")
    with pytest.raises(UserError, match="splits odd; allowed: train, dev, test"):
        divided([Clip(Path("a"), "a", split="odd")])
    with pytest.raises(UserError, match="leave none for"):
        divided([Clip(Path("a"), "a"), Clip(Path("b"), "b")])
    with pytest.raises(UserError, match="leave none for train"):
        divided([Clip(Path("a"), "a", split="test"), Clip(Path("b"), "b", split="dev")])
