"""Figures beyond the usual: confidence against correctness, and what a recipe asks to be measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from locution.cli import run as command
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.losses.basic import cross_entropy
from locution.tasks.figures import more_figures, training_sharpness
from locution.tasks.judge import calibration, judge_classes


def scores(count: int = 200, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return 2 * torch.randn(count, classes, generator=stream), torch.randint(classes, (count,), generator=stream)


def test_the_calibration_error_is_the_sum_over_bins() -> None:
    outputs, targets = scores()
    chances, answers = outputs.double().softmax(-1).max(-1)
    by_hand = 0.0
    for number in range(10):
        inside = (chances >= number / 10) & (chances < (number + 1) / 10)
        if inside.any():
            gap = chances[inside].mean() - (answers == targets)[inside].double().mean()
            by_hand += float(inside.double().mean() * gap.abs())
    found = calibration(outputs, targets, "")
    assert found.value == pytest.approx(by_hand, abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.01


def test_a_model_that_is_sure_and_right_has_no_calibration_error() -> None:
    targets = torch.tensor([0, 1, 2, 1])
    found = judge_classes("t", 100.0 * nn.functional.one_hot(targets), torch.zeros(4, 2), targets, list("abc"), "")
    (one,) = [metric for metric in found.metrics if metric.name == "calibration_error"]
    assert (one.value, one.better) == (0.0, "lower")
    wrong = judge_classes("t", 100.0 * nn.functional.one_hot(targets), torch.zeros(4, 2), 2 - targets, list("abc"), "")
    assert wrong.metrics[-1].value == pytest.approx(0.5), "sure in four, right in two"


def test_sharpness_is_that_of_all_training_examples() -> None:
    stream = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(30, 3, generator=stream), torch.randint(2, (30,), generator=stream)
    net = nn.Linear(3, 2)
    nn.init.normal_(net.weight, generator=stream)

    def objective(model: nn.Module, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
        output = model(batch.inputs)  # type: ignore[attr-defined]
        return output, cross_entropy(output, batch.targets).mean()  # type: ignore[attr-defined]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        output = inputs @ flat[:6].view(2, 3).T + flat[6:]
        return nn.functional.cross_entropy(output, targets)

    flat = torch.cat([p.detach().flatten() for p in (net.weight, net.bias)])
    hessian = torch.autograd.functional.hessian(loss, flat)
    largest = float(torch.linalg.eigvalsh(hessian)[-1])
    data = TensorBatches(inputs, targets, batch_size=7)
    assert training_sharpness(net, objective, data) == pytest.approx(largest, rel=1e-3)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert training_sharpness(net, objective, data) == 0.0
    with pytest.raises(UserError, match="allowed: tensors in memory"):
        training_sharpness(net, objective, [(inputs, targets)])


def test_the_lipschitz_bound_is_the_product_of_singular_values() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    norms = [torch.linalg.svdvals(layer.weight.detach())[0] for layer in (net[0], net[2])]
    (found,) = more_figures(["lipschitz"], net, None, None)
    assert found.value == pytest.approx(float(norms[0] * norms[1]), rel=1e-5)


def test_a_recipe_asks_for_figures_and_a_misspelt_one_stops_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "digits", "steps=2", "--quiet", f"run_dir={tmp_path / 'run'}"]
    assert command([*words, "figures=[sharpness,lipschitz]"]) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {"calibration_error", "sharpness", "lipschitz"} <= set(found["metrics"])
    assert found["metrics"]["sharpness"]["value"] > 0
    assert found["better"]["sharpness"] == "lower"
    assert command(["train", "digits", f"run_dir={tmp_path / 'no'}", "figures=[sharpnes]"]) == 2
    assert "Did you mean 'sharpness'" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
