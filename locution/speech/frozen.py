"""The two frozen halves, by name or folder: an encoder that hears and a language model that writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import LocutionError, UserError
from locution.models.lora import base_state

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
    are one, and what LoRA has added does not count.

    >>> _ = torch.manual_seed(0)
    >>> one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> weights_digest(one) == weights_digest(one), weights_digest(one) == weights_digest(other)
    (True, False)
    """
    return state_digest(base_state(module))


def state_digest(state: dict[str, Tensor]) -> str:
    """Hash named tensors by name, shape and value, in the order of their names."""
    digest = hashlib.blake2b(digest_size=20)
    for name, tensor in sorted(state.items()):
        values = tensor.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        digest.update(f"{name} {values.dtype} {tuple(values.shape)};".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
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
    where, what = place(name, "encoder"), f"encoder '{name}'"
    if read_config(where, what).get("model_type", where) is None:
        from locution.speech.encoder import SpeechEncoder

        return freeze(SpeechEncoder.load(Path(where)))
    whisper = _from_pretrained(_transformers().WhisperModel, where, what, part="encoder.")
    from locution.speech.whisper import WhisperFrames

    return freeze(WhisperFrames(suited(whisper.encoder), unpadded=unpadded))


def read_config(where: str, what: str) -> dict[str, Any]:
    """Read a folder's config.json, `model_type` None where it names none; nothing for a name on the hub.

    A folder that holds an adapter alone is refused: its base model may lie anywhere.
    """
    folder = Path(where)
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"{what} cannot be loaded: it holds an adapter; allowed: the model alone, the adapter apart.")
    if not (folder / "config.json").is_file():
        return {}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{what} cannot be loaded: config.json is damaged ({type(error).__name__}).") from error
    if not isinstance(config, dict):
        raise UserError(f"{what} cannot be loaded: config.json is no mapping.")
    return {"model_type": None, **config}


def frame_rate(encoder: nn.Module) -> float:
    """Say how many frames an encoder gives for each second of sound: Whisper 50, the embedded one 25."""
    from locution.speech.whisper import WhisperFrames

    return 50.0 if isinstance(encoder, WhisperFrames) else 25.0


SMALL = 50_000_000  # parameters; below it weights stay as they were saved, above it they are bf16


def suited(model: Any) -> Any:
    """Give a frozen model the precision that suits its size and this machine.

    A large one is bf16 everywhere, so that its hash does not depend on the machine; a small one keeps its precision,
    and on a processor gets fp32 weights.
    """
    if model.num_parameters() >= SMALL:
        return model.to(torch.bfloat16)
    return model if torch.cuda.is_available() else model.float()


def load_language_model(name: str | Path = EMBEDDED_NAME) -> tuple[Any, Any]:
    """Load the language model, the half that writes, and its tokenizer, by hub name or folder, and freeze it.

    Any causal language model that transformers knows; code that comes with a model is never run.
    """
    where = place(name, "decoder")
    transformers, what = _transformers(), f"language model '{name}'"
    read_config(where, what)
    model = _from_pretrained(transformers.AutoModelForCausalLM, where, what)
    tokenizer = _from_pretrained(transformers.AutoTokenizer, where, what)
    if model.num_parameters() < SMALL and not torch.cuda.is_available():
        model.set_attn_implementation("eager")  # at such widths faster than the fused kernel
    return freeze(suited(model)), tokenizer


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError("speech needs its extra: pip install 'locution[speech]'.") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _from_pretrained(kind: Any, where: str, what: str, *, part: str = "") -> Any:
    """Load a model or a tokenizer without running code of its own, from safetensors alone, with no weight
    missing.

    `part` begins the names of the weights that matter. A weight that is missing would be drawn at random.
    """
    settings: dict[str, Any] = {"trust_remote_code": False}
    model = kind.__name__ != "AutoTokenizer"
    try:
        if model:
            config = _transformers().AutoConfig.from_pretrained(where, **settings)
            # said here: a stranger's config.json may name code on the hub as its kernel, and it would be fetched
            config._attn_implementation = "sdpa" if _knows_sdpa(kind, config) else "eager"
            settings |= {"config": config, "use_safetensors": True, "dtype": "auto", "output_loading_info": True}
        found = kind.from_pretrained(where, **settings)
    except Exception as error:  # what a stranger's folder raises is of any kind
        raise UserError(f"{what} cannot be loaded: {_first_line(error)}") from error
    if not model:
        return found
    loaded, said = found
    if getattr(loaded, "peft_config", None):
        raise UserError(f"{what} cannot be loaded: it holds an adapter; allowed: the model alone, the adapter apart.")
    missing = sorted(key for key in said["missing_keys"] if key.startswith(part))
    if missing:
        raise UserError(f"{what} cannot be loaded: {len(missing)} weights are missing, such as {missing[0]}.")
    return loaded


def _knows_sdpa(kind: Any, config: Any) -> bool:
    """Ask whether a model's class can use torch's own attention."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    own = kind if kind.__name__ == "WhisperModel" else MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if own is kind and config.model_type != "whisper":
        raise UserError(f"it is of the kind '{config.model_type}'; allowed: whisper.")
    return bool(own._supports_sdpa)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
