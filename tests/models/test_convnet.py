"""The convolutional network: its formula, its sizes, its blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from locution.errors import UserError
from locution.models.convnet import ConvNet, ConvNetModel, ResidualBlock, conv_block, stages_for


def test_a_plain_network_is_convolutions_bends_a_mean_and_a_layer() -> None:
    torch.manual_seed(0)
    net = ConvNet(2, (3, 4), 5, norm="none").double().eval()
    x = torch.randn(6, 2, 9, 7, dtype=torch.float64)
    one, two = (stage[0][0] for stage in net.stages)
    first = conv2d(x, one.weight, one.bias, padding=1).relu()
    second = conv2d(first, two.weight, two.bias, stride=2, padding=1).relu()
    assert second.shape == (6, 4, 5, 4)
    expected = second.flatten(2).mean(2) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)


def test_a_residual_block_is_equation_two() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, "none", stride=2).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    first, second, across = ((layer.weight, layer.bias) for layer in convolutions)
    inner = conv2d(conv2d(x, *first, stride=2, padding=1).relu(), *second, padding=1)
    torch.testing.assert_close(block(x), (inner + conv2d(x, *across, stride=2)).relu(), rtol=0, atol=1e-12)
    assert isinstance(ResidualBlock(4, 4).around, nn.Identity)


@pytest.mark.parametrize("settings", [{}, {"residual": True}, {"norm": "group", "blocks": 2}, {"norm": "none"}])
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 8), (3, 17, 30), (1, 1, 1), (2, 1, 40)])
def test_pictures_of_any_size_go_through_and_back(shape: tuple[int, int, int], settings: dict[str, object]) -> None:
    net = ConvNetModel(**settings).build(shape, 7)  # type: ignore[arg-type]
    output = net(torch.rand(3, *shape))
    assert output.shape == (3, 7)
    output.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_last_stage_sees_pictures_no_smaller_than_two_pixels() -> None:
    for side in (4, 8, 12, 16, 31, 64, 100):
        net = ConvNetModel().build((1, side, side), 2)
        found = net.stages(torch.zeros(1, 1, side, side))
        assert 2 <= min(found.shape[2:]) <= 8
    deep = ConvNetModel(widths=(4,) * 6).build((1, 9, 20), 2)
    assert deep.stages(torch.zeros(1, 1, 9, 20)).shape[2:] == (3, 5), "9, 5 and 3: a side below 4 is not halved"
    assert [len(stages_for(side, side)) for side in (8, 16, 32, 64)] == [2, 3, 4, 5]


def test_bytes_are_read_as_numbers_from_zero_to_one() -> None:
    net = ConvNetModel(widths=(4,)).build((1, 6, 6), 2).eval()
    pixels = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6) * 7
    torch.testing.assert_close(net(pixels), net(pixels.float() / 255))


def test_norms_are_what_they_say() -> None:
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    for norm, kind in kinds.items():
        block = conv_block(1, 6, norm)
        assert isinstance(block[1], kind)
        assert block[0].bias is None
    assert conv_block(1, 6, "none")[0].bias is not None


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bars of four pixels at random places: upright ones and lying ones."""
    draw = torch.Generator().manual_seed(seed)
    x, upright = torch.zeros(count, 1, 8, 8), torch.rand(count, generator=draw) < 0.5
    for picture, stands in zip(x, upright.tolist(), strict=True):
        row, column = torch.randint(0, 5, (2,), generator=draw).tolist()
        picture[0, row : row + (4 if stands else 1), column : column + (1 if stands else 4)] = 1
    return x, upright.long()


def test_it_learns_what_stands_anywhere() -> None:
    torch.manual_seed(0)
    net = ConvNetModel(widths=(6,)).build((1, 8, 8), 2)
    mover = torch.optim.AdamW(net.parameters(), lr=0.03)
    x, y = bars(64, 0)
    for _ in range(60):
        mover.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        mover.step()
    others, right = bars(200, 1)
    assert (net.eval()(others).argmax(1) == right).float().mean() > 0.97


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"widths": (0,)}, r"model\.widths is \[0\]"),
        ({"blocks": 0}, r"model\.blocks is 0"),
        ({"norm": "layer"}, r"model\.norm is 'layer'; allowed: batch, group, none"),
        ({"dropout": 1.0}, r"model\.dropout is 1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ConvNetModel(**settings)  # type: ignore[arg-type]


def test_what_is_no_picture_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"convnet came upon inputs \(64,\); allowed: pictures"):
        ConvNetModel().build((64,), 10)
