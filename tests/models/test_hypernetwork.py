"""Hypernetworks against the plain networks that they write, gradients by hand, and separate networks."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.models.hypernetwork import (
    Hypernetwork,
    HypernetworkModel,
    Separate,
    asked,
    run_written,
    spreads,
)


def written_by(weights: torch.Tensor, widths: tuple[int, ...]) -> nn.Sequential:
    """A plain network with these weights: the oracle."""
    layers: list[nn.Module] = []
    at = 0
    for inner, outer in pairwise(widths):
        layer = nn.Linear(inner, outer)
        layer.weight.data = weights[at : at + inner * outer].view(outer, inner)
        at += inner * outer
        layer.bias.data = weights[at : at + outer]
        at += outer
        layers += [layer, nn.Tanh()]
    assert at == len(weights)
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("chunks", [1, 2, 3, 13])
def test_a_network_is_written_in_as_many_pieces_as_asked_for(chunks: int) -> None:
    torch.manual_seed(0)
    model = HypernetworkModel(widths=(3,), code=2, hidden=(5,), chunks=chunks, tasks=4)
    net = model.build((2,), 1)  # of 2 x 3 + 3 + 3 x 1 + 1 = 13 weights
    assert isinstance(net, Hypernetwork)
    written = net.write()
    assert written.shape == (4, 13)
    last = [layer for layer in net.writer.modules() if isinstance(layer, nn.Linear)][-1]
    assert last.out_features == -(-13 // chunks)
    if chunks == 1:
        assert net.chunk_codes is None
        return
    assert net.chunk_codes is not None
    (gradient,) = torch.autograd.grad(written.square().sum(), net.chunk_codes.weight)
    assert gradient.shape == (chunks, 2)
    assert bool((gradient.abs().sum(1) > 0).all()), "each piece is written from a code of its own"


@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_each_example_runs_through_the_network_of_its_task(chunks: int) -> None:
    torch.manual_seed(0)
    net = Hypernetwork(4, (3, 5, 2), code=2, hidden=(6,), chunks=chunks)
    task, x = torch.tensor([2, 0, 3, 2]), torch.randn(4, 3)
    found = net({"task": task, "x": x})
    for row in range(4):
        plain = written_by(net.write(task[row : row + 1])[0].detach(), net.widths)
        torch.testing.assert_close(found[row], plain(x[row]))
    torch.testing.assert_close(net(x), net({"task": torch.zeros(4, dtype=torch.int64), "x": x}))


def test_its_gradient_is_the_chain_by_hand() -> None:
    """One weight w = s (a c + b) written from a code c, an answer w x, an error against y: all by the chain rule."""
    net = Hypernetwork(1, (1, 1), code=1, hidden=())
    (writer,) = [one for one in net.writer.modules() if isinstance(one, nn.Linear)]
    writer.weight.data, writer.bias.data = torch.tensor([[2.0], [0.0]]), torch.tensor([0.5, 0.0])
    net.codes.weight.data = torch.tensor([[3.0]])
    x, y = torch.tensor([[4.0]]), 20.0
    loss = (net(x) - y).square().sum()
    loss.backward()
    weight = 2 * 3 + 0.5
    outer = 2 * (weight * 4 - y) * 4  # d loss / d w
    assert writer.weight.grad is not None
    assert writer.weight.grad[0, 0].item() == pytest.approx(outer * 3)
    assert net.codes.weight.grad is not None
    assert net.codes.weight.grad.item() == pytest.approx(outer * 2)


def test_written_networks_begin_with_the_spread_of_plain_ones() -> None:
    torch.manual_seed(0)
    net = Hypernetwork(400, (16, 64, 1), code=8, hidden=(32,))
    weights = net.write().detach()
    for layer, inner, count in ((weights[:, : 16 * 64], 16, 16 * 64), (weights[:, -65:-1], 64, 64)):
        assert layer.shape[1] == count
        assert 0.2 < layer.std().item() * inner**0.5 < 1.5
    assert torch.equal(spreads((16, 64, 1))[-65:], torch.full((65,), 1 / 8))


def test_pieces_let_a_small_network_write_a_large_one() -> None:
    whole, pieces = (Hypernetwork(2, (32, 64, 8), chunks=chunks) for chunks in (1, 32))
    size = len(spreads((32, 64, 8)))
    assert whole.write().shape == pieces.write().shape == (2, size)
    assert sum(p.numel() for p in whole.parameters()) > 10 * size
    assert sum(p.numel() for p in pieces.parameters()) < size + 3000
    written = pieces.write()[0].detach()
    assert not torch.equal(written[:83], written[83:166])  # each piece has a code of its own


def test_between_two_codes_lies_a_network() -> None:
    torch.manual_seed(1)
    net = Hypernetwork(2, (1, 4, 1), code=2)
    ends = net.write_from(net.codes.weight)
    assert torch.equal(ends, net.write())
    middle = net.write_from(net.codes.weight.mean(0, keepdim=True))
    assert not torch.allclose(middle, ends.mean(0, keepdim=True))  # writing bends


def test_separate_networks_share_nothing_and_one_shares_all() -> None:
    torch.manual_seed(0)
    x, task = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    for shared in (False, True):
        net = Separate(3, (2, 4, 1), shared)
        net({"task": task, "x": x}).square().sum().backward()
        moved = net.weights.grad.abs().sum(1) > 0  # type: ignore[union-attr]
        assert moved.tolist() == ([True] if shared else [True, True, False])
        plain = written_by(net.weights[0].detach(), net.widths)
        torch.testing.assert_close(net({"task": task, "x": x})[0], plain(x[0]))


def test_what_comes_without_a_task_is_of_task_0() -> None:
    x, task = asked(torch.ones(3, 2))
    assert torch.equal(task, torch.zeros(3, dtype=torch.int64))
    assert x.shape == (3, 2)


def test_written_weights_that_are_run_equal_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    widths = (2, 3, 3, 1)
    weights = torch.randn(5, len(spreads(widths)), generator=generator)
    x = torch.randn(5, 2, generator=generator)
    found = run_written(x, weights, widths)
    for row in range(5):
        torch.testing.assert_close(found[row], written_by(weights[row], widths)(x[row]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sharing": "both"}, "model.sharing is 'both'; allowed: hypernetwork, separate, one"),
        ({"widths": (0,)}, r"model.widths is \[0\]"),
        ({"hidden": (-1,)}, r"model.hidden is \[-1\]"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        HypernetworkModel(**settings)  # type: ignore[arg-type]


def test_more_pieces_than_weights_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.chunks is 5; allowed: 4 at most, a weight each"):
        HypernetworkModel(widths=(1,), chunks=5).build((1,), 1)
    with pytest.raises(UserError, match=r"model\.chunks is 9; allowed: 4 at most, a weight each"):
        HypernetworkModel(widths=(1,), chunks=9).build((1,), 1)
