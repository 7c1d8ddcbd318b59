"""Normalising flows: back and forth, volumes by differentiation, densities that add up to one, splines as in zuko."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.couplings import Coupling, FactorOut, affine, affine_inverse, along, knots, spline, spline_inverse
from locution.models.flow import Flow, FlowModel, squeezes
from locution.models.invertible import ActNorm, InvertibleLinear, Logit, Squeeze
from locution.tasks.density_judged import jacobian_error

KINDS = [
    {"coupling": "affine", "mixing": "linear"},
    {"coupling": "affine", "mixing": "swap", "actnorm": False},
    {"coupling": "spline", "mixing": "linear"},
    {"coupling": "spline", "mixing": "swap"},
]
SHAPES = [(2,), (5,), (3, 4), (1, 8, 8), (3, 4, 6)]


def shaken(settings: dict[str, object], shape: tuple[int, ...], seed: int = 0) -> Flow:
    """A flow whose couplings truly bend: every weight moved by chance, the matrices that mix only so that they are no
    rotations any more.
    """
    torch.manual_seed(seed)
    flow = FlowModel(steps=3, widths=(16,), **settings).build(shape, 10)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            inside = parameter[0].numel() if parameter.dim() > 1 else 1
            parameter.add_((0.2 if "network" in name else 0.1) * torch.randn(parameter.shape) / inside**0.5)
    return flow.eval()


LARGE = [((1, 8, 8), 1), ((3, 4, 6), 0), ((2, 16, 8), 1), ((1, 16, 16), 2)]  # and how often something is factored out


@pytest.mark.parametrize("settings", KINDS[::2], ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize(("shape", "times"), LARGE, ids=str)
def test_a_multiscale_flow_is_undone_and_states_its_volumes(
    settings: dict[str, object], shape: tuple[int, ...], times: int
) -> None:
    flow = shaken({**settings, "multiscale": True}, shape)
    assert sum(isinstance(step, FactorOut) for step in flow.steps) == times
    x = torch.rand(20, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latent, _ = flow.encode(x)
    assert latent.shape == (20, math.prod(shape))
    assert sum(map(math.prod, flow.shapes())) == math.prod(shape)
    assert len(flow.shapes()) == times + 1
    assert (flow.inverse(latent) - x).abs().max() <= 1e-5
    if math.prod(shape) <= 72:
        assert jacobian_error(flow, x[:2]) < 1e-9


def test_what_is_factored_out_is_noise_given_the_half_that_goes_on() -> None:
    flow = shaken({"multiscale": True}, (1, 8, 8))
    (at,) = [number for number, step in enumerate(flow.steps) if isinstance(step, FactorOut)]
    x = torch.rand(4, 1, 8, 8)
    y = x
    for step in flow.steps[:at]:
        y, _ = step(y)
    split: Any = flow.steps[at]
    scale, shift = split.coupling.said(y[:, :2])
    latent = flow.encode(x)[0]
    torch.testing.assert_close(latent[:, :32].view(4, 2, 4, 4), y[:, 2:] * scale.exp() + shift)
    rest = y[:, :2]  # the half that goes on, alone, decides the rest
    for step in flow.steps[at + 1 :]:
        rest, _ = step(rest)
    torch.testing.assert_close(latent[:, 32:], rest.flatten(1))


def test_actnorms_behind_a_split_begin_with_what_goes_on() -> None:
    torch.manual_seed(0)
    flow = FlowModel(steps=2, widths=(8,), multiscale=True).build((1, 8, 8), 10)
    x = 3 + 2 * torch.rand(200, 1, 8, 8)
    flow.initialise(x)
    latent = flow.encode(x)[0]
    assert latent.mean().abs() < 0.3
    assert 0.5 < latent.std() < 2


def test_only_pictures_have_scales() -> None:
    with pytest.raises(UserError, match=r"model\.multiscale is true for inputs \(2,\)"):
        FlowModel(multiscale=True).build((2,), 0)


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_there_and_back_returns_what_it_began_with(settings: dict[str, object], shape: tuple[int, ...]) -> None:
    flow = shaken(settings, shape)
    x = torch.rand(20, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latent, _ = flow.encode(x)
    assert latent.shape == (20, math.prod(shape))
    assert (latent - x.flatten(1)).abs().max() > 0.1
    assert (flow.inverse(latent) - x).abs().max() <= 1e-5


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (2, 2, 4)], ids=str)
def test_the_volumes_are_those_of_the_jacobian(settings: dict[str, object], shape: tuple[int, ...]) -> None:
    flow = shaken({**settings, "bounded": shape == (5,)}, shape).double()
    for row in torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)).double():
        jacobian = torch.func.jacrev(lambda one: flow.encode(one[None])[0][0])(row)
        size = math.prod(shape)
        found = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet.detach()
        stated = flow.encode(row[None])[1][0].detach()
        assert abs(float(stated - found)) < 1e-9
        assert abs(float(stated)) > 1e-3


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
def test_the_density_adds_up_to_one(settings: dict[str, object]) -> None:
    flow = shaken(settings, (2,))
    line = (torch.arange(500) + 0.5) / 500 * 20 - 10
    places = torch.cartesian_prod(line, line)
    with torch.no_grad():
        whole = flow(places)["log_likelihood"].exp().sum() * 0.04**2
    assert whole.item() == pytest.approx(1.0, abs=0.01)


def test_a_bounded_flow_adds_up_to_one_over_the_square_that_its_margin_leaves() -> None:
    flow = shaken({"coupling": "affine", "bounded": True}, (2,))
    line = (torch.arange(500) + 0.5) / 500 * 1.1 - 0.05  # of 0 to 1, and the margin beyond
    inner = line[(line > -0.0555) & (line < 1.0555)]
    places = torch.cartesian_prod(inner, inner)
    with torch.no_grad():
        density = flow(places)["log_likelihood"].exp()
    assert density.nan_to_num().sum().item() * (1.1 / 500) ** 2 == pytest.approx(1.0, abs=0.05)


def test_a_flow_that_only_scales_knows_a_gaussian_exactly() -> None:
    x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 0.1]) + 5.0
    flow = Flow((3,), [ActNorm(3)])
    flow.initialise(x)
    gaussian: Any = torch.distributions.Normal(x.mean(0), x.std(0, correction=0))
    torch.testing.assert_close(flow(x)["log_likelihood"], gaussian.log_prob(x).sum(1), atol=1e-3, rtol=1e-4)


def test_at_first_actnorms_make_the_data_standard_at_every_step() -> None:
    torch.manual_seed(0)
    flow = FlowModel(steps=3, widths=(8,)).build((1, 4, 4), 10)
    x = torch.rand(200, 1, 4, 4) * 5 + 3
    flow.initialise(x)
    y = x
    seen = 0
    for step in flow.steps:
        y, _ = step(y)
        if isinstance(step, ActNorm):
            seen += 1
            channels = y.movedim(1, -1).flatten(0, -2)
            torch.testing.assert_close(channels.mean(0), torch.zeros(channels.shape[1]), atol=1e-4, rtol=0)
            torch.testing.assert_close(channels.std(0, correction=0), torch.ones(channels.shape[1]), atol=1e-3, rtol=0)
    assert seen == 3


def test_draws_follow_the_stated_density() -> None:
    # the mean log-density of draws, against its integral over the plane
    flow = shaken({"coupling": "spline"}, (2,))
    line = (torch.arange(400) + 0.5) / 400 * 24 - 12
    with torch.no_grad():
        logs = flow(torch.cartesian_prod(line, line))["log_likelihood"]
        stated = (logs.exp() * logs).sum() * (24 / 400) ** 2
        drawn = flow.sample(20_000, torch.Generator().manual_seed(0))
        found = flow(drawn)["log_likelihood"]
    assert found.mean().item() == pytest.approx(stated.item(), abs=5 * found.std().item() / 20_000**0.5 + 0.01)


def test_a_seed_draws_the_same_and_a_lower_temperature_what_is_likelier() -> None:
    flow = shaken({"coupling": "affine"}, (1, 4, 4))
    with torch.no_grad():
        one, other = (flow.sample(50, torch.Generator().manual_seed(3)) for _ in range(2))
        cool = flow.sample(50, torch.Generator().manual_seed(3), temperature=0.5)
        assert torch.equal(one, other)
        assert one.shape == (50, 1, 4, 4)
        latent = flow.encode(cool)[0]
        torch.testing.assert_close(latent, 0.5 * flow.encode(one)[0], atol=1e-4, rtol=1e-3)


def test_the_spline_is_zukos() -> None:
    told = json.loads((Path(__file__).parent / "zuko" / "spline.json").read_text())
    table = {name: torch.tensor(told[name], dtype=torch.float64) for name in ("across", "up", "slope")}
    across, up, slope = (table[name].view(len(told["x"]), -1) for name in ("across", "up", "slope"))
    x, y, grown = (torch.tensor(told[name], dtype=torch.float64) for name in ("x", "y", "grown"))
    found, stretched = along(x, across, up, slope)
    torch.testing.assert_close(found, y, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(stretched, grown, atol=1e-8, rtol=1e-8)


def free(count: int, bins: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    sizes = (bins, bins, bins - 1)
    widths, heights, slopes = (torch.randn(count, 1, size, generator=draw, dtype=torch.float64) for size in sizes)
    return widths, heights, slopes


def test_a_spline_rises_and_is_a_straight_line_outside_its_square() -> None:
    widths, heights, slopes = (part.expand(1000, 1, -1) for part in free(1, 6))
    x = torch.linspace(-5, 5, 1000, dtype=torch.float64)[:, None].requires_grad_()
    y, grown = spline(x, widths, heights, slopes, bound=3.0)
    assert (y[1:] > y[:-1]).all()
    outside = x.abs() > 3
    assert torch.equal(y[outside], x[outside])
    rise = torch.autograd.grad(y.sum(), x)[0]
    torch.testing.assert_close(grown, rise[:, 0].log(), atol=1e-9, rtol=0)
    torch.testing.assert_close(spline_inverse(y, widths, heights, slopes, bound=3.0), x, atol=1e-9, rtol=0)


def test_a_spline_goes_through_its_knots_with_their_slopes() -> None:
    widths, heights, slopes = free(1, 5)
    across, up, slope = knots(widths, heights, slopes, 3.0)
    for knot in range(1, 5):
        y, grown = spline(across[..., knot], widths, heights, slopes, bound=3.0)
        torch.testing.assert_close(y, up[..., knot])
        torch.testing.assert_close(grown.exp(), slope[0, :, knot])
    assert across.diff().min() >= 6 * 0.01 * 0.99
    assert slope.min() > 0


def test_an_affine_coupling_is_undone() -> None:
    x, scale, shift = (torch.randn(9, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    y, grown = affine(x, scale, shift)
    torch.testing.assert_close(y, x * scale.exp() + shift)
    torch.testing.assert_close(grown, scale.sum(1))
    torch.testing.assert_close(affine_inverse(y, scale, shift), x)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("channels", [2, 5])
def test_a_coupling_leaves_one_half_alone(swap: bool, channels: int) -> None:
    torch.manual_seed(0)
    layer = Coupling(channels, lambda reads, says: nn.Linear(reads, says), swap=swap)
    x = torch.randn(4, channels)
    y, _ = layer(x)
    same = (x == y).all(0)
    kept = channels // 2 if swap else channels - channels // 2
    assert same.sum() == kept
    assert (same[-kept:] if swap else same[:kept]).all()


def test_mixing_is_by_a_matrix_at_every_place() -> None:
    torch.manual_seed(0)
    layer = InvertibleLinear(4)
    torch.testing.assert_close(layer.matrix() @ layer.matrix().T, torch.eye(4), atol=1e-5, rtol=0)  # a rotation
    with torch.no_grad():
        layer.log_diagonal.add_(torch.randn(4))
    x = torch.randn(2, 4, 3, 5)
    y, grown = layer(x)
    torch.testing.assert_close(y, torch.einsum("ij,njhw->nihw", layer.matrix(), x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(grown[0], 15 * torch.linalg.slogdet(layer.matrix()).logabsdet)
    torch.testing.assert_close(layer.inverse(y), x, atol=1e-5, rtol=1e-4)


def test_in_bf16_the_way_back_still_returns() -> None:
    flow = shaken({"coupling": "affine"}, (6,))
    x = torch.randn(10, 6)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        latent, _ = flow.encode(x)
        assert latent.dtype == torch.float32
        assert (flow.inverse(latent) - x).abs().max() < 1e-4


def test_squeezing_and_logits_are_undone() -> None:
    x = torch.rand(3, 2, 4, 6)
    y, grown = Squeeze()(x)
    assert y.shape == (3, 8, 2, 3)
    assert not grown.any()
    assert torch.equal(Squeeze().inverse(y), x)
    z, _ = Logit()(x)
    torch.testing.assert_close(Logit().inverse(z), x)


@pytest.mark.parametrize(("shape", "times"), [((1, 8, 8), 2), ((1, 2, 2), 1), ((1, 7, 8), 0), ((3, 32, 16), 3)])
def test_pictures_are_squeezed_while_their_sides_are_even(shape: tuple[int, int, int], times: int) -> None:
    assert squeezes(shape) == times


@pytest.mark.parametrize("shape", [(1,), (1, 7, 8), (1, 1, 1)])
def test_inputs_that_cannot_be_parted_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"model flow came upon inputs"):
        FlowModel().build(shape, 2)


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 2, 2)])
def test_examples_of_another_shape_or_kind_are_refused_in_one_line(x: Tensor) -> None:
    with pytest.raises(UserError, match=r"the flow got .*; allowed: fractions of \(N, 4\)"):
        FlowModel(steps=1).build((4,), 2)(x)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"coupling": "cubic"}, {"bins": 1}, {"bins": 51}, {"widths": (0,)}, {"mixing": "none"}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="model"):
        FlowModel(**wrong)  # type: ignore[arg-type]
