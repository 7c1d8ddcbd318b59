"""LoRA computes what its formula says, leaves what it does not name alone, and is peft's on disk."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from locution.engine import Batch, Engine, Plan, TensorBatches, Turn
from locution.errors import LocutionError, UserError
from locution.models.adapter_files import CONFIG, WEIGHTS, load_adapter, save_adapter, targets
from locution.models.freezing import FreezeMethod, matching
from locution.models.lora import LoRA, LoRAMethod, add_lora, base_state, low_rank_update, merge_lora

PEFT = Path(__file__).with_name("peft_adapter")  # written by peft 0.21.2, see its README


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3, bias=False))


def trained_network(**settings: Any) -> nn.Module:
    model = add_lora(network(), rank=2, alpha=8.0, **settings)
    for layer in model.modules():
        if isinstance(layer, LoRA):
            nn.init.normal_(layer.up, generator=torch.Generator().manual_seed(1))
    return model


def test_a_layer_is_its_formula_and_so_is_the_merged_one() -> None:
    model, x = trained_network(), torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    first: Any = model[0]  # type: ignore[index]
    expected = first.base(x) + 8.0 / 2 * (x @ first.down.T @ first.up.T)
    torch.testing.assert_close(first(x), expected)
    merged = merge_lora(model)
    torch.testing.assert_close(merged(x), model(x))
    torch.testing.assert_close(merged[0].weight, first.base.weight + low_rank_update(first.down, first.up, 8.0))  # type: ignore[index]
    assert merged[0].bias is first.base.bias  # type: ignore[index]
    assert [type(m).__name__ for m in merged] == ["Linear", "Tanh", "Linear"]  # type: ignore[attr-defined]
    assert torch.linalg.matrix_rank(merged[0].weight - first.base.weight) == 2  # type: ignore[index]


def test_before_training_nothing_changes_and_names_go_back() -> None:
    plain, model, x = network(), add_lora(network(), rank=2), torch.randn(5, 4)
    assert torch.equal(plain(x), model(x))
    state = base_state(model)
    assert state.keys() == plain.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())
    assert base_state(plain).keys() == plain.state_dict().keys()


def test_thin_matrices_start_as_the_seed_says_and_within_their_bound() -> None:
    one, again, other = (add_lora(network(), rank=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one[0].down, again[0].down)  # type: ignore[index]
    assert not torch.equal(one[0].down, other[0].down)  # type: ignore[index]
    assert 0.3 < one[0].down.abs().max().item() <= 0.5  # type: ignore[index]  # 1 / sqrt(4)


def test_the_method_hands_on_its_settings_and_each_layer_starts_from_numbers_of_its_own() -> None:
    def adapted(seed: int) -> list[LoRA]:
        model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
        method = LoRAMethod(rank=2, alpha=3.0, dropout=0.25, train=())
        return [layer for layer in method.model(model, Plan(seed=seed)).modules() if isinstance(layer, LoRA)]

    layers, others = adapted(0), adapted(1)
    assert [(layer.rank, layer.alpha, layer.dropout) for layer in layers] == [(2, 3.0, 0.25)] * 3
    starts = [layer.down for layer in [*layers, *others]]
    assert len({tuple(start.flatten().tolist()) for start in starts}) == 6
    assert all(torch.equal(one.down, again.down) for one, again in zip(layers, adapted(0), strict=True))


def test_a_layer_that_lora_cannot_stand_in_for_is_not_named_by_mistake() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(UserError, match=r"'0' is no layer for lora\.layers"):
        LoRAMethod(layers="0").model(model, Plan())


def test_a_whole_model_that_trains_in_full_leaves_nothing_to_adapt() -> None:
    with pytest.raises(UserError, match=r"no layer of lora\.layers is left to adapt"):
        LoRAMethod(train="weight").model(nn.Linear(3, 2), Plan())


def test_only_the_thin_matrices_and_what_is_named_train() -> None:
    method = LoRAMethod(layers="0", rank=1, train="2.*")
    before = network().state_dict()
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    source = TensorBatches(x, x[:, :3], batch_size=8)

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = model(batch.inputs)
        return output, mse_loss(output, batch.targets)

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    engine = Engine(network(), turn, [method], device="cpu").fit(source, steps=4)
    kept = engine.state_dict()["model"]
    assert {"0.down", "0.up", "2.weight"} == {n for n, p in engine.model.named_parameters() if p.requires_grad}
    assert "0.base.weight" not in kept  # only what was trained is stored
    after = base_state(engine.model)
    assert torch.equal(after["0.weight"], before["0.weight"])
    assert not torch.equal(after["2.weight"], before["2.weight"])
    leaves = engine.trained()
    torch.testing.assert_close(leaves(x), engine.model(x))
    assert list(leaves.state_dict()) == list(before)


def test_bf16_layers_learn_in_fp32() -> None:
    model = add_lora(network().bfloat16(), rank=2)
    layer: Any = model[0]  # type: ignore[index]
    out = model(torch.randn(3, 4, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.up.dtype == layer.up.grad.dtype == torch.float32
    assert layer.up.grad.abs().sum() > 0
    assert layer.merged().weight.dtype == torch.bfloat16


def test_dropout_hides_the_input_of_the_update_only() -> None:
    model = trained_network(dropout=0.5).train()
    layer: Any = model[0]  # type: ignore[index]
    x = torch.ones(2000, 4)
    torch.manual_seed(0)
    torch.testing.assert_close(layer(x).mean(0), layer.eval()(x)[0], atol=0.2, rtol=0.05)
    layer.train()
    assert not torch.equal(layer(x), layer.eval()(x))
    layer.train()
    layer.up.data.zero_()
    assert torch.equal(layer(x), layer.base(x))


# On disk ---------------------------------------------------------------------------------------------------


def test_an_adapter_comes_back_to_the_bit(tmp_path: Path) -> None:
    model, x = trained_network(), torch.randn(5, 4)
    save_adapter(model, tmp_path, base="some/model", task="CAUSAL_LM")
    again = load_adapter(network(), tmp_path)
    assert torch.equal(again(x), model(x))
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["r"] == 2
    assert config["lora_alpha"] == 8
    assert config["target_modules"] == ["0", "2"]
    assert config["base_model_name_or_path"] == "some/model"
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG, WEIGHTS]


def test_targets_are_short_where_short_names_single_them_out() -> None:
    def block() -> nn.Module:
        return nn.ModuleDict({"q": nn.Linear(2, 2), "k": nn.Linear(2, 2)})

    model = nn.ModuleList([block(), block()])
    assert targets(add_lora(model, "*.q")) == ["q"]
    assert targets(add_lora(nn.ModuleList([block(), block()]), "0.q")) == ["0.q"]
    alike = nn.ModuleDict({"q": nn.Linear(2, 2), "xq": nn.Linear(2, 2)})
    assert targets(add_lora(nn.ModuleList([alike]), "0.q")) == ["q"], "a name ends at a dot"


def test_settings_and_matrices_are_written_as_they_are_however_they_lie_in_memory(tmp_path: Path) -> None:
    model = add_lora(network(), rank=2, alpha=2.5, dropout=0.125)
    layer: Any = model[0]  # type: ignore[index]
    layer.down.data = torch.randn(4, 2).T
    save_adapter(model, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 2.5, 0.125)
    again: Any = load_adapter(network(), tmp_path)
    assert torch.equal(again[0].down, layer.down)
    assert (again[0].rank, again[0].alpha, again[0].dropout) == (2, 2.5, 0.125)


def test_a_tensor_that_is_neither_of_the_two_thin_matrices_is_refused(tmp_path: Path) -> None:
    save_adapter(trained_network(), tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    save_file(weights | {"base_model.model.0.lora_A.bias": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"does not fit this model \(base_model\.model\.0\.lora_A\.bias\)"):
        load_adapter(network(), tmp_path)


def test_an_adapter_that_peft_wrote_gives_what_peft_gives() -> None:
    """The folder holds an adapter, an input and the output that peft itself computed."""
    known = load_file(PEFT / "known.safetensors")
    plain = network()
    plain.load_state_dict({name: known[name] for name in plain.state_dict()})
    model = load_adapter(plain, PEFT).eval()
    torch.testing.assert_close(model(known["x"]), known["y"])
    torch.testing.assert_close(merge_lora(model)(known["x"]), known["y"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"rank_pattern": {"0": 4}}, "rank_pattern"),
        ({"alpha_pattern": {"0": 4}}, "alpha_pattern"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True"),
        ({"layer_replication": [[0, 1]]}, "layer_replication is [[0, 1]]"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"r": 0}, "rank is 0"),
        ({"r": "x"}, "damaged"),
        ({"r": 3}, "this model needs"),
    ],
)
def test_an_adapter_that_is_more_than_lora_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    save_adapter(trained_network(), tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(LocutionError) as refused:
        load_adapter(network(), tmp_path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("harm", ["cut", "half", "stranger", "config", "missing", "pickle"])
def test_a_damaged_or_foreign_adapter_is_named_in_one_line(tmp_path: Path, harm: str) -> None:
    save_adapter(trained_network(), tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    if harm == "cut":
        (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:40])
    elif harm == "half":
        save_file({k: v for k, v in weights.items() if "0.lora_B" not in k}, tmp_path / WEIGHTS)
    elif harm == "stranger":
        save_file({k.replace("model.2", "model.7"): v for k, v in weights.items()}, tmp_path / WEIGHTS)
    elif harm == "config":
        (tmp_path / CONFIG).write_text("[]")
    elif harm == "missing":
        (tmp_path / CONFIG).unlink()
    else:
        torch.save(weights, tmp_path / "adapter_model.bin")
        (tmp_path / WEIGHTS).unlink()
    plain = network()
    with pytest.raises(LocutionError) as refused:
        load_adapter(plain, tmp_path)
    assert "\n" not in str(refused.value)
    assert not any(isinstance(module, LoRA) for module in plain.modules())  # nothing half done


def test_rank_stabilised_adapters_are_scaled_by_the_root(tmp_path: Path) -> None:
    model, x = trained_network(), torch.randn(3, 4)
    save_adapter(model, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"use_rslora": True, "lora_alpha": 8.0 / 2**0.5}))
    torch.testing.assert_close(load_adapter(network(), tmp_path)(x), model(x))


def test_planted_code_is_never_run(tmp_path: Path) -> None:
    folder, canary = tmp_path / "adapter", tmp_path / "ran"
    save_adapter(trained_network(), folder)
    config = json.loads((folder / CONFIG).read_text())
    config["auto_mapping"] = {"base_model_class": "Evil", "parent_library": "evil"}
    (folder / CONFIG).write_text(json.dumps(config))
    for name in ("evil.py", "__init__.py", "modeling.py"):
        (folder / name).write_text(f"open({str(canary)!r}, 'w')\n")
    load_adapter(network(), folder)
    assert not canary.exists()


def test_nothing_to_save_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no LoRA layer"):
        save_adapter(network(), tmp_path)


@pytest.mark.parametrize("other", [{"rank": 3}, {"alpha": 4.0}, {"dropout": 0.5}], ids=str)
def test_layers_of_different_settings_do_not_go_into_one_adapter(tmp_path: Path, other: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"rank": 2, "alpha": 8.0, "dropout": 0.0}
    model = add_lora(add_lora(network(), "0", **settings), "2", **settings | other)
    with pytest.raises(UserError, match="differ in rank, alpha or dropout; allowed: one setting for all"):
        save_adapter(model, tmp_path)


# Freezing --------------------------------------------------------------------------------------------------


def test_freezing_by_pattern() -> None:
    def trains(method: FreezeMethod) -> list[str]:
        model = method.model(network(), Plan())
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    assert trains(FreezeMethod()) == ["2.weight"]
    assert trains(FreezeMethod(layers="0.*")) == ["2.weight"]
    assert trains(FreezeMethod(layers=("*.bias", "2.*"))) == ["0.weight"]
    with pytest.raises(UserError, match=r"'3\.weight' matches no parameter\. Did you mean '\d\.weight'"):
        matching(network(), "3.weight")


@pytest.mark.parametrize("setting", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"layers": ""}])
def test_settings_are_checked(setting: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="llowed"):
        LoRAMethod(**setting)


def test_a_layer_that_is_the_whole_model() -> None:
    model = add_lora(nn.Linear(3, 2), rank=1)
    assert isinstance(model, LoRA)
    assert set(base_state(model)) == {"weight", "bias"}


def test_two_adapters_in_one_folder_leave_the_last(tmp_path: Path) -> None:
    save_adapter(add_lora(network(), rank=1), tmp_path)
    model = trained_network()
    save_adapter(model, tmp_path)
    x = torch.randn(2, 4)
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert torch.equal(load_adapter(network(), tmp_path / "copy")(x), model(x))


def test_torchs_own_attention_keeps_the_layer_whose_weight_it_reads() -> None:
    model: Any = add_lora(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), rank=1)
    assert isinstance(model.linear1, LoRA)
    assert not isinstance(model.self_attn.out_proj, LoRA)
    assert model(torch.zeros(1, 3, 4)).shape == (1, 3, 4)


def test_a_layer_shows_the_frozen_weight() -> None:
    layer = LoRA(nn.Linear(2, 2), rank=1)
    assert layer.weight is layer.base.weight
    assert layer.bias is layer.base.bias


def test_a_model_without_layers_to_adapt_is_said_to_have_none() -> None:
    with pytest.raises(UserError, match="lora came upon a model without linear layers and convolutions; allowed: "):
        LoRAMethod().model(nn.Sequential(nn.Embedding(3, 2), nn.Flatten()), Plan())
