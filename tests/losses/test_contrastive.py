"""Contrastive losses against the plain table, against pytorch-metric-learning, and in bounded memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.inference.memory import peak_memory
from locution.losses.contrastive import CLIP, SimCLR, clip_loss, info_nce, nt_xent
from locution.losses.similarity import log_sum_exp, log_sum_exp_of_others
from locution.losses.whole_batch import in_chunks

# pytorch-metric-learning 2.9.0: NTXentLoss(temperature)(cat([a, b]), arange(6).repeat(2)) of the first draws of seed 0
PEER = {0.1: 13.505882083248714, 0.5: 3.8852702077361445, 1.0: 3.0263726173419236}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slope(losses: Tensor) -> None:
    losses.mean().backward()  # type: ignore[no-untyped-call]


def halves(views: Tensor) -> tuple[Tensor, Tensor]:
    first, second = views.chunk(2)
    return first, second


def plain_nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Equation 1 of the paper, pair by pair, over the whole table."""
    views = functional.normalize(torch.cat([first, second]), dim=1)
    table, count = (views @ views.T / temperature).exp(), len(first)
    losses = []
    for row in range(2 * count):
        others = [column for column in range(2 * count) if column != row]
        losses.append(-(table[row, (row + count) % (2 * count)] / table[row, others].sum()).log())
    return torch.stack(losses).view(2, count).mean(0)


@pytest.mark.parametrize("temperature", PEER)
def test_the_loss_is_that_of_pytorch_metric_learning(temperature: float) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    assert abs(nt_xent(a, b, temperature).mean().item() - PEER[temperature]) < 1e-12


@pytest.mark.parametrize("tile", [1, 3, 5, 100])
def test_loss_and_gradient_are_those_of_the_whole_table_whatever_the_tile(tile: int) -> None:
    first, second = (drawn(7, 5, seed=seed).requires_grad_() for seed in (1, 2))
    weights = torch.linspace(0.5, 2, 7, dtype=torch.float64)  # so that rows do not all pull alike
    ours, plain = nt_xent(first, second, 0.2, tile), plain_nt_xent(first, second, 0.2)
    assert torch.allclose(ours, plain, rtol=0, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), (first, second)),
        torch.autograd.grad((plain * weights).sum(), (first, second)),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tile", [2, 100])
def test_clip_is_the_mean_of_two_cross_entropies_its_scale_learnt_too(tile: int) -> None:
    pictures, texts = (drawn(7, 5, seed=seed).requires_grad_() for seed in (1, 2))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    given = (pictures, texts, scale)
    table = scale * functional.normalize(pictures, dim=1) @ functional.normalize(texts, dim=1).T
    rows, own = torch.linspace(0.5, 2, 7, dtype=torch.float64), torch.arange(7)
    across, down = (functional.cross_entropy(one, own, reduction="none") for one in (table, table.T))
    plain, ours = ((across + down) / 2 * rows).sum(), (clip_loss(*given, tile) * rows).sum()
    assert torch.allclose(ours, plain, rtol=0, atol=1e-12)
    for one, other in zip(torch.autograd.grad(ours, given), torch.autograd.grad(plain, given), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_each_direction_of_info_nce_is_a_cross_entropy_of_its_own() -> None:
    queries, keys = drawn(5, 3, seed=1), drawn(5, 3, seed=2)
    table = 4.0 * functional.normalize(queries, dim=1) @ functional.normalize(keys, dim=1).T
    across, down = info_nce(queries, keys, 4.0)
    assert torch.allclose(across, functional.cross_entropy(table, torch.arange(5), reduction="none"))
    assert torch.allclose(down, functional.cross_entropy(table.T, torch.arange(5), reduction="none"))


def test_sums_hold_where_exponentials_would_overflow_or_vanish() -> None:
    points = torch.tensor([[100.0], [-100.0], [1.0]])
    assert log_sum_exp_of_others(points).tolist() == [100.0, -100.0, 100.0]  # the largest score leaves no room
    assert log_sum_exp(points, points)[0].tolist() == [10000.0, 10000.0, 100.0]


def test_memory_grows_with_the_batch_and_not_with_its_square() -> None:
    def held(count: int, tile: int) -> int:
        first, second = (torch.randn(count, 16, requires_grad=True) for _ in range(2))
        return peak_memory(lambda: slope(nt_xent(first, second, 0.5, tile)))

    small, large = held(512, 64), held(2048, 64)
    assert large < 4.5 * small  # the plain one: 16 times
    table = (2 * 2048) ** 2 * 4
    assert large < table / 8


def test_both_sides_of_memory_hold_for_pictures_and_texts() -> None:
    first, second = (torch.randn(2048, 16, requires_grad=True) for _ in range(2))
    assert peak_memory(lambda: slope(clip_loss(first, second, 10.0, 64))) < 2048**2 * 4 / 4


class Counting(nn.Module):
    """A network without batch norm that counts the rows it sees at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))
        self.most = 0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        found: Tensor = self.layers(x)
        return found


def test_a_network_in_chunks_gives_the_gradient_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    net, x = Counting().eval(), torch.randn(10, 4)
    gradients = []
    for chunks in (1, 3):
        net.zero_grad()
        net.most = 0
        SimCLR(chunks=chunks)(net, Batch(x))[1].backward()  # type: ignore[no-untyped-call]
        assert net.most == (10 if chunks == 1 else 4)
        gradients.append([parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


class Towers(nn.Module):
    """The smallest model that CLIP's loss takes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.scale = nn.Linear(4, 3), nn.Linear(5, 3), nn.Parameter(torch.tensor(2.0))

    def forward(self, both: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pictures": self.one(both["a"]), "texts": self.other(both["b"]), "scale": self.scale}


def both_sides(count: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {"a": torch.randn(count, 4, generator=draw), "b": torch.randn(count, 5, generator=draw)}


def test_two_towers_in_chunks_give_the_gradient_of_the_whole_batch_their_scale_included() -> None:
    torch.manual_seed(0)
    net, gradients = Towers(), []
    for chunks in (1, 3):
        net.zero_grad()
        slope(CLIP(chunks=chunks)(net, Batch(both_sides(10)))[1])
        gradients.append([parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == 5
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


def test_chunks_take_less_memory() -> None:
    layers = [layer for _ in range(12) for layer in (nn.Linear(32, 32), nn.Tanh())]
    net = nn.Sequential(*layers, nn.Linear(32, 2))
    x = torch.randn(512, 32)

    def held(chunks: int) -> int:
        return peak_memory(lambda: slope(in_chunks(net, x, chunks).square()))

    assert held(8) < held(1) / 2


def test_two_towers_are_run_in_chunks_of_the_batch() -> None:
    class Seen(Towers):
        most = 0

        def forward(self, both: dict[str, Tensor]) -> dict[str, Tensor]:
            self.most = max(self.most, len(both["a"]))
            return super().forward(both)

    for chunks, most in ((1, 10), (3, 4)):
        net = Seen()
        CLIP(chunks=chunks)(net, Batch(both_sides(10)))
        assert net.most == most


@pytest.mark.parametrize("objective", [SimCLR, CLIP])
def test_the_tile_of_an_objective_bounds_its_table(objective: type) -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x if objective is SimCLR else {"pictures": x, "texts": x.flip(0), "scale": torch.tensor(5.0)}

    x = torch.randn(1024, 8, requires_grad=True)
    small, large = (peak_memory(lambda t=t: slope(objective(tile=t)(Pair(), Batch(x))[1])) for t in (32, 1024))
    assert small < large / 4


def test_weights_count_pictures_with_their_texts_and_a_part_of_a_batch_is_refused() -> None:
    torch.manual_seed(0)
    net, both, weights = Towers(), both_sides(6), torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 1.0])
    found = net(both)
    plain = clip_loss(found["pictures"], found["texts"], found["scale"])
    assert torch.isclose(CLIP()(net, Batch(both, weights=weights))[1], (plain * weights).sum() / 5)
    with pytest.raises(UserError, match="'clip' compares whole batches"):
        CLIP()(net, Batch(both).split(2)[1][0])


def test_chunks_draw_the_same_dropout_when_they_are_made_again() -> None:
    torch.manual_seed(0)
    net, x = Counting().train(), torch.randn(10, 4)
    torch.manual_seed(1)
    in_chunks(net, x, 2).square().sum().backward()
    again = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    net.zero_grad()
    torch.manual_seed(1)
    torch.cat([net(x[:5]), net(x[5:])]).square().sum().backward()  # type: ignore[no-untyped-call]
    kept = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(again, kept, strict=True))


def test_a_step_of_training_is_the_step_by_hand() -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 3, bias=False)
    weight, x = net.weight.detach().clone().requires_grad_(), torch.randn(8, 4)
    source = TensorBatches(x, batch_size=8, shuffle=False)
    Engine(net, Turn(SimCLR(0.5), partial(torch.optim.SGD, lr=0.1))).fit(source, steps=1)
    (slope,) = torch.autograd.grad(plain_nt_xent(*halves(x @ weight.T), 0.5).mean(), weight)
    assert torch.allclose(net.weight, weight - 0.1 * slope, atol=1e-6)


def test_weights_count_pairs() -> None:
    views = torch.randn(8, 3)
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0]).repeat(2)
    _, loss = SimCLR()(nn.Identity(), Batch(views, weights=weights))
    assert torch.isclose(loss, (nt_xent(*halves(views)) * weights[:4]).sum() / 4)


def test_a_part_of_a_batch_is_refused_before_a_weight_moves() -> None:
    net = nn.Linear(4, 3)
    before = net.weight.detach().clone()
    engine = Engine(net, Turn(SimCLR(), partial(torch.optim.SGD, lr=0.1)), accumulate=2)
    with pytest.raises(UserError, match=r"'simclr' compares whole batches.*accumulate=1"):
        engine.fit(TensorBatches(torch.randn(8, 4), batch_size=8), steps=1)
    assert torch.equal(net.weight, before)


def test_the_numbers_of_bf16_are_summed_in_fp32() -> None:
    views = torch.randn(16, 8).bfloat16()
    loss = nt_xent(*halves(views))
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(*halves(views.float())), nt_xent(*halves(views)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: nt_xent(torch.zeros(2, 3), torch.zeros(3, 3)), "shapes of the two sides"),
        (lambda: nt_xent(torch.zeros(2, 3), torch.zeros(2, 3), 0.0), "temperature is 0.0; allowed: a number above 0"),
        (lambda: SimCLR(temperature=-1), "objective.temperature is -1; allowed"),
        (lambda: SimCLR(chunks=0), "objective.chunks is 0; allowed"),
        (lambda: CLIP(tile=0), "objective.tile is 0; allowed"),
        (lambda: SimCLR()(nn.Identity(), Batch(torch.zeros(2, 2))), "2 views; allowed: two of each picture, of two or"),
        (lambda: SimCLR()(nn.Identity(), Batch(torch.zeros(3, 2))), "3 views; allowed: two of each picture"),
        (lambda: SimCLR()(nn.Identity(), Batch(torch.zeros(4, 2, 2))), r"shape \(4, 2, 2\); allowed: one vector"),
        (lambda: CLIP()(nn.Identity(), Batch(torch.zeros(4, 2))), "Tensor; allowed for clip: a dict"),
        (lambda: in_chunks(nn.BatchNorm1d(2), torch.zeros(4, 2), 2), "batch norm; allowed: 1, or model.norm=none"),
        (lambda: log_sum_exp(torch.zeros(2, 3), torch.zeros(2, 2)), "shapes of queries and keys"),
        (lambda: log_sum_exp_of_others(torch.zeros(1, 3)), "points is 1; allowed: two or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: object, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        asked()  # type: ignore[operator]
    assert "\n" not in str(error.value)
