"""What a speech recipe names as its model: the recogniser that it trains."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from locution.errors import unknown
from locution.speech.checkpoint import build_recogniser
from locution.speech.frozen import EMBEDDED_NAME, load_encoder, load_language_model
from locution.speech.projectors import projector_kinds
from locution.speech.recogniser import Recogniser


@dataclass(frozen=True)
class RecogniserModel:
    """A recogniser is three networks in a row: an encoder that hears, a projector that translates, a language model.

    `encoder` and `language_model` stay frozen: "embedded", a folder, or a name on the hub. `projector` names what is
    trained, alone or with its settings: mlp, or {name: mlp, stack: 2}.

    >>> RecogniserModel(projector="mpl")
    Traceback (most recent call last):
    locution.errors.UserError: 'mpl' is no projector. Did you mean 'mlp'? ...

    Reference: Z. Ma et al., 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity", section 3.
    """

    encoder: str = EMBEDDED_NAME
    language_model: str = EMBEDDED_NAME
    projector: str | dict[str, Any] = field(default_factory=lambda: {"name": "mlp"})

    def __post_init__(self) -> None:
        kind, settings = self.chosen()
        kinds = projector_kinds()
        if kind not in kinds:
            raise unknown("projector", kind, kinds)
        allowed = set(inspect.signature(kinds[kind]).parameters) - {"inputs", "outputs", "gain"}
        for name in settings:
            if name not in allowed:
                raise unknown(f"setting of the projector {kind}", name, allowed)

    def chosen(self) -> tuple[str, dict[str, Any]]:
        """Say which projector is meant, and its settings."""
        if isinstance(self.projector, str):
            return self.projector, {}
        settings: Mapping[str, Any] = self.projector
        return str(settings.get("name", "mlp")), {key: value for key, value in settings.items() if key != "name"}

    def build(self) -> Recogniser:
        """Load the frozen halves and put a new projector between them."""
        encoder = load_encoder(self.encoder)
        language_model, tokenizer = load_language_model(self.language_model)
        kind, settings = self.chosen()
        return build_recogniser(encoder, language_model, tokenizer, projector=kind, **settings)
