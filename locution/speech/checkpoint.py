"""A trained projector on disk, with hashes of all that it was trained between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from locution.errors import LocutionError, UserError
from locution.models.adapter_files import adapter_state, load_adapter, save_adapter
from locution.models.lora import lora_layers
from locution.speech.frozen import (
    EMBEDDED_NAME,
    frame_rate,
    load_encoder,
    load_language_model,
    state_digest,
    weights_digest,
)
from locution.speech.normalise import NORMALISERS, normaliser_digest
from locution.speech.projectors import build_projector
from locution.speech.prompt import Prompt, tokenizer_digest
from locution.speech.recogniser import Recogniser

WEIGHTS, CARD, ADAPTER = "projector.safetensors", "projector.json", "adapter"


def build_recogniser(
    encoder: Any, language_model: Any, tokenizer: Any, *, projector: str = "mlp", **settings: Any
) -> Recogniser:
    """Put a recogniser together around a new projector that fits both halves and starts at the embeddings'
    scale.
    """
    from locution.speech.recogniser import embedding_scale

    width = language_model.get_input_embeddings().weight.shape[1]
    gain = embedding_scale(language_model)
    made = build_projector(projector, encoder.config.width, width, gain=gain, **settings)
    return Recogniser(made, language_model, tokenizer, encoder=encoder, frame_rate=frame_rate(encoder))


def save_projector(
    recogniser: Recogniser,
    folder: str | Path,
    *,
    encoder: str = EMBEDDED_NAME,
    language_model: str = EMBEDDED_NAME,
    normaliser: str = "basic-1",
) -> None:
    """Write the projector alone into a folder, and beside it what it belongs to.

    `encoder` and `language_model` are the names under which they can be loaded again. What LoRA has added to the
    language model lies in `adapter`, as peft writes it. All files are written aside and renamed; the weights come
    first.
    """
    from safetensors.torch import save_file

    folder, projector = Path(folder), recogniser.projector
    folder.mkdir(parents=True, exist_ok=True)
    kind: Any = projector
    card = {
        "projector": {"kind": kind.kind, "settings": kind.settings},
        "encoder": encoder,
        "unpadded": bool(getattr(recogniser.encoder, "unpadded", False)),
        "language_model": language_model,
        "prompt": {
            "before": recogniser.prompt.before,
            "after": recogniser.prompt.after,
            "end": recogniser.prompt.end,
        },
        "normaliser": normaliser,
        "hashes": hashes(recogniser, normaliser) | {"projector": weights_digest(projector)},
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in projector.state_dict().items()}
    try:
        save_file(weights, folder / f".{WEIGHTS}.part")
        os.replace(folder / f".{WEIGHTS}.part", folder / WEIGHTS)
        if lora_layers(recogniser.language_model):
            save_adapter(recogniser.language_model, folder / ADAPTER, base=language_model, task="CAUSAL_LM")
        (folder / f".{CARD}.part").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        os.replace(folder / f".{CARD}.part", folder / CARD)
    except OSError as error:
        raise LocutionError(f"{folder}: the projector cannot be written ({error.strerror or error}).") from error


def hashes(recogniser: Recogniser, normaliser: str) -> dict[str, str]:
    """Hash everything that a projector depends on."""
    found = {
        "language_model": weights_digest(recogniser.language_model),
        "tokenizer": tokenizer_digest(recogniser.tokenizer),
        "prompt": recogniser.prompt.digest,
        "normaliser": normaliser_digest(normaliser),
    }
    if lora_layers(recogniser.language_model):
        found["adapter"] = adapter_digest(recogniser.language_model)
    return found if recogniser.encoder is None else {"encoder": weights_digest(recogniser.encoder)} | found


def adapter_digest(language_model: nn.Module) -> str:
    """Hash what LoRA has added: the thin matrices, and how they are scaled."""
    scales = {f"{name}.alpha": torch.tensor(layer.alpha) for name, layer in lora_layers(language_model).items()}
    return state_digest(adapter_state(language_model) | scales)


def load_recogniser(folder: str | Path, *, encoder: str | None = None, language_model: str | None = None) -> Recogniser:
    """Load a recogniser from a folder that `save_projector` wrote; other halves than it was trained with are
    refused.

    `encoder`, `language_model`: where the two halves lie now, if not where they lay. Raises UserError with
    both hashes where the encoder, the language model, its tokenizer, the prompt or the normaliser differ,
    LocutionError where the projector's or the adapter's file is damaged.
    """
    card = read_card(folder)
    hears = load_encoder(encoder or card["encoder"], unpadded=card.get("unpadded", False))
    writes, tokenizer = load_language_model(language_model or card["language_model"])
    kind, settings = card["projector"]["kind"], card["projector"]["settings"]
    recogniser = build_recogniser(hears, writes, tokenizer, projector=kind, **settings)
    recogniser = Recogniser(
        recogniser.projector,
        writes,
        tokenizer,
        prompt=Prompt(**card["prompt"]),
        encoder=hears,
        frame_rate=frame_rate(hears),
    )
    check_hashes(folder, card, hashes(recogniser, card["normaliser"]))
    _load_weights(recogniser.projector, Path(folder), card["hashes"]["projector"])
    if (expected := card["hashes"].get("adapter")) is not None:
        load_adapter(writes, Path(folder) / ADAPTER, only_thin=True)
        if (adapter := adapter_digest(writes)) != expected:
            raise LocutionError(f"{Path(folder) / ADAPTER} is damaged: hash {adapter}; expected {expected}.")
    return recogniser.requires_grad_(False).eval()


def check_hashes(folder: str | Path, card: dict[str, Any], found: dict[str, str]) -> None:
    """Refuse what differs from what a projector was trained with, naming both hashes."""
    for name, expected in card["hashes"].items():
        if name == "normaliser" and expected == card["normaliser"]:
            continue  # written when a version was all that was noted
        if name in found and found[name] != expected:
            what = f"the {name.replace('_', ' ')} has hash {found[name]}"
            raise UserError(f"{folder}: {what}; its projector was trained with {expected}.")


def read_card(folder: str | Path) -> dict[str, Any]:
    """Read what a projector belongs to, and check that all of it is there and of a known version."""
    path = Path(folder) / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kinds = (card["projector"]["kind"], card["encoder"], card["language_model"], card["prompt"]["end"])
        known = card["normaliser"] in NORMALISERS and all(isinstance(kind, str) for kind in kinds)
        settings, wanted = card["projector"]["settings"], card["hashes"]["projector"]
    except FileNotFoundError as error:
        raise UserError(f"{folder} is no run of speech recognition ({CARD} is missing).") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocutionError(f"{path} is damaged ({type(error).__name__}).") from error
    if not (known and isinstance(settings, dict) and isinstance(wanted, str)):
        raise LocutionError(f"{path} is damaged, or of a later version: normaliser '{card['normaliser']}'.")
    return card


def _load_weights(projector: nn.Module, folder: Path, expected: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        projector.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise LocutionError(f"{folder / WEIGHTS} is damaged or missing.") from error
    if (found := weights_digest(projector)) != expected:
        raise LocutionError(f"{folder / WEIGHTS} is damaged: hash {found}; expected {expected}.")
