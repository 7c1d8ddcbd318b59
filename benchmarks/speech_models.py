"""What the comparisons of speech run on: a small Whisper and a small SmolLM3 as real folders, and clips to hear.

Every width is a quarter of the true one (Whisper-large-v3-turbo, SmolLM3-3B), and the layers are so few that the
encoder's 30 seconds cost about as much beside the language model's step on 12 seconds as they do at the true sizes.
The weights are random; tokenizers, feature extractor and folders are the real ones of transformers.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.arithmetic import EncoderShape, Pair, WriterShape

RATE = 16_000
SMALL = Pair(
    "small Whisper, small SmolLM3, random weights",
    EncoderShape(320, 1, 1280, 5, mels=80),
    WriterShape(512, 2, 2752, 4, 1, 2000),
)
DECODER = (2, 6528)  # layers and inner width of Whisper's own decoder: as deep as the small SmolLM3, as many weights
CHAT_MARKS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
WHISPER_MARKS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>"]
WHISPER_MARKS += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """A clip: its samples at 16 kHz, and what is said to be said in it."""

    sound: Sound
    text: str

    @property
    def seconds(self) -> float:
        return len(self.sound) / RATE


def librispeech_lengths(count: int, seed: int = 0) -> list[float]:
    """Draw lengths in seconds as LibriSpeech has them: three in five of 12 to 16.5, the rest shorter, mean 12."""
    draw = random.Random(seed)
    shares = [(2.0, 8.0)] * 3 + [(8.0, 12.0)] * 5 + [(12.0, 16.5)] * 12
    draw.shuffle(shares)
    return [draw.uniform(*shares[n % len(shares)]) for n in range(count)]


def clips(lengths: Sequence[float], seed: int = 0) -> list[Said]:
    """Make clips of noise that swells like speech, each with sentences of 2.7 words a second."""
    from locution.speech.sentences import sentence

    draw, found, number = np.random.default_rng(seed), [], 0
    for seconds in lengths:
        count = int(seconds * RATE)
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * draw.uniform(2, 5) * np.arange(count) / RATE)
        sound = (swell * draw.standard_normal(count) * draw.uniform(0.02, 0.2)).astype(np.float32)
        words: list[str] = []
        while len(words) < round(2.7 * seconds):
            words += sentence(seed, "train", number, "commands").split()
            number += 1
        found.append(Said(sound, " ".join(words[: round(2.7 * seconds)])))
    return found


@cache
def train_bytes(size: int) -> Any:
    """Train a byte-level BPE of so many tokens on sentences, in the form that both tokenizers are made of."""
    from locution.speech.sentences import sentence

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    texts = [sentence(0, "train", n, kind) for n in range(1000) for kind in ("commands", "everyday")]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def quiet_transformers() -> None:
    """Keep transformers from printing bars and remarks between the figures."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def save_writer(folder: Path, pair: Pair = SMALL, seed: int = 0) -> Path:
    """Write a folder of a SmolLM3 with random weights and a chat tokenizer."""
    import torch
    import transformers

    quiet_transformers()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=train_bytes(1500), eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": CHAT_MARKS})
    torch.manual_seed(seed)
    transformers.SmolLM3ForCausalLM(writer_config(pair.writer, tokenizer.eos_token_id)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def writer_config(shape: WriterShape, end: int) -> Any:
    """Describe a SmolLM3 of this shape to transformers."""
    import transformers

    return transformers.SmolLM3Config(
        vocab_size=shape.tokens,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
    )


def whisper_config(shape: EncoderShape, tokens: int, decoder: tuple[int, int], **marks: int) -> Any:
    """Describe a Whisper of this shape to transformers; `decoder`: the layers and the inner width of its decoder."""
    import transformers

    return transformers.WhisperConfig(
        vocab_size=tokens,
        num_mel_bins=shape.mels,
        d_model=shape.width,
        encoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.inner,
        decoder_layers=decoder[0],
        decoder_attention_heads=shape.heads,
        decoder_ffn_dim=decoder[1],
        **marks,
    )


def save_whisper(folder: Path, pair: Pair = SMALL, seed: int = 0) -> Path:
    """Write a folder of an English Whisper with random weights, its tokenizer and its feature extractor."""
    import json

    import torch
    import transformers

    quiet_transformers()
    bytes_of = json.loads(train_bytes(1500).to_str())["model"]
    merges = [tuple(merge) for merge in bytes_of["merges"]]
    vocabulary = bytes_of["vocab"] | {mark: 1500 + n for n, mark in enumerate(WHISPER_MARKS)}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=merges, pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": WHISPER_MARKS[1:]})
    end, start = 1500, 1501
    marks = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    torch.manual_seed(seed)
    config = whisper_config(pair.encoder, pair.writer.tokens, DECODER, **marks)
    model = transformers.WhisperForConditionalGeneration(config)
    english = {"is_multilingual": False, "no_timestamps_token_id": 1508, "max_length": 448}
    model.generation_config = transformers.GenerationConfig(**marks, **english)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=pair.encoder.mels).save_pretrained(folder)
    return folder
