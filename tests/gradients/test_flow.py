"""Where a gradient arrives: through sigmoids it does not, around residual layers it does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from locution.gradients.flow import demonstration, draw_flow
from locution.gradients.norms import vanishing


def test_sigmoids_vanish_by_a_factor_a_layer_and_residuals_keep() -> None:
    flows = demonstration(depth=20)
    sigmoid, residual = list(flows["sigmoid"].values()), list(flows["relu with residual connections"].values())
    assert len(sigmoid) == 21
    assert sigmoid[0] < 1e-6 < sigmoid[-1]
    # the derivative is at most 1/4 and torch's first weights have a spread of 1 / sqrt(3 x width)
    factors = [a / b for a, b in pairwise(sigmoid[2:])]
    assert all(0.02 < factor < 0.3 for factor in factors[:-1])
    assert min(residual) > 0.1
    assert max(residual) < 100
    assert vanishing(flows["sigmoid"])
    assert not vanishing(flows["relu with residual connections"])


def test_the_same_seed_gives_the_same_flow_and_torchs_own_stream_is_left_alone() -> None:
    torch.manual_seed(3)
    first = demonstration(depth=2)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert demonstration(depth=2) == first
    assert demonstration(depth=2, seed=1) != first


def test_a_plot_shows_a_curve_for_each(tmp_path: Path) -> None:
    figure = draw_flow(demonstration(depth=20), tmp_path / "flow.png")
    (axes,) = figure.axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 21]  # type: ignore[arg-type]
    assert [line.get_label() for line in curves] == ["sigmoid", "relu", "relu with residual connections"]
    assert axes.get_yscale() == "log"
    assert (tmp_path / "flow.png").stat().st_size > 1000
