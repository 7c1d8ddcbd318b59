"""LoRA on disk, as peft writes and reads it: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import LocutionError, UserError, unknown
from locution.models.lora_layer import CONVOLUTIONS, KINDS, LoRA, adaptable, check, lora_layers
from locution.models.surgery import replace_layers

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
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


def check_saved(layers: dict[str, LoRA]) -> LoRA:
    """Refuse what peft could not load to equal outputs; hand out one layer, whose settings are those of all."""
    if not layers:
        raise UserError("this model has no LoRA layer to save; allowed: a model that add_lora has changed.")
    if len({(layer.rank, layer.alpha, layer.dropout) for layer in layers.values()}) > 1:
        raise UserError("the LoRA layers differ in rank, alpha or dropout; allowed: one setting for all.")
    for name, layer in layers.items():
        if isinstance(layer.base, CONVOLUTIONS) and (set(layer.base.dilation), layer.base.padding_mode) != (
            {1},
            "zeros",
        ):
            raise UserError(
                f"{name} has gaps or pads otherwise, unknown to peft; allowed: dilation 1, padding by zeros."
            )
    return next(iter(layers.values()))


def whole_layers(model: nn.Module, also: Sequence[str]) -> dict[str, Tensor]:
    """Collect the weights of layers that trained in full, under the names that peft gives them."""
    there, found = dict(model.named_modules()), dict[str, Tensor]()
    for name in also:
        if not name or name not in there:
            raise unknown("layer that could be saved in full (also)", name, [name for name in there if name])
        other = next((one for one in there if one.endswith(name) and one != name), None)
        if other:
            raise UserError(f"'{name}' ends the name of {other} too, which peft would take for it; allowed: one alone.")
        found |= {f"{PREFIX}{name}.{key}": value.detach() for key, value in there[name].state_dict().items()}
    return found


def save_adapter(
    model: nn.Module, folder: str | Path, *, base: str = "", task: str | None = None, also: Sequence[str] = ()
) -> None:
    """Write the LoRA layers of a model into a folder that peft loads; both files aside first, then renamed.

    `base` names the model that they belong to, `task` is peft's word for what it does, such as CAUSAL_LM, `also` the
    layers that trained in full beside them, such as a new head (peft's modules_to_save).
    """
    from safetensors.torch import save_file

    one = check_saved(lora_layers(model))
    config: dict[str, Any] = {
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
    if also:
        config["modules_to_save"] = list(also)
    folder, state = Path(folder), adapter_state(model) | whole_layers(model, also)
    weights = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / f".{WEIGHTS}.part", metadata={"format": "pt"})
        os.replace(folder / f".{WEIGHTS}.part", folder / WEIGHTS)
        (folder / f".{CONFIG}.part").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        os.replace(folder / f".{CONFIG}.part", folder / CONFIG)
    except OSError as error:
        raise LocutionError(f"{folder}: the adapter cannot be written ({error.strerror or error}).") from error


def targets(model: nn.Module) -> list[str] | str:
    """Name the adapted layers as peft looks for them, which is among all modules of whatever kind.

    By the ends of their names where these single them out, else by their names, else by an expression that fits them
    alone: where "0" is adapted and "1.0" is not, a name would fit both.

    >>> from locution.models.lora import add_lora
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3)))
    >>> targets(add_lora(net, ["0", "1.1"]))
    '0|1\\\\.1'
    """
    adapted = lora_layers(model)
    inner = tuple(f"{name}.base" if name else "base" for name in adapted)
    there = [name for name, _ in model.named_modules() if name not in inner]

    def single_out(ends: set[str]) -> bool:
        return {n for n in there if n in ends or any(n.endswith(f".{end}") for end in ends)} == set(adapted)

    for ends in ({name.rpartition(".")[2] for name in adapted}, set(adapted)):
        if single_out(ends):
            return sorted(ends)
    return "|".join(re.escape(name) for name in sorted(adapted))


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
        whole = [str(name) for name in config.get("modules_to_save") or ()]
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise LocutionError(f"{folder}: the adapter is damaged ({type(error).__name__}).") from error
    for key, allowed in PLAIN.items():
        if key in config and config[key] not in allowed:
            raise UserError(f"{folder}: {key} is {config[key]!r}; allowed: {allowed[0]!r}, plain LoRA.")
    check(str(folder / CONFIG), rank, alpha, hidden)
    if config.get("use_rslora"):
        alpha *= math.sqrt(rank)  # scaled by alpha / sqrt(rank): Kalajdzievski, 2023
    for key in weights:
        if ".lora_" not in key and not any(f".{name}." in key.removeprefix(PREFIX[:-1]) for name in whole):
            raise UserError(f"{folder}: {key} is no thin matrix; allowed beside them: layers of modules_to_save.")
    return {"rank": rank, "alpha": alpha, "dropout": hidden}, weights


def load_adapter(model: nn.Module, folder: str | Path, *, only_thin: bool = False) -> nn.Module:
    """Put the LoRA layers of an adapter into a model, by the names of the weights that are there.

    Layers that trained in full beside them are taken over too; `only_thin` refuses an adapter that holds any.

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
    whole = {key.removeprefix(PREFIX): value for key, value in weights.items() if ".lora_" not in key}
    thin = {key: value for key, value in weights.items() if ".lora_" in key}
    if whole and only_thin:
        raise UserError(f"{folder}: {next(iter(whole))} is a whole weight; allowed: thin matrices alone.")
    names = {key.removeprefix(PREFIX).rpartition(".lora_")[0] for key in thin}
    wanted = {f"{PREFIX}{name}.lora_{half}.weight" for name in names for half in "AB"}
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if adaptable(module)}
    own = model.state_dict()
    odd = sorted(wanted ^ set(thin)) or sorted({*names} - {*layers}) or sorted({*whole} - {*own})
    if odd or not names:
        raise UserError(f"{folder}: the adapter does not fit this model ({odd[0] if odd else 'it is empty'}).")
    for name in names:
        out, *seen = layers[name].weight.shape
        down, up = (weights[f"{PREFIX}{name}.lora_{half}.weight"] for half in "AB")
        fits = (settings["rank"], *seen), (out, settings["rank"], *(1 for _ in seen[1:]))
        if (tuple(down.shape), tuple(up.shape)) != fits:
            came = f"{name} has thin matrices {tuple(down.shape)} and {tuple(up.shape)}"
            raise UserError(f"{folder}: {came}; this model needs {fits[0]} and {fits[1]}.")
    for name, value in whole.items():
        if value.shape != own[name].shape:
            came = f"{name} is {tuple(value.shape)}"
            raise UserError(f"{folder}: {came}; this model needs {tuple(own[name].shape)}.")

    def adapted(name: str, layer: nn.Module) -> nn.Module:
        made = LoRA(layer, **settings)
        with torch.no_grad():
            made.down.copy_(weights[f"{PREFIX}{name}.lora_A.weight"])
            made.up.copy_(weights[f"{PREFIX}{name}.lora_B.weight"])
        return made

    model.load_state_dict(whole, strict=False)
    return replace_layers(model, adapted, sorted(names), KINDS)
