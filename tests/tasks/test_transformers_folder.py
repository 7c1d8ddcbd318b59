"""Language models written for transformers: the same scores, the same tokens, the same text."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from locution.cli import run
from locution.data.byte_pairs import Tokenizer, learn_merges
from locution.data.prose import ProseData
from locution.errors import UserError
from locution.inference.generate import go_on
from locution.models.language_model import LanguageModel, LanguageTransformer
from locution.runs import train
from locution.tasks.transformers_folder import tokenizer_json, write_transformers

transformers = pytest.importorskip("transformers")


def model(groups: int = 2) -> LanguageTransformer:
    torch.manual_seed(0)
    made = LanguageModel(width=24, layers=2, heads=4, form="llama", groups=groups).build((32,), 300).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = tuple(ProseData(vocabulary=258).load(0).reader.texts["train"])
    return Tokenizer(learn_merges(texts, 42))


@pytest.fixture(scope="module")
def opened(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("folder") / "llama"
    names = [path.name for path in write_transformers(model(), tokenizer, folder)]
    assert "config.json" in names
    assert "model.safetensors" in names
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    return theirs.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transformers_gives_the_same_scores(groups: int, tokenizer: Tokenizer, tmp_path: Path) -> None:
    ours = model(groups)
    write_transformers(ours, tokenizer, tmp_path / "llama")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama", local_files_only=True).eval()
    assert type(theirs).__name__ == "LlamaForCausalLM"
    assert theirs.config.num_key_value_heads == groups
    tokens = torch.randint(300, (3, 32))
    with torch.no_grad():
        wanted, found = ours(tokens), theirs(tokens).logits
    assert float((wanted - found).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_transformers_reads_the_same_tokens(opened: tuple[Any, Any], tokenizer: Tokenizer) -> None:
    held = ProseData(vocabulary=258).load(0).reader.texts["test"]
    odd = ["naïve 🙂 日本", "a  b\n\n   >>> x_1 = 12345\t", "", "½ Ⅷ x² __init__ 's", " \n"]
    for text in [*held, *odd]:
        assert opened[1](text)["input_ids"] == [0, *tokenizer.encode(text)]
        assert opened[1].decode(tokenizer.encode(text)) == text
    assert opened[1].eos_token_id == 0
    assert opened[1].mask_token_id == 1


def test_no_merge_crosses_the_borders_of_pieces_there_either(tmp_path: Path) -> None:
    odd = ["a_b __c", "x1 1a 12345", "e\u0301t", "a  b\n\n c", "½a ²1", "don't", "日本1語"]
    pairs = dict.fromkeys(pair for text in odd for pair in pairwise(2 + byte for byte in text.encode()))
    willing = Tokenizer(list(pairs))  # it would join whatever stands together in these
    write_transformers(LanguageModel(width=8, heads=2, form="llama").build((8,), len(willing)), willing, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    for text in odd:
        assert theirs(text)["input_ids"] == [0, *willing.encode(text)], text


def test_transformers_goes_on_with_a_text_alike(opened: tuple[Any, Any], tokenizer: Tokenizer) -> None:
    given = [0, *tokenizer.encode("The for")]
    wanted = go_on(model(), given, 12, torch.Generator().manual_seed(0), temperature=0.0)
    found = opened[0].generate(torch.tensor([given]), max_new_tokens=12, do_sample=False, suppress_tokens=[1])
    assert found[0, len(given) :].tolist()[: len(wanted)] == wanted
    assert len(set(wanted)) > 1


def test_what_is_no_llama_is_one_line(tokenizer: Tokenizer, tmp_path: Path) -> None:
    small = LanguageModel(width=24, layers=1, form="llama")
    for settings, line in (
        (replace(small, form="gpt"), "model.form is gpt; allowed for a folder of transformers: llama"),
        (replace(small, causal=False), "model.causal is false; allowed for a folder of transformers: a causal"),
        (replace(small, positions="learned"), "model.positions are not rotary; allowed"),
    ):
        made = settings.build((8,), 300)
        with pytest.raises(UserError, match=line):
            write_transformers(made, tokenizer, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    a, b = 2 + ord("a"), 2 + ord("b")
    alike = Tokenizer([(a, b), (258, a), (b, a), (a, 260)])  # ab a, and a ba
    with pytest.raises(UserError, match="two tokens are spelled alike"):
        tokenizer_json(alike)


def test_the_folder_holds_plain_data_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for path in write_transformers(model(), tokenizer, tmp_path):
        assert path.suffix in (".json", ".safetensors")
        assert path.suffix != ".json" or json.loads(path.read_text(encoding="utf-8"))


def test_a_run_is_exported_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("data.vocabulary=280", "data.length=32", "model.width=16", "model.heads=2", "model.layers=1", "steps=2")
    trained = train("texts/causal", *words, "model.form=llama", f"run_dir={tmp_path / 'run'}", quiet=True)
    assert run(["export", str(trained.folder), str(tmp_path / "llama")]) == 0
    assert capsys.readouterr().out.count("written: ") == 5
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama", local_files_only=True).eval()
    ours = trained.load(trained.job())
    tokens = torch.randint(280, (1, 32))
    with torch.no_grad():
        assert float((ours(tokens) - theirs(tokens).logits).abs().max()) < 1e-5
    plain = train("texts/causal", *words, "model.form=gpt", f"run_dir={tmp_path / 'gpt'}", quiet=True)
    assert run(["export", str(plain.folder), str(tmp_path / "gpt-2")]) == 2
    assert "model.form is gpt; allowed for a folder of transformers: llama" in capsys.readouterr().err
    line = train("line", "steps=1", f"run_dir={tmp_path / 'line'}", quiet=True)
    assert run(["export", str(line.folder), str(tmp_path / "none")]) == 2
    assert "cannot export; what it can: evaluate, predict, embed." in capsys.readouterr().err
