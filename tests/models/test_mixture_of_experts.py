"""A mixture of experts against its equations row by row, its active parameters, and what it is compared with."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from locution.engine import Engine, TensorBatches, Turn
from locution.engine.method import Method
from locution.engine.random import generator
from locution.errors import LocutionError, UserError
from locution.losses.basic import CrossEntropy
from locution.models.experts import chosen_experts, every_expert
from locution.models.lora import LoRAMethod
from locution.models.mixture_of_experts import (
    MixtureOfExperts,
    MixtureOfExpertsModel,
    active_parameters,
    dense_twin,
    mixtures,
    routings,
)
from locution.models.routing import Routing, biased_gates, top_gates
from locution.optimizers.averaging import AveragingMethod
from locution.optimizers.sam import SAMMethod


def layer(top: int = 2, shared: int = 3, experts: int = 5) -> MixtureOfExperts:
    torch.manual_seed(0)
    made = MixtureOfExperts(4, hidden=3, experts=experts, top=top, shared=shared)
    made.router.data *= 100  # far from even
    return made


def rows(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(0, "rows"))


def by_hand(one: MixtureOfExperts, row: Tensor) -> Tensor:
    """Shazeer et al., eq. 1, with the k largest probabilities over their sum, and DeepSeekMoE's shared expert."""
    held = (one.router @ row).softmax(0)
    liked = (held + one.correction).tolist()
    chosen = sorted(range(len(held)), key=lambda expert: -liked[expert])[: one.top]
    total = sum(held[expert] for expert in chosen) if one.top > 1 else 1.0
    said = one.shared(row) if one.shared is not None else torch.zeros(4)
    for expert in chosen:
        inner = functional.gelu(one.experts.enter[expert] @ row)
        said = said + held[expert] / total * (one.experts.leave[expert] @ inner)
    return said


@pytest.mark.parametrize("correction", [0.0, 0.3])
@pytest.mark.parametrize(("top", "shared"), [(1, 0), (1, 3), (2, 3), (5, 0)])
def test_a_layer_is_its_equations_row_by_row(top: int, shared: int, correction: float) -> None:
    one, x = layer(top, shared), rows(3, 6, 4)
    one.correction.copy_(correction * rows(5))
    expected = torch.stack([by_hand(one, row) for row in x.flatten(0, 1)]).view(3, 6, 4)
    torch.testing.assert_close(one(x), expected, rtol=0, atol=1e-5)


def test_the_router_learns_with_one_expert_and_with_many() -> None:
    for top in (1, 2):
        one = layer(top)
        one(rows(6, 4)).square().sum().backward()
        assert one.router.grad is not None
        assert float(one.router.grad.abs().max()) > 0


def test_only_those_who_were_chosen_get_a_gradient() -> None:
    one = layer(top=1)
    one(rows(1, 4)).sum().backward()
    assert one.experts.enter.grad is not None
    working = one.experts.enter.grad.abs().sum((1, 2)) > 0
    chosen = routings(nn.Sequential(one), rows(1, 4))["0"].dispatch[0, 0] > 0
    assert torch.equal(working, chosen)
    assert int(working.sum()) == 1


def test_a_correction_changes_who_is_chosen_and_not_what_they_count() -> None:
    logits = rows(50, 5)
    plain, moved = top_gates(logits, 2), biased_gates(logits, 2, torch.zeros(5))
    assert torch.equal(plain[1], moved[1])
    torch.testing.assert_close(plain[0], moved[0])
    gates, chosen = biased_gates(logits, 1, torch.tensor([0.0, 0, 0, 0, 2.0]))
    assert (chosen == 4).all()
    torch.testing.assert_close(gates[:, 0], logits.softmax(-1)[:, 4])


@pytest.mark.parametrize("top", [1, 3])
def test_every_expert_on_every_row_says_the_same_as_the_chosen_alone(top: int) -> None:
    one, x = layer(top), rows(9, 4)
    gates, chosen = one.choose(x @ one.router.T)
    weights = (one.experts.enter, one.experts.leave)
    few, all_of_them = chosen_experts(x, gates, chosen, *weights), every_expert(x, gates, chosen, *weights)
    torch.testing.assert_close(few, all_of_them, rtol=0, atol=1e-5)


def test_gradients_of_each_example_by_vmap_are_those_of_each_alone() -> None:
    one, x = layer(), rows(4, 4)
    weights = {name: weight.detach() for name, weight in one.named_parameters()}

    def squares(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        found: Tensor = functional_call(one, weights, (row[None],))
        return found.square().sum()

    each = vmap(grad(squares), in_dims=(None, 0))(weights, x)
    for number in range(4):
        one.zero_grad()
        one(x[number : number + 1]).square().sum().backward()
        for name, weight in one.named_parameters():
            expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
            torch.testing.assert_close(each[name][number], expected, rtol=0, atol=1e-4)


def test_active_parameters_are_those_whose_change_an_example_can_feel() -> None:
    """Count them by gradient: of one example, all that could have one."""
    one = layer(top=2)
    total = sum(weight.numel() for weight in one.parameters())
    assert active_parameters(one) == total - 3 * (3 * 4 + 4 * 3)
    net = MixtureOfExpertsModel(width=16, layers=2, experts=4).build((7,), 3)
    net(rows(1, 7)).square().sum().backward()
    touched = 0
    for name, weight in net.named_parameters():
        gradient = weight.grad if weight.grad is not None else torch.zeros_like(weight)
        if "experts" in name:  # whole experts: single units may be still by chance
            touched += int((gradient.abs().sum((1, 2)) > 0).sum()) * weight[0].numel()
        else:
            touched += weight.numel()
    assert touched == active_parameters(net)
    net.head.requires_grad_(False)
    assert touched == active_parameters(net), "a frozen weight is used all the same"


@pytest.mark.parametrize(
    "settings", [{}, {"experts": 16}, {"top": 2, "shared": 0}, {"layers": 2, "width": 32}], ids=str
)
def test_the_dense_twin_has_as_many_active_parameters_and_hardly_more(settings: dict[str, Any]) -> None:
    sparse = MixtureOfExpertsModel(**settings).build((64,), 10)
    dense = MixtureOfExpertsModel(**settings, dense=True).build((64,), 10)
    few, many = active_parameters(sparse), active_parameters(dense)
    assert not mixtures(dense)
    layers, width = settings.get("layers", 1), settings.get("width", 64)
    assert few <= many <= few + layers * (2 * width + 1)  # a unit more at most
    assert dense_twin(64, 1) == 1


def test_routings_say_what_the_forward_pass_does() -> None:
    """With experts that each write their own number, the output shows who worked."""
    one = MixtureOfExperts(5, hidden=2, experts=5, top=2)
    one.router.data *= 100
    one.experts.leave.data.zero_()
    for expert in range(5):
        one.experts.leave.data[expert, expert] = 1.0
    x = rows(7, 3, 5)
    routing = routings(nn.Sequential(one), x)["0"]
    assert torch.equal(one(x) != 0, routing.dispatch > 0)
    assert routing.dispatch.sum(-1).allclose(torch.ones(7, 3))
    torch.testing.assert_close(routing.probabilities, (x @ one.router.T).softmax(-1))


@pytest.mark.parametrize("experts", [1, 2, 3, 8])
def test_entropy_is_a_share_of_what_an_even_load_has(experts: int) -> None:
    even, hidden = torch.full((1, 3, experts), 1 / experts), torch.tensor([[True, True, False]])
    sure = torch.eye(experts)[torch.zeros(1, 3, dtype=torch.int64)]
    mixed = torch.cat([even[:, :1], sure[:, 1:]], 1)
    for held, left in ((even, 1.0), (sure, 0.0), (mixed, 0.5)):  # the third place does not count
        routing = Routing(held, held, hidden)
        most = left if experts > 1 else 0.0
        assert routing.entropy().item() == pytest.approx(most * math.log(experts), abs=1e-6)
        assert routing.entropy_share().item() == pytest.approx(most, abs=1e-6)


def test_asking_for_routings_leaves_a_model_as_it_was() -> None:
    one = layer()
    model = nn.Sequential(nn.Dropout(0.9), one)
    x = rows(7, 3, 4)
    asked = routings(model.train(), x)["1"]
    assert torch.equal(asked.dispatch, one.routing(x).dispatch), "asked without dropout"
    assert model.training
    assert one.training
    assert not one._forward_pre_hooks
    assert not routings(model.eval(), x)["1"].probabilities.requires_grad
    assert not model.training


def test_a_network_adds_what_each_layer_says_of_what_came_normed() -> None:
    torch.manual_seed(0)
    net: Any = MixtureOfExpertsModel(width=16, layers=2, experts=4, shared=5).build((2, 3), 3)
    x = rows(7, 2, 3)
    onwards = x.flatten(1) @ net.entry.weight.T + net.entry.bias
    for norm, one in zip(net.norms, net.layers, strict=False):
        onwards = onwards + one(functional.layer_norm(onwards, (16,), norm.weight, norm.bias))
    last = net.norms[2]
    with torch.no_grad():
        last.weight.uniform_(0.5, 2, generator=generator(0, "norm"))
        expected = functional.layer_norm(onwards, (16,), last.weight, last.bias) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-5)
    assert all(one.shared[0].out_features == 5 and one.top == 1 for one in net.layers)


def test_what_a_router_said_is_kept_for_who_listens_and_once() -> None:
    one = layer()
    one(rows(2, 4))
    assert one.routed is None
    one.listened = True
    one(rows(2, 4))
    assert copy.deepcopy(one).routed is None, "a copy has routed nothing"
    torch.testing.assert_close(one.take(), rows(2, 4) @ one.router.T)
    with pytest.raises(LocutionError, match="was not called in this pass"):
        one.take()
    one(rows(2, 4))
    with torch.no_grad():
        one(rows(2, 4))
    assert one.routed is None, "what came without a gradient is none of it, and what came before is over"
    weights = dict(one.named_parameters())
    vmap(grad(lambda held, row: functional_call(one, held, (row[None],)).sum()), (None, 0))(weights, rows(2, 4))
    assert one.routed is None, "nor is what came under vmap, which may not leave it"


def test_the_router_stays_in_fp32_under_autocast() -> None:
    one, x = layer(), rows(20, 4)
    plain = one.routing(x[None]).dispatch
    one.listened = True
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(one.routing(x[None]).dispatch, plain)
        one(x)
    assert one.take().dtype == torch.float32


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match="top is 6; allowed: a whole number from 1 to 5"):
        layer(top=6)
    with pytest.raises(UserError, match=r"whole numbers of shape \(2, 7\) came; allowed: fractions"):
        MixtureOfExpertsModel().build((7,), 3)(torch.zeros(2, 7, dtype=torch.int64))
    for settings in ({"experts": 0}, {"top": 9}, {"hidden": 0}, {"shared": -1}, {"layers": 0}):
        with pytest.raises(UserError, match=r"model\.\w+ is -?\d; allowed: "):
            MixtureOfExpertsModel(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [SAMMethod(), AveragingMethod(), LoRAMethod(rank=2)], ids=lambda one: one.name)
def test_methods_apply(method: Method) -> None:
    torch.manual_seed(0)
    model = MixtureOfExpertsModel(width=8, experts=3).build((4,), 3)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    data = TensorBatches(rows(12, 4), torch.arange(12) % 3, batch_size=6)
    engine = Engine(model, Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1)), [method], device="cpu")
    after = engine.fit(data, steps=3).trained().state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before if name in after)
