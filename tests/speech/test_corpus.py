"""Corpora, stores and manifests: real files, the same every time, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from locution.errors import LocutionError, UserError
from locution.speech import corpus as corpora
from locution.speech.audio import read_audio
from locution.speech.augment import add_noise, coloured_noise, spec_augment
from locution.speech.corpus import CorpusSettings, synthesise_corpus
from locution.speech.extra_sets import everyday_sentences, roughened
from locution.speech.logmel import powers
from locution.speech.manifest import read_manifest
from locution.speech.noise import noise_clip, noisy
from locution.speech.sentences import sentence, split_of
from locution.speech.spoken import SpokenBatches
from locution.speech.store import Store, StoreSettings, build_store, request
from locution.speech.synthesis import speak, voices

pytest.importorskip("espeakng_loader")
FEW = CorpusSettings(train=6, dev=2, test=4, everyday=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesise_corpus(FEW, tmp_path_factory.mktemp("made") / "corpus")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    settings = StoreSettings(30, "dev", joined=0.3)
    return Store(build_store(settings, tmp_path_factory.mktemp("made") / "store"))


def test_a_corpus_is_real_files_with_text_speaker_and_seconds(folder: Path) -> None:
    clips = read_manifest(folder)
    assert [clip.split for clip in clips] == ["train"] * 6 + ["dev"] * 2 + ["test"] * 4
    for clip in clips:
        audio = read_audio(clip.path)
        assert clip.path.suffix == ".flac"
        assert audio.seconds == pytest.approx(clip.seconds, abs=0.001)
        assert not audio.silent
        assert split_of(clip.text) == clip.split
        assert clip.speaker.split("+")[1] in voices(clip.split)
    assert len({clip.text for clip in clips}) == len(clips)


def test_it_is_the_same_every_time_and_used_again(folder: Path, tmp_path: Path) -> None:
    again = synthesise_corpus(FEW, tmp_path / "again", workers=1)
    for path in sorted(folder.rglob("*.flac")):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()
    assert (again / "manifest.jsonl").read_text() == (folder / "manifest.jsonl").read_text()
    before = (folder / "manifest.jsonl").stat().st_mtime_ns
    assert synthesise_corpus(FEW, folder) == folder
    assert (folder / "manifest.jsonl").stat().st_mtime_ns == before


def test_it_goes_to_the_users_cache_by_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUTION_CACHE", str(tmp_path))
    made = synthesise_corpus(CorpusSettings(train=1, dev=1, test=1, everyday=0))
    assert made == tmp_path / "corpus" / CorpusSettings(train=1, dev=1, test=1, everyday=0).key()
    assert CorpusSettings(seed=1).key() != CorpusSettings().key()


def test_everyday_sentences_come_clean_and_in_noise_and_silence_has_no_text(tmp_path: Path) -> None:
    settings = CorpusSettings(train=8, dev=1, test=1, everyday=3, silence=0.2)
    clips = read_manifest(synthesise_corpus(settings, tmp_path / "corpus"))
    by_group = {group: [c for c in clips if c.group == group] for group in {c.group for c in clips}}
    assert {group: len(found) for group, found in by_group.items()} == {
        "commands": 10, "everyday": 3, "everyday 20 dB": 3, "everyday 10 dB": 3, "silence": 2,
    }  # fmt: skip
    for clean, *others in zip(
        by_group["everyday"], by_group["everyday 20 dB"], by_group["everyday 10 dB"], strict=True
    ):
        assert clean.text in everyday_sentences()
        assert clean.speaker.split("+")[1] in voices("test")
        speech = read_audio(clean.path).samples.astype(np.float64)
        for noisy_clip, decibels in zip(others, (20, 10), strict=True):
            assert (noisy_clip.text, noisy_clip.speaker, noisy_clip.split) == (clean.text, clean.speaker, "test")
            mixed = read_audio(noisy_clip.path).samples.astype(np.float64)
            scale = np.dot(mixed, speech) / np.dot(speech, speech)  # speech and noise are nearly orthogonal
            left = mixed - scale * speech
            ratio = 10 * np.log10(np.dot(scale * speech, scale * speech) / np.dot(left, left))
            assert ratio == pytest.approx(decibels, abs=0.5)
    for clip in by_group["silence"]:
        assert (clip.text, clip.speaker, clip.split) == ("", "", "train")
    judged = [noise_clip(row, seed) for row in range(40) for seed in (0, 1)]  # what hallucinations are counted on
    heard = [read_audio(clip.path).samples for clip in by_group["silence"]]
    assert not any(len(a) == len(b) and np.allclose(a, b, atol=1e-3) for a in heard for b in judged)


def test_kinds_are_mixed_by_their_shares_and_one_kind_is_as_it_was() -> None:
    mixed = CorpusSettings(train=1000, kinds={"commands": 0.6, "everyday": 0.4})
    found = corpora.requests(mixed, "train")
    share = sum(kind == "everyday" for _, kind in found) / 1000
    assert share == pytest.approx(0.4, abs=0.05)  # three standard deviations
    assert len({utterance.text for utterance, _ in found}) == 1000
    assert not {utterance.text for utterance, _ in found} & set(everyday_sentences())
    alone = [utterance for utterance, _ in corpora.requests(CorpusSettings(test=5), "test")]
    assert [utterance.text for utterance in alone] == [sentence(0, "test", row) for row in range(5)]
    assert CorpusSettings(kinds={"commands": 2}).key() == CorpusSettings().key() != mixed.key()
    for wrong in ({"comands": 1}, {"commands": -1}, {"commands": 0}):
        with pytest.raises(UserError, match="kind"):
            CorpusSettings(kinds=wrong)


def test_noise_under_speech_never_exceeds_full_scale() -> None:
    loud = np.sin(np.arange(8000) / 5).astype(np.float32)
    mixed = noisy(loud, 0, index=1)
    assert np.abs(mixed).max() <= 0.9901
    assert np.array_equal(mixed, noisy(loud, 0, index=1))
    assert not np.array_equal(mixed, noisy(loud, 0, index=2))
    silent = np.zeros(100, np.float32)
    assert np.array_equal(noisy(silent, 10, 0), silent)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpora, "write_manifest", full)
    with pytest.raises(LocutionError):
        synthesise_corpus(CorpusSettings(train=1, dev=1, test=1, everyday=0), tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="an empty place"):
        synthesise_corpus(FEW, tmp_path)


def test_more_than_the_grammar_has_is_refused() -> None:
    with pytest.raises(UserError, match="fewer"):
        corpora.requests(CorpusSettings(test=500, kind="prose"), "test")


def test_missing_files_are_all_named_and_the_rest_is_usable(folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    good = folder / "test" / "00000.flac"
    names = ["gone.flac", str(good), "lost.flac"]
    manifest.write_text("".join(json.dumps({"path": name, "text": "hello"}) + "\n" for name in names))
    with pytest.raises(UserError, match=r"2 of 3 files are missing: .*gone\.flac, .*lost\.flac"):
        read_manifest(manifest)
    assert [clip.path for clip in read_manifest(manifest, allow_missing=True)] == [good]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[]", "line 1: is list"),
        ("{", "line 1: Expecting"),
        ('{"path": "a.flac"}', "line 1: text is None"),
        ('{"path": "", "text": "a"}', "line 1: path is ''"),
        ('{"path": "a", "text": "a", "seconds": "1"}', "line 1: seconds is '1'"),
    ],
)
def test_bad_lines_are_named(line: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=complaint):
        read_manifest(tmp_path)


def test_no_manifest_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(UserError, match="lists no sound file"):
        read_manifest(tmp_path)


def test_a_store_holds_the_powers_of_what_was_spoken(store: Store) -> None:
    settings = StoreSettings(30, "dev", joined=0.3)
    spoken = [request(settings, index) for index in range(30)]
    waveforms = speak([utterance for utterance, _ in spoken])
    assert store.texts == [text for _, text in spoken]
    for index in (0, 17, 29):
        exact = powers(torch.from_numpy(waveforms[index].astype(np.float32) / 32768))
        assert torch.allclose(store.mel(index), exact, atol=0.006)  # kept in half precision
    assert store.frames.tolist() == [len(waveform) // 160 for waveform in waveforms]


def test_a_store_is_kept_and_another_refused(store: Store, tmp_path: Path) -> None:
    settings = StoreSettings(2, "test")
    build_store(settings, tmp_path / "store")
    assert build_store(settings, tmp_path / "store") == tmp_path / "store"
    with pytest.raises(UserError, match="another store"):
        build_store(StoreSettings(3, "test"), tmp_path / "store")
    with pytest.raises(UserError, match="no store"):
        Store(tmp_path)


def test_an_epoch_repeats_can_be_taken_up_anywhere_and_holds_every_clip(store: Store) -> None:
    source = SpokenBatches(store, seconds=20)
    whole = list(source.epoch(2, seed=1))
    rest = list(source.epoch(2, seed=1, skip=2))
    assert len(whole) - 2 == len(rest)
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.inputs["mel"], other.inputs["mel"])
        assert torch.equal(one.targets["letters"], other.targets["letters"])
    assert not torch.equal(whole[0].inputs["mel"], next(source.epoch(3, seed=1)).inputs["mel"])
    plain = SpokenBatches(store, seconds=20, augment=False)
    assert sum(len(batch) for batch in plain.epoch(0, 0)) == len(store)
    assert sorted(index for group in plain.groups for index in group) == list(range(len(store)))


def test_batches_hold_their_seconds_and_little_padding(store: Store) -> None:
    for batch in SpokenBatches(store, seconds=20, augment=False).epoch(0, 0):
        clips, frames, _ = batch.inputs["mel"].shape
        assert clips * frames <= 2000 or clips == 1
        assert batch.weights is not None
        assert batch.weights.tolist() == batch.targets["counts"].tolist()


def test_noise_comes_at_its_ratio() -> None:
    draw = torch.Generator().manual_seed(0)
    speech, noise = coloured_noise(300, 80, draw), coloured_noise(300, 80, draw)
    for ratio in (0.0, 10.0, 20.0):
        mixed = torch.pow(10, add_noise(speech, noise, ratio))
        added = (mixed - torch.pow(10, speech)).mean()
        measured = 10 * torch.log10(torch.pow(10, speech).mean() / added)
        assert measured.item() == pytest.approx(ratio, abs=0.2)


def test_masks_hide_little_and_leave_the_clip_alone() -> None:
    mel = torch.randn(400, 80, generator=torch.Generator().manual_seed(1))
    kept = mel.clone()
    hidden = spec_augment(mel, torch.Generator().manual_seed(2))
    assert torch.equal(mel, kept)
    share = (hidden != mel).float().mean().item()
    assert 0.02 < share < 0.6
    assert torch.equal(hidden, spec_augment(mel, torch.Generator().manual_seed(2)))


def test_an_hour_is_hidden_in_time_as_a_second_is() -> None:
    """A stripe of time for each second, as long as is allowed: at 0.05, up to 0.2 s of each."""
    mel = torch.randn(4000, 80, generator=torch.Generator().manual_seed(1))
    hidden = spec_augment(mel, torch.Generator().manual_seed(2), bands=0)
    rows = (hidden != mel).all(1).float().mean().item()
    assert 0.05 < rows < 0.15, "40 stripes of 10 frames on average in 4,000"
    assert not (spec_augment(mel, torch.Generator().manual_seed(2), bands=0, times=0.0) != mel).any()


def test_only_what_is_learnt_from_is_roughened(tmp_path: Path) -> None:
    rough, plain = (
        synthesise_corpus(CorpusSettings(train=4, dev=2, test=2, everyday=0, silence=0, rough=share), tmp_path / name)
        for share, name in ((1.0, "rough"), (0.0, "plain"))
    )
    for one, other in zip(read_manifest(rough), read_manifest(plain), strict=True):
        assert (one.path.read_bytes() == other.path.read_bytes()) == (one.split != "train"), one


def test_commands_come_first_in_a_mixed_corpus() -> None:
    settings = CorpusSettings(train=1, dev=1, test=12, everyday=0, kinds={"everyday": 2, "commands": 1})
    kinds = [kind for _, kind in corpora.requests(settings, "test")]
    assert set(kinds) == {"everyday", "commands"}
    assert kinds == sorted(kinds), "the headline figure is of commands"


@pytest.mark.parametrize("noisy", [0.0, 1.0])
def test_the_share_that_gets_noise_is_what_was_asked_for(store: Store, noisy: float) -> None:
    ordinary, asked = SpokenBatches(store, noisy=0.5), SpokenBatches(store, noisy=noisy)
    rows = [row for row in range(len(store)) if asked.clip(row, 0, 0)[1]]
    same = [torch.equal(ordinary.clip(row, 0, 0)[0], asked.clip(row, 0, 0)[0]) for row in rows]
    assert 0.2 < sum(same) / len(same) < 0.8, "half of them had noise, or had none, before"


def test_rough_clips_get_silence_at_their_ends_and_noise_under_them() -> None:
    speech = (0.1 * np.sin(np.arange(16000) / 9)).astype(np.float32)
    longer = noised = 0
    for row in range(200):
        found = roughened(speech, 0.4, row, seed=0)
        assert np.array_equal(found, roughened(speech, 0.4, row, seed=0))
        assert len(speech) <= len(found) <= len(speech) + 2 * 9600
        longer += len(found) > len(speech)
        noised += bool(np.abs(found[:5]).max() > 0.0) and not np.array_equal(found[: len(speech)], speech)
    assert 60 <= longer <= 100, "40 % of 200"
    assert 55 <= noised <= 100
    assert np.array_equal(roughened(speech, 0.0, 3, 0), speech)
