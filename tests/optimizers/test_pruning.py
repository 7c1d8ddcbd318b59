"""Pruning and rewinding against loops written by hand."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.engine import Batch, Engine, Observer, Plan, Record, Step, Stop, TensorBatches, Turn
from locution.errors import UserError
from locution.gradients.clipping import ClippingMethod
from locution.models.sparsity import magnitude_masks, prunable, sparsity
from locution.models.spectral_norm import SpectralNormMethod
from locution.optimizers.lookahead import LookaheadMethod
from locution.optimizers.muon import Muon
from locution.optimizers.one_cycle import OneCycle, OneCycleMethod
from locution.optimizers.pruning import PruningMethod, round_ends, share_left, shuffled
from locution.optimizers.sam import SAMMethod
from locution.optimizers.trapezoid import Trapezoid, TrapezoidMethod
from locution.vocabulary.lookup import part

CLASSES, STEPS = 3, 12


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def network(noisy: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, CLASSES))


def data(size: int = 16) -> TensorBatches:
    stream = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(40, 6, generator=stream)
    y = (x[:, :CLASSES] + torch.randn(40, CLASSES, generator=stream)).argmax(1)
    return TensorBatches(x, y, batch_size=size)


def engine(*methods: Any, noisy: bool = False, optimizer: Any = None, **settings: Any) -> Engine:
    turn = Turn(objective, optimizer or partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Engine(network(noisy), turn, methods, device="cpu", log_every=1, **settings)


def state(trained: Engine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trained.trained().state_dict().items()}


def zeros(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight == 0 for name, weight in model.named_parameters() if weight.dim() >= 2}


class Watcher(Observer):
    """Keeps what a function says of the engine behind each step; may stop it."""

    name = "watcher"

    def __init__(self, look: Any, stop: int = -1) -> None:
        self.look, self.at, self.seen = look, stop, []  # type: ignore[var-annotated]

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        if record.kind == "step":
            self.seen.append(self.look(self.engine))
            return Stop("killed") if record.step == self.at else None
        return None


# Masks -----------------------------------------------------------------------------------------------------


def test_the_smallest_weights_go_globally_or_by_layer() -> None:
    torch.manual_seed(0)
    weights = {"a": torch.randn(10, 10), "b": 0.1 * torch.randn(5, 8), "c": torch.randn(3, 2, 2)}
    whole = torch.cat([weight.abs().flatten() for weight in weights.values()]).sort().values
    masks = magnitude_masks(weights, 0.3)
    for name, mask in masks.items():
        assert torch.equal(mask, weights[name].abs() >= whole[-round(0.3 * len(whole))])
    by_layer = magnitude_masks(weights, 0.3, "layer")
    assert [int(mask.sum()) for mask in by_layer.values()] == [30, 12, 4]
    assert int(masks["b"].sum()) < 3


def test_what_is_gone_stays_gone_and_of_equal_weights_the_first_stay() -> None:
    weights = {"a": torch.tensor([5.0, 1.0, 1.0, 1.0])}
    gone = {"a": torch.tensor([False, True, True, True])}
    for scope in ("global", "layer"):
        assert magnitude_masks(weights, 0.5, scope, gone)["a"].tolist() == [False, True, True, False]
    assert magnitude_masks({"a": torch.zeros(4)}, 0.01)["a"].tolist() == [True, False, False, False]
    many = magnitude_masks({"a": torch.zeros(10_000)}, 0.5)["a"]
    assert bool(many[:5000].all())
    assert not bool(many[5000:].any())


def test_weights_that_train_in_layers_that_match_are_prunable() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2), nn.Embedding(3, 2))
    assert list(prunable(net)) == ["0.weight", "3.weight"]
    assert list(prunable(net, "3")) == ["3.weight"]
    net[3].requires_grad_(False)
    with pytest.raises(UserError, match="frozen layers only"):
        prunable(net, "3")
    with pytest.raises(UserError, match="'5' matches no layer"):
        prunable(net, "5")


def test_sparsity_counts_weights_alone() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU())
    net[0].weight.data = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    net[0].bias.data.zero_()
    assert sparsity(net) == 0.25
    assert sparsity(nn.ReLU()) == 0.0


@pytest.mark.parametrize(("steps", "rounds"), [(12, 5), (7, 2), (1000, 20), (4, 3)])
def test_rounds_are_even_and_none_is_empty(steps: int, rounds: int) -> None:
    ends = round_ends(steps, rounds)
    lengths = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    assert len(lengths) == rounds + 1
    assert sum(lengths) == steps
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


def test_each_round_takes_the_same_share_of_what_is_there() -> None:
    left = [share_left(0.1, 4, done) for done in range(5)]
    ratios = [after / before for before, after in itertools.pairwise(left)]
    assert ratios == pytest.approx([0.1**0.25] * 4)
    assert left[-1] == pytest.approx(0.1)


# Training --------------------------------------------------------------------------------------------------


def by_hand(rewind: str, at: float, keep: float, rounds: int) -> nn.Sequential:
    """Frankle and Carbin, section 2, strategy 1, with torch's own SGD: train, prune, go back, train again."""
    net, source, ends = network(), data(), round_ends(STEPS, rounds)
    batches = [batch for epoch in range(4) for batch in source.epoch(epoch, 0)][:STEPS]
    masks = {name: torch.ones_like(p) for name, p in net.named_parameters() if p.dim() >= 2}
    first = copy.deepcopy(net.state_dict())
    for done, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)  # a new one: no momentum is left
        for number in range(begin, end):
            if number == round(at * ends[0]):
                early = copy.deepcopy(net.state_dict())
            optimizer.zero_grad()
            objective(net, batches[number])[1].backward()
            for name, p in net.named_parameters():
                if name in masks:
                    p.grad *= masks[name]
            optimizer.step()
        if end == STEPS:
            return net
        sizes = torch.cat([p.detach().abs().flatten() for name, p in net.named_parameters() if name in masks])
        least = sizes.sort(descending=True).values[round(keep ** ((done + 1) / rounds) * len(sizes)) - 1]
        for name, p in net.named_parameters():
            if name in masks:
                masks[name] = (p.detach().abs() >= least).float()
        net.load_state_dict(first if rewind == "start" else early)
        for name, p in net.named_parameters():
            if name in masks:
                p.data *= masks[name]
    raise AssertionError


@pytest.mark.parametrize(("rewind", "at"), [("early", 0.5), ("early", 0.0), ("start", 0.5)])
@pytest.mark.parametrize(("keep", "rounds"), [(0.2, 3), (0.4, 1)])
def test_equals_the_loop_written_by_hand(rewind: Any, at: float, keep: float, rounds: int) -> None:
    made = engine(PruningMethod(rewind=rewind, at=at, keep=keep, rounds=rounds)).fit(data(), steps=STEPS)
    expected = by_hand(rewind, at, keep, rounds).state_dict()
    assert sparsity(made.trained()) == pytest.approx(1 - keep, abs=0.01)
    for name, tensor in state(made).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)
    assert list(state(made)) == list(expected)


def test_early_at_zero_is_start_and_a_later_early_is_another() -> None:
    one, two, three = (
        state(engine(PruningMethod(rewind=rewind, at=at)).fit(data(), steps=STEPS))  # type: ignore[arg-type]
        for rewind, at in (("early", 0.0), ("start", 0.9), ("early", 0.9))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["0.weight"], three["0.weight"])


def test_random_is_the_same_ticket_with_new_first_weights() -> None:
    """The masks are those of early; the last round begins with the first weights shuffled, by the seed alone."""

    def look(engine: Engine) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return zeros(engine.model), {name: p.detach().clone() for name, p in engine.model.named_parameters()}

    runs = {}
    for rewind in ("early", "random"):
        watcher = Watcher(look)
        slow = partial(torch.optim.SGD, lr=1e-9)
        engine(PruningMethod(rewind=rewind, rounds=2), observers=[watcher], optimizer=slow).fit(data(), steps=9)  # type: ignore[arg-type]
        runs[rewind] = watcher.seen
    for (mask, _own), (other, _drawn) in zip(runs["early"], runs["random"], strict=True):
        assert all(torch.equal(mask[name], other[name]) for name in mask)
    last, first = runs["random"][-1][1]["0.weight"], network()[0].weight.detach()
    kept = last[last != 0]
    there = (kept[:, None] - first.flatten()[None]).abs().min(1).values
    assert there.max() < 1e-6, "values of the first weights"
    assert ((last - first).abs() < 1e-6).float().mean() < 0.2, "in other places"
    torch.manual_seed(5)
    again = shuffled({"a": torch.arange(20.0)}, seed=1)["a"]
    assert torch.equal(again, shuffled({"a": torch.arange(20.0)}, seed=1)["a"])
    assert not torch.equal(again, shuffled({"a": torch.arange(20.0)}, seed=2)["a"])
    assert torch.equal(again.sort().values, torch.arange(20.0))
    assert not torch.equal(again, shuffled({"b": torch.arange(20.0)}, seed=1)["b"])


@pytest.mark.parametrize("optimizer", [None, Muon(small=3).build, partial(torch.optim.AdamW, lr=0.01)])
def test_what_is_gone_never_comes_back(optimizer: Any) -> None:
    """Muon moves weights that have no gradient; momentum and weight decay could too."""
    watcher = Watcher(lambda engine: (sparsity(engine.model), zeros(engine.model)))
    methods = [PruningMethod(keep=0.1, rounds=3), SAMMethod(), LookaheadMethod(k=2)]
    engine(*methods, observers=[watcher], optimizer=optimizer).fit(data(), steps=STEPS)
    shares = [share for share, _ in watcher.seen]
    assert shares == pytest.approx(
        [0, 0, 0, *[1 - 0.1 ** (1 / 3)] * 3, *[1 - 0.1 ** (2 / 3)] * 3, *[0.9] * 3], abs=0.02
    )
    for (_, before), (_, after) in zip(watcher.seen, watcher.seen[1:], strict=False):
        assert all(bool((after[name] | ~before[name]).all()) for name in before)


def test_a_weight_that_is_gone_does_not_come_back_for_one_that_is_zero() -> None:
    net, method = nn.Linear(4, 1, bias=False), PruningMethod(keep=0.25, rounds=2, rewind="start")
    net.weight.data.zero_()
    method.optimizer(torch.optim.SGD(net.parameters(), lr=0.1), Plan(steps=3))
    for number, weights in enumerate(([0.0] * 4, [1.0, 2.0, 3.0, 4.0], [0.0] * 4)):
        net.weight.data = torch.tensor([weights])
        method.batch(Batch(torch.empty(0)), Step(number, 0, Plan(steps=3), net))
        assert net.weight.tolist() == [[0.0] * 4]
    assert method.masks["weight"].tolist() == [[False, False, True, False]]


def test_the_gradient_of_what_is_gone_is_nothing() -> None:
    """SAM climbs, and clipping measures, with what is left alone."""
    method = PruningMethod(rounds=1)
    made = engine(method).fit(data(), steps=4)
    parameters = list(made.model.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    method.gradient(parameters, made.now)
    for parameter in parameters:
        expected = parameter != 0 if parameter.dim() == 2 else torch.ones_like(parameter)
        assert torch.equal(parameter.grad, expected.float())


def test_buffers_are_no_weights_to_be_drawn() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.scale = network(), nn.Buffer(torch.arange(6.0))

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.net(x * self.scale)
            return found

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.01))
    made = Engine(Scaled(), turn, [PruningMethod(rewind="random")], device="cpu").fit(data(), steps=STEPS)
    assert torch.equal(made.model.scale, torch.arange(6.0))


def test_a_checkpoint_at_the_end_of_a_round_holds_what_it_has_trained() -> None:
    """Weights go at the beginning of the next round: figures at the end of this one are of the trained network."""
    watcher = Watcher(lambda engine: sparsity(engine.model))
    engine(PruningMethod(rounds=1), observers=[watcher]).fit(data(), steps=4)
    assert watcher.seen[:2] == [0, 0]
    assert watcher.seen[2] == pytest.approx(0.8, abs=0.01)


def test_schedules_begin_anew_in_each_round_and_last_as_long() -> None:
    watcher = Watcher(lambda engine: engine.turns[0].optimizer.param_groups[0]["lr"])
    engine(PruningMethod(rounds=2), OneCycleMethod(), observers=[watcher]).fit(data(), steps=30)
    alone = Watcher(lambda engine: engine.turns[0].optimizer.param_groups[0]["lr"])
    engine(OneCycleMethod(), observers=[alone]).fit(data(), steps=10)
    assert watcher.seen == pytest.approx(alone.seen * 3)
    uneven, last = (Watcher(lambda engine: engine.turns[0].optimizer.param_groups[0]["lr"]) for _ in range(2))
    engine(PruningMethod(rounds=2), OneCycleMethod(), observers=[uneven]).fit(data(), steps=31)
    engine(OneCycleMethod(), observers=[last]).fit(data(), steps=11)
    assert uneven.seen == pytest.approx([*alone.seen, *last.seen, *alone.seen])
    falling = Watcher(lambda engine: engine.turns[0].optimizer.param_groups[0]["lr"])
    engine(PruningMethod(rounds=2), TrapezoidMethod(warmup=2), observers=[falling]).fit(data(), steps=30)
    assert falling.seen[:10] == falling.seen[10:20] == falling.seen[20:]
    assert falling.seen[9] < falling.seen[5]


def test_a_schedule_outside_of_pruning_hears_through_every_wrapper() -> None:
    sgd = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    inner = OneCycle(sgd, 100)
    outer = LookaheadMethod().optimizer(SAMMethod().optimizer(inner, Plan()), Plan())
    outer.lasts(7)  # type: ignore[attr-defined]
    assert inner.total == 7
    flat = Trapezoid(inner, 50)
    OneCycle(flat, 100).lasts(5)
    assert (flat.steps, inner.total) == (5, 5)


def test_clipping_measures_what_is_left() -> None:
    from locution.engine.method import ordered

    assert [method.name for method in ordered([ClippingMethod(), PruningMethod(), SAMMethod()])] == [
        "sam",
        "pruning",
        "clipping",
    ]


def test_batch_statistics_go_back_too() -> None:
    watcher = Watcher(lambda engine: int(engine.model[1].num_batches_tracked))
    engine(PruningMethod(rounds=2, at=0.25), noisy=True, observers=[watcher]).fit(data(), steps=STEPS)
    assert watcher.seen == [1, 2, 3, 4, 2, 3, 4, 5, 2, 3, 4, 5]


def test_layers_and_scope_choose() -> None:
    leaves = engine(PruningMethod(layers="0")).fit(data(), steps=STEPS).trained()
    assert [int((leaves[at].weight == 0).sum()) for at in (0, 2)] == [48 - 10, 0]
    leaves = engine(PruningMethod(scope="layer")).fit(data(), steps=STEPS).trained()
    assert [int((leaves[at].weight == 0).sum()) for at in (0, 2)] == [48 - 10, 24 - 5]


def test_weights_under_a_norm_are_pruned() -> None:
    made = engine(PruningMethod(), SpectralNormMethod(layers="0")).fit(data(), steps=STEPS)
    assert sparsity(made.trained()) == pytest.approx(0.8, abs=0.01)
    assert list(state(made)) == list(network().state_dict())


# What the contract asks of all -----------------------------------------------------------------------------

COMPANY = {
    "alone": [],
    "sam, lookahead, one_cycle": [SAMMethod, LookaheadMethod, OneCycleMethod],
    "clipping, spectral_norm": [ClippingMethod, SpectralNormMethod],
}


@pytest.mark.parametrize("company", COMPANY.values(), ids=COMPANY.keys())
@pytest.mark.parametrize("rewind", ["early", "random"])
@pytest.mark.parametrize("stop", [1, 4, 6, 9, 10])
def test_a_run_that_was_stopped_goes_on_to_the_bit(company: list[Any], rewind: Any, stop: int) -> None:
    """Rounds of 4, 5 and 4 steps, stopped before, on and behind the end of one."""

    def methods() -> list[Any]:
        return [PruningMethod(rewind=rewind, rounds=2), *(kind() for kind in company)]

    whole = engine(*methods(), noisy=True, accumulate=2, seed=3).fit(data(), steps=13)
    watcher = Watcher(lambda engine: copy.deepcopy(engine.state_dict()), stop)
    engine(*methods(), noisy=True, accumulate=2, seed=3, observers=[watcher]).fit(data(), steps=13)
    again = engine(*methods(), noisy=True, accumulate=2, seed=3)
    again.load_state_dict(watcher.seen[-1] | {"observers": {}})
    again.fit(data(), steps=13)
    one, other = state(whole), state(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_schedule_goes_on_over_the_round_that_was_on() -> None:
    """Rounds of 6 and 7 steps; stopped in the second, whose schedule is the longer one."""
    whole = engine(PruningMethod(rounds=1), OneCycleMethod()).fit(data(), steps=13)
    watcher = Watcher(lambda engine: copy.deepcopy(engine.state_dict()), 9)
    engine(PruningMethod(rounds=1), OneCycleMethod(), observers=[watcher]).fit(data(), steps=13)
    again = engine(PruningMethod(rounds=1), OneCycleMethod())
    again.load_state_dict(watcher.seen[-1] | {"observers": {}})
    again.fit(data(), steps=13)
    assert all(torch.equal(a, b) for a, b in zip(state(whole).values(), state(again).values(), strict=True))


def test_what_is_begun_anew_from_is_kept_apart() -> None:
    """A schedule moves a rate that is a tensor in place."""
    method, rate = PruningMethod(rounds=1), torch.tensor(0.05)
    slow = partial(torch.optim.SGD, lr=rate, foreach=False)
    engine(method, OneCycleMethod(), optimizer=slow).fit(data(), steps=8)
    fresh = method.optimizers[0][1]["optimizer"]["param_groups"][0]["lr"]
    assert fresh.item() == pytest.approx(0.05 / 25)


@pytest.mark.parametrize("size", [16, 11], ids=["even", "ragged"])
def test_four_micro_batches_equal_one_batch(size: int) -> None:
    whole = state(engine(PruningMethod()).fit(data(size), steps=STEPS))
    parts = state(engine(PruningMethod(), accumulate=4).fit(data(size), steps=STEPS))
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=0, atol=1e-6)


def test_bf16_and_the_listed_order() -> None:
    done = engine(PruningMethod(), precision="bf16").fit(data(), steps=STEPS)
    assert sparsity(done.trained()) == pytest.approx(0.8, abs=0.01)
    one = state(engine(PruningMethod(), SAMMethod(), OneCycleMethod()).fit(data(), steps=STEPS))
    two = state(engine(OneCycleMethod(), SAMMethod(), PruningMethod()).fit(data(), steps=STEPS))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_one_method_serves_two_engines_and_a_fit_may_go_on() -> None:
    method = PruningMethod()
    one, two = (engine(method).fit(data(), steps=STEPS) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(state(one).values(), state(two).values(), strict=True))
    two.fit(data(), steps=5)
    assert sparsity(two.trained()) == pytest.approx(0.8, abs=0.01)
    assert not torch.equal(state(one)["0.weight"], state(two)["0.weight"])


def test_a_model_is_built_without_training_and_pairs_that_are_wrong_are_refused() -> None:
    method = PruningMethod()
    model = method.trained(method.model(network(), Plan(0)))
    assert list(model.state_dict()) == list(network().state_dict())
    for other in PruningMethod.excludes:
        with pytest.raises(UserError, match=f"'pruning' and '{other}' cannot be combined; "):
            engine(PruningMethod(), part("method", other)())


def test_unknown_or_too_few_steps_are_refused() -> None:
    with pytest.raises(UserError, match=r"pruning.rounds divides steps that nobody can count; allowed: steps=N"):
        engine(PruningMethod()).fit(iter([(torch.zeros(1, 6), torch.zeros(1).long())]), epochs=1)
    with pytest.raises(UserError, match=r"pruning.rounds is 5, and training has 5 steps; allowed: fewer rounds"):
        engine(PruningMethod()).fit(data(), steps=5)
    with pytest.raises(UserError, match="'7' matches no layer"):
        engine(PruningMethod(layers="7")).fit(data(), steps=8)


@pytest.mark.parametrize(
    "settings",
    [{"keep": 0.0}, {"keep": 1.0}, {"rounds": 0}, {"at": 1.0}, {"layers": ""}, {"scope": "all"}, {"rewind": "late"}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"pruning\.\w+.*llowed: "):
        PruningMethod(**settings)
