"""A small CTC head for an encoder that has none, such as Whisper's: letters from its frames."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.engine.run_folder import RunFolder
from locution.errors import LocutionError, UserError
from locution.speech.ctc import CHARACTERS, ctc_loss, greedy
from locution.speech.frozen import weights_digest
from locution.speech.no_speech import SPEAKS
from locution.speech.recogniser import Recogniser

MODEL, WEIGHTS, CARD = "model", "ctc_head.safetensors", "ctc_head.json"


class CTCHead(nn.Module):
    """A CTC head spells what an encoder hears: each frame (..., D) to scores (..., 29) of blank, space and letters.

    It gives word times, says whether anybody speaks (where its clearest letters reach `speaks`, from 0 to 1), and is
    trained on cached frames, the encoder frozen.

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
        self.speaks = SPEAKS

    def forward(self, frames: Tensor) -> Tensor:
        """Score the letters of each frame."""
        scores: Tensor = self.outer(nn.functional.gelu(self.inner(frames.to(self.inner.weight.dtype))))
        return scores


def ctc_head_objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Ask a head for the texts: CTC loss in nats a letter.

    batch.inputs: "frames" (B, T, D), "lengths" (B,), "counts" (B,) letters; batch.targets (B, L) classes, padded;
    batch.weights (B,) the letters of each, at least one.
    """
    scores = model(batch.inputs["frames"]).float().log_softmax(-1)  # (B, T, 29)
    loss = ctc_loss(scores, batch.inputs["lengths"], batch.targets, batch.inputs["counts"])
    return scores, loss / batch.weight()


@torch.inference_mode()
def spell_frames(head: nn.Module, frames: Sequence[Tensor]) -> list[str]:
    """Read the frames (T_i, D) of clips with a CTC head, greedily."""
    weight = next(head.parameters())
    return [greedy(head(clip.to(weight)[None]), torch.tensor([len(clip)]))[0] for clip in frames]


@torch.inference_mode()
def encoder_alone(encoder: Any, frames: Sequence[Tensor]) -> list[str] | None:
    """Read the frames with the encoder's own CTC head, greedily; None where the encoder has none."""
    head = getattr(encoder, "head", None)
    return None if head is None else spell_frames(head, frames)


def save_ctc_head(head: CTCHead, encoder: nn.Module, folder: str | Path, name: str = "") -> None:
    """Write a head into a folder, with the hash of the encoder it belongs to and the `name` that loads it again.

    Written aside and renamed, the card last: it holds the hash of the weights.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    weights = {key: weight.detach().cpu().contiguous() for key, weight in head.state_dict().items()}
    card = {
        "settings": head.settings,
        "speaks": head.speaks,
        "name": name,
        "unpadded": bool(getattr(encoder, "unpadded", False)),
        "encoder": weights_digest(encoder),
        "weights": weights_digest(head),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / f".{WEIGHTS}.part")
        os.replace(folder / f".{WEIGHTS}.part", folder / WEIGHTS)
        (folder / f".{CARD}.part").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        os.replace(folder / f".{CARD}.part", folder / CARD)
    except OSError as error:
        raise LocutionError(f"{folder}: the CTC head cannot be written ({error.strerror or error}).") from error


def read_head_card(folder: str | Path) -> dict[str, Any]:
    """Read what a head belongs to."""
    try:
        card: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
        known = float(card["speaks"]), str(card["name"]), bool(card["unpadded"]), card["settings"], card["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no CTC head that can be read ({type(error).__name__}).") from error
    return card if known else {}


def load_ctc_head(folder: str | Path, encoder: nn.Module) -> CTCHead:
    """Read a head; one that was trained on another encoder is refused with both hashes."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_head_card(folder)
    try:
        head = CTCHead(**card["settings"])
        head.load_state_dict(load_file(Path(folder) / WEIGHTS))
        head.speaks = float(card["speaks"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder} holds no CTC head that can be read ({type(error).__name__}).") from error
    if (found := weights_digest(head)) != card["weights"]:
        raise LocutionError(f"{Path(folder) / WEIGHTS} is damaged: hash {found}; expected {card['weights']}.")
    if (found := weights_digest(encoder)) != card["encoder"]:
        raise UserError(f"the encoder has hash {found}; this CTC head was trained on {card['encoder']}.")
    if bool(getattr(encoder, "unpadded", False)) != card["unpadded"]:
        raise UserError(f"{folder}: this CTC head was trained with unpadded={card['unpadded']}, the encoder is not so.")
    return head.requires_grad_(False).eval()


def own_head(encoder: nn.Module) -> bool:
    """Say whether an encoder was raised with a CTC head."""
    return "head" in dict(encoder.named_children())


def attach(encoder: nn.Module, head: CTCHead) -> None:
    """Let an encoder spell with a head; it is no part of the encoder's weights, whose hash stays what it was."""
    object.__setattr__(encoder, "head", head)


def head_folder(where: str | Path) -> Path:
    """Find the folder of a head: of a run by its folder or its recipe's name, or the very folder that holds one."""
    return Path(where) if (Path(where) / CARD).is_file() else RunFolder.open(where).path / MODEL


def with_ctc_head(recogniser: Recogniser, folder: str | Path) -> Recogniser:
    """Give a recogniser's encoder the head that lies beside its projector, if one does and it has none of its own."""
    encoder: Any = recogniser.encoder
    if getattr(encoder, "head", None) is None and (Path(folder) / CARD).is_file():
        attach(encoder, load_ctc_head(folder, encoder))
    return recogniser


def with_head_of(recogniser: Recogniser, where: str | Path) -> Recogniser:
    """Give a recogniser's encoder the head of another run; one that has a head of its own takes none."""
    encoder: Any = recogniser.encoder
    if own_head(encoder):
        raise UserError(f"the encoder spells by itself; allowed: no other CTC head, such as that of {where}.")
    attach(encoder, load_ctc_head(head_folder(where), encoder))
    return recogniser
