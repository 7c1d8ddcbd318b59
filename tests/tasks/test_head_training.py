"""A CTC head for an encoder that cannot spell, from `train` to word times, on a small random Whisper."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "speech"))

from real_halves import write_smollm3, write_whisper

from locution.engine import Engine
from locution.errors import LocutionError, UserError
from locution.runs import Run, resume, train
from locution.speech.asked import Wishes, answer
from locution.speech.checkpoint import build_recogniser, load_recogniser, save_projector
from locution.speech.ctc_head import CARD, WEIGHTS, head_folder, load_ctc_head, with_ctc_head, with_head_of
from locution.speech.ctc_head_parts import dividing, spelling
from locution.speech.frozen import load_encoder, load_language_model, weights_digest
from locution.speech.hear import frames_of, write_audio
from locution.speech.no_speech import letters
from locution.speech.word_times import word_times

pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = ["one", "two", "net", "won", "tow", "ten", "we", "not"]
PITCH = {letter: 300 * 1.45**number for number, letter in enumerate("onetw")}
LETTER, GAP = 0.12, 0.2  # seconds


def whistle(words: list[str], seed: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """A language of whistles: each letter a pitch, a hum between words; with the seconds of each word."""
    spans: list[tuple[float, float]] = []
    draw, parts, now = np.random.default_rng(seed), [np.zeros(int(16000 * GAP))], GAP
    for word in words:
        if spans:
            parts.append(tone(150.0, GAP))
            now += GAP
        spans.append((now, now + LETTER * len(word)))
        now += LETTER * len(word)
        parts += [tone(PITCH[letter], LETTER) for letter in word]
    sound = np.concatenate([*parts, parts[0]])
    return (sound + 0.003 * draw.standard_normal(len(sound))).astype(np.float32), spans


def tone(pitch: float, seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(int(16000 * seconds)) / 16000)


def write_listener(folder: Path, seed: int = 0) -> None:
    """A small random Whisper that does not know where in a clip it is, so that little training is enough."""
    write_whisper(folder, seed, d_model=48, encoder_layers=1, encoder_ffn_dim=64)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.endswith("encoder.embed_positions.weight"):
            weights[name].zero_()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Whisper and SmolLM3, whistles with transcripts, and a projector between the two."""
    home = tmp_path_factory.mktemp("home")
    write_listener(home / "whisper")
    write_smollm3(home / "smollm3")
    draw, lines = np.random.default_rng(0), []
    for number in range(60):
        words = [str(word) for word in draw.choice(WORDS, size=3)]
        sound, _ = whistle(words, number)
        soundfile.write(home / f"{number}.wav", sound, 16000)
        split = "train" if number < 44 else "dev" if number < 52 else "test"
        facts = {"path": str(home / f"{number}.wav"), "text": " ".join(words), "split": split}
        lines.append(json.dumps(facts | {"speaker": f"s{number}", "seconds": len(sound) / 16000}))
    lines.insert(0, json.dumps(json.loads(lines[1]) | {"text": "two 2 ten", "speaker": "s60"}))
    (home / "clips.jsonl").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    hears = load_encoder(home / "whisper", unpadded=True)
    recogniser = build_recogniser(hears, *load_language_model(home / "smollm3"), stack=4, hidden=16)
    names = {"encoder": str(home / "whisper"), "language_model": str(home / "smollm3")}
    save_projector(recogniser, home / "speech" / "model", **names)
    (home / "speech" / "recipe.yaml").write_text("name: speech\n")
    return home


def go(home: Path, folder: Path, *words: str) -> Run:
    settings = [f"data.path={home / 'clips.jsonl'}", "data.batch_size=11", "steps=240", "optimizer.lr=0.003"]
    settings += ["threads=1", "device=cpu", "precision=fp32", "checkpoint_every=0", f"run_dir={folder}"]
    return train("speech/ctc_head", *settings, *words, quiet=True)


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(home, tmp_path_factory.mktemp("whole") / "run", f"model.beside={home / 'speech'}").folder


def test_it_learns_to_spell_and_to_tell_noise(run: Path) -> None:
    metrics = json.loads((run / "results.json").read_text())["metrics"]
    assert metrics["wer"]["value"] <= 0.1
    assert metrics["speech_unheard"]["value"] == 0.0
    assert metrics["heard_in_noise"]["value"] <= 0.1
    assert 0.05 < json.loads((run / "model" / CARD).read_text())["speaks"] < 1.0


def test_a_projectors_run_finds_the_head_beside_it_and_gives_word_times(run: Path, home: Path) -> None:
    recogniser = load_recogniser(home / "speech" / "model")
    sound, spans = whistle(["won", "two", "net"], 99)
    assert write_audio(recogniser, [sound])[0].words == ()
    before = weights_digest(recogniser.encoder)  # type: ignore[arg-type]
    with_ctc_head(recogniser, home / "speech" / "model")
    assert weights_digest(recogniser.encoder) == before  # type: ignore[arg-type]
    (found,) = write_audio(recogniser, [sound])
    assert [word.text for word in found.words] == found.text.split()
    noise = 0.02 * np.random.default_rng(3).standard_normal(16000).astype(np.float32)
    assert write_audio(recogniser, [noise])[0].text == ""  # nobody speaks
    encoder: Any = recogniser.encoder
    score = letters(encoder, frames_of(encoder, [sound])[0])
    assert score is not None
    times = word_times(score, "won two net", 50.0)
    for word, (start, end) in zip(times, spans, strict=True):
        assert word.start == pytest.approx(start, abs=LETTER)
        assert word.end == pytest.approx(end, abs=LETTER)


def test_the_head_of_another_run_is_taken_by_name_and_its_own_run_spells(run: Path, home: Path) -> None:
    recogniser = load_recogniser(home / "speech" / "model")
    with_head_of(recogniser, run)
    assert head_folder(run) == run / "model" == head_folder(run / "model")
    sound, _ = whistle(["ten", "two"], 98)
    soundfile.write(home / "said.wav", sound, 16000)
    assert write_audio(recogniser, [sound])[0].words
    assert Run.open(run).predict([str(home / "said.wav")])[0].endswith(": ten two")
    assert Run.open(run).transcribe([str(home / "said.wav"), str(home / "none.wav")], as_json=True) == 1
    with pytest.raises(UserError, match="neither streams"):
        Run.open(run).transcribe([str(home / "said.wav")], stream=True)


def test_transcribe_takes_a_head_by_name(run: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, _ = whistle(["we", "won"], 97)
    soundfile.write(home / "we.wav", sound, 16000)
    wishes = Wishes(form="json", ctc_head=str(run))
    assert answer(lambda: load_recogniser(home / "speech" / "model"), [str(home / "we.wav")], wishes) == 0
    (segment,) = json.loads(capsys.readouterr().out)["segments"]
    assert [word["text"] for word in segment["words"]] == segment["text"].split() != []


def test_a_kill_ends_with_the_same_weights(
    run: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Engine.step

    def fatal(engine: Engine, batch: Any) -> Any:
        if engine.number == 110:
            raise KeyboardInterrupt
        return step(engine, batch)

    monkeypatch.setattr(Engine, "step", fatal)
    with pytest.raises(KeyboardInterrupt):
        go(home, tmp_path / "run", f"model.encoder={home / 'whisper'}", "model.unpadded=true")
    monkeypatch.setattr(Engine, "step", step)
    again = resume(tmp_path / "run", quiet=True)
    whole, other = (load_file(folder / "model" / WEIGHTS) for folder in (run, again.folder))
    assert all(torch.equal(whole[name], other[name]) for name in whole)
    assert (
        again.evaluate().metrics[0].value == json.loads((run / "results.json").read_text())["metrics"]["wer"]["value"]
    )


def test_other_halves_are_refused_with_both_hashes(run: Path, home: Path, tmp_path: Path) -> None:
    write_listener(tmp_path / "other", seed=1)
    expected = json.loads((run / "model" / CARD).read_text())["encoder"]
    with pytest.raises(UserError, match=rf"has hash [0-9a-f]{{40}}; this CTC head was trained on {expected}"):
        load_ctc_head(run / "model", load_encoder(tmp_path / "other", unpadded=True))
    with pytest.raises(UserError, match="was trained with unpadded=True"):
        load_ctc_head(run / "model", load_encoder(home / "whisper"))
    words = f"model.encoder={tmp_path / 'other'}", f"model.beside={home / 'speech'}"
    with pytest.raises(UserError, match=rf"the projector of .* was trained with {expected}"):
        go(home, tmp_path / "run", *words)
    with pytest.raises(UserError, match="spells already"):
        go(home, tmp_path / "two", "model.encoder=embedded")
    embedded: Any = type("Stand", (), {"encoder": load_encoder()})
    with pytest.raises(UserError, match="spells by itself"):
        with_head_of(embedded, run)
    with pytest.raises(UserError, match="no run folder"):
        head_folder(tmp_path / "nowhere")


def test_a_damaged_head_is_named(run: Path, home: Path, tmp_path: Path) -> None:
    encoder = load_encoder(home / "whisper", unpadded=True)
    for name in (CARD, WEIGHTS):
        (tmp_path / name).write_bytes((run / "model" / name).read_bytes())
    save_file({name: value + 1 for name, value in load_file(tmp_path / WEIGHTS).items()}, tmp_path / WEIGHTS)
    with pytest.raises(LocutionError, match="is damaged: hash"):
        load_ctc_head(tmp_path, encoder)
    (tmp_path / WEIGHTS).write_bytes(b"junk")
    with pytest.raises(UserError, match="holds no CTC head"):
        load_ctc_head(tmp_path, encoder)


def test_texts_that_cannot_be_spelt_are_left_out_and_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from locution.speech.manifest import Clip
    from locution.tasks.head_training import spelt

    clips = [Clip(Path("a"), text) for text in ("two 2 ten", "Café, l'été!", "")]
    assert [clip.text for clip in spelt("train", clips, False)] == ["Café, l'été!", ""]
    assert "1 of 3 texts of 'train' cannot be spelt, such as 'two 2 ten': left out" in capsys.readouterr().err
    with pytest.raises(UserError, match="no text of the split 'dev' can be spelt"):
        spelt("dev", clips[:1], True)
    assert spelling("don't 7") is None
    assert spelling("don't7") is None
    assert spelling("你好") is None


def test_the_threshold_lies_between_or_lets_everything_through() -> None:
    assert dividing([0.9] * 99 + [0.2], [0.1] * 99 + [0.95]) == pytest.approx(0.5)  # one odd clip of each
    assert dividing([0.9] * 9 + [0.2], [0.1] * 9 + [0.3]) == 0.0
    assert dividing([], [0.1]) == dividing([0.5], []) == 0.0
