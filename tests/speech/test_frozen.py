"""The two halves as real folders: loaded by transformers, frozen, hashed, and nothing of a stranger's code run."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from real_halves import SENTENCES, write_smollm3, write_whisper

from locution.errors import UserError
from locution.models.lora import LoRA, add_lora
from locution.speech import frozen
from locution.speech.attention import attention_kernel, choose_kernel, kernels_used
from locution.speech.frozen import load_encoder, load_language_model, weights_digest
from locution.speech.logmel import log_mel_batch
from locution.speech.prompt import CHAT, encode, prompt_for

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smollm3(tmp_path_factory.mktemp("chat") / "smollm3")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("ear") / "whisper")


# The real code paths ---------------------------------------------------------------------------------------


def test_the_chat_tokenizer_comes_back_whole_and_the_prompt_is_the_models_own(smollm: Path) -> None:
    """The oracle: the chat template of the folder itself, thinking switched off."""
    _, tokenizer = load_language_model(smollm)
    assert prompt_for(tokenizer) is CHAT
    said = [{"role": "user", "content": "AUDIO\nWrite down what was said."}]
    rendered = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert rendered == f"{CHAT.before}AUDIO{CHAT.after}"
    vocabulary = tokenizer.get_vocab()
    after = encode(tokenizer, CHAT.after)
    for mark in ("<|im_start|>", "<|im_end|>", "<think>", "</think>"):
        assert vocabulary[mark] in after  # each one token, none spelled out
    assert encode(tokenizer, CHAT.end) == [vocabulary["<|im_end|>"]]
    for text in [*SENTENCES, "Zürich, 7 °C!"]:
        tokens = encode(tokenizer, text)
        assert tokenizer.decode(tokens) == text
        assert not set(tokens) & {vocabulary[mark] for mark in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")}
    assert len(encode(tokenizer, SENTENCES[0])) < len(SENTENCES[0]) / 2  # merges are at work


@pytest.mark.parametrize("mels", [80, 128])
def test_our_mel_is_that_of_the_folders_own_feature_extractor(tmp_path: Path, mels: int) -> None:
    import transformers

    folder = write_whisper(tmp_path / "w", num_mel_bins=mels)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    encoder: Any = load_encoder(folder)
    assert encoder.config.n_mels == extractor.feature_size == mels
    draw = np.random.default_rng(0)
    wave = (0.1 * draw.standard_normal(16000 * 30)).astype(np.float32)  # 30 s: no padding on either side
    wave[16000 * 20 :] *= np.linspace(1, 0, 16000 * 10, dtype=np.float32)
    expected = extractor(wave, sampling_rate=16000, return_tensors="pt").input_features[0].T
    mel, lengths = log_mel_batch([torch.from_numpy(wave)], mels)
    assert lengths.tolist() == [3000]
    torch.testing.assert_close(mel[0], expected, atol=1e-4, rtol=0)
    frames, _ = encoder.features(mel, lengths)
    own = transformers.WhisperModel.from_pretrained(folder).encoder(expected[None].transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(frames, own, atol=1e-3, rtol=0)


def test_both_halves_are_frozen_and_asleep(smollm: Path, whisper: Path) -> None:
    for half in (load_language_model(smollm)[0], load_encoder(whisper)):
        assert not any(parameter.requires_grad for parameter in half.parameters())
        assert not any(module.training for module in half.modules())


def test_a_small_half_is_fp32_on_a_processor_and_a_large_one_bf16_everywhere(
    smollm: Path, whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("on an accelerator a small half keeps its own precision")
    assert {p.dtype for p in load_language_model(smollm)[0].parameters()} == {torch.float32}
    small = weights_digest(load_encoder(whisper))
    monkeypatch.setattr(frozen, "SMALL", 100)
    for half in (load_language_model(smollm)[0], load_encoder(whisper)):
        assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert weights_digest(load_encoder(whisper)) != small  # rounded: another model


def test_a_hash_does_not_see_precision_nor_lora(smollm: Path) -> None:
    model, _ = load_language_model(smollm)
    rounded = model.to(torch.bfloat16)
    first = weights_digest(rounded)
    assert weights_digest(rounded.float()) == first
    add_lora(rounded, "*.q_proj", rank=2)
    assert any(isinstance(module, LoRA) for module in rounded.modules())
    assert weights_digest(rounded) == first
    with torch.no_grad():
        rounded.model.layers[0].self_attn.q_proj.base.weight[0, 0] += 0.01
    assert weights_digest(rounded) != first


# Attention -------------------------------------------------------------------------------------------------


def test_the_kernel_is_said_as_torch_chooses_it(smollm: Path, whisper: Path) -> None:
    model, _ = load_language_model(smollm)
    if not torch.cuda.is_available():
        assert attention_kernel(model) == "plain"  # measured faster for a small one on a processor
    model.set_attn_implementation("sdpa")
    q = torch.zeros(1, 4, 16, 8, device=model.device)
    assert attention_kernel(model) == choose_kernel(q, q)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert attention_kernel(model, padded=True) == "plain"
        assert attention_kernel(load_encoder(whisper)) == "plain"
    line = kernels_used(load_encoder(whisper), model)
    assert line.startswith("attention kernels on ")
    assert "encoder" in line
    assert "language model" in line


def test_all_kernels_give_the_same(smollm: Path) -> None:
    model, tokenizer = load_language_model(smollm)
    ids = torch.tensor([encode(tokenizer, SENTENCES[0])])
    mask = torch.ones_like(ids)
    mask[0, :3] = 0  # padded on the left
    plain = model(ids, attention_mask=mask).logits[:, 3:]
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(model(ids, attention_mask=mask).logits[:, 3:], plain, atol=1e-4, rtol=1e-4)


# Planted code ----------------------------------------------------------------------------------------------


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (open, (str(self.canary), "w"))


def plant(folder: Path, canary: Path, what: str) -> None:
    """Change a good folder into one that would run code, if anything let it."""
    code = f"open({str(canary)!r}, 'w').close()\nclass Evil: pass\nEvilConfig = EvilModel = EvilTokenizer = Evil\n"
    (folder / "evil.py").write_text(code)
    (folder / "__init__.py").write_text(code)

    def change(name: str, **settings: Any) -> None:
        path = folder / name
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(known | settings))

    names = ("AutoConfig", "AutoModel", "AutoModelForCausalLM")
    maps = dict.fromkeys(names, "evil.EvilConfig")
    if what == "auto_map":
        change("config.json", auto_map=maps)
    elif what == "auto_map and a strange type":
        change("config.json", auto_map=maps, model_type="evil")
    elif what == "tokenizer":
        change("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]})
    elif what == "tokenizer class":
        strange = {"tokenizer_class": "EvilTokenizer", "auto_map": {"AutoTokenizer": [None, "evil.EvilTokenizer"]}}
        change("tokenizer_config.json", **strange)
    elif what == "template":
        trick = "{{ cycler.__init__.__globals__.os.system('touch " + str(canary) + "') }}"
        (folder / "chat_template.jinja").write_text(trick)
        change("tokenizer_config.json", chat_template=trick)
    elif what == "pickle beside":
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(canary)))
        (folder / "training_args.bin").write_bytes(pickle.dumps(Payload(canary)))
    elif what == "pickle alone":
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(canary)))
    elif what == "kernel":
        change("config.json", attn_implementation="evil/kernel", _attn_implementation="evil/kernel")
    elif what == "generate":
        (folder / "custom_generate").mkdir()
        (folder / "custom_generate" / "generate.py").write_text(code + "def generate(*a, **k): pass\n")
    elif what == "adapter":
        parts = {"base_model_class": "Evil", "parent_library": "evil"}
        change("adapter_config.json", peft_type="LORA", r=1, auto_mapping=parts, base_model_name_or_path="evil/base")
        (folder / "adapter_model.bin").write_bytes(pickle.dumps(Payload(canary)))
    elif what == "quantised":
        change("config.json", quantization_config={"quant_method": "evil", "modules_to_not_convert": ["evil"]})
    else:
        raise AssertionError(what)


PLANTS = [
    "auto_map",
    "auto_map and a strange type",
    "tokenizer",
    "tokenizer class",
    "template",
    "pickle beside",
    "pickle alone",
    "kernel",
    "generate",
    "adapter",
    "quantised",
]
REFUSED = {
    "language model": {"auto_map and a strange type", "tokenizer class", "pickle alone", "adapter"},
    "encoder": {"auto_map and a strange type", "pickle alone", "adapter"},
}


@pytest.mark.parametrize("what", PLANTS)
@pytest.mark.parametrize("half", ["encoder", "language model"])
def test_a_folder_with_planted_code_runs_none_of_it(
    tmp_path: Path, smollm: Path, whisper: Path, half: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, canary = tmp_path / "evil", tmp_path / "ran"
    shutil.copytree(smollm if half == "language model" else whisper, folder)
    plant(folder, canary, what)
    monkeypatch.chdir(folder)  # nor is a module found because one stands in its folder
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    good = folder.with_name("good")
    shutil.copytree(smollm if half == "language model" else whisper, good)
    said = ""
    try:
        if half == "language model":
            model, tokenizer = load_language_model(folder)
            assert encode(tokenizer, SENTENCES[0]) == encode(load_language_model(good)[1], SENTENCES[0])
            assert weights_digest(model) == weights_digest(load_language_model(good)[0])
            assert model.config._attn_implementation in ("eager", "sdpa")
        else:
            assert weights_digest(load_encoder(folder)) == weights_digest(load_encoder(good))
    except UserError as error:
        said = str(error)
    assert not canary.exists()
    assert "\n" not in said
    assert bool(said) is (what in REFUSED[half]), said


@pytest.mark.parametrize(
    "config",
    ["[]", "{", '{"model_type": "smollm3", "hidden_size": "x"}', '{"model_type": 7}', '{"model_type": "bert"}'],
)
def test_a_config_that_is_none_is_named_in_one_line(tmp_path: Path, smollm: Path, config: str) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(smollm, folder)
    (folder / "config.json").write_text(config)
    for load in (load_language_model, load_encoder):
        with pytest.raises(UserError, match="cannot be loaded") as caught:
            load(folder)
        assert "\n" not in str(caught.value)


def test_the_language_model_is_any_that_transformers_knows(tmp_path: Path) -> None:
    """One of another family, with absolute places and no shared heads."""
    import transformers
    from real_halves import chat_tokenizer

    tokenizer = chat_tokenizer()
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=len(tokenizer), **sizes))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    loaded, _ = load_language_model(tmp_path / "gpt2")
    assert isinstance(loaded, nn.Module)
    assert attention_kernel(loaded) in ("plain", "flash", "memory-efficient")
