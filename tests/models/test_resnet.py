"""The residual network: its formula, its gradient, how deep it is, and that depth needs the skip connections."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from locution.data.digits import read_digits
from locution.errors import UserError
from locution.models.resnet import Block, ResNet, ResNetModel, skipped


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("residual", [True, False])
def test_it_is_the_formula(residual: bool) -> None:
    torch.manual_seed(0)
    net = ResNet(2, (3, 5), 4, 6, norm="none", residual=residual).double()
    weights = [(one.weight, one.bias) for one in net.modules() if isinstance(one, nn.Conv2d)]
    stem, a, b, c, d, *across = weights
    x = conv2d(pictures(6, 2, 8, 8), *stem, padding=1)
    found = conv2d(conv2d(x.relu(), *a, padding=1).relu(), *b, padding=1)
    x = x + found if residual else found
    found = conv2d(conv2d(x.relu(), *c, stride=2, padding=1).relu(), *d, padding=1)
    x = conv2d(x, *across[0], stride=2) + found if residual else found
    assert x.shape == (6, 5, 4, 4)
    assert len(across) == residual
    expected = x.relu().mean((2, 3)) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(pictures(6, 2, 8, 8)), expected, rtol=0, atol=1e-12)


def test_a_block_weighs_what_was_normalised_and_then_bent() -> None:
    """Of He et al. 2016, figure 4e: norm, bend, weights, twice."""
    torch.manual_seed(0)
    block = Block(3, 3, "batch").double().eval()
    norms = [one for one in block.modules() if isinstance(one, nn.BatchNorm2d)]
    convolutions = [one for one in block.modules() if isinstance(one, nn.Conv2d)]
    with torch.no_grad():
        for norm in norms:
            for number in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                assert number is not None
                number.copy_(pictures(3) + 0.1)
    x = found = pictures(2, 3, 5, 5) - 0.5
    for norm, one in zip(norms, convolutions, strict=True):
        normed = batch_norm(found, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        found = conv2d(normed.relu(), one.weight, padding=1)
        assert one.bias is None, "the norm behind it would take it away again"
    torch.testing.assert_close(block(x), x + found, rtol=0, atol=1e-12)
    plain = [one for one in Block(3, 3, "none").modules() if isinstance(one, nn.Conv2d)]
    assert all(one.bias is not None for one in plain)


@pytest.mark.parametrize("stride", [1, 2])
def test_stages_of_one_width_are_halved_all_the_same(stride: int) -> None:
    net = ResNetModel(layers=8, widths=(3, 3), stride=stride).build((1, 8, 8), 2)
    x = net.stem(torch.rand(2, 1, 8, 8))
    assert x.shape == (2, 3, 8 // stride, 8 // stride)
    assert net.blocks(x).shape == (2, 3, 4 // stride, 4 // stride)
    side = 2 * stride  # as small as it may be
    assert ResNetModel(layers=8, widths=(3, 3), stride=stride).build((1, side, side), 2)(
        torch.rand(2, 1, side, side)
    ).shape == (2, 2)


def test_what_comes_out_is_what_came_in_and_all_that_was_added() -> None:
    torch.manual_seed(0)
    net = ResNet(1, (4,), 2, 12, norm="none").double()
    x = first = net.stem(pictures(3, 1, 6, 6))
    added = []
    for block in net.blocks:
        added.append(block(x) - x)
        x = block(x)
    torch.testing.assert_close(x, first + torch.stack(added).sum(0), rtol=0, atol=1e-12)


def test_a_gradient_comes_through_undiminished_where_layers_do_nothing() -> None:
    for residual, expected in ((True, 1.0), (False, 0.0)):
        blocks = nn.Sequential(*(Block(2, 2, "none", residual=residual) for _ in range(50)))
        for weight in blocks.parameters():
            nn.init.zeros_(weight)
        x = torch.rand(1, 2, 3, 3, requires_grad=True)
        (slope,) = torch.autograd.grad(blocks(x).sum(), x)
        assert (slope == expected).all()


@pytest.mark.parametrize(("layers", "widths"), [(4, (3,)), (20, (3,)), (100, (2,)), (20, (2, 3)), (24, (2, 3, 4))])
def test_it_has_as_many_layers_and_stages_as_it_says(layers: int, widths: tuple[int, ...]) -> None:
    net = ResNetModel(layers=layers, widths=widths, residual=False).build((1, 8, 8), 2)
    convolutions = [one for one in net.modules() if isinstance(one, nn.Conv2d)]
    assert len(convolutions) + 1 == layers
    assert sum(one.stride == (2, 2) for one in convolutions) == len(widths) - 1
    assert {one.out_channels for one in convolutions} == set(widths)
    blocks = [nn.Sequential(block) for block in net.blocks]
    held = [sum(tuple(block.parameters())[-1].shape[0] == width for block in blocks) for width in widths]
    assert max(held) - min(held) <= 1
    assert net(torch.rand(2, 1, 8, 8)).shape == (2, 2)


def learnt(residual: bool) -> float:
    """Train a hundred small layers on twenty digits for a little while: the mean of the last five losses."""
    inputs, targets = read_digits()
    torch.manual_seed(0)
    net = ResNetModel(layers=100, widths=(8,), stride=2, residual=residual).build((1, 8, 8), 10)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs[:20]), targets[:20])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-5:]) / 5


def test_a_hundred_layers_learn_with_skip_connections_and_not_without() -> None:
    assert learnt(residual=True) < 1.8
    assert learnt(residual=False) > 2.1, "ten classes at random are ln 10 = 2.30"


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_norms_are_those_that_are_named_and_bytes_are_read(norm: str) -> None:
    net = ResNetModel(layers=6, widths=(4,), norm=norm).build((3, 5, 7), 2).eval()  # type: ignore[arg-type]
    kinds = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    assert sum(isinstance(one, kinds.get(norm, nn.BatchNorm3d)) for one in net.modules()) == (norm != "none") * 5
    pixels = torch.arange(105, dtype=torch.uint8).view(1, 3, 5, 7)
    torch.testing.assert_close(net(pixels), net(pixels.float() / 255))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": 7}, r"model\.layers is 7; allowed: an even number from 4"),
        ({"layers": 4, "widths": (8, 16)}, r"model\.layers is 4; allowed: an even number from 6"),
        ({"widths": ()}, r"model\.widths is \[\]; allowed: one or more whole numbers from 1"),
        ({"stride": 3}, r"model\.stride is 3; allowed: 1, or 2"),
        ({"norm": "layer"}, r"model\.norm is 'layer'; allowed: batch, group, none"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ResNetModel(**settings)  # type: ignore[arg-type]


def test_shapes_that_do_not_fit_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"resnet came upon inputs \(64,\); allowed: pictures"):
        ResNetModel().build((64,), 10)
    with pytest.raises(UserError, match=r"resnet came upon pictures of 3 x 8; allowed: 4 or more pixels a side"):
        ResNetModel(widths=(4, 8), stride=2).build((1, 3, 8), 10)
    with pytest.raises(UserError, match=r"leads \(2,\) around layers that give \(3,\); allowed: two of one shape"):
        skipped(torch.zeros(2), torch.zeros(3))
