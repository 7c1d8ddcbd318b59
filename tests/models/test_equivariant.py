"""The equivariant network: exact quarter turns, against e2cnn's filters, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from locution.errors import UserError
from locution.models.equivariant import EquivariantModel, EquivariantNet, GroupConvolution, turn, turned_filters
from locution.tasks.turned import turned_pictures

E2CNN = Path(__file__).with_name("e2cnn") / "filters.json"


def theirs(name: str) -> Tensor:
    """What e2cnn 0.2.3 computed, written down: its filters, a picture, and what they find in it."""
    one = json.loads(E2CNN.read_text(encoding="utf-8"))[name]
    return torch.tensor(one["values"]).view(one["shape"])


def test_one_orientation_of_e2cnns_filters_turned_gives_all_of_them() -> None:
    lifting, group = theirs("lifting").view(2, 4, 1, 1, 3, 3), theirs("group").view(1, 4, 2, 4, 3, 3)
    torch.testing.assert_close(turned_filters(lifting[:, 0]), lifting, rtol=0, atol=2e-6)
    torch.testing.assert_close(turned_filters(group[:, 0]), group, rtol=0, atol=2e-6)


def test_with_e2cnns_filters_it_finds_what_e2cnn_finds() -> None:
    first, second = GroupConvolution(1, 2, 1, bias=False), GroupConvolution(2, 1, bias=False)
    first.weight.data = theirs("lifting").view(2, 4, 1, 1, 3, 3)[:, 0]
    second.weight.data = theirs("group").view(1, 4, 2, 4, 3, 3)[:, 0]
    found = second(first(theirs("picture"))).detach()
    torch.testing.assert_close(found.flatten(1, 2), theirs("found"), rtol=0, atol=1e-5)


def test_it_is_the_sum_over_the_group() -> None:
    torch.manual_seed(0)
    layer, x = GroupConvolution(2, 3).double(), torch.rand(2, 2, 4, 6, 6, dtype=torch.float64)
    found = layer(x)
    for quarters in range(4):
        expected = torch.zeros(2, 3, 6, 6, dtype=torch.float64)
        for other in range(4):  # a filter turned by g looks at orientation s with its own orientation s - g
            weight = layer.weight[:, :, (other - quarters) % 4].rot90(quarters, (-2, -1))
            expected = expected + conv2d(x[:, :, other], weight, padding=1)
        torch.testing.assert_close(found[:, :, quarters], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (2, 12, 12), (1, 6, 4), (1, 2, 2)])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_quarter_turns_commute_with_it(shape: tuple[int, int, int], norm: str, training: bool) -> None:
    torch.manual_seed(0)
    net = EquivariantModel(widths=(3, 4, 5), norm=norm).build(shape, 4).train(training)  # type: ignore[arg-type]
    for one in net.modules():  # biases begin at 0, where a wrong one would not show
        if isinstance(one, GroupConvolution):
            assert (one.bias is None) == (norm == "batch"), "the norm behind it would take a bias away again"
        if one is not net and isinstance(bias := getattr(one, "bias", None), nn.Parameter):
            nn.init.uniform_(bias, -0.2, 0.2)
    x = torch.rand(3, *shape)
    for quarters in range(1, 5):
        features, turned = net.features(x), net.features(turn(x, quarters))
        torch.testing.assert_close(turned, turn(features, quarters), rtol=0, atol=1e-5)
        torch.testing.assert_close(net(turn(x, quarters)), net(x), rtol=0, atol=1e-5)
    assert not torch.allclose(net.features(turn(x)).flatten(), net.features(x).flatten(), atol=1e-3)


def test_an_answer_is_a_linear_map_of_the_mean_over_places_and_orientations() -> None:
    torch.manual_seed(0)
    net = EquivariantModel(widths=(3, 4)).build((1, 6, 6), 5)
    x = torch.rand(3, 1, 6, 6)
    expected = net.features(x).mean((2, 3, 4)) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-6)
    net = EquivariantModel(widths=(3, 400), norm="none", dropout=0.5).build((1, 6, 6), 5)
    net.head.weight.data.fill_(1.0)
    whole, hidden = net.eval()(x), net.train()(x)
    assert not torch.allclose(hidden, whole, rtol=1e-3), "in training a share of the numbers is hidden from the map"
    assert torch.allclose(hidden, whole, rtol=0.5)


def test_a_stage_takes_the_largest_of_a_square_before_it_looks() -> None:
    torch.manual_seed(0)
    net = EquivariantModel(widths=(3, 4), norm="none").build((1, 8, 8), 5)
    came = net.stages[0](torch.rand(2, 1, 8, 8))
    squares = came.view(2, 3, 4, 4, 2, 4, 2).amax((4, 6))  # (N, C, orientations, 4, 4)
    torch.testing.assert_close(net.stages[1](came), net.stages[1][1](squares).relu(), rtol=0, atol=1e-6)


def test_first_weights_reach_as_far_as_those_of_torchs_own_convolution_of_as_many_inputs() -> None:
    torch.manual_seed(0)
    for inputs, orientations, size in ((1, 1, 3), (5, 4, 3), (2, 4, 5)):
        weight = GroupConvolution(inputs, 40, orientations, size).weight.detach()
        bound = (inputs * orientations * size * size) ** -0.5
        assert 0.9 * bound < float(weight.abs().max()) <= bound


def test_after_training_a_picture_and_its_turns_have_one_answer_and_mirror_images_have_not() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    net = EquivariantModel(widths=(4, 8)).build((1, 8, 8), 10)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02)
    for _ in range(12):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 2.1, "ln 10 = 2.3 at first"
    answers = net.eval()(inputs)
    torch.testing.assert_close(net(turn(inputs)), answers, rtol=0, atol=1e-5)
    assert (net(inputs.flip(-1)) - answers).abs().max() > 0.01


def test_a_weight_serves_four_orientations() -> None:
    layer = GroupConvolution(2, 3)
    assert sum(one.numel() for one in layer.parameters()) == 3 * 2 * 4 * 9 + 3
    assert layer(torch.rand(1, 2, 4, 5, 5)).shape == (1, 3, 4, 5, 5)
    assert GroupConvolution(2, 3, 1, size=5)(torch.rand(1, 2, 5, 5)).shape == (1, 3, 4, 5, 5)
    layer.bias.data.fill_(7.0)  # type: ignore[union-attr]
    layer.weight.data.zero_()
    assert (layer(torch.rand(1, 2, 4, 5, 5)) == 7).all()


def test_sizes_are_halved_only_where_squares_fill_them() -> None:
    sides = {
        (8, 8): (2, 2),
        (12, 12): (3, 3),
        (6, 6): (3, 3),
        (5, 8): (5, 8),
        (8, 5): (8, 5),
        (8, 4): (4, 2),
        (2, 2): (2, 2),
    }
    for came, left in sides.items():
        net = EquivariantModel(widths=(2, 2, 2)).build((1, *came), 2)
        assert net.features(torch.zeros(1, 1, *came)).shape[-2:] == left


def test_bytes_are_read_as_numbers_from_zero_to_one() -> None:
    net = EquivariantModel(widths=(2,)).build((1, 4, 4), 2).eval()
    pixels = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4) * 16
    torch.testing.assert_close(net(pixels), net(pixels.float() / 255))


def test_in_the_picture_findings_turn_and_move_on() -> None:
    torch.manual_seed(0)
    net: nn.Module = EquivariantModel(widths=(2, 2)).build((1, 6, 6), 2)
    (drawn,) = turned_pictures(net, torch.rand(2, 1, 6, 6))
    rows = torch.as_tensor(drawn.pictures)
    for row in range(3):
        torch.testing.assert_close(rows[row + 1, 0], rows[row, 0].rot90(1, (-2, -1)))
        torch.testing.assert_close(rows[row + 1, 1:], rows[row, 1:].rot90(1, (-2, -1)).roll(1, 0), rtol=0, atol=1e-5)
    assert rows[:, 1:].max() == 1
    assert net.training
    assert turned_pictures(nn.Linear(2, 2), torch.rand(2, 1, 6, 6)) == []
    assert turned_pictures(EquivariantModel().build((1, 6, 4), 2), torch.rand(2, 1, 6, 4)) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"widths": ()}, r"model\.widths is \[\]; allowed: one or more whole numbers from 1"),
        ({"norm": "group"}, r"model\.norm is 'group'; allowed: batch, none"),
        ({"dropout": 1.0}, r"model\.dropout is 1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        EquivariantModel(**settings)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"equivariant came upon inputs \(64,\); allowed: pictures"):
        EquivariantModel().build((64,), 10)
    with pytest.raises(UserError, match="orientations is 2; allowed: 1 for pictures, 4"):
        GroupConvolution(1, 1, 2)
    with pytest.raises(UserError, match="size is 4; allowed: an odd number"):
        GroupConvolution(1, 1, size=4)
    assert isinstance(EquivariantModel().build((1, 8, 8), 10), EquivariantNet)
