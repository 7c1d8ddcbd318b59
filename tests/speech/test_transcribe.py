"""The whole way: real folders of models, a projector on disk, sound files of every kind, text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from locution.errors import LocutionError, UserError
from locution.speech.checkpoint import CARD, WEIGHTS, build_recogniser, load_recogniser, save_projector
from locution.speech.control import silenced, write_deaf
from locution.speech.frozen import load_encoder, load_language_model, place
from locution.speech.generate import write_all
from locution.speech.logmel import log_mel_batch
from locution.speech.recogniser import Recogniser
from locution.speech.transcribe import sound_files, transcribe
from locution.speech.whisper import WhisperFrames, with_silence


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))).astype(np.float32)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, whisper_folder: Path, smollm_folder: Path) -> Path:
    torch.manual_seed(5)
    encoder = load_encoder(whisper_folder)
    recogniser = build_recogniser(encoder, *load_language_model(smollm_folder), stack=4, hidden=16)
    folder = tmp_path_factory.mktemp("run")
    save_projector(recogniser, folder, encoder=str(whisper_folder), language_model=str(smollm_folder))
    return folder


@pytest.fixture(scope="session")
def recogniser(run: Path) -> Recogniser:
    return load_recogniser(run)


@pytest.mark.filterwarnings("ignore")
def test_whisper_frames_equal_transformers_own_on_its_own_features(whisper_folder: Path) -> None:
    """The oracle: Whisper's feature extractor, padded to 30 seconds, and its encoder."""
    import transformers

    extractor, model = (
        transformers.WhisperFeatureExtractor(),
        transformers.WhisperModel.from_pretrained(whisper_folder),
    )
    waves = [noise(1.0), noise(0.5, seed=1) * np.linspace(1, 0, 8000, dtype=np.float32)]
    frames, lengths = load_encoder(whisper_folder).features(*log_mel_batch([torch.from_numpy(w) for w in waves]))  # type: ignore[operator]
    assert lengths.tolist() == [50, 25]
    for row, wave in enumerate(waves):
        features = extractor(wave, sampling_rate=16000, return_tensors="pt").input_features
        expected = model.encoder(features).last_hidden_state[0]
        kept = int(lengths[row]) - 2  # the last frames see the edge: reflected here, silent there
        torch.testing.assert_close(frames[row, :kept], expected[:kept], atol=2e-2, rtol=0)


@pytest.mark.filterwarnings("ignore")
def test_silence_behind_a_clip_looks_as_it_does_to_whisper() -> None:
    import transformers

    waves = [noise(1.0), 0.01 * noise(0.5, seed=1)]
    mel, lengths = log_mel_batch([torch.from_numpy(wave) for wave in waves])
    filled = with_silence(mel, lengths, 3000)
    for row, wave in enumerate(waves):
        said = transformers.WhisperFeatureExtractor()(wave, sampling_rate=16000, return_tensors="pt")
        expected, end = said.input_features[0].T, int(lengths[row])
        away = [i for i in range(3000) if abs(i - end) > 2]  # the edge: reflected here, silent there
        torch.testing.assert_close(filled[row, away], expected[away], atol=1e-4, rtol=0)


def test_an_unpadded_whisper_gives_each_clip_what_it_gets_alone(whisper_folder: Path) -> None:
    encoder = load_encoder(whisper_folder, unpadded=True)
    assert isinstance(encoder, WhisperFrames)
    waves = [torch.from_numpy(noise(s, seed=i)) for i, s in enumerate((1.0, 0.33, 0.7))]
    together, lengths = encoder.features(*log_mel_batch(waves))
    assert together.shape[1] == 50
    for row, wave in enumerate(waves):
        alone, length = encoder.features(*log_mel_batch([wave]))
        assert length[0] == lengths[row]
        torch.testing.assert_close(together[row, : length[0]], alone[0], atol=1e-5, rtol=1e-4)


def test_the_projector_comes_back_to_the_bit_and_writes_the_same(run: Path, recogniser: Recogniser) -> None:
    assert sorted(path.name for path in run.iterdir()) == [CARD, WEIGHTS]
    again = load_recogniser(run)
    for name, weight in recogniser.projector.state_dict().items():
        assert torch.equal(weight, again.projector.state_dict()[name])
    clips = [torch.randn(40, 24, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    assert write_all(again, clips) == write_all(recogniser, clips)
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())


def test_other_halves_are_refused_with_both_hashes(run: Path, tmp_path: Path, whisper_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "whisper"
    shutil.copytree(whisper_folder, other)
    weights = load_file(other / "model.safetensors")
    weights["encoder.conv1.weight"] = weights["encoder.conv1.weight"] + 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    expected = json.loads((run / CARD).read_text())["hashes"]["encoder"]
    with pytest.raises(UserError, match=f"the encoder has hash [0-9a-f]{{40}}; .* trained with {expected}"):
        load_recogniser(run, encoder=str(other))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("prompt", "the prompt has hash"),
        ("weights", "is damaged"),
        ("cut", "is damaged or missing"),
        ("card", "is damaged"),
        ("normaliser", "later version"),
        ("kind", "is no projector"),
        ("none", "is no run of speech"),
    ],
)
def test_a_damaged_run_is_named(run: Path, tmp_path: Path, harm: str, says: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    card = json.loads((folder / CARD).read_text())
    if harm == "prompt":
        card["prompt"]["before"] = "x"
    elif harm == "normaliser":
        card["normaliser"] = "basic-9"
    elif harm == "kind":
        card["projector"]["kind"] = "os:system"
    (folder / CARD).write_text(json.dumps(card)[: -20 if harm == "card" else None])
    if harm == "weights":
        save_file({k: v + 1 for k, v in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    elif harm == "cut":
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:100])
    elif harm == "none":
        (folder / CARD).unlink()
    with pytest.raises(LocutionError) as caught:
        load_recogniser(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["encoder", "language model"])
def test_names_that_cannot_be_loaded(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = load_encoder if part == "encoder" else load_language_model
    with pytest.raises(UserError, match="no such folder"):
        load("./nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load(tmp_path / "empty")
    assert "\n" not in str(caught.value)
    assert place("openai/whisper-tiny", "encoder") == "openai/whisper-tiny"


@pytest.mark.parametrize("harm", ["missing", "cut", "pickle"])
def test_weights_that_are_not_all_there_are_refused(tmp_path: Path, smollm_folder: Path, harm: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(smollm_folder, folder)
    file = folder / "model.safetensors"
    weights = load_file(file)
    if harm == "missing":
        del weights["model.norm.weight"]
        save_file(weights, file, metadata={"format": "pt"})
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        torch.save(weights, folder / "pytorch_model.bin")
        file.unlink()
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load_language_model(folder)
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, smollm_folder: Path) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(smollm_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(UserError):
        load_language_model(folder)
    assert not (tmp_path / "ran").exists()


def test_a_folder_with_bad_files_still_transcribes_the_rest(recogniser: Recogniser, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    soundfile.write(tmp_path / "b.flac", np.stack([noise(1.5, 44100)] * 2, 1), 44100)
    soundfile.write(tmp_path / "c.wav", noise(0.8, 8000), 8000, subtype="PCM_U8")
    (tmp_path / "d.wav").write_bytes(b"")
    soundfile.write(tmp_path / "e.wav", np.zeros(16000, np.float32), 16000)
    soundfile.write(tmp_path / "f.wav", noise(0.01), 16000)
    (tmp_path / "notes.txt").write_text("not a sound")
    answers = transcribe(recogniser, [tmp_path, tmp_path / "missing.wav"])
    names = ["a.wav", "b.flac", "c.wav", "d.wav", "e.wav", "f.wav", "missing.wav"]
    assert [Path(one.path).name for one in answers] == names
    assert [bool(one.error) for one in answers] == [False, False, False, True, False, False, True]
    assert answers[4].note == "silence"
    assert answers[5].note.startswith("too short")
    assert "is empty" in str(answers[3])
    assert [round(one.seconds, 1) for one in answers[:3]] == [1.0, 1.5, 0.8]
    for one in answers[:3]:
        assert transcribe(recogniser, [one.path])[0].text == one.text  # alone as in company


def test_folders_and_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sound file"):
        sound_files([tmp_path])
    assert sound_files(["x.bin"]) == [Path("x.bin")]  # what is named is tried


def test_the_controls_are_deaf(recogniser: Recogniser) -> None:
    clips = [torch.randn(40, 24, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    deaf = write_deaf(recogniser, clips)
    assert len({one.text for one in deaf}) == 1  # same length, nothing heard: same guess
    assert len({one.text for one in write_all(recogniser, clips)}) > 1
    assert not silenced(clips[0][None], torch.tensor([40])).any()


def test_the_embedded_encoder_loads_through_the_same_door(tmp_path: Path) -> None:
    from locution.speech.encoder import EncoderConfig, SpeechEncoder

    torch.manual_seed(0)
    shape = EncoderConfig(width=16, heads=2, blocks=1, stem=8, feed_forward=16)
    SpeechEncoder(shape).save(tmp_path / "encoder")
    encoder: Any = load_encoder(tmp_path / "encoder")
    assert isinstance(encoder, nn.Module)
    assert encoder.config.width == 16
    frames, lengths = encoder.features(*log_mel_batch([torch.from_numpy(noise(1.0))]))
    assert frames.shape == (1, 25, 16)
    assert lengths.tolist() == [25]
