"""Noise-prediction networks: what they are told, what they say, and the score they stand for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.conditioning import Conditioning, time_embedding
from locution.models.diffusion import DenoiserModel, PointDenoiser, predicted_noise
from locution.models.noise_levels import variance_exploding, variance_preserving
from locution.models.shapes import explained
from locution.models.unet import ToldBlock, UNet

SHAPES = [(2,), (6,), (5, 3), (1, 8, 8), (3, 7, 10), (1, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_noise_has_the_shape_of_the_input(shape: tuple[int, ...], conditional: bool) -> None:
    torch.manual_seed(0)
    model = DenoiserModel(widths=(8, 12, 16), conditional=conditional).build(shape, 4)
    x, time = torch.randn(3, *shape), torch.tensor([0.1, 0.5, 1.0])
    assert model(x, time).shape == x.shape
    assert torch.equal(model(x), model(x, torch.zeros(3)))  # no time is told: hardly any noise
    assert isinstance(model, UNet) == (len(shape) == 3)


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)], ids=str)
def test_every_layer_reads_the_time_and_the_class(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = DenoiserModel(widths=(8, 16), conditional=True).build(shape, 3)
    x = torch.randn(1, *shape)
    now, label = torch.tensor([0.5]), torch.tensor([1])
    said = model(x, now, label)
    assert not torch.equal(said, model(x, torch.tensor([0.6]), label))
    assert not torch.equal(said, model(x, now, torch.tensor([2])))
    assert not torch.equal(said, model(x, now))
    assert torch.equal(model(x, now, torch.tensor([-1])), model(x, now))
    said.square().mean().backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_examples_do_not_depend_on_each_other() -> None:
    torch.manual_seed(0)
    model = DenoiserModel(widths=(8, 16), conditional=True).build((1, 8, 8), 3).eval()
    x, time, label = torch.randn(4, 1, 8, 8), torch.rand(4), torch.tensor([0, 1, 2, -1])
    alone = torch.cat([model(x[i : i + 1], time[i : i + 1], label[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(model(x, time, label), alone, atol=1e-5, rtol=1e-5)


def test_what_is_told_scales_and_shifts_each_channel() -> None:
    torch.manual_seed(0)
    block: Any = ToldBlock(4, 6, told=3)
    with torch.no_grad():
        block.told.weight.zero_()
        block.told.bias.copy_(torch.tensor([-1.0] * 6 + [0.5] * 6))  # times 1 - 1, plus a half
    x = torch.randn(2, 4, 5, 5)
    way = block(x, torch.randn(2, 3)) - block.around(x)
    torch.testing.assert_close(way, block.second(torch.full((2, 6, 5, 5), 0.5)))


def test_each_size_is_handed_across() -> None:
    torch.manual_seed(0)
    net: Any = UNet(1, (8, 8, 8))
    with torch.no_grad():
        for layer in net.larger:  # nothing comes up from the smaller sizes
            for weight in layer.parameters():
                weight.zero_()
    one, other = torch.randn(2, 1, 1, 8, 8)
    assert not torch.equal(net(one), net(other))
    with torch.no_grad():
        net = UNet(1, (8, 8))
        net.up[0].first[2].weight[:, 8:] = 0  # and now nothing comes across
        net.up[0].around.weight[:, 8:] = 0
    flat = torch.zeros(1, 1, 8, 8)
    dot = flat.clone()
    dot[0, 0, 3, 3] = 1.0
    assert not torch.equal(net(flat), net(dot))  # yet what comes up says something


def test_points_are_scaled_and_shifted_by_the_time() -> None:
    torch.manual_seed(0)
    net: Any = PointDenoiser((2,), 8, 1)
    with torch.no_grad():
        net.told[0].weight.zero_()
        net.told[0].bias.copy_(torch.tensor([-1.0] * 8 + [0.5] * 8))
    x = torch.randn(3, 2)
    inner = net.first(x) + net.layers[0](torch.full((3, 8), 0.5))
    torch.testing.assert_close(net(x, torch.rand(3)), net.last(inner))


def test_times_are_told_apart() -> None:
    times = torch.linspace(0, 1, 1001)
    vectors = time_embedding(times)
    assert vectors.shape == (1001, 64)
    nearest = torch.cdist(vectors[:-1], vectors[1:]).diagonal()
    assert nearest.min() > 0.5  # a thousandth is seen
    torch.testing.assert_close(vectors.square().sum(1), torch.full((1001,), 32.0), atol=1e-3, rtol=0)


def test_shares_of_classes_are_told_as_a_blend() -> None:
    torch.manual_seed(0)
    told, time = Conditioning(8, 2), torch.tensor([0.5])
    one, other, none = (told(time, torch.tensor([label])) for label in (0, 1, -1))
    torch.testing.assert_close(told(time, torch.tensor([[0.25, 0.75]])), 0.25 * one + 0.75 * other)
    torch.testing.assert_close(told(time, torch.tensor([[0.0, 0.0]])), none)


def test_a_class_is_refused_where_none_is_told() -> None:
    model = DenoiserModel(widths=(8,)).build((2,), 3)
    with pytest.raises(UserError, match=r"model\.conditional"):
        model(torch.zeros(1, 2), torch.zeros(1), torch.tensor([0]))


class Echo(nn.Module):
    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        self.time = time
        return x


@pytest.mark.parametrize(
    "levels", [variance_exploding(4, 0.1, 10.0), variance_preserving(torch.full((4,), 0.3))], ids=["ve", "vp"]
)
def test_a_network_reads_inputs_of_one_size_at_every_level(levels: object) -> None:
    # data of variance 1 and noise: what is read has variance 1
    torch.manual_seed(0)
    echo = Echo()
    for level in (1, 2, 4):
        at = torch.full((20_000,), level)
        noisy = levels.noised(torch.randn(20_000, 1), torch.randn(20_000, 1), at)  # type: ignore[attr-defined]
        assert predicted_noise(echo, noisy, levels, at).std().item() == pytest.approx(1.0, abs=0.03)  # type: ignore[arg-type]
        assert echo.time[0] == level / 4


def test_a_shape_that_does_not_fit_is_explained_in_one_line() -> None:
    model = PointDenoiser((2,), 8, 1)
    with pytest.raises(UserError, match=r"layer 'first' \(Linear\) got \(5, 3\)"), explained(model):
        model(torch.zeros(5, 3))
    unet = UNet(1, (8,))
    with (
        pytest.raises(UserError, match=r"layer 'first' \(Conv2d\) got .*allowed: 1, its number of channels"),
        explained(unet),
    ):
        unet(torch.zeros(5, 3, 8, 8))


@pytest.mark.parametrize("wrong", [{"widths": ()}, {"widths": (0,)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="model"):
        DenoiserModel(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="model denoiser came upon"):
        DenoiserModel().build((), 2)


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)], ids=str)
def test_lora_and_averaging_reach_the_networks(shape: tuple[int, ...]) -> None:
    from locution.engine import Engine, TensorBatches, Turn
    from locution.losses.diffusion import NoisePrediction
    from locution.models.lora import LoRAMethod
    from locution.optimizers.averaging import AveragingMethod

    torch.manual_seed(0)
    model = DenoiserModel(widths=(8, 8)).build(shape, 2)
    turn = Turn(NoisePrediction(levels=10), lambda weights: torch.optim.SGD(weights, lr=0.1))
    engine = Engine(model, turn, [LoRAMethod(rank=2), AveragingMethod()])
    engine.fit(TensorBatches(torch.randn(16, *shape), batch_size=8), steps=3)
    left = engine.trained()
    assert {name for name, _ in left.named_parameters()} == {
        name for name, _ in DenoiserModel(widths=(8, 8)).build(shape, 2).named_parameters()
    }  # LoRA is merged, the average is handed out
    assert left(torch.zeros(1, *shape), torch.zeros(1)).shape == (1, *shape)
