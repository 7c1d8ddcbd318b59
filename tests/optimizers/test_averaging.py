"""Weight averaging against means taken by hand and torch's own averaged model."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from locution.engine import Batch, Engine, Plan, Step, Turn
from locution.errors import LocutionError, UserError
from locution.models.statistics import reestimate
from locution.optimizers.averaging import AveragedWeights, AveragingMethod


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def move(model: nn.Module, number: int) -> None:
    stream = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=stream))
            else:
                tensor.add_(1)


def test_mean_equals_torchs_averaged_model() -> None:
    model = net()
    mine, theirs = AveragedWeights(model, kind="mean"), AveragedModel(model, use_buffers=True)
    for number in range(6):
        move(model, number)
        mine.update()
        theirs.update_parameters(model)
    averaged = mine.apply(model)
    for name, tensor in theirs.module.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(averaged.state_dict()[name], tensor, rtol=0, atol=1e-6)


def test_ema_equals_the_recursion_by_hand() -> None:
    model = net()
    average = AveragedWeights(model, decay=0.8)
    mean = None
    for number in range(60):
        move(model, number)
        average.update()
        weight = model[0].weight.detach().clone()
        decay = min(0.8, (1 + number) / (10 + number))
        mean = weight if mean is None else decay * mean + (1 - decay) * weight
    torch.testing.assert_close(average.apply(model)[0].weight.detach(), mean, rtol=1e-6, atol=1e-6)


def test_buffers_are_averaged_or_copied() -> None:
    model = net()
    first, last = (
        AveragedWeights(model, "mean", buffers="average"),
        AveragedWeights(model, "mean", buffers="copy"),
    )
    means = []
    for number in range(3):
        move(model, number)
        first.update()
        last.update()
        means.append(model[1].running_mean.clone())
    torch.testing.assert_close(first.apply(model)[1].running_mean, torch.stack(means).mean(0))
    assert torch.equal(last.apply(model)[1].running_mean, means[-1])
    assert first.apply(model)[1].num_batches_tracked.item() == 3


def test_training_does_not_notice_and_frozen_weights_are_shared() -> None:
    model = net()
    model[0].requires_grad_(False)
    average = AveragedWeights(model)
    move(model, 0)
    before = copy.deepcopy(model.state_dict())
    average.update()
    averaged = average.apply(model)
    move(averaged, 1)
    assert averaged[0].weight is model[0].weight
    assert all(
        torch.equal(before[name], model.state_dict()[name]) for name in before if not name.startswith("0.")
    )


def test_low_precision_weights_are_averaged_in_fp32() -> None:
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    model.weight.data.fill_(1.0)
    average = AveragedWeights(model, decay=0.999)
    average.update()
    average.count = 100_000  # past the first steps, in which new weights count more
    model.weight.data.fill_(2.0)
    for _ in range(100):
        average.update()
    assert average.means["weight"].item() == pytest.approx(2 - 0.999**100, abs=1e-4)


def steps(method: AveragingMethod, model: nn.Module, first: int, last: int, total: int | None) -> None:
    for number in range(first, last):
        move(model, number)
        method.update(model, Step(number, 0, Plan(steps=total), model))


def test_start_and_every_choose_which_weights_count() -> None:
    method, model = AveragingMethod(kind="mean", start=0.5, every=2), net()
    seen = []
    for number in range(10):
        steps(method, model, number, number + 1, 10)
        seen.append(model[0].weight.detach().clone())
    mean = torch.stack([seen[5], seen[7], seen[9]]).mean(0)
    torch.testing.assert_close(method.trained(model)[0].weight.detach(), mean)


def test_before_the_start_the_model_itself_leaves() -> None:
    method, model = AveragingMethod(start=0.9), net()
    steps(method, model, 0, 5, 10)
    assert method.trained(model) is model


def test_state_goes_round_to_the_bit() -> None:
    method, model = AveragingMethod(), net()
    steps(method, model, 0, 4, None)
    weights, kept = copy.deepcopy((model.state_dict(), method.state_dict()))
    steps(method, model, 4, 9, None)
    other, again = net(), AveragingMethod()
    other.load_state_dict(weights)
    again.load_state_dict(kept)
    assert again.state_dict() is kept  # a checkpoint before the first step keeps what was loaded
    steps(again, other, 4, 9, None)
    one, two = method.trained(model).state_dict(), again.trained(other).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_weights_of_another_model_are_refused() -> None:
    average = AveragedWeights(net())
    average.update()
    with pytest.raises(LocutionError, match="another model"):
        AveragedWeights(nn.Linear(2, 2)).load_state_dict(average.state_dict())


def test_the_engine_hands_out_the_mean() -> None:
    seen: list[Tensor] = []

    def objective(model: nn.Module, batch: Batch) -> Any:
        seen.append(model.weight.detach().clone())
        output = model(batch.inputs)
        return output, output.pow(2).mean()

    torch.manual_seed(0)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    engine = Engine(nn.Linear(1, 1), turn, [AveragingMethod(kind="mean")], device="cpu")
    engine.fit([(torch.ones(2, 1), None)], steps=5)
    mean = torch.stack([*seen[1:], engine.model.weight.detach()]).mean(0)
    torch.testing.assert_close(engine.trained().weight.detach(), mean)
    assert not torch.equal(engine.trained().weight, engine.model.weight)


def test_reestimated_statistics_are_those_of_the_data() -> None:
    model = net()
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    reestimate(model, inputs.split(20))
    hidden = model[0](inputs).detach()
    torch.testing.assert_close(model[1].running_mean, hidden.mean(0), rtol=1e-5, atol=1e-6)
    assert model[1].momentum == 0.1
    assert model.training


@pytest.mark.parametrize(
    "settings", [{"kind": "median"}, {"decay": 1.0}, {"start": 1.0}, {"every": 0}, {"buffers": "forget"}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="averaging"):
        AveragingMethod(**settings)


def test_a_share_of_unknown_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"averaging\.start"):
        AveragingMethod(start=0.5).optimizer(torch.optim.SGD(net().parameters(), lr=0.1), Plan())
