"""The recipe for Whisper and SmolLM3, whole, on small random folders of both: three stages, a kill, a way back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "speech"))

from real_halves import write_smollm3, write_whisper

from locution.engine import Engine
from locution.errors import LocutionError, UserError
from locution.models.adapter_files import CONFIG as ADAPTER_CONFIG
from locution.models.adapter_files import WEIGHTS as ADAPTER_WEIGHTS
from locution.models.lora import lora_layers
from locution.recipe import resolve
from locution.reporting.results import RunResults
from locution.runs import Run, resume, train
from locution.speech import normalise as normalising
from locution.speech.checkpoint import CARD, WEIGHTS, load_recogniser
from locution.speech.frozen import load_language_model
from locution.speech.prompt import CHAT
from locution.tasks.recognition import Recognition

pytestmark = pytest.mark.filterwarnings("ignore")
SHORT = ["turn it off", "what is it", "one two", "the light on"]
STEPS = 12  # shares 3, 1, 2: stages of 6, 2 and 4


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Both folders, and a few clips that are no speech, with transcripts."""
    home = tmp_path_factory.mktemp("halves")
    write_whisper(home / "whisper")
    write_smollm3(home / "smollm3")
    draw = np.random.default_rng(0)
    lines = []
    for number in range(14):
        split = "train" if number < 10 else "dev" if number < 12 else "test"
        path, seconds = home / f"{number}.wav", 0.7 + 0.1 * (number % 4)
        soundfile.write(path, 0.1 * draw.standard_normal(int(16000 * seconds)), 16000)
        facts = {"path": str(path), "text": SHORT[number % 4], "speaker": f"s{number}", "split": split}
        lines.append(json.dumps(facts | {"seconds": seconds}))
    (home / "clips.jsonl").write_text("\n".join(lines) + "\n")
    return [
        f"model.encoder={home / 'whisper'}",
        f"model.language_model={home / 'smollm3'}",
        f"data.path={home / 'clips.jsonl'}",
        "data.batch_size=4",
        f"steps={STEPS}",
        "measure_every=6",
        "model.unpadded=true",
        "log_every=1",
        "checkpoint_every=0",
        "threads=1",
        "device=cpu",
    ]


def go(halves: list[str], folder: Path, *words: str) -> Run:
    return train("speech/smollm3", *halves, *words, f"run_dir={folder}", quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, halves: list[str]) -> Path:
    return go(halves, tmp_path_factory.mktemp("whole") / "run").folder


def trained(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / WEIGHTS) | load_file(folder / "model" / "adapter" / ADAPTER_WEIGHTS)


def test_the_recipe_is_what_the_field_has_learnt_to_do() -> None:
    recipe = resolve("speech/smollm3")
    assert recipe.model["encoder"] == "openai/whisper-large-v3-turbo"
    assert recipe.model["language_model"] == "HuggingFaceTB/SmolLM3-3B"
    assert recipe.optimizer == {"name": "adamw", "lr": 0.001, "beta2": 0.95, "weight_decay": 0.0}
    assert recipe.precision == "bf16"
    methods = {method.name: method for method in recipe.built_methods()}
    assert methods["clipping"].norm == 1.0  # type: ignore[attr-defined]
    assert [stage.train for stage in methods["stages"].plan] == ["projector.*", "language_model.*", "*"]  # type: ignore[attr-defined]


def test_it_trains_saves_and_comes_back_whole(run: Path, halves: list[str]) -> None:
    card = json.loads((run / "model" / CARD).read_text())
    expected = {"encoder", "language_model", "tokenizer", "prompt", "normaliser", "projector", "adapter"}
    assert set(card["hashes"]) == expected
    assert card["prompt"]["after"] == CHAT.after  # thinking is off
    found = load_recogniser(run / "model")
    layers = lora_layers(found.language_model)
    assert len(layers) == 2 * 7
    assert all(layer.rank == 16 and layer.alpha == 32 for layer in layers.values())
    assert any(bool(layer.up.any()) for layer in layers.values())  # the adapter did learn
    assert not any(parameter.requires_grad for parameter in found.parameters())
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = {record["step"]: record["learning_rate"] for record in records if record["kind"] == "step"}
    assert rates[1] == pytest.approx(1e-3, rel=0.01)
    assert rates[7] == pytest.approx(2e-4, rel=0.01)  # the second stage begins at its own rate
    folder = next(word.partition("=")[2] for word in halves if word.startswith("data.path"))
    files = [str(Path(folder).parent / f"{number}.wav") for number in (12, 13)]
    assert len(Run.open(run).predict(files)) == 2


def test_the_report_says_what_memory_was_forecast_and_which_kernels_ran(run: Path) -> None:
    report = (run / "report.html").read_text()
    assert "Memory forecast: " in report
    assert "Attention kernels on cpu: " in report


def test_a_merging_lora_is_refused_with_what_to_do(tmp_path: Path, halves: list[str]) -> None:
    with pytest.raises(UserError, match=r"\+lora would change .*; allowed: model\.lora="):
        go(halves, tmp_path / "run", "+lora")


def test_peft_finds_its_own_files(run: Path) -> None:
    config = json.loads((run / "model" / "adapter" / ADAPTER_CONFIG).read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert set(config["target_modules"]) == names
    keys = load_file(run / "model" / "adapter" / ADAPTER_WEIGHTS)
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in keys


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are all that is asked about: nothing is transcribed."""
    monkeypatch.setattr(Recognition, "evaluate", lambda *given, **settings: RunResults("weights alone"))


@pytest.mark.usefixtures("unjudged")
@pytest.mark.parametrize("at", [6, 7, 9])
def test_a_kill_in_any_stage_ends_with_the_same_weights(
    run: Path, tmp_path: Path, halves: list[str], at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the first stage, amid the second, and amid the last."""
    step = Engine.step

    def fatal(engine: Engine, batch: Any) -> Any:
        if engine.number == at:
            raise KeyboardInterrupt
        return step(engine, batch)

    monkeypatch.setattr(Engine, "step", fatal)
    with pytest.raises(KeyboardInterrupt):
        go(halves, tmp_path / "run")
    monkeypatch.setattr(Engine, "step", step)
    again = resume(tmp_path / "run", quiet=True)
    whole, other = trained(run), trained(again.folder)
    assert whole.keys() == other.keys()
    unequal = [name for name in whole if not torch.equal(whole[name], other[name])]
    assert not unequal


@pytest.mark.usefixtures("unjudged")
def test_the_first_stage_leaves_lora_alone_and_the_second_the_projector(tmp_path: Path, halves: list[str]) -> None:
    plan = "methods.stages.plan=[{train: 'projector.*'}]"
    only = trained(go(halves, tmp_path / "one", plan, "steps=2").folder)
    assert not any(bool(value.any()) for name, value in only.items() if "lora_B" in name)
    plan = "methods.stages.plan=[{train: 'language_model.*', lr: 0.01}]"
    other = trained(go(halves, tmp_path / "two", plan, "steps=2").folder)
    assert any(bool(value.any()) for name, value in other.items() if "lora_B" in name)
    moved = [n for n in only if "lora" not in n and not torch.equal(only[n], other[n])]
    assert moved  # the projector learnt in the first only, from the same first weights


# Other halves ----------------------------------------------------------------------------------------------


def copied(run: Path, home: Path) -> Path:
    import shutil

    shutil.copytree(run / "model", home / "model")
    return home / "model"


def test_another_encoder_is_refused_with_both_hashes(run: Path, tmp_path: Path) -> None:
    write_whisper(tmp_path / "other", seed=1)
    refused(run / "model", "encoder", encoder=str(tmp_path / "other"))


def test_another_language_model_is_refused_with_both_hashes(run: Path, tmp_path: Path) -> None:
    write_smollm3(tmp_path / "other", seed=1)
    refused(run / "model", "language model", language_model=str(tmp_path / "other"))


def test_another_tokenizer_is_refused_with_both_hashes(run: Path, tmp_path: Path, halves: list[str]) -> None:
    """The same weights and the same marks, but two words changed places."""
    folder = write_smollm3(tmp_path / "other")
    text = json.loads((folder / "tokenizer.json").read_text())
    words = text["model"]["vocab"]
    one, two = sorted(words, key=words.get)[290:292]
    words[one], words[two] = words[two], words[one]
    (folder / "tokenizer.json").write_text(json.dumps(text))
    assert load_language_model(folder)
    refused(run / "model", "tokenizer", language_model=str(folder))


def test_another_prompt_is_refused_with_both_hashes(run: Path, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    card = json.loads((folder / CARD).read_text())
    card["prompt"]["after"] = card["prompt"]["after"].replace("<think>\n\n</think>\n", "")  # thinking on
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, "prompt")


def test_another_normaliser_is_refused_with_both_hashes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(run, tmp_path)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"normaliser": "whisper-english-1"}))
    refused(folder, "normaliser")
    monkeypatch.setitem(normalising.NORMALISERS, "basic-1", str.upper)  # the same version, other code
    refused(run / "model", "normaliser")


def refused(folder: Path, what: str, **halves: str) -> None:
    expected = json.loads((folder / CARD).read_text())["hashes"][what.replace(" ", "_")]
    with pytest.raises(UserError) as caught:
        load_recogniser(folder, **halves)
    line = str(caught.value)
    assert f"the {what} has hash " in line
    assert line.count(expected) == 1
    assert "trained with" in line
    assert "\n" not in line


@pytest.mark.parametrize("harm", ["weights", "alpha", "gone"])
def test_a_damaged_adapter_is_named(run: Path, tmp_path: Path, harm: str) -> None:
    from safetensors.torch import save_file

    folder = copied(run, tmp_path)
    path = folder / "adapter" / ADAPTER_WEIGHTS
    if harm == "weights":
        save_file({name: value + 1 for name, value in load_file(path).items()}, path)
    elif harm == "alpha":
        config = json.loads((folder / "adapter" / ADAPTER_CONFIG).read_text())
        (folder / "adapter" / ADAPTER_CONFIG).write_text(json.dumps(config | {"lora_alpha": 64}))
    else:
        path.unlink()
    with pytest.raises(LocutionError, match="is damaged") as caught:
        load_recogniser(folder)
    assert "\n" not in str(caught.value)
