"""LoRA on disk, as peft writes and reads it: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import LocutionError, UserError
from locution.models.lora import LoRA, check, lora_layers
from locution.models.surgery import replace_layers

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None, []),
    "lora_bias": (False, None),
}
"""What an adapter may ask for; anything else would compute something other than what was trained."""


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """Collect the thin matrices of a model under the names that peft gives them.

    >>> from locution.models.lora import add_lora
    >>> sorted(adapter_state(add_lora(nn.Sequential(nn.Linear(2, 2)), rank=1)))
    ['base_model.model.0.lora_A.weight', 'base_model.model.0.lora_B.weight']
    """
    found = {}
    for name, layer in lora_layers(model).items():
        found[f"{PREFIX}{name}.lora_A.weight"] = layer.down.detach()
        found[f"{PREFIX}{name}.lora_B.weight"] = layer.up.detach()
    return found


def save_adapter(model: nn.Module, folder: str | Path, *, base: str = "", task: str | None = None) -> None:
    """Write the LoRA layers of a model into a folder that peft loads; both files aside first, then renamed.

    `base` names the model that they belong to, `task` is peft's word for what it does, such as CAUSAL_LM.
    """
    from safetensors.torch import save_file

    layers = lora_layers(model)
    if not layers:
        raise UserError("this model has no LoRA layer to save; allowed: a model that add_lora has changed.")
    if len({(layer.rank, layer.alpha, layer.dropout) for layer in layers.values()}) > 1:
        raise UserError("the LoRA layers differ in rank, alpha or dropout; allowed: one setting for all.")
    one = next(iter(layers.values()))
    config = {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": base or None,
        "r": one.rank,
        "lora_alpha": int(one.alpha) if one.alpha == int(one.alpha) else one.alpha,
        "lora_dropout": one.dropout,
        "target_modules": targets(model),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
    }
    folder = Path(folder)
    weights = {name: tensor.cpu().contiguous() for name, tensor in adapter_state(model).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / f".{WEIGHTS}.part", metadata={"format": "pt"})
        os.replace(folder / f".{WEIGHTS}.part", folder / WEIGHTS)
        (folder / f".{CONFIG}.part").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        os.replace(folder / f".{CONFIG}.part", folder / CONFIG)
    except OSError as error:
        raise LocutionError(f"{folder}: the adapter cannot be written ({error.strerror or error}).") from error


def targets(model: nn.Module) -> list[str]:
    """Name the adapted layers as peft looks for them: by the ends of their names where these single them out."""
    names = list(lora_layers(model))
    ends = {name.rpartition(".")[2] for name in names}
    there = [n for n, m in model.named_modules() if isinstance(m, (LoRA, nn.Linear)) and not n.endswith(".base")]
    return sorted(ends) if {n for n in there if n.rpartition(".")[2] in ends} == set(names) else sorted(names)


def read_adapter(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read an adapter's settings and its thin matrices; nothing in the folder can name code that is run.

    Raises UserError where it is no LoRA adapter or asks for more than LoRA, LocutionError where a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} is no adapter ({CONFIG} is missing).")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        rank, alpha, hidden = int(config["r"]), float(config["lora_alpha"]), float(config.get("lora_dropout") or 0.0)
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise LocutionError(f"{folder}: the adapter is damaged ({type(error).__name__}).") from error
    for key, allowed in PLAIN.items():
        if key in config and config[key] not in allowed:
            raise UserError(f"{folder}: {key} is {config[key]!r}; allowed: {allowed[0]!r}, plain LoRA.")
    check(str(folder / CONFIG), rank, alpha, hidden)
    if config.get("use_rslora"):
        alpha *= math.sqrt(rank)  # scaled by alpha / sqrt(rank): Kalajdzievski, 2023
    return {"rank": rank, "alpha": alpha, "dropout": hidden}, weights


def load_adapter(model: nn.Module, folder: str | Path) -> nn.Module:
    """Put the LoRA layers of an adapter into a model, by the names of the weights that are there.

    >>> import tempfile
    >>> from locution.models.lora import add_lora
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_adapter(add_lora(nn.Sequential(nn.Linear(2, 2)), rank=1, alpha=4.0), folder)
    ...     load_adapter(nn.Sequential(nn.Linear(2, 2)), folder)[0].alpha
    4.0

    Reference: S. Mangrulkar et al., 2022, "PEFT: state-of-the-art parameter-efficient fine-tuning methods", the
    checkpoint format.
    """
    settings, weights = read_adapter(folder)
    names = {key.removeprefix(PREFIX).rpartition(".lora_")[0] for key in weights}
    wanted = {f"{PREFIX}{name}.lora_{half}.weight" for name in names for half in "AB"}
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    odd = sorted(wanted ^ set(weights)) or sorted(name for name in names if name not in linears)
    if odd or not names:
        raise UserError(f"{folder}: the adapter does not fit this model ({odd[0] if odd else 'it is empty'}).")
    for name in names:
        down, up = (weights[f"{PREFIX}{name}.lora_{half}.weight"] for half in "AB")
        layer, rank = linears[name], settings["rank"]
        fits = (rank, layer.in_features), (layer.out_features, rank)
        if (tuple(down.shape), tuple(up.shape)) != fits:
            came = f"{name} has thin matrices {tuple(down.shape)} and {tuple(up.shape)}"
            raise UserError(f"{folder}: {came}; this model needs {fits[0]} and {fits[1]}.")

    def adapted(name: str, layer: nn.Module) -> nn.Module:
        assert isinstance(layer, nn.Linear)
        made = LoRA(layer, **settings)
        with torch.no_grad():
            made.down.copy_(weights[f"{PREFIX}{name}.lora_A.weight"])
            made.up.copy_(weights[f"{PREFIX}{name}.lora_B.weight"])
        return made

    return replace_layers(model, adapted, sorted(names))
