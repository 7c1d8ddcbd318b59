"""Balanced experts: the loss against its formula, corrections against the rule, and what both are for."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from locution.data.permuted_digits import PermutedDigitsData
from locution.engine import Batch, Engine, Plan, Step, TensorBatches, Turn
from locution.engine.method import Method
from locution.engine.random import generator
from locution.errors import LocutionError, UserError
from locution.inference.predict import predict
from locution.losses.basic import CrossEntropy
from locution.losses.bias_balancing import BiasBalancingMethod, corrected
from locution.losses.load_balancing import LoadBalancingMethod
from locution.models.mixture_of_experts import MixtureOfExperts, MixtureOfExpertsModel, mixtures, routings
from locution.optimizers.one_cycle import OneCycleMethod
from locution.optimizers.sam import SAMMethod


def rows(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(0, "rows"))


def network(experts: int = 4, top: int = 1) -> nn.Module:
    """A network whose router sends nearly everything to the first expert."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), MixtureOfExperts(6, 4, experts, top), nn.Linear(6, 3))
    model[0].bias.data[0] = 3.0  # type: ignore[index, union-attr]
    model[1].router.data[0, 0] = 0.5  # type: ignore[index, union-attr]
    return model


def data(size: int = 20) -> TensorBatches:
    x = rows(60, 5)
    return TensorBatches(x, x[:, :3].argmax(1), batch_size=size)


def engine(method: Method | None, **settings: object) -> Engine:
    turn = Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1))
    methods = [] if method is None else [method]
    return Engine(network(), turn, methods, device="cpu", **settings)  # type: ignore[arg-type]


def fit(method: Method | None, steps: int = 30, **settings: object) -> nn.Module:
    return engine(method, **settings).fit(data(), steps=steps).model


def largest(model: nn.Module, inputs: Tensor) -> float:
    return max(float(routing.share().max()) for routing in routings(model, inputs).values())


def test_the_loss_is_the_formula_over_the_whole_batch() -> None:
    """Switch Transformers, eqs. 4 to 6, counted row by row; and ST-MoE, eq. 5."""
    model = LoadBalancingMethod().model(network(), Plan())
    batch = Batch(rows(20, 5), torch.zeros(20, dtype=torch.int64))
    step, layer = Step(0, 0, Plan(), model, batch), mixtures(model)["1"]
    model(batch.inputs)
    logits = layer.take()
    first, held, z = [0.0] * 4, [0.0] * 4, 0.0
    for scores in logits.detach():
        share = scores.exp() / scores.exp().sum()
        first[int(share.argmax())] += 1 / 20
        held = [h + s / 20 for h, s in zip(held, share.tolist(), strict=True)]
        z += float(scores.exp().sum().log() ** 2) / 20
    balance = 4 * sum(f * p for f, p in zip(first, held, strict=True))
    for method, expected in (
        (LoadBalancingMethod(weight=0.3, z=0.2), 1 + 0.3 * balance + 0.2 * z),
        (LoadBalancingMethod(weight=0.3), 1 + 0.3 * balance),
    ):
        model(batch.inputs)
        assert method.loss(torch.tensor(1.0), step).item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_whose_shares_count_is_not_cut() -> None:
    with pytest.raises(UserError, match=r"'load_balancing' compares whole batches, and accumulate=2"):
        fit(LoadBalancingMethod(), accumulate=2)


def test_a_correction_moves_against_the_load_by_a_fixed_step() -> None:
    """Wang et al., algorithm 1: b_i + u sign(mean load - load_i)."""
    found = corrected(torch.tensor([0.5, 0.0, 0.0, 0.0]), torch.tensor([9.0, 1.0, 2.0, 0.0]), 0.25)
    assert found.tolist() == [0.25, 0.25, 0.25, 0.25]
    even = torch.zeros(3)
    assert torch.equal(corrected(even, torch.full((3,), 7.0), 0.25), even)


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_corrections_are_the_same_in_however_many_parts_a_batch_comes(accumulate: int) -> None:
    whole, parts = fit(BiasBalancingMethod()), fit(BiasBalancingMethod(), accumulate=accumulate)
    assert float(mixtures(whole)["1"].correction.abs().max()) > 0.05
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=0, atol=1e-5, msg=name)


def test_work_of_a_second_pass_is_not_counted_twice() -> None:
    counted = []

    class Counting(BiasBalancingMethod):
        def update(self, model: nn.Module, step: Step) -> None:
            counted.append(sum(float(load.sum()) for loads in self.loads.values() for load in loads.values()))
            super().update(model, step)

    turn = Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1))
    Engine(network(), turn, [Counting(), SAMMethod()], device="cpu", accumulate=2).fit(data(25), steps=3)
    assert counted == [25.0, 25.0, 10.0]  # the last batch is ragged, and nothing of the one before is left


def test_no_gradient_knows_of_the_corrections() -> None:
    model, x = network(top=4), rows(8, 5)  # all are chosen, whatever is added
    gradients = []
    for correction in (0.0, 1.0):
        mixtures(model)["1"].correction[0] = correction
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    "method", [LoadBalancingMethod(weight=1.0), BiasBalancingMethod(rate=0.01)], ids=["loss", "bias"]
)
def test_a_router_that_sends_all_to_one_is_brought_to_share(method: Method) -> None:
    """Even would be a quarter."""
    x = rows(60, 5)
    alone, balanced = largest(fit(None, 90), x), largest(fit(method, 90), x)
    assert alone > 0.7
    assert balanced < 0.5


def test_experts_are_worth_it_on_digits_in_ten_orders_at_equal_active_parameters() -> None:
    digits = PermutedDigitsData(tasks=10, batch_size=128).load(0)
    test = digits.test
    assert test is not None

    def trained(dense: bool, epochs: int, *methods: Method) -> nn.Module:
        torch.manual_seed(0)
        model = MixtureOfExpertsModel(experts=16, dense=dense).build(digits.inputs, 10)
        turn = Turn(CrossEntropy(), partial(torch.optim.AdamW, lr=0.005))
        return Engine(model, turn, [OneCycleMethod(), *methods], device="cpu").fit(digits.train, epochs=epochs).model

    def right(model: nn.Module) -> float:
        return float((predict(model, test.inputs).classes == test.targets).double().mean())

    sparse, dense = trained(False, 5, LoadBalancingMethod(weight=0.1)), trained(True, 5)
    assert right(sparse) > right(dense) + 0.01
    assert largest(sparse, test.inputs) < 2 / 16
    assert largest(trained(False, 1), test.inputs) > 2 / 16


def test_models_without_experts_and_experts_that_are_not_called_are_refused() -> None:
    for method in (LoadBalancingMethod(), BiasBalancingMethod()):
        with pytest.raises(UserError, match=r"came upon a model without experts; allowed: such as model\.name=mixture"):
            method.model(nn.Linear(2, 2), Plan())
        with pytest.raises(LocutionError, match="was not called in this pass"):
            method.loss(torch.tensor(0.0), Step(0, 0, Plan(), network()))
