"""Dropout: mean and variance against the closed form, masks of each example's own, and a plain model at the end."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, Plan, Step, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.basic import CrossEntropy
from locution.models.dropconnect import DropConnect, DropConnectMethod
from locution.models.dropout import DropoutMethod, DropUnits, Masks, droppable, masked_moments
from locution.models.lora import LoRA, LoRAMethod
from locution.optimizers.sam import SAMMethod


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def data(size: int = 16, beside: bool = False) -> TensorBatches:
    stream = torch.Generator().manual_seed(7)
    x = torch.randn(40, 6, generator=stream)
    more = {"target": torch.randn(13, 6, generator=stream)} if beside else None
    return TensorBatches(x, x[:, :3].argmax(1), batch_size=size, beside=more, beside_size=13 if beside else None)


def engine(*methods: Any, model: nn.Module | None = None, objective: Any = None, **more: Any) -> Any:
    turn = Turn(objective or CrossEntropy(), partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Engine(model or network(), turn, methods, device="cpu", log_every=1, **more)


def weights(done: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in done.model.named_parameters()}


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol)


def sees(method: DropoutMethod, model: Any, number: int = 0, rows: int = 4, inputs: Tensor | None = None) -> Tensor:
    """Let a model answer in a step."""
    x = torch.ones(rows, 6) if inputs is None else inputs
    batch = Batch(x)
    step = Step(number, 0, Plan(seed=3), model, batch, whole=batch)
    method.batch(batch, step)
    answer: Tensor = model(x)
    return answer.detach()


# The closed form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_a_linear_layers_mean_and_covariance_follow_the_closed_form(p: float) -> None:
    """Twenty thousand examples, each with its own mask; five standard errors."""
    count = 20_000
    torch.manual_seed(1)
    layer, x = nn.Linear(5, 3).requires_grad_(False), torch.randn(5)
    method = DropoutMethod(p=p, layers="*")
    model = method.model(layer, Plan())
    found = sees(method, model, inputs=x.expand(count, 5))
    mean, covariance = masked_moments(layer.weight, layer.bias, x, p)
    assert bool(((found.mean(0) - mean).abs() < 5 * (covariance.diagonal() / count).sqrt()).all())
    scale = covariance.diagonal().sqrt()
    torch.testing.assert_close(found.T.cov() / scale.outer(scale), covariance / scale.outer(scale), rtol=0, atol=0.08)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_missing_weights_vary_alike_but_each_output_alone(p: float) -> None:
    count = 20_000
    torch.manual_seed(1)
    layer, x = nn.Linear(5, 3).requires_grad_(False), torch.randn(5)
    dropped, draw = DropConnect(layer, p), torch.Generator().manual_seed(0)
    outputs = []
    for _ in range(count):
        dropped.redraw(draw)
        outputs.append(dropped(x))
    found = torch.stack(outputs)
    mean, covariance = masked_moments(layer.weight, layer.bias, x, p, "weights")
    assert bool(((found.mean(0) - mean).abs() < 5 * (covariance.diagonal() / count).sqrt()).all())
    scale = covariance.diagonal().sqrt()
    torch.testing.assert_close(found.T.cov() / scale.outer(scale), covariance / scale.outer(scale), rtol=0, atol=0.08)
    assert torch.equal(covariance, covariance.diagonal().diag())
    units = masked_moments(layer.weight, layer.bias, x, p)[1]
    torch.testing.assert_close(units.diagonal(), covariance.diagonal())


def test_the_share_that_is_missing_is_p() -> None:
    method = DropoutMethod(p=0.3, layers="*")
    layer = nn.Linear(1000, 1000, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.eye(1000))
    found = sees(method, method.model(layer, Plan()), inputs=torch.ones(50, 1000))
    share = (found == 0).float().mean().item()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 50_000) ** 0.5
    torch.testing.assert_close(found[found > 0], torch.full((int((found > 0).sum()),), 1 / 0.7))


# Which units, and whose ------------------------------------------------------------------------------------


def identity(kind: str) -> tuple[nn.Module, Tensor]:
    """A layer that hands its input on, so that the mask shows."""
    if kind == "linear":
        layer: Any = nn.Linear(4, 4, bias=False)
        layer.weight.data = torch.eye(4)
        return layer, torch.ones(6, 5, 4)
    layer = nn.Conv2d(4, 4, 1, bias=False)
    layer.weight.data = torch.eye(4)[:, :, None, None]
    return layer, torch.ones(6, 4, 3, 3)


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_channels_are_missing_at_every_place_and_units_each_alone(kind: str) -> None:
    forms: tuple[Literal["unit", "channel"], ...] = ("unit", "channel")
    for form in forms:
        layer, x = identity(kind)
        method = DropoutMethod(p=0.5, layers="*", form=form)
        found = sees(method, method.model(layer, Plan()), inputs=x)
        maps = found.transpose(1, 2).flatten(2) if kind == "linear" else found.flatten(2)  # (N, C, places)
        alike = (maps == maps[:, :, :1]).all(2)
        assert bool(alike.all()) is (form == "channel")
        assert not bool((maps == maps[:1]).all()), "every example has a mask of its own"


def test_all_layers_but_the_first_by_default() -> None:
    assert list(droppable(network())) == ["2", "4"]
    assert list(droppable(network(), ("0", "4"))) == ["0", "4"]
    with pytest.raises(
        UserError, match=r"dropout.layers is '', and the model has one layer; allowed: dropout.layers=\*"
    ):
        DropoutMethod().model(nn.Linear(2, 1), Plan())
    with pytest.raises(UserError, match="'7' matches no layer"):
        DropoutMethod(layers="7").model(network(), Plan())


def test_layers_inside_dropconnect_and_lora_are_met_once() -> None:
    model = LoRAMethod(layers="2", rank=2).model(network(), Plan())
    model = DropConnectMethod(layers="4").model(model, Plan())
    assert list(droppable(model)) == ["2", "4"]


def test_attentions_own_last_layer_is_never_called_and_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.Linear(4, 4))
    assert list(droppable(model)) == ["2"]


def test_masks_are_the_steps_own_and_differ_between_layers_and_seeds() -> None:
    method = DropoutMethod(p=0.5)
    model = method.model(network(), Plan())
    one, again, other = (sees(method, model, number) for number in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    masks = list(method.masks.drawn.values())
    assert len(masks) == 2
    assert not torch.equal(masks[0], masks[1])


def test_rows_for_each_place_belong_to_their_example() -> None:
    """A layer that sees (N x T, C) drops what it would of (N, T, C)."""

    class Flat(nn.Module):
        def __init__(self, flat: bool) -> None:
            super().__init__()
            self.layer, _ = identity("linear")
            self.flat = flat

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.layer(x.flatten(0, 1)).view_as(x) if self.flat else self.layer(x)
            return found

    answers = []
    for flat in (True, False):
        method = DropoutMethod(p=0.5, layers="*")
        answers.append(sees(method, method.model(Flat(flat), Plan()), inputs=torch.ones(6, 5, 4)))
    assert answers[0].shape == answers[1].shape
    share = (answers[0] == 0).float().mean().item()
    assert 0.3 < share < 0.7
    assert torch.equal(*answers)
    assert not bool((answers[0] == answers[0][:, :1]).all()), "places differ"


def test_rows_that_belong_to_no_example_are_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.layer(torch.cat([x, x[:1]]))
            return found

    method = DropoutMethod(layers="*")
    with pytest.raises(UserError, match=r"dropout: 5 rows came before layer 'layer' of 4 examples; allowed: as many"):
        sees(method, method.model(Odd(), Plan()))


# What it promises ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 11])
def test_micro_batches_equal_one_batch(size: int) -> None:
    whole = engine(DropoutMethod()).fit(data(size), steps=8)
    parts = engine(DropoutMethod(), accumulate=4).fit(data(size), steps=8)
    close(weights(whole), weights(parts))


def with_others(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """A loss that shows the model the other examples too, as domain adaptation does."""
    output, loss = CrossEntropy()(model, batch)
    others = model(batch.beside["target"])
    return output, loss + others.square().sum() / 13 / (len(batch) / 11)  # 13 others; the share of 11 examples


def test_what_comes_beside_has_masks_of_its_own_rows() -> None:
    """11 examples and 13 others: the micro-batches of both begin at different rows."""
    runs = []
    for parts in (1, 4):
        source = data(11, beside=True)
        runs.append(weights(engine(DropoutMethod(), objective=with_others, accumulate=parts).fit(source, steps=3)))
    close(runs[0], runs[1])


def test_a_second_pass_sees_the_same_masks() -> None:
    made, cut = engine(DropoutMethod(), SAMMethod()), Masks.cut

    def spy(self: Masks, layer: str, inputs: Tensor, convolution: bool) -> Tensor | None:
        mask = cut(self, layer, inputs, convolution)
        assert mask is not None
        masks.append(mask)
        return mask

    masks: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Masks, "cut", spy)
        made.fit(data(), steps=2)
    assert len(masks) == 8  # two layers, two passes, two steps
    assert all(torch.equal(masks[at], masks[at + 2]) for at in (0, 1, 4, 5))
    assert not torch.equal(masks[0], masks[4])


def test_a_method_changes_what_is_learnt_and_none_at_a_share_of_zero() -> None:
    plain = weights(engine().fit(data(), steps=4))
    close(plain, weights(engine(DropoutMethod(p=0.0)).fit(data(), steps=4)), atol=0)
    dropped = weights(engine(DropoutMethod()).fit(data(), steps=4))
    assert any(not torch.equal(plain[name], dropped[name]) for name in plain)


def test_what_leaves_is_plain_and_drops_nothing() -> None:
    made = engine(DropoutMethod()).fit(data(), steps=4)
    leaves = made.trained()
    assert list(leaves.state_dict()) == list(network().state_dict())
    hooks = [hook for module in leaves.modules() for hook in module._forward_pre_hooks.values()]
    assert not any(isinstance(hook, (DropUnits, Masks)) for hook in hooks)
    x = torch.randn(5, 6)
    assert torch.equal(leaves(x), leaves(x))
    leaves.train()
    assert torch.equal(leaves(x), leaves(x))
    assert len(made.model[4]._forward_pre_hooks) == 1, "training can go on"


def test_asleep_the_model_is_whole() -> None:
    method = DropoutMethod()
    model = method.model(network(), Plan())
    x = torch.randn(4, 6)
    sees(method, model, inputs=x)
    assert torch.equal(model.eval()(x), network()(x))


def test_a_copy_of_the_model_copies_no_step() -> None:
    method = DropoutMethod()
    model = method.model(network(), Plan())
    sees(method, model)
    other = copy.deepcopy(model)
    hooks = [hook for hook in other._forward_pre_hooks.values() if isinstance(hook, Masks)]
    assert hooks[0] is method.masks


def test_together_with_lora_and_dropconnect_their_layers_keep_their_names() -> None:
    for other in (DropConnectMethod(layers="2"), LoRAMethod(layers="2", rank=2)):
        made = engine(DropoutMethod(), other).fit(data(), steps=3)
        assert list(made.trained().state_dict()) == list(network().state_dict())


@pytest.mark.parametrize(("setting", "value"), [("p", 1.0), ("p", -0.1), ("form", "rows")])
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"dropout.{setting} is {value!r}; allowed"):
        DropoutMethod(**{setting: value})


def test_it_stands_before_what_lora_and_dropconnect_make() -> None:
    """Before the layer inside it would miss the update of LoRA, and all of DropConnect, which reads its weight only."""
    for other, kind in ((DropConnectMethod(layers="2"), DropConnect), (LoRAMethod(layers="2", rank=2), LoRA)):
        made = engine(DropoutMethod(layers="2"), other).fit(data(), steps=1)
        before = [module for module in made.model.modules() if module._forward_pre_hooks and module is not made.model]
        assert [type(module) for module in before] == [kind]


def test_channels_of_a_convolution_within_dropconnect() -> None:
    layer, x = identity("conv")
    method = DropoutMethod(p=0.5, layers="*", form="channel")
    model = method.model(DropConnectMethod(p=0.0).model(layer, Plan()), Plan())
    maps = sees(method, model, inputs=x).flatten(2)
    assert bool((maps == maps[:, :, :1]).all())


def test_sequences_may_grow_longer_from_step_to_step() -> None:
    layer, x = identity("linear")
    method = DropoutMethod(p=0.5, layers="*")
    model = method.model(layer, Plan())
    found = [sees(method, model, number, inputs=x[:, :length]) for number, length in enumerate((5, 3, 5))]
    assert [tuple(one.shape) for one in found] == [(6, 5, 4), (6, 3, 4), (6, 5, 4)]
    again = DropoutMethod(p=0.5, layers="*")
    layer, x = identity("linear")
    assert torch.equal(sees(again, again.model(layer, Plan()), 2, inputs=x), found[2]), "whatever came before"


def test_more_rows_than_the_step_has_examples_go_round() -> None:
    layer, x = identity("linear")
    method = DropoutMethod(p=0.5, layers="*")
    model = method.model(layer, Plan())
    own = sees(method, model, inputs=x)  # six
    found = model(torch.ones(9, 5, 4)).detach()
    assert torch.equal(found[:6], own)
    assert torch.equal(found[6:], own[:3])


def test_the_precision_of_what_comes_in_stays() -> None:
    layer, x = identity("linear")
    method = DropoutMethod(p=0.5, layers="*")
    found = sees(method, method.model(layer.bfloat16(), Plan()), inputs=x.bfloat16())
    assert found.dtype is torch.bfloat16
