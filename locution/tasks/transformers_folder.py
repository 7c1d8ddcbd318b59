"""A trained language model as a folder that transformers loads: as a Llama, with its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from locution.data.byte_pairs import END, FIRST, MARKS, MASK, Tokenizer
from locution.engine.run_folder import write_text
from locution.errors import UserError
from locution.models.language_model import LanguageTransformer
from locution.models.self_attention import BASE

# the pieces of `byte_pairs.PIECE`, in the regular expressions of tokenizers, whose \w and \d are wider
PIECES = r" ?[\p{L}\p{Nl}\p{No}]+| ?\p{Nd}{1,3}| ?[^\p{L}\p{N}\s]+|\s+(?!\S)|\s+"
NAMES = {
    "before_attention": "input_layernorm",
    "attention.outwards": "self_attn.o_proj",
    "before_feed_forward": "post_attention_layernorm",
    "feed_forward.down": "mlp.down_proj",
}
PARTS = {
    "attention.inwards": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "feed_forward.up": ("mlp.gate_proj", "mlp.up_proj"),
}


def check(model: LanguageTransformer) -> None:
    """Refuse a model that no Llama is like."""
    blocks = model.blocks
    if blocks.form != "llama":
        raise UserError(f"model.form is {blocks.form}; allowed for a folder of transformers: llama.")
    first: Any = blocks.blocks[0]
    if not model.causal or not first.attention.rotary:
        came = "model.causal is false" if not model.causal else "model.positions are not rotary"
        raise UserError(f"{came}; allowed for a folder of transformers: a causal model with rotary positions.")


def llama_config(model: LanguageTransformer) -> dict[str, Any]:
    """Say of what shape a model is, in the words of transformers' LlamaConfig."""
    first: Any = model.blocks.blocks[0]
    vocabulary, width = model.embedding.weight.shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": first.feed_forward.down.in_features,
        "num_hidden_layers": len(model.blocks.blocks),
        "num_attention_heads": first.attention.heads,
        "num_key_value_heads": first.attention.groups,
        "max_position_embeddings": model.context,
        "hidden_act": "silu",
        "rms_norm_eps": first.before_attention.eps,
        "rope_theta": BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": BASE},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": END,
        "eos_token_id": END,
        "pad_token_id": END,
        "dtype": "float32",
    }


def llama_weights(model: LanguageTransformer) -> dict[str, Tensor]:
    """Hand out a model's weights under the names of transformers' Llama; layers that are one here are several there."""
    check(model)
    own = {name: value.detach().float().cpu() for name, value in model.state_dict().items()}
    found = {"model.embed_tokens.weight": own["embedding.weight"], "model.norm.weight": own["blocks.norm.weight"]}
    first: Any = model.blocks.blocks[0]
    attention = first.attention
    each = attention.outwards.in_features // attention.heads
    sizes = {
        "attention.inwards": [attention.heads * each, attention.groups * each, attention.groups * each],
        "feed_forward.up": [first.feed_forward.down.in_features] * 2,
    }
    for layer in range(len(model.blocks.blocks)):
        ours, theirs = f"blocks.blocks.{layer}.", f"model.layers.{layer}."
        for name, other in NAMES.items():
            found[f"{theirs}{other}.weight"] = own[f"{ours}{name}.weight"]
        for name, others in PARTS.items():
            several = own[f"{ours}{name}.weight"].split(sizes[name])
            found |= {f"{theirs}{other}.weight": part for other, part in zip(others, several, strict=True)}
    return {name: value.contiguous().clone() for name, value in found.items()}


def letters_of_bytes() -> list[str]:
    """Say by which letter byte-level tokenizers write each byte: itself where it is printed, one past 255 otherwise.

    >>> letters = letters_of_bytes()
    >>> letters[ord("a")], letters[ord(" ")], len(set(letters))
    ('a', 'Ġ', 256)

    Reference: A. Radford et al., 2019, "Language models are unsupervised multitask learners", section 2.2.
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return [chr(byte) if byte in printed else chr(256 + others.index(byte)) for byte in range(256)]


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """Write a tokenizer in the format of the library tokenizers; an end mark goes before each text."""
    letters = letters_of_bytes()
    spelled = ["".join(letters[byte] for byte in spelled) for spelled in tokenizer.spelled]
    vocabulary = {MARKS[END]: END, MARKS[MASK]: MASK, **{word: FIRST + at for at, word in enumerate(spelled[FIRST:])}}
    if len(vocabulary) != len(tokenizer):
        raise UserError("two tokens are spelled alike; allowed for a folder of transformers: each of its own spelling.")
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    mark = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    begin = {"SpecialToken": {"id": MARKS[END], "type_id": 0}}
    text, other = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": word, **mark} for number, word in enumerate(MARKS)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated", "invert": False},
                bytes_,
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, begin, other],
            "special_tokens": {MARKS[END]: {"id": MARKS[END], "ids": [END], "tokens": [MARKS[END]]}},
        },
        "decoder": bytes_,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [[spelled[one], spelled[two]] for one, two in tokenizer.merges],
        },
    }


def write_transformers(model: LanguageTransformer, tokenizer: Tokenizer, folder: Path) -> list[Path]:
    """Write a language model and its tokenizer as a folder that transformers loads without any code of ours.

    AutoModelForCausalLM.from_pretrained(folder) answers with the same scores, and AutoTokenizer.from_pretrained(folder)
    reads texts as the same tokens. Only models of Llama's form are written.

    Reference: H. Touvron et al., 2023, "LLaMA: open and efficient foundation language models", section 2.2.
    """
    weights = llama_weights(model)
    mark = MARKS[END]
    plain = {
        "config.json": llama_config(model),
        "generation_config.json": {"bos_token_id": END, "eos_token_id": END, "pad_token_id": END},
        "tokenizer.json": tokenizer_json(tokenizer),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": mark,
            "eos_token": mark,
            "pad_token": mark,
            "mask_token": MARKS[MASK],
            "model_max_length": model.context,
            "clean_up_tokenization_spaces": False,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in plain.items():
        write_text(folder / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return sorted([*(folder / name for name in plain), folder / "model.safetensors"])
