"""The small language model that writes what it hears: its shape, its objective, and its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.speech.repetition import IGNORE
from locution.speech.tokenizer import EARLY, EOS, LATE, PAD, SEP, load_tokenizer, vocabulary


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of the small language model, an architecture of SmolLM3's kind.

    width: of every token; layers, heads: how many; inner: width of the gated feed-forward layers; theta:
    base of the rotary positions, which every fourth layer goes without; tokens: size of the vocabulary.
    """

    width: int = 192
    layers: int = 5
    heads: int = 3
    inner: int = 512
    theta: float = 1000.0
    tokens: int = len(vocabulary())

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "inner", "tokens"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "a whole number from 1")
        require(
            self.width % (2 * self.heads) == 0, "model.width", self.width, f"a multiple of {2 * self.heads}"
        )


def build_decoder(config: DecoderConfig | None = None, seed: int = 0) -> Any:
    """A decoder is the part of a recogniser that writes the text: here a causal language model, weights
    drawn by seed.

    Returns a SmolLM3ForCausalLM of transformers, with tied embeddings and without dropout.

    >>> model = build_decoder(DecoderConfig(width=8, layers=1, heads=1, inner=16))
    >>> model.lm_head.weight is model.model.embed_tokens.weight
    True

    Reference: Bakouch et al., 2025, "SmolLM3: smol, multilingual, long-context reasoner".
    """
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    shape = config or DecoderConfig()
    settings = SmolLM3Config(
        vocab_size=shape.tokens,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=1024,
        rope_parameters={"rope_theta": shape.theta, "rope_type": "default"},
        no_rope_layer_interval=4,
        pad_token_id=PAD,
        bos_token_id=SEP,
        eos_token_id=EOS,
        tie_word_embeddings=True,
        attn_implementation="eager",  # twice as fast as the fused kernel on a processor, at this size
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmolLM3ForCausalLM(settings)


def rms(tensor: Tensor) -> Tensor:
    """Measure the root of the mean square of all numbers of a tensor: how large an embedding typically is.

    >>> rms(torch.tensor([3.0, -3.0]))
    tensor(3.)
    """
    return tensor.detach().float().pow(2).mean().sqrt()


def moments(table: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """Turn pairs of frames into one embedding each: a row of the early half plus a row of the late half,
    scaled.

    table: (V, H) embeddings of the tokens. inputs: frames, others, mix (B, F), see `repetition`. Every
    result has the table's own RMS, as a projector's outputs do. Returns (B, F / 2, H).

    >>> table = torch.eye(61)
    >>> one = {"frames": torch.tensor([[3, 0]]), "others": torch.tensor([[0, 0]]), "mix": torch.zeros(1, 2)}
    >>> moments(table, one).nonzero()[:, 2].tolist() == [EARLY + 3, LATE]
    True
    """
    count = inputs["frames"].shape[1]
    half = torch.tensor([EARLY, LATE], device=table.device).repeat(count // 2)
    mix = inputs["mix"][..., None]
    heard = (
        embedding(inputs["frames"] + half, table) * (1 - mix)
        + embedding(inputs["others"] + half, table) * mix
    )
    pairs = heard.view(len(heard), count // 2, 2, -1).sum(2)  # (B, F / 2, H)
    size = rms(table) * torch.rsqrt(pairs.pow(2).mean(-1, keepdim=True) + 1e-12)
    return pairs * size


def shaken(heard: Tensor, worst: float = 0.4) -> Tensor:
    """Add Gaussian noise, of up to `worst` times its own size for each example, so that near misses are
    understood."""
    size = worst * torch.rand(len(heard), 1, 1, device=heard.device) * rms(heard)
    return heard + size * torch.randn_like(heard)


def repeat_objective(model: Any, batch: Batch, worst: float = 0.4) -> tuple[Tensor, Tensor]:
    """Ask the model to write the text again that it has heard: cross-entropy, a mean over the tokens to
    write.

    Returns (logits (M, V) of the M tokens to write, loss). The noise is drawn from torch's own generator,
    which the engine seeds for each step; none is drawn in eval mode.
    """
    table = model.get_input_embeddings().weight
    heard = moments(table, batch.inputs)
    if model.training and worst:
        heard = shaken(heard, worst)
    prompt = torch.cat([heard, embedding(batch.inputs["text"], table)], dim=1)  # (B, F / 2 + N, H)
    hidden = model.model(inputs_embeds=prompt, use_cache=False).last_hidden_state[:, heard.shape[1] :]
    wanted = batch.targets != IGNORE
    logits = model.lm_head(hidden[wanted])
    return logits, cross_entropy(logits.float(), batch.targets[wanted])


@torch.no_grad()
def write(model: Any, heard: Tensor, limit: int = 128) -> list[list[int]]:
    """Write greedily what embeddings (B, S, H) say: the prompt is the embeddings and [SEP]; ends at [EOS].

    Returns the tokens of each row, without the marks.
    """
    table = model.get_input_embeddings().weight
    prompt = torch.cat([heard, table[SEP].expand(len(heard), 1, -1)], dim=1)
    cache, rows = None, []
    done = torch.zeros(len(heard), dtype=torch.bool, device=heard.device)
    for _ in range(limit):
        output = model(inputs_embeds=prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        tokens = torch.where(done, PAD, output.logits[:, -1].argmax(-1))
        done = done | (tokens == EOS)
        rows.append(tokens)
        if bool(done.all()):
            break
        prompt = embedding(tokens, table)[:, None]
    return [[token for token in row if token > EOS] for row in torch.stack(rows, 1).tolist()]


def save_decoder(
    folder: str | Path, model: nn.Module, tokenizer: Any, dtype: torch.dtype = torch.float32
) -> None:
    """Save the model and its tokenizer as a folder that transformers loads: config.json, model.safetensors,
    tokenizer.json."""
    from copy import deepcopy

    from transformers.utils import logging

    logging.disable_progress_bar()
    copy: Any = deepcopy(model).to(dtype)
    copy.config._attn_implementation = "sdpa"
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_decoder(folder: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer from a local folder, without remote code, frozen and in
    eval mode.

    Raises UserError where the folder holds no model.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    if not (Path(folder) / "config.json").is_file():
        raise UserError(
            f"'{folder}' holds no language model; allowed: a folder with config.json and model.safetensors."
        )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False
    )
    return model.eval().requires_grad_(False), load_tokenizer(folder)


def spell(tokens: Sequence[int], tokenizer: Any) -> str:
    """Read tokens as text, leaving out marks and everything that never occurs in text."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()
