"""Small random Whisper and SmolLM3 folders, with the tokenizer and the feature extractor of the large ones."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

SENTENCES = [
    "turn the light on in the kitchen",
    "turn off the radio please",
    "set the timer for twenty minutes",
    "what is the weather like today",
    "one two three four five six seven eight nine",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINKING = ["<think>", "</think>"]
# as SmolLM3 writes it: an empty thought where thinking is off
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n{% endif %}{% endif %}"
)


def chat_tokenizer() -> Any:
    """Byte-level BPE with ChatML's marks, trained on a few sentences."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", bos_token="<|endoftext|>"
    )
    made.add_tokens(THINKING)
    made.chat_template = TEMPLATE
    return made


def write_smollm3(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Save a small SmolLM3 with its tokenizer."""
    tokenizer = chat_tokenizer()
    torch.manual_seed(seed)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": 2,
        "eos_token_id": 2,
        "bos_token_id": 0,
        "initializer_range": 0.2,
    }
    transformers.SmolLM3ForCausalLM(transformers.SmolLM3Config(**settings | changes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_whisper(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Save a small Whisper with its feature extractor."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64,
        "num_mel_bins": 80,
        "d_model": 24,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    }
    config = transformers.WhisperConfig(**settings | changes)
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    return folder
