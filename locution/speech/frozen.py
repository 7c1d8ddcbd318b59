"""The two frozen halves, by name or folder: an encoder that hears and a language model that writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from locution.errors import LocutionError, UserError

EMBEDDED = Path(__file__).with_name("weights")
EMBEDDED_NAME = "embedded"


def freeze(module: nn.Module) -> nn.Module:
    """To freeze a module is to stop its weights from learning and its dropout from waking.

    >>> frozen = freeze(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    >>> frozen.training, any(p.requires_grad for p in frozen.parameters())
    (False, False)

    Reference: J. Yosinski et al., 2014, "How transferable are features in deep neural networks?", section 2.
    """
    return module.requires_grad_(False).eval()


def weights_digest(module: nn.Module) -> str:
    """Hash every weight and buffer of a module by name, shape and value; bf16 and the same numbers in fp32
    are one.

    >>> _ = torch.manual_seed(0)
    >>> one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> weights_digest(one) == weights_digest(one), weights_digest(one) == weights_digest(other)
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=20)
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        digest.update(f"{name} {values.dtype} {tuple(values.shape)};".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def place(name: str | Path, part: str) -> str:
    """Say where a frozen half lies: 'embedded' is inside this package, else it is a folder or a hub name."""
    if str(name) == EMBEDDED_NAME:
        folder = EMBEDDED / part
        if not folder.is_dir():
            raise LocutionError(f"the embedded {part} is not in this installation ({folder} is missing).")
        return str(folder)
    path = Path(name)
    if path.exists() and not path.is_dir():
        raise UserError(f"{part} '{name}' is a file; allowed: a folder, a hub name, or {EMBEDDED_NAME}.")
    if not path.exists() and (path.is_absolute() or str(name).startswith((".", "~"))):
        raise UserError(f"{part} '{name}': no such folder.")
    return str(name)


def load_encoder(name: str | Path = EMBEDDED_NAME, *, unpadded: bool = False) -> nn.Module:
    """Load the encoder, the half that hears, by hub name or folder, and freeze it.

    A folder that this project's `speech/encoder` recipe wrote gives a `SpeechEncoder`; any other folder or
    hub name must be a Whisper model, of which the encoder is kept. Code that comes with a model is never run.
    """
    where = place(name, "encoder")
    config = Path(where) / "config.json"
    if config.is_file() and "model_type" not in json.loads(config.read_text(encoding="utf-8")):
        from locution.speech.encoder import SpeechEncoder

        return freeze(SpeechEncoder.load(Path(where)))
    whisper = _from_pretrained(_transformers().WhisperModel, where, f"encoder '{name}'", part="encoder.")
    from locution.speech.whisper import WhisperFrames

    return freeze(WhisperFrames(whisper.encoder, unpadded=unpadded))


def frame_rate(encoder: nn.Module) -> float:
    """Say how many frames an encoder gives for each second of sound: Whisper 50, the embedded one 25."""
    from locution.speech.whisper import WhisperFrames

    return 50.0 if isinstance(encoder, WhisperFrames) else 25.0


SMALL = 50_000_000  # parameters; below it a processor is fastest with fp32 weights and plain attention


def load_language_model(name: str | Path = EMBEDDED_NAME, *, dtype: str = "auto") -> tuple[Any, Any]:
    """Load the language model, the half that writes, and its tokenizer, by hub name or folder, and freeze it.

    Any causal language model that transformers knows; code that comes with a model is never run. Weights stay
    in the precision they were saved in; a small model on a machine without accelerator gets fp32 weights.
    """
    where = place(name, "decoder")
    transformers, what = _transformers(), f"language model '{name}'"
    model = _from_pretrained(transformers.AutoModelForCausalLM, where, what, dtype=dtype)
    tokenizer = _from_pretrained(transformers.AutoTokenizer, where, what)
    if dtype == "auto" and model.num_parameters() < SMALL and not torch.cuda.is_available():
        model = model.float()
        model.set_attn_implementation("eager")  # measured: 1.6 times as fast as the fused kernel at width 192
    return freeze(model), tokenizer


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError("speech needs its extra: pip install 'locution[speech]'.") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _from_pretrained(kind: Any, where: str, what: str, *, part: str = "", dtype: str = "auto") -> Any:
    """Load a model or a tokenizer without running code of its own, from safetensors alone, with no weight
    missing.

    `part` begins the names of the weights that matter. A weight that is missing would be drawn at random.
    """
    from safetensors import SafetensorError

    settings: dict[str, Any] = {"trust_remote_code": False}
    model = kind.__name__ != "AutoTokenizer"
    if model:
        settings |= {"use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    try:
        found = kind.from_pretrained(where, **settings)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{what} cannot be loaded: {_first_line(error)}") from error
    if not model:
        return found
    loaded, said = found
    missing = sorted(key for key in said["missing_keys"] if key.startswith(part))
    if missing:
        raise UserError(f"{what} cannot be loaded: {len(missing)} weights are missing, such as {missing[0]}.")
    return loaded


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
