"""Batch renormalisation against its paper's algorithm written out, and against torch's batch norm."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.engine import Batch, Engine, Observer, Plan, Record, Stop, TensorBatches, Turn
from locution.engine.modes import batch_norms, frozen_statistics
from locution.errors import UserError
from locution.models.batch_renorm import BatchRenorm, BatchRenormMethod, corrections, plain
from locution.models.mlp import MLP
from locution.models.normalisation import BatchNorm, batch_normalisation
from locution.models.statistics import reestimate
from locution.optimizers.averaging import AveragingMethod
from locution.optimizers.sam import SAMMethod

KINDS = [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm1d, (5, 3, 4)), (nn.BatchNorm2d, (4, 3, 2, 5))]
KINDS += [(nn.BatchNorm3d, (3, 3, 2, 2, 2)), (BatchNorm, (5, 3))]


def examples(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=stream) + 2


def layer_of(kind: type[Any], **settings: Any) -> Any:
    """A layer that has seen something and learnt something."""
    layer = kind(3, **settings)
    layer.running_mean.copy_(torch.tensor([0.5, 2.0, -1.0]))
    layer.running_var.copy_(torch.tensor([4.0, 25.0, 0.01]))
    if layer.weight is not None:
        layer.weight.data = torch.tensor([1.5, -0.5, 2.0])
        layer.bias.data = torch.tensor([0.1, 0.2, -0.3])
    return layer


def algorithm(x: Tensor, layer: Any, r_max: float, d_max: float) -> tuple[Tensor, Tensor, Tensor]:
    """Ioffe, 2017, algorithm 1, in double precision: the output and the running averages behind it."""
    x = x.double().transpose(1, -1)  # the channels last: everything else is counted alike
    flat = x.reshape(-1, x.shape[-1])
    mean, running = flat.mean(0), layer.running_mean.double()
    spread = torch.sqrt(((flat - mean) ** 2).mean(0) + layer.eps)
    running_spread = torch.sqrt(layer.running_var.double() + layer.eps)
    r = (spread / running_spread).detach().clamp(1 / r_max, r_max)
    d = ((mean - running) / running_spread).detach().clamp(-d_max, d_max)
    y = ((x - mean) / spread * r + d) * layer.weight.double() + layer.bias.double()
    a = layer.momentum
    after = running + a * (mean - running), layer.running_var * (1 - a) + a * flat.var(0)
    return y.transpose(1, -1), after[0].detach(), after[1].detach()


@pytest.mark.parametrize(("kind", "shape"), KINDS)
@pytest.mark.parametrize(("r_max", "d_max"), [(1.0, 0.0), (1.5, 0.3), (3.0, 5.0), (1e6, 1e6)])
def test_is_the_papers_algorithm_with_its_gradients(kind: Any, shape: Any, r_max: float, d_max: float) -> None:
    mine, theirs = BatchRenorm.of(layer_of(kind)), layer_of(kind)
    mine.open(r_max, d_max)
    x = examples(shape).requires_grad_()
    other = x.detach().clone().requires_grad_()
    expected, mean, variance = algorithm(other, theirs, r_max, d_max)
    found = mine(x)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    pull = examples(shape, 1)
    (found * pull).sum().backward()
    (expected * pull).sum().backward()
    for one, two in ((x.grad, other.grad), (mine.weight.grad, theirs.weight.grad), (mine.bias.grad, theirs.bias.grad)):
        torch.testing.assert_close(one, two.float(), rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(mine.running_mean, mean.float(), rtol=0, atol=1e-6)
    torch.testing.assert_close(mine.running_var, variance.float(), rtol=1e-6, atol=1e-6)
    assert int(mine.num_batches_tracked) == 1


def test_a_step_in_double_precision_is_the_papers_to_a_millionth() -> None:
    mine, theirs = BatchRenorm.of(layer_of(nn.BatchNorm1d).double()), layer_of(nn.BatchNorm1d)
    mine.open(1.5, 0.3)
    x = examples((6, 3)).double()
    found, (expected, _, _) = mine(x), algorithm(x, theirs, 1.5, 0.3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "shape"), KINDS)
@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"momentum": None}, {"bias": False}], ids=str)
def test_closed_limits_and_eval_mode_are_torchs_batch_norm_to_the_bit(kind: Any, shape: Any, settings: Any) -> None:
    if settings == {"bias": False}:
        theirs: Any = kind(3, bias=False)
    else:
        theirs = layer_of(kind, **settings)
    mine = BatchRenorm.of(copy.deepcopy(theirs))
    for seed in range(3):
        x = examples(shape, seed)
        assert torch.equal(mine(x), theirs(x))
    mine.open(3.0, 5.0)
    assert torch.equal(mine.eval()(x), theirs.eval()(x))
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(mine.buffers(), theirs.buffers(), strict=True))


def test_open_limits_train_with_the_function_that_is_used() -> None:
    layer = BatchRenorm.of(layer_of(nn.BatchNorm1d))
    layer.open(1e6, 1e6)
    x = examples((4, 3))
    in_use = copy.deepcopy(layer).eval()(x)
    torch.testing.assert_close(layer(x), in_use, rtol=1e-5, atol=1e-4)


def test_a_second_pass_moves_no_statistics() -> None:
    model = nn.Sequential(BatchRenorm.of(layer_of(nn.BatchNorm1d)))
    assert batch_norms(model) == [model[0]]
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with frozen_statistics(batch_norms(model)):
        model(examples((4, 3)))
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    model(examples((4, 3)))
    assert not any(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_one_value_is_normalised_by_the_running_averages() -> None:
    layer = BatchRenorm.of(layer_of(nn.BatchNorm1d))
    x = examples((1, 3))
    assert torch.equal(layer(x), copy.deepcopy(layer).eval()(x))
    assert int(layer.num_batches_tracked) == 0
    two = BatchRenorm.of(layer_of(nn.BatchNorm2d))
    two(examples((1, 3, 2, 2)))
    assert int(two.num_batches_tracked) == 1, "one picture has a spread"


def test_corrections_of_bf16_are_counted_in_fp32() -> None:
    x = examples((64, 3)).bfloat16()
    mean, variance, limit = torch.zeros(3), torch.ones(3), torch.tensor(100.0)
    for found, expected in zip(
        corrections(x, mean, variance, limit, limit, 1e-5),
        corrections(x.float(), mean, variance, limit, limit, 1e-5),
        strict=True,
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_layer_that_sleeps_stays_asleep() -> None:
    layer = BatchRenorm.of(nn.BatchNorm1d(3).eval())
    assert not layer.training
    assert not layer.plain().training
    assert BatchRenorm.of(nn.BatchNorm1d(3)).plain().training


def test_bf16_is_close_and_keeps_fp32_statistics() -> None:
    layer, full = (BatchRenorm.of(layer_of(nn.BatchNorm1d)) for _ in range(2))
    for one in (layer, full):
        one.open(3.0, 5.0)
    x = examples((16, 3))
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert layer.running_var.dtype == torch.float32
    torch.testing.assert_close(found.float(), full(x), rtol=0.02, atol=0.05)
    torch.testing.assert_close(layer.running_mean, full.running_mean, rtol=0.01, atol=0.01)
    whole = BatchRenorm.of(layer_of(nn.BatchNorm1d).bfloat16())
    assert whole(x.bfloat16()).dtype == torch.bfloat16


# In training -----------------------------------------------------------------------------------------------


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 3))


def data(size: int = 4) -> TensorBatches:
    x = examples((38, 6))
    return TensorBatches(x, x[:, :3].argmax(1), batch_size=size)


def engine(*methods: Any, **settings: Any) -> Engine:
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    return Engine(network(), turn, methods, device="cpu", log_every=1, **settings)


def test_the_limits_open_between_the_steps_that_the_settings_say() -> None:
    seen = []

    class Spy(Observer):
        name = "spy"

        def watch(self, record: Record) -> Stop | None:
            if record.kind == "step":
                seen.append(made.model[1].limits.tolist())
            return None

    made = engine(BatchRenormMethod(start=2, r_open=6, d_open=0.4), observers=[Spy()])
    made.fit(data(), steps=10)
    assert [r for r, _ in seen] == [1.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0, 3.0]
    assert [d for _, d in seen] == [0.0, 0.0, 0.0, 2.5, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_goes_on_to_the_bit_after_a_stop() -> None:
    class StopAt(Observer):
        name = "stop_at"
        kept: dict[str, Any]

        def watch(self, record: Record) -> Stop | None:
            if record.kind == "step" and record.step == 7:
                self.kept = copy.deepcopy(first.state_dict())
                return Stop("killed")
            return None

    methods = [BatchRenormMethod, SAMMethod, AveragingMethod]
    whole = engine(*(kind() for kind in methods), seed=3).fit(data(), steps=20)
    stop = StopAt()
    first = engine(*(kind() for kind in methods), seed=3, observers=[stop])
    first.fit(data(), steps=20)
    again = engine(*(kind() for kind in methods), seed=3)
    stop.kept["observers"] = {}
    again.load_state_dict(stop.kept)
    again.fit(data(), steps=20)
    for one, two in zip(whole.trained().state_dict().values(), again.trained().state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_sam_moves_the_statistics_once_a_step() -> None:
    made = engine(BatchRenormMethod(), SAMMethod()).fit(data(), steps=7)
    assert int(made.model[1].num_batches_tracked) == 7


def test_what_leaves_is_an_ordinary_batch_norm_and_the_model_in_training_is_not_touched() -> None:
    made = engine(BatchRenormMethod()).fit(data(), steps=12)
    leaves = made.trained()
    assert type(leaves[1]) is nn.BatchNorm1d
    assert type(made.model[1]) is BatchRenorm
    assert list(leaves.state_dict()) == list(network().state_dict())
    x = examples((5, 6), 4)
    assert torch.equal(leaves(x), made.model.eval()(x))
    assert torch.equal(leaves[1].running_mean, made.model[1].running_mean)
    reestimate(leaves, [x])


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNorm])
def test_each_kind_comes_back_as_itself(kind: Any) -> None:
    assert type(plain(nn.Sequential(BatchRenorm.of(kind(3))))[0]) is kind


def test_a_pattern_chooses() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    BatchRenormMethod(layers="1").model(net, Plan())
    assert [type(layer) for layer in net] == [nn.BatchNorm1d, BatchRenorm]


def test_the_momentum_is_the_methods_or_the_layers() -> None:
    for given, expected in ((0.01, 0.01), (None, 0.1)):
        net = BatchRenormMethod(momentum=given).model(nn.Sequential(nn.BatchNorm1d(2)), Plan())
        assert net[0].momentum == expected


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2)), {}, "without batch norm; allowed: one with it: model.norm=batch"),
        (nn.Sequential(nn.BatchNorm1d(2)), {"layers": "1"}, "'1' matches no layer"),
        (nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)), {}, "'0' keeps no running averages"),
    ],
)
def test_a_model_that_cannot_be_renormalised_is_refused(model: nn.Module, settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        BatchRenormMethod(**settings).model(model, Plan())


def test_a_stream_of_unknown_length_needs_numbers_of_steps() -> None:
    stream = iter([(examples((4, 6)), torch.zeros(4, dtype=torch.long))] * 5)
    with pytest.raises(UserError, match=r"batch_renorm.start is 0.05, a share of steps that nobody can count"):
        engine(BatchRenormMethod()).fit(stream, epochs=1)
    engine(BatchRenormMethod(start=2, r_open=4, d_open=3)).fit(stream, epochs=1)


@pytest.mark.parametrize(
    "settings",
    [{"r_max": 0.9}, {"d_max": -1}, {"start": -1}, {"r_open": -1}, {"d_open": -1}, {"momentum": 0.0}, {"layers": ""}],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"batch_renorm\.\w+ is .*; allowed: "):
        BatchRenormMethod(**settings)


# Batch norm itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (4, 3, 2, 5)])
def test_batch_normalisation_is_torchs(shape: tuple[int, ...]) -> None:
    x, weight, bias = examples(shape), torch.tensor([1.5, -0.5, 2.0]), torch.tensor([0.1, 0.2, -0.3])
    expected = nn.functional.batch_norm(x, None, None, weight, bias, training=True)
    torch.testing.assert_close(batch_normalisation(x, weight, bias), expected, rtol=0, atol=1e-6)
    expected = nn.functional.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(batch_normalisation(x), expected, rtol=0, atol=1e-6)


def test_a_batch_of_one_is_no_error_and_moves_nothing() -> None:
    layer = layer_of(BatchNorm)
    x = examples((1, 3))
    assert torch.equal(layer(x), copy.deepcopy(layer).eval()(x))
    assert int(layer.num_batches_tracked) == 0
    torch.testing.assert_close(layer(examples((4, 3))), layer_of(nn.BatchNorm1d)(examples((4, 3))))


def test_an_mlp_is_normalised_before_each_bend() -> None:
    torch.manual_seed(0)
    net = MLP([3, 4, 5, 2], norm="batch")
    x = examples((7, 3))
    w1, b1, g1, o1, w2, b2, g2, o2, w3, b3 = net.parameters()
    first = torch.relu(batch_normalisation(x @ w1.T + b1, g1, o1))
    second = torch.relu(batch_normalisation(first @ w2.T + b2, g2, o2))
    torch.testing.assert_close(net(x), second @ w3.T + b3, rtol=1e-5, atol=1e-5)
    by_layer = MLP([3, 4, 2], norm="layer", residual=True)
    w1, b1, g1, o1, w2, b2 = by_layer.parameters()
    hidden = torch.relu(nn.functional.layer_norm(x @ w1.T + b1, (4,), g1, o1))
    torch.testing.assert_close(by_layer(x), hidden @ w2.T + b2)


def test_normalisation_draws_nothing() -> None:
    nets = []
    for norm in ("none", "batch", "layer"):
        torch.manual_seed(0)
        nets.append([p for p in MLP([4, 8, 8, 3], norm=norm).parameters() if p.dim() == 2])
    for other in nets[1:]:
        assert all(torch.equal(a, b) for a, b in zip(nets[0], other, strict=True))


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(UserError, match=r"'bach' is no norm\. Did you mean 'batch'"):
        MLP([2, 2, 2], norm="bach")
