"""A small CTC head for an encoder that has none, such as Whisper's: letters from its frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.errors import UserError
from locution.speech.ctc import CHARACTERS, ctc_loss
from locution.speech.frozen import weights_digest
from locution.speech.recogniser import Recogniser

WEIGHTS, CARD = "ctc_head.safetensors", "ctc_head.json"


class CTCHead(nn.Module):
    """A CTC head spells what an encoder hears: each frame (..., D) to scores (..., 29) of blank, space and letters.

    It gives word times, says whether anybody speaks, and is trained on cached frames, the encoder frozen:
    `encoder.head = load_ctc_head(folder, encoder)`.

    >>> import torch
    >>> CTCHead(width=24, hidden=8)(torch.zeros(2, 5, 24)).shape
    torch.Size([2, 5, 29])

    Reference: A. Graves et al., 2006, "Connectionist temporal classification", section 3.
    """

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.settings = {"width": width, "hidden": hidden}
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, len(CHARACTERS) + 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Score the letters of each frame."""
        scores: Tensor = self.outer(nn.functional.gelu(self.inner(frames.to(self.inner.weight.dtype))))
        return scores


def ctc_head_objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Ask a head for the texts: CTC loss in nats a letter.

    batch.inputs: "frames" (B, T, D), "lengths" (B,), "counts" (B,) letters; batch.targets (B, L) classes, padded.
    """
    scores = model(batch.inputs["frames"]).float().log_softmax(-1)  # (B, T, 29)
    counts = batch.inputs["counts"]
    loss = ctc_loss(scores, batch.inputs["lengths"], batch.targets, counts)
    return scores, loss / counts.sum()


def save_ctc_head(head: CTCHead, encoder: nn.Module, folder: str | Path) -> None:
    """Write a head beside a projector, with the hash of the encoder it belongs to."""
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in head.state_dict().items()}, Path(folder) / WEIGHTS)
    card = {"settings": head.settings, "encoder": weights_digest(encoder)}
    (Path(folder) / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load_ctc_head(folder: str | Path, encoder: nn.Module) -> CTCHead:
    """Read a head; one that was trained on another encoder is refused with both hashes."""
    from safetensors.torch import load_file

    try:
        card: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
        head = CTCHead(**card["settings"])
        head.load_state_dict(load_file(Path(folder) / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{folder} holds no CTC head that can be read ({type(error).__name__}).") from error
    found = weights_digest(encoder)
    if found != card["encoder"]:
        raise UserError(f"the encoder has hash {found}; this CTC head was trained on {card['encoder']}.")
    return head.requires_grad_(False).eval()


def with_ctc_head(recogniser: Recogniser, folder: str | Path) -> Recogniser:
    """Give a recogniser's encoder the head that lies beside its projector, if one does and it has none of its own."""
    encoder: Any = recogniser.encoder
    if getattr(encoder, "head", None) is None and (Path(folder) / CARD).is_file():
        encoder.head = load_ctc_head(folder, encoder)
    return recogniser
