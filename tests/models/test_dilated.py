"""The dilated network against torch's own convolution, its field against gradients, steps against the whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from locution.data.adding import AddingData
from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.engine.method import Method
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.basic import MSE, CrossEntropy
from locution.models.dilated import (
    DilatedLayer,
    DilatedModel,
    DilatedNet,
    graded,
    influence,
    receptive_field,
    taps,
)
from locution.models.dilated_steps import Queues, draw, draw_sequences, next_step
from locution.models.lora import LoRAMethod
from locution.optimizers.averaging import AveragingMethod
from locution.optimizers.sam import SAMMethod


def whole(*shape: int, below: int = 7) -> Tensor:
    return torch.randint(below, shape, generator=generator(0, "dilated"))


def net(dilations: Sequence[int] = (1, 2, 4), kernel: int = 2, features: int | None = None, **more: Any) -> DilatedNet:
    torch.manual_seed(0)
    words = 0 if features else 7
    return DilatedNet(features, 7, dilations, vocabulary=words, width=6, skip=5, kernel=kernel, **more)


@pytest.mark.parametrize("dilation", [1, 3, 8])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_layer_is_torchs_dilated_convolution_the_gate_and_both_ways_out(kernel: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DilatedLayer(4, 5, kernel, dilation)
    x = torch.randn(2, 20, 4, generator=generator(0, "x"))
    weight = layer.filter.weight.view(8, kernel, 4).transpose(1, 2)  # (out, in, kernel)
    assert layer.filter.bias.shape == (8,)
    padded = functional.pad(x.transpose(1, 2), ((kernel - 1) * dilation, 0))
    found = functional.conv1d(padded, weight, layer.filter.bias, dilation=dilation).transpose(1, 2)  # (N, T, 8)
    z = torch.tanh(found[..., :4]) * torch.sigmoid(found[..., 4:])
    onwards, beside = layer(x)
    torch.testing.assert_close(onwards, x + z @ layer.on.weight.T + layer.on.bias, rtol=0, atol=1e-5)
    torch.testing.assert_close(beside, z @ layer.out.weight.T + layer.out.bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reads", ["all", "last"])
def test_the_whole_network_is_what_all_layers_say_in_one_sum_and_two_maps_of_its_positive_part(reads: str) -> None:
    model: Any = net((1, 2, 4), reads=reads)
    tokens = whole(3, 12)
    onwards, total = model.entry.weight[tokens], torch.zeros(())
    for layer in model.layers:
        onwards, said = layer(onwards)
        total = total + said
    (first, first_bias), (second, second_bias) = ((model.head[k].weight, model.head[k].bias) for k in (1, 3))
    hidden = (total.clamp(min=0) @ first.T + first_bias).clamp(min=0)  # figure 4: a bend, a map, a bend, a map
    answers = hidden @ second.T + second_bias
    expected = answers[:, -1] if reads == "last" else answers
    torch.testing.assert_close(model(tokens), expected, rtol=0, atol=1e-5)


def test_symbols_that_are_read_need_not_be_those_that_are_answered() -> None:
    model = DilatedModel(layers=2, vocabulary=11).build((9,), 3)
    assert model.entry.weight.shape[0] == 11
    assert model(torch.full((2, 9), 10)).shape == (2, 9, 3)
    assert DilatedModel(layers=2).build((9,), 3).entry.weight.shape[0] == 3


def test_influence_is_the_mean_over_sequences_of_the_gradients_length() -> None:
    model, tokens = net((1, 2)), whole(3, 6)
    expected = torch.zeros(6)
    for one in tokens:
        entered = model.entry(one[None]).detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.from_entry(entered)[0, -1].square().sum(), entered)
        expected += gradient[0].square().sum(-1).sqrt() / 3
    torch.testing.assert_close(influence(model, tokens), expected, rtol=0, atol=1e-6)


def test_taps_of_sequences_shorter_than_a_gap_are_silence() -> None:
    x = torch.arange(1.0, 4.0).view(1, 3, 1)
    assert taps(x, 2, 5)[0].T.tolist() == [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]
    assert taps(x, 3, 1)[0].T.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("kernel", "dilations"), [(2, (1, 2, 4, 8)), (3, (1, 2, 4)), (2, (1, 2, 4) * 2), (2, (1, 1, 1)), (4, (1, 4))]
)
def test_the_receptive_field_is_where_the_gradient_is(kernel: int, dilations: tuple[int, ...]) -> None:
    reach = receptive_field(kernel, dilations)
    model, length = net(dilations, kernel), reach + 9
    assert model.reach == reach
    size = influence(model, whole(4, length))
    assert (size[-reach:] > 0).all()
    assert (size[:-reach] == 0).all()
    earlier = influence(model, whole(4, length), at=length - 4)
    assert (earlier[-3:] == 0).all(), "no step sees what comes after it"
    assert int((earlier > 0).sum()) == reach


def test_the_receptive_field_of_the_paper() -> None:
    assert receptive_field(2, [2**layer for layer in range(10)]) == 1024  # section 2.1: 1, 2, ..., 512
    assert DilatedModel(layers=8, blocks=2).build((1024,), 256).reach == 1 + 2 * 255


def test_no_answer_knows_what_comes_later() -> None:
    model, x = net().eval(), whole(3, 20)
    other = x.clone()
    other[:, 12:] = (other[:, 12:] + 1) % 7
    torch.testing.assert_close(model(x)[:, :12], model(other)[:, :12], rtol=0, atol=1e-6)
    assert not torch.allclose(model(x)[:, 12:], model(other)[:, 12:])


@pytest.mark.parametrize(("kernel", "dilations"), [(2, (1, 2, 4, 8)), (3, (1, 2, 4)), (2, (1, 2) * 3), (4, (1, 3))])
@pytest.mark.parametrize("features", [None, 3])
def test_steps_with_queues_are_the_whole_sequence(
    kernel: int, dilations: tuple[int, ...], features: int | None
) -> None:
    model = net(dilations, kernel, features).eval()
    x = torch.randn(3, 40, 3, generator=generator(1, "x")) if features else whole(3, 40)
    queues = Queues.of(model, 3)
    steps = torch.stack([next_step(model, x[:, t], queues) for t in range(40)], 1)
    torch.testing.assert_close(steps, model(x), rtol=0, atol=1e-5)
    double = model.double()
    queues, x = Queues.of(double, 3), x.double() if features else x
    steps = torch.stack([next_step(double, x[:, t], queues) for t in range(40)], 1)
    torch.testing.assert_close(steps, double(x), rtol=0, atol=1e-12)


def test_drawing_with_queues_draws_what_drawing_without_them_does() -> None:
    model: Any = net().eval()
    begin = whole(2, 5)
    model.head[-1].weight.data.mul_(40)  # an answer that hangs upon what was read, not upon chance
    stream = generator(3, "draw")
    slow = begin
    with torch.no_grad():
        for _ in range(30):
            slow = torch.cat([slow, draw(model(slow)[:, -1], 0.9, stream)[:, None]], 1)
    quick = draw_sequences(model, 2, 30, generator(3, "draw"), begin=begin, temperature=0.9)
    assert torch.equal(slow[:, 5:], quick)
    assert torch.equal(quick, draw_sequences(model, 2, 30, generator(3, "draw"), begin=begin, temperature=0.9))
    assert not torch.equal(quick, draw_sequences(model, 2, 30, generator(4, "draw"), begin=begin, temperature=0.9))


def test_drawing_follows_the_chances_and_the_temperature() -> None:
    scores = torch.tensor([0.0, 2.0, 1.0]).expand(20_000, 3)
    for temperature in (0.5, 1.0, 2.0):
        chances = (torch.tensor([0.0, 2.0, 1.0]) / temperature).softmax(0)
        found = draw(scores, temperature, generator(0, "draw")).bincount(minlength=3) / 20_000
        assert ((found - chances).abs() < 5 * (chances * (1 - chances) / 20_000).sqrt()).all()
    assert (draw(scores, 0.0, generator(0, "draw")) == 1).all()


def test_what_cannot_draw_says_so() -> None:
    for model in (net(features=3), net(reads="last")):
        with pytest.raises(UserError, match="cannot draw; allowed: one of symbols"):
            draw_sequences(model, 1, 3, generator(0, "draw"))


def test_graded_numbers_begin_alike_and_others_do_not() -> None:
    torch.manual_seed(0)
    ordered, plain = (DilatedModel(ordered=one).build((9,), 256).entry.weight for one in (True, False))
    near, far = ((ordered[1:] - ordered[:-1]).norm(dim=1).mean(), (ordered[128:] - ordered[:-128]).norm(dim=1).mean())
    assert far > 2 * near
    assert (plain[1:] - plain[:-1]).norm(dim=1).mean() > 2 * near
    half = graded(64, 8).T @ graded(64, 8)  # columns of a cosine transform stand at right angles
    torch.testing.assert_close(half, 32 * torch.eye(8), rtol=0, atol=1e-3)


def test_inputs_of_another_kind_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"float32 of shape \(2, 5\) came; allowed: \(N, T\), whole numbers"):
        net()(torch.zeros(2, 5))
    with pytest.raises(UserError, match=r"int64 of shape \(2, 5\) came; allowed: \(N, T, 3\), fractions"):
        net(features=3)(whole(2, 5))
    with pytest.raises(UserError, match=r"model dilated came upon inputs \(1, 8, 8\); allowed: \(T, F\)"):
        DilatedModel().build((1, 8, 8), 10)


@pytest.mark.parametrize(
    "settings", [{"layers": 0}, {"layers": 17}, {"kernel": 1}, {"blocks": 0}, {"width": 0}, {"skip": 0}], ids=str
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"model\.\w+ is \d+; allowed: "):
        DilatedModel(**settings)
    with pytest.raises(UserError, match=r"model\.reads is 'lasts'; allowed: all or last"):
        DilatedModel(reads="lasts")  # type: ignore[arg-type]


def test_it_remembers_a_number_over_a_gap_that_its_field_spans() -> None:
    """The adding problem, answered once: who always says 1 has an error of 1/6."""
    data = AddingData(length=15, train=2000, test=500).load(0)
    torch.manual_seed(0)
    model = DilatedModel(layers=4, width=16, skip=32, reads="last").build(data.inputs, 1)
    turn = Turn(MSE(), partial(torch.optim.Adam, lr=0.01))
    Engine(model, turn, device="cpu").fit(data.train, epochs=4)
    test = data.test
    assert test is not None
    assert MSE()(model.eval(), Batch(test.inputs, test.targets))[1].item() < 0.02


@pytest.mark.parametrize("method", [SAMMethod(), AveragingMethod(), LoRAMethod(rank=2)], ids=lambda one: one.name)
def test_methods_apply(method: Method) -> None:
    x = whole(12, 10)
    data = TensorBatches(x[:, :-1], x[:, 1:], batch_size=6)
    model = net()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    engine = Engine(model, Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1)), [method], device="cpu")
    after = engine.fit(data, steps=2).trained().state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before if name in after)
