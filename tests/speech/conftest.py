"""Small random stand-ins with the real interfaces: a Whisper, a SmolLM3, a tokenizer, as real folders."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from locution.speech.whisper import Shape

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

MARKS = ["[PAD]", "[SEP]", "[EOS]", "[UNK]"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
WORDS = [*MARKS, *NUMBERS, "turn", "the", "light", "on", "off"]


def make_tokenizer(**marks: str) -> Any:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    chosen = {"pad_token": "[PAD]", "sep_token": "[SEP]", "eos_token": "[EOS]", "unk_token": "[UNK]"} | marks
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **chosen)


def make_language_model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.SmolLM3Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=1,
        initializer_range=0.3,  # far from uniform, so that differences show
    )
    return transformers.SmolLM3ForCausalLM(config).eval()


def make_whisper(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.WhisperConfig(
        vocab_size=64,
        num_mel_bins=80,
        d_model=24,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return transformers.WhisperModel(config).eval()


class TinyEncoder(nn.Module):
    """The contract of an encoder in a dozen lines: every fourth mel frame, projected."""

    config = Shape(n_mels=80, width=24)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layer = nn.Linear(80, 24)

    def features(self, mel: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(mel[:, ::4]), (lengths + 3) // 4


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture
def language_model() -> Any:
    return make_language_model()


@pytest.fixture
def tiny_encoder() -> nn.Module:
    return TinyEncoder()


@pytest.fixture(scope="session")
def smollm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm")
    make_language_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    make_whisper().save_pretrained(folder)
    return folder
