"""The pointer network against its formula, its own picks, beams by hand, and what sets promise."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.pointing import Picks, pick_surprise
from locution.models.pointer import PointerModel, PointerNetwork, open_picks, pointer_scores
from locution.optimizers.basic import AdamW


def small(seed: int = 0, **settings: object) -> PointerNetwork:
    torch.manual_seed(seed)
    return PointerNetwork(2, 16, 2, 2, **settings).eval()  # type: ignore[arg-type]


def points(count: int, n: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, n, 2, generator=torch.Generator().manual_seed(seed))


def test_the_scores_are_equation_three() -> None:
    generator = torch.Generator().manual_seed(0)
    keys, query, weight = (torch.randn(*shape, generator=generator) for shape in ((2, 4, 3), (2, 5, 3), (3,)))
    found = pointer_scores(keys, query, weight)
    for row in range(2):
        for moment in range(5):
            for place in range(4):
                by_hand = sum(weight[h] * math.tanh(keys[row, place, h] + query[row, moment, h]) for h in range(3))
                assert found[row, moment, place].item() == pytest.approx(float(by_hand), abs=1e-6)


@pytest.mark.parametrize("encoder", ["attention", "lstm"])
def test_picking_step_by_step_is_picking_along_the_answer(encoder: str) -> None:
    net, some = small(encoder=encoder), points(6, 5)
    order = net.pick(some)
    logs = net(some, order)
    assert torch.equal(logs.argmax(-1), order)
    torch.testing.assert_close(net(some), logs)
    assert all(sorted(row) == list(range(5)) for row in order.tolist())


def decided(**settings: object) -> PointerNetwork:
    """A network whose next pick hangs upon those before."""
    net = small(**settings)
    net.weight.data *= 10
    net.query.weight.data *= 8
    for name, weight in net.memory.named_parameters():
        weight.data *= 2 if name.startswith("weight") else 1
    return net


def expected(net: PointerNetwork, one: Tensor, before: list[int]) -> Tensor:
    """The log-probability of each place after so many picks of one set (n, 2), from the decoder's own steps."""
    states, keys, (hidden, cell) = net.read(one[None])
    inner = net.start
    seen, memory = net.memory(inner[None, None], (hidden, cell))
    for place in before:
        seen, memory = net.memory(states[:, place : place + 1], memory)
    scores = torch.tanh(keys[0] + net.query(seen[0, 0])) @ net.weight
    return scores.index_fill(0, torch.tensor(before, dtype=torch.int64), -torch.inf).log_softmax(0).detach()


@pytest.mark.parametrize("encoder", ["attention", "lstm"])
def test_each_pick_is_told_of_those_before_it_and_of_no_other(encoder: str) -> None:
    net, some = decided(encoder=encoder), points(3, 5)
    order = torch.tensor([[3, 0, 4, 1, 2], [1, 2, 3, 4, 0], [4, 3, 2, 1, 0]])
    logs = net(some, order)
    for row in range(3):
        for moment in range(5):
            before = order[row, :moment].tolist()
            left = [place for place in range(5) if place not in before]
            wanted = expected(net, some[row], before)[left]
            torch.testing.assert_close(logs[row, moment, left], wanted, rtol=0, atol=1e-4)
    assert not torch.allclose(expected(net, some[0], [3, 0])[1], expected(net, some[0], [3, 4])[1], atol=1e-3)


@pytest.mark.parametrize("beams", [1, 2, 3, 7])
def test_beams_are_those_of_a_search_by_hand(beams: int) -> None:
    net, some = decided(), points(60, 4)
    found = net.pick(some, beams).tolist()
    for row, one in enumerate(some):
        kept: list[tuple[float, list[int]]] = [(0.0, [])]
        for _ in range(4):
            longer = []
            for total, before in kept:
                logs = expected(net, one, before).tolist()
                longer += [(total + logs[place], [*before, place]) for place in range(4) if place not in before]
            kept = sorted(longer, reverse=True)[:beams]
        assert found[row] == kept[0][1]
    if beams > 1:
        assert found != net.pick(some).tolist(), "a search that is wider finds others here"


def test_log_probabilities_are_in_full_precision_whatever_the_network_computes_in() -> None:
    net, some, order = small(), points(2, 5), torch.tensor([[0, 1, 2, 3, 4]]).expand(2, -1)
    with torch.autocast("cpu", torch.bfloat16):
        cast = net(some, order)
    for logs in (cast, net.bfloat16()(some.bfloat16(), order)):
        assert logs.dtype == torch.float32
        torch.testing.assert_close(logs.exp().sum(-1), torch.ones(2, 5), rtol=0, atol=1e-6)


def test_the_end_is_the_element_behind_the_others() -> None:
    net, some = small(ends=True), points(2, 4)
    states, moved = net.read(some)[0], net.read(some.flip(1))[0]
    torch.testing.assert_close(states[:, :4].flip(1), moved[:, :4], rtol=0, atol=1e-5)
    torch.testing.assert_close(states[:, 4], moved[:, 4], rtol=0, atol=1e-5)


def test_all_beams_find_the_likeliest_of_all_orders() -> None:
    net, some = small(), points(3, 4)
    every = torch.tensor(list(permutations(range(4))))
    found = net.pick(some, beams=len(every))
    for row in range(3):
        logs = net(some[row : row + 1].expand(len(every), -1, -1), every)
        total = logs.gather(2, every[..., None]).sum((1, 2))
        assert found[row].tolist() == every[total.argmax()].tolist()


def test_more_beams_are_no_less_likely_here() -> None:
    net, some = small(3), points(40, 6, 3)

    def likelihood(order: torch.Tensor) -> torch.Tensor:
        return net(some, order).gather(2, order[..., None]).sum((1, 2))

    assert likelihood(net.pick(some, 5)).mean() > likelihood(net.pick(some)).mean()


def test_the_network_with_attention_does_not_care_in_which_order_elements_come() -> None:
    net, some = small(), points(4, 6)
    shuffle = torch.tensor([3, 0, 5, 1, 4, 2])
    order = net.pick(some)
    moved = net.pick(some[:, shuffle])
    assert torch.equal(shuffle[moved], order)
    logs, others = net(some, order), net(some[:, shuffle], moved)
    torch.testing.assert_close(others, logs[:, :, shuffle])


def test_any_number_of_elements_goes_in() -> None:
    net = small()
    assert net.pick(points(2, 3)).shape == (2, 3)
    assert net.pick(points(2, 9)).shape == (2, 9)


def test_a_short_answer_ends_and_stays_ended() -> None:
    net, some = small(ends=True), points(50, 4)
    net.end.data += 1.0  # type: ignore[union-attr]
    for beams in (1, 3):
        for row in net.pick(some, beams).tolist():
            end = row.index(4)
            assert set(row[end:]) == {4}
            assert len(set(row[:end])) == end


def test_what_was_picked_is_never_open_again() -> None:
    order = torch.tensor([[1, 2, 0], [0, 1, -1]])
    assert open_picks(order, 3).int().tolist() == [
        [[1, 1, 1], [1, 0, 1], [1, 0, 0]],
        [[1, 1, 1], [0, 1, 1], [0, 0, 1]],
    ]


def test_picks_behind_the_end_do_not_count() -> None:
    logs = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    whole = pick_surprise(logs, torch.tensor([[1, 2, -1], [0, 3, 1]]))
    torch.testing.assert_close(whole[0], -(logs[0, 0, 1] + logs[0, 1, 2]) / 2)
    torch.testing.assert_close(whole[1], -(logs[1, 0, 0] + logs[1, 1, 3] + logs[1, 2, 1]) / 3)


def test_examples_count_as_much_as_they_weigh() -> None:
    net, some, order = small(), points(2, 3), torch.tensor([[0, 1, 2], [2, 1, 0]])
    each = pick_surprise(net(some, order), order)
    loss = Picks()(net, Batch(some, order, weights=torch.tensor([3.0, 1.0])))[1]
    torch.testing.assert_close(loss, (3 * each[0] + each[1]) / 4)


def test_gradients_of_short_answers_are_finite() -> None:
    net = small(ends=True).train()
    order = torch.tensor([[0, 1, 2, 3, 4], [2, 0, 4, -1, -1], [1, 2, 0, 4, -1]])
    _, loss = Picks()(net, Batch(points(3, 4), order))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(bool(torch.isfinite(one.grad).all()) for one in net.parameters() if one.grad is not None)


def test_it_learns_to_sort() -> None:
    """Elements in rising order: the answer is a picture of the question, and can be checked without any data."""
    numbers = torch.rand(512, 5, 1, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = PointerModel(width=32, layers=1, heads=2).build((5, 1), 5)
    batches = TensorBatches(numbers[:448], numbers[:448, :, 0].argsort(1), batch_size=64)
    Engine(net, Turn(Picks(), AdamW(lr=0.005).build), seed=0, device="cpu").fit(batches, steps=150)
    held = numbers[448:]
    right = (net.eval().pick(held) == held[..., 0].argsort(1)).all(1).float().mean()
    assert right >= 0.8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 30}, "model.width is 30; allowed: a multiple of model.heads, 8"),
        ({"encoder": "gru"}, "model.encoder is 'gru'; allowed: attention or lstm"),
        ({"layers": 0}, "model.layers is 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        PointerModel(**settings)  # type: ignore[arg-type]


def test_targets_that_are_no_orders_are_one_line() -> None:
    with pytest.raises(UserError, match="the targets are no orders of elements"):
        Picks()(small(), Batch(points(2, 3), torch.zeros(2)))
