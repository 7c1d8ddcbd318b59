"""LoRA on convolutions, beside layers that train in full: its formula, what is kept of a run, and peft's files."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution import runs
from locution.engine import Plan
from locution.errors import UserError
from locution.models.adapter_files import CONFIG, WEIGHTS, load_adapter, save_adapter, targets
from locution.models.lora import LoRA, LoRAMethod, add_lora, base_state, chosen, lora_layers, merge_lora

PEFT = Path(__file__).with_name("peft_adapter") / "convolutions"  # written by peft 0.21.2, see the README above it


def pictures() -> nn.Sequential:
    """A stem, a block with a normalisation in it, and a head: of inputs (N, 2, 4, 4)."""
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1))
    parts = {"stem": nn.Conv2d(2, 4, 3, stride=2, padding=1), "block": block, "flat": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts | {"head": nn.Linear(24, 3)}))


def moved(model: nn.Module) -> nn.Module:
    """Draw what would be learnt: at first it is zero."""
    stream = torch.Generator().manual_seed(1)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.up, generator=stream)
    return model


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


MAKES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "sequence": (lambda: nn.Conv1d(3, 5, 4, stride=2, padding=1), (2, 3, 9)),
    "picture": (lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 6, 7)),
    "place": (lambda: nn.Conv2d(3, 5, 1, bias=False), (2, 3, 4, 4)),
    "gaps": (lambda: nn.Conv2d(3, 5, 3, dilation=2, padding="same"), (2, 3, 6, 6)),
    "mirror": (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), (2, 3, 6, 6)),
    "film": (lambda: nn.Conv3d(2, 4, 2), (1, 2, 4, 4, 4)),
}


@pytest.mark.parametrize("which", list(MAKES))
def test_a_convolution_with_its_update_is_the_convolution_by_the_summed_weight(which: str) -> None:
    make, shape = MAKES[which]
    torch.manual_seed(0)
    plain, x = make(), drawn(*shape)
    layer: Any = moved(LoRA(plain, rank=2, alpha=3.0))
    weight = plain.weight.clone()
    for o in range(weight.shape[0]):  # w[o] + 3 / 2 sum over r of up[o, r] down[r], by hand
        weight[o] += 1.5 * sum(layer.up[o, r].item() * layer.down[r].detach() for r in range(2))
    expected = plain._conv_forward(x, weight, plain.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    merged = layer.merged()
    assert type(merged) is type(plain)
    assert merged.bias is plain.bias
    torch.testing.assert_close(merged(x), expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(plain(x), expected)


def test_before_training_nothing_changes_and_names_go_back() -> None:
    torch.manual_seed(0)
    plain, x = pictures().eval(), drawn(3, 2, 4, 4)
    expected, names = plain(x), list(plain.state_dict())
    model = add_lora(plain, rank=2)
    assert list(lora_layers(model)) == ["stem", "block.0", "block.2", "head"]
    assert torch.equal(model(x), expected)
    assert set(base_state(model)) == set(names)
    assert list(merge_lora(model).state_dict()) == names
    down: Any = model.get_submodule("block.0").down
    assert 0.8 / 6 < down.abs().max().item() <= 1 / 6  # 1 / sqrt(4 x 3 x 3)


def test_a_convolution_in_groups_stays_as_it_is() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    assert list(lora_layers(add_lora(net, rank=1))) == ["1"]


@pytest.mark.parametrize(
    ("settings", "adapted", "whole"),
    [
        ({}, ["stem", "block.0", "block.2"], ["head.weight", "head.bias"]),
        ({"layers": "block"}, ["block.0", "block.2"], ["head.weight", "head.bias"]),
        ({"layers": "head"}, ["head"], []),
        ({"layers": ("stem", "head")}, ["stem", "head"], []),
        ({"train": ()}, ["stem", "block.0", "block.2", "head"], []),
        ({"train": "block"}, ["stem", "head"], ["block.0.weight", "block.1.weight", "block.1.bias"]),
        ({"layers": "stem", "train": "*.bias"}, ["stem"], ["stem.bias", "block.1.bias"]),
    ],
)
def test_what_is_adapted_and_what_trains_in_full(settings: Any, adapted: list[str], whole: list[str]) -> None:
    found = chosen(pictures(), **settings)
    assert found[0] == adapted
    assert found[1][: len(whole)] == whole if whole else not found[1]
    model = LoRAMethod(rank=1, **settings).model(pictures(), Plan())
    assert list(lora_layers(model)) == adapted
    trains = {name.replace(".base.", ".") for name, p in model.named_parameters() if p.requires_grad}
    assert trains == set(found[1]) | {f"{name}.{half}" for name in adapted for half in ("down", "up")}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": "hed"}, r"'hed' is no layer for lora.layers. Did you mean 'head'\? Allowed: block.0, "),
        ({"layers": ("head", "block.1")}, r"'block.1' is no layer for lora.layers. Did you mean 'block"),
        ({"train": "hed"}, r"'hed' matches no parameter. Did you mean 'head"),
        ({"train": "*"}, r"lora.train is '\*', and no layer of lora.layers is left to adapt; allowed: "),
    ],
)
def test_patterns_that_fit_nothing_are_refused_with_the_nearest(settings: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        LoRAMethod(**settings).model(pictures(), Plan())
    assert "\n" not in str(refused.value)


# A run ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    small = ("data.per_class=6", "model.residual=false", "model.widths=[4,8]", "epochs=2")
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ("+lora", "+lora.rank=2", "+lora.layers=stages.1", *small, f"run_dir={folder}")
    return runs.train("digits/first_five", *words, quiet=True)


def test_a_run_keeps_what_moved_apart_from_what_did_not(run: runs.Run) -> None:
    moved, still = (load_file(run.folder / name) for name in ("model.safetensors", "frozen.safetensors"))
    assert set(moved) == {"stages.1.0.0.weight", "head.weight", "head.bias"}
    assert "stages.0.0.0.weight" in still
    begun = run.job().model.state_dict()
    assert set(moved) | set(still) == set(begun)
    assert not any(torch.equal(value, begun[name]) for name, value in moved.items())
    assert all(torch.equal(value, begun[name]) for name, value in still.items())


def test_a_run_answers_as_the_model_that_was_trained(run: runs.Run) -> None:
    job = run.job()
    with torch.no_grad():
        outputs = run.load(job)(job.data.test.inputs)
    told = run.results["metrics"]["cross_entropy"]["value"]  # judged before it was kept
    assert cross_entropy(outputs, job.data.test.targets).item() == pytest.approx(told, rel=1e-5)
    best = outputs[0].softmax(0)
    assert run.predict(["test:0"]) == [f"{job.data.labels[int(best.argmax())]} ({best.max().item():.3f})"]


# On disk --------------------------------------------------------------------------------------------------


def known() -> tuple[nn.Module, dict[str, Tensor]]:
    tensors = load_file(PEFT / "known.safetensors")
    plain = pictures()
    plain.load_state_dict({name: tensors[name] for name in plain.state_dict()})
    return plain.eval(), tensors


def test_an_adapter_that_peft_wrote_gives_what_peft_gives() -> None:
    """The folder holds an adapter with convolutions and a whole head, an input and the output that peft computed."""
    plain, tensors = known()
    assert not torch.allclose(plain(tensors["x"]), tensors["y"])
    model = load_adapter(plain, PEFT).eval()
    torch.testing.assert_close(model(tensors["x"]), tensors["y"])
    torch.testing.assert_close(merge_lora(model)(tensors["x"]), tensors["y"])


def test_what_is_written_is_what_peft_wrote(tmp_path: Path) -> None:
    save_adapter(load_adapter(known()[0], PEFT), tmp_path, also=["head"])
    mine, theirs = (load_file(folder / WEIGHTS) for folder in (tmp_path, PEFT))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, mine[name]) for name, value in theirs.items())
    config, other = (json.loads((folder / CONFIG).read_text()) for folder in (tmp_path, PEFT))
    for key in ("r", "lora_alpha", "lora_dropout", "modules_to_save", "bias", "peft_type"):
        assert config[key] == other[key]
    names = [name for name, _ in pictures().named_modules()]
    assert found_by_peft(config["target_modules"], names) == set(other["target_modules"])
    plain, tensors = known()
    torch.testing.assert_close(load_adapter(plain, tmp_path).eval()(tensors["x"]), tensors["y"])


def found_by_peft(wanted: list[str] | str, names: list[str]) -> set[str]:
    """What peft's rule finds: a full match of an expression, or a name of the list, whole or as an ending."""
    if isinstance(wanted, str):
        return {name for name in names if re.fullmatch(wanted, name)}
    return {name for name in names if name in wanted or any(name.endswith(f".{end}") for end in wanted)}


@pytest.mark.parametrize("layers", ["*", "stem", ("stem", "block"), "block", "block.0", ("0", "2"), "1.0", "0"])
def test_targets_single_out_the_layers_whatever_else_ends_alike(layers: str | tuple[str, ...]) -> None:
    def make() -> nn.Module:
        if layers in ("0", "1.0", ("0", "2")):  # names that are endings of others
            block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2))
            return nn.Sequential(nn.Conv2d(1, 4, 3), block, nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
        return pictures()

    names = [name for name, _ in make().named_modules()]
    model = LoRAMethod(layers=layers, rank=1).model(make(), Plan())
    assert found_by_peft(targets(model), names) == set(lora_layers(model))


def test_a_whole_weight_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    save_adapter(load_adapter(known()[0], PEFT), tmp_path, also=["head"])
    with pytest.raises(UserError, match="is a whole weight; allowed: thin matrices alone"):
        load_adapter(known()[0], tmp_path, only_thin=True)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"modules_to_save": ["stem"]}))
    with pytest.raises(UserError, match="is no thin matrix; allowed beside them: layers of modules_to_save"):
        load_adapter(known()[0], tmp_path)


def test_a_whole_layer_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    save_adapter(load_adapter(known()[0], PEFT), tmp_path, also=["head"])
    weights = load_file(tmp_path / WEIGHTS)
    weights |= {key.replace(".head.", ".foot."): value.clone() for key, value in weights.items() if ".head." in key}
    save_file(weights, tmp_path / WEIGHTS)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"modules_to_save": ["head", "foot"]}))
    with pytest.raises(UserError, match=r"the adapter does not fit this model \(foot\."):
        load_adapter(known()[0], tmp_path)


def test_an_adapter_of_another_make_leaves_the_model_alone() -> None:
    other = pictures()
    other.head = nn.Linear(24, 5)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(UserError, match=r"head.\w+ is \(3.*; this model needs \(5"):
        load_adapter(other, PEFT)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    with pytest.raises(UserError, match="does not fit this model"):
        load_adapter(nn.Sequential(nn.Conv2d(2, 4, 3)), PEFT)


def test_what_peft_would_compute_otherwise_is_not_written(tmp_path: Path) -> None:
    for settings in ({"dilation": 2}, {"padding": 1, "padding_mode": "circular"}):
        with pytest.raises(UserError, match=r"0 has gaps or pads otherwise.*; allowed: dilation 1, padding by zeros"):
            save_adapter(add_lora(nn.Sequential(nn.Conv2d(2, 2, 3, **settings)), rank=1), tmp_path)
    with pytest.raises(UserError, match=r"'heed' is no layer that could be saved in full .* Did you mean 'head'\?"):
        save_adapter(add_lora(pictures(), rank=1), tmp_path, also=["heed"])
    block = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(UserError, match=r"'2' ends the name of 1\.2 too, which peft would take for it; allowed: "):
        save_adapter(add_lora(nn.Sequential(nn.Conv2d(2, 2, 1), block, nn.Conv2d(2, 2, 1)), "0"), tmp_path, also=["2"])
    heads = nn.ModuleDict({"head": nn.Linear(2, 2), "ahead": nn.Linear(2, 2), "stem": nn.Linear(2, 2)})
    with pytest.raises(UserError, match="'head' ends the name of ahead too, which peft would take for it"):
        save_adapter(add_lora(heads, "stem"), tmp_path, also=["head"])
    assert not list(tmp_path.iterdir())
