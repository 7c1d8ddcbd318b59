"""The recogniser: a frozen encoder, a trained projector, a frozen language model."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.speech.frozen import freeze
from locution.speech.logmel import log_mel_padded
from locution.speech.projectors.norm import rms
from locution.speech.prompt import Prompt, encode, prompt_for

IGNORED = -100  # a target that no loss counts


class Recogniser(nn.Module):
    """A speech recogniser turns sound into text: an encoder hears, a projector translates what it heard into
    a language model's own embeddings, and the language model writes it down.

    Only the projector learns. A sequence is: prompt before, audio, prompt after, transcript, end mark; clips
    of unequal length are padded on the left, so that all transcripts end at the same place.

    Parameters
    ----------
    projector: module of the projector contract. language_model: a causal language model of transformers.
    tokenizer: its tokenizer. prompt: what stands around the audio; chosen by the tokenizer if it is not
    given. encoder: needed to go from sound, not from cached frames. frame_rate: its frames a second.

    >>> from locution.speech.decoder import DecoderConfig, build_decoder
    >>> from locution.speech.projectors import build_projector
    >>> from locution.speech.tokenizer import train_tokenizer
    >>> model = build_decoder(DecoderConfig(width=8, layers=1, heads=1, inner=16))
    >>> recogniser = Recogniser(build_projector("mlp", 6, 8, gain=0.02), model, train_tokenizer())
    >>> text, frames = torch.tensor([[6, 4, 2]]), torch.randn(1, 9, 6)
    >>> heard, said = {"frames": frames, "lengths": torch.tensor([9])}, {"text": text}
    >>> recogniser(heard | said | {"text_lengths": torch.tensor([3])}).shape
    torch.Size([1, 3, 61])

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity",
    section 3.
    """

    def __init__(
        self,
        projector: nn.Module,
        language_model: Any,
        tokenizer: Any,
        *,
        prompt: Prompt | None = None,
        encoder: nn.Module | None = None,
        frame_rate: float = 25.0,
    ) -> None:
        super().__init__()
        self.frame_rate = frame_rate
        self.projector = projector
        self.language_model = freeze(language_model)
        self.encoder = freeze(encoder) if encoder is not None else None
        self.tokenizer = tokenizer
        self.prompt = prompt or prompt_for(tokenizer)
        self.register_buffer("before", self._tokens(self.prompt.before), persistent=False)  # (nb,)
        self.register_buffer("after", self._tokens(self.prompt.after), persistent=False)  # (na,)
        self.end = encode(tokenizer, self.prompt.end)
        require(len(self.end) == 1, "prompt.end", self.prompt.end, "text that the tokenizer writes as one token")

    before: Tensor
    after: Tensor

    def _tokens(self, text: str) -> Tensor:
        return torch.tensor(encode(self.tokenizer, text), dtype=torch.long)

    def train(self, mode: bool = True) -> Self:
        """Switch the projector alone between training and use: what is frozen never wakes."""
        super().train(mode)
        self.language_model.eval()
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def embed(self, tokens: Tensor) -> Tensor:
        """Look up the language model's own embeddings of tokens (...,) -> (..., H)."""
        embeddings: Tensor = self.language_model.get_input_embeddings()(tokens)  # type: ignore[operator]
        return embeddings

    @torch.no_grad()
    def hear(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give the encoder's frames (B, T, D) and their number (B,), without a gradient.

        inputs: "lengths" (B,) of what comes with it: "frames" (B, T, D), already heard; "mel" (B, F, n_mels), a scaled
        log-mel spectrogram; or "waves" (B, N), samples at 16 kHz.
        """
        if "frames" in inputs:
            return inputs["frames"], inputs["lengths"]
        encoder: Any = self.encoder
        if encoder is None:
            raise UserError("this recogniser came without an encoder; allowed: cached frames only.")
        mel, lengths = inputs.get("mel"), inputs["lengths"]
        if mel is None:
            mel, lengths = log_mel_padded(inputs["waves"], lengths, encoder.config.n_mels)
        frames, lengths = encoder.features(mel, lengths)
        return frames, lengths

    def audio(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Translate frames (B, T, D) into embeddings (B, T', H), with their lengths (B,)."""
        weight = next(self.projector.parameters())
        embeddings, lengths = self.projector(frames.to(weight.dtype), lengths)
        return embeddings.to(self.language_model.dtype), lengths

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Give the logits (B, L, V) of each transcript token from what stands before it.

        inputs: the sound as `hear` takes it, "text" (B, L) tokens padded on the left, "text_lengths" (B,).
        """
        audio, heard = self.audio(*self.hear(inputs))
        text, written = inputs["text"], inputs["text_lengths"]
        x, mask = self.sequence(audio, heard, text, written)  # (B, S, H), (B, S)
        logits: Tensor = self.language_model(
            inputs_embeds=x, **attention(mask), use_cache=False, logits_to_keep=text.shape[1] + 1
        ).logits  # (B, L + 1, V)
        return logits[:, :-1]

    def sequence(
        self, audio: Tensor, heard: Tensor, text: Tensor | None = None, written: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Put prompt, audio (B, T', H) and transcript in one row each, padded on the left: (B, S, H), mask
        (B, S).
        """
        batch, room, _ = audio.shape
        head, tail = (self.embed(marks).expand(batch, -1, -1) for marks in (self.before, self.after))
        pieces = [head, audio, tail]
        ends = heard
        if text is not None and written is not None:
            pieces.append(self.embed(text))
            ends = heard + written
        source = torch.cat([piece.to(audio.dtype) for piece in pieces], dim=1)
        before, after = len(self.before), len(self.after)
        totals = ends + before + after  # (B,)
        size = max(int(totals.max()), 0 if text is None else text.shape[1] + 1)  # a micro-batch keeps its L
        place = torch.arange(size, device=audio.device) - (size - totals)[:, None]  # (B, S), below 0: padding
        spoken = before + heard[:, None]  # (B, 1), where the audio ends
        index = torch.where(place < spoken, place, place + room - heard[:, None])  # skips the audio's padding
        if text is not None:
            from_end = source.shape[1] - (totals[:, None] - place)  # skips the transcript's padding
            index = torch.where(place < spoken + after, index, from_end)
        mask = place >= 0
        index = torch.where(mask, index, 0)[..., None].expand(-1, -1, source.shape[-1])
        return source.gather(1, index) * mask[..., None], mask


def attention(mask: Tensor) -> dict[str, Tensor | None]:
    """Say to a language model which places of (B, S) count, and number them from 0 after the padding."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)  # (B, S)
    whole = bool(mask.all())
    return {"attention_mask": None if whole else mask.long(), "position_ids": positions}


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of transcripts: the mean, over all tokens that count, of minus the log-probability.

    logits (B, L, V), targets (B, L) with -100 where nothing counts.

    >>> round(token_loss(torch.zeros(1, 2, 4), torch.tensor([[-100, 3]])).item(), 4)
    1.3863
    """
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)


def transcript_objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """The objective of a recogniser is the transcript's cross-entropy, a mean over its tokens
    (`batch.weights`).

    A projector with an auxiliary loss of its own (`auxiliary`: one number an utterance) adds it weighted by the
    utterance's tokens, so that the sum over micro-batches is that of the whole batch.
    """
    logits = model(batch.inputs)
    return logits, token_loss(logits, batch.targets) + auxiliary_loss(model, batch)


def auxiliary_loss(model: nn.Module, batch: Batch) -> Tensor | float:
    """What a projector asks for beside the right words, such as an even load on its experts: a mean over tokens."""
    projector = getattr(model, "projector", None)
    if not callable(getattr(projector, "auxiliary", None)):
        return 0.0
    recogniser: Any = model
    frames, lengths = recogniser.hear(batch.inputs)
    each = recogniser.projector.auxiliary(frames.to(next(recogniser.projector.parameters()).dtype), lengths)  # (B,)
    tokens = (batch.targets != IGNORED).sum(1).to(each)  # (B,)
    weighed: Tensor = (each * tokens).sum() / tokens.sum()
    return weighed


def embedding_scale(language_model: Any) -> float:
    """Measure the root mean square of a language model's own token embeddings."""
    return rms(language_model.get_input_embeddings().weight)
