"""What a speech recipe names as its model: the recogniser that it trains."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from locution.errors import unknown
from locution.models.lora import add_lora, check
from locution.speech.checkpoint import build_recogniser
from locution.speech.frozen import EMBEDDED_NAME, load_encoder, load_language_model
from locution.speech.projectors import projector_kinds
from locution.speech.recogniser import Recogniser

LISTENING = ("every", "patience", "least", "stop")


@dataclass(frozen=True)
class Adapter:
    """What LoRA adds to a language model: thin matrices of `rank` beside the `layers` whose names match.

    >>> Adapter(rank=0)
    Traceback (most recent call last):
    locution.errors.UserError: model.lora.rank is 0; allowed: a whole number from 1, usually 8 to 64.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    layers: str | tuple[str, ...] = "*_proj"

    def __post_init__(self) -> None:
        check("model.lora", self.rank, self.alpha, self.dropout)

    def add(self, language_model: nn.Module) -> None:
        """Put the matrices into a frozen language model; they alone learn."""
        for module in language_model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the frozen part stays as it is in use
        seed = int(torch.randint(2**31, ()))  # from the recipe's seed, as all first weights are
        thin = {"rank": self.rank, "alpha": self.alpha, "dropout": self.dropout}
        add_lora(language_model, self.layers, **thin, seed=seed, kinds=(nn.Linear,))  # type: ignore[arg-type]


@dataclass(frozen=True)
class RecogniserModel:
    """A recogniser is three networks in a row: an encoder that hears, a projector that translates, a language model.

    `encoder` and `language_model` stay frozen: "embedded", a folder, or a name on the hub. `projector` names what is
    trained, alone or with its settings: mlp, or {name: mlp, stack: 2}. `lora` lets the language model learn too, as
    {rank: 16}. `unpadded` spares Whisper the silence behind short clips. `listening` sets when a training that does not
    listen is ended: {every: 50, patience: 300, least: 0.1, stop: true}.

    >>> RecogniserModel(projector="mpl")
    Traceback (most recent call last):
    locution.errors.UserError: 'mpl' is no projector. Did you mean 'mlp'? ...

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity", section 3.
    """

    encoder: str = EMBEDDED_NAME
    language_model: str = EMBEDDED_NAME
    projector: str | dict[str, Any] = field(default_factory=lambda: {"name": "mlp"})
    lora: Adapter | None = None
    unpadded: bool = False
    listening: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind, settings = self.chosen()
        kinds = projector_kinds()
        if kind not in kinds:
            raise unknown("projector", kind, kinds)
        allowed = set(inspect.signature(kinds[kind]).parameters) - {"inputs", "outputs", "gain"}
        for name in settings:
            if name not in allowed:
                raise unknown(f"setting of the projector {kind}", name, allowed)
        for name in self.listening:
            if name not in LISTENING:
                raise unknown("setting of model.listening", name, LISTENING)

    def chosen(self) -> tuple[str, dict[str, Any]]:
        """Say which projector is meant, and its settings."""
        if isinstance(self.projector, str):
            return self.projector, {}
        settings: Mapping[str, Any] = self.projector
        return str(settings.get("name", "mlp")), {key: value for key, value in settings.items() if key != "name"}

    def build(self) -> Recogniser:
        """Load the frozen halves and put a new projector between them."""
        encoder = load_encoder(self.encoder, unpadded=self.unpadded)
        language_model, tokenizer = load_language_model(self.language_model)
        kind, settings = self.chosen()
        recogniser = build_recogniser(encoder, language_model, tokenizer, projector=kind, **settings)
        if self.lora is not None:
            self.lora.add(recogniser.language_model)
        return recogniser
