"""The tangent kernel: against whole Jacobians and finite differences, in closed form, and as what wide networks do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Engine
from locution.engine.random import reseed, stream_key
from locution.errors import UserError
from locution.evaluation.infinite_width import bent, infinite_width_kernel, kernel_prediction
from locution.evaluation.tangent_kernel import chain, jacobian_kernel, tangent_kernel
from locution.models.convnet import ConvNetModel
from locution.models.mlp import MLP
from locution.models.tangent import TangentLayer, TangentModel
from locution.recipe import resolve
from locution.tasks.tangent import FollowingKernel, first_network, flow_time, square


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wide(inputs: int, width: int, depth: int, bias_variance: float, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [TangentLayer(inputs, width, 2.0, bias_variance)]
    for number in range(depth):
        last = number == depth - 1
        layers += [nn.ReLU(), TangentLayer(width, 1 if last else width, 2.0, bias_variance)]
    return nn.Sequential(*layers).double()


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    return {
        "one layer": nn.Linear(4, 3),
        "no bias": nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 2)),
        "perceptron": MLP([4, 7, 6, 3], activation="gelu"),
        "residual": MLP([4, 5, 5, 5, 2], activation="tanh", residual=True),
        "tangent": wide(4, 9, 2, 0.3),
        "used twice": nn.Sequential(shared, nn.Tanh(), shared),
        "norm": MLP([4, 5, 3], norm="layer"),
        "several outputs": MLP([4, 6, 11], activation="relu"),
        "deep": nn.Sequential(
            nn.Linear(4, 5), nn.Sequential(nn.SiLU(), nn.Linear(5, 6)), nn.Tanh(), nn.ReLU(), nn.Linear(6, 7)
        ),
        "two in a row": nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2)),
    }


def by_hand(net: nn.Module, inputs: Tensor) -> Tensor:
    """Each entry by its definition: the product of the gradients of two answers by all weights that train."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    slopes = [
        [torch.cat([part.flatten() for part in torch.autograd.grad(said, weights, retain_graph=True)]) for said in row]
        for row in net(inputs)
    ]
    return torch.tensor(
        [[[[float(a @ b) for b in other] for a in one] for other in slopes] for one in slopes], dtype=torch.float64
    )  # (N, N, O, O)


def test_the_kernel_is_the_product_of_gradients_of_what_trains() -> None:
    torch.manual_seed(0)
    perceptron = MLP([4, 5, 2]).double()
    pictures = ConvNetModel(widths=(3,), norm="none").build((1, 4, 4), 2).double()
    for net, x in ((perceptron, normal(3, 4)), (pictures, normal(3, 1, 4, 4))):
        whole = by_hand(net, x)
        for compute in (tangent_kernel, jacobian_kernel):
            torch.testing.assert_close(compute(net, x), whole)
        next(net.parameters()).requires_grad_(False)
        left = by_hand(net, x)
        assert float((whole - left).abs().max()) > 0.01
        for compute in (tangent_kernel, jacobian_kernel):
            torch.testing.assert_close(compute(net, x), left)


@pytest.mark.parametrize("name", list(networks()))
def test_the_contraction_is_the_product_of_whole_jacobians(name: str) -> None:
    net = networks()[name].double().eval()
    one, other = normal(5, 4), normal(3, 4, seed=1)
    for pair in ((one, None), (one, other)):
        expected = jacobian_kernel(net, *pair)
        torch.testing.assert_close(tangent_kernel(net, *pair), expected, rtol=1e-10, atol=1e-10)
    assert all(p.grad is None for p in net.parameters())


def test_the_kernel_says_how_far_a_step_moves_answers() -> None:
    torch.manual_seed(0)
    net = MLP([4, 8, 1], activation="tanh").double()
    one, other, rate = normal(1, 4), normal(6, 4, seed=1), 1e-6
    before = net(other).detach()
    net(one).sum().backward()
    with torch.no_grad():
        for weight in net.parameters():
            assert weight.grad is not None
            weight.add_(rate * weight.grad)
    moved = (net(other).detach() - before) / rate
    torch.testing.assert_close(tangent_kernel(net, other, one).view(6, 1), moved, rtol=1e-4, atol=1e-5)


def test_frozen_weights_do_not_count_and_other_layers_are_computed_whole() -> None:
    torch.manual_seed(0)
    net = MLP([4, 5, 2]).double()
    next(iter(net.parameters())).requires_grad_(False)
    x = normal(3, 4)
    torch.testing.assert_close(tangent_kernel(net, x), jacobian_kernel(net, x))
    pictures = ConvNetModel(widths=(3,), norm="none").build((1, 4, 4), 2).double()
    kernel = tangent_kernel(pictures, normal(3, 1, 4, 4))
    assert kernel.shape == (3, 3, 2, 2)
    torch.testing.assert_close(kernel, kernel.permute(1, 0, 3, 2))
    net.requires_grad_(False)
    with pytest.raises(UserError, match="a model of which nothing trains; allowed"):
        tangent_kernel(net, x)


def test_what_is_left_behind_a_bend_is_the_mean_over_draws() -> None:
    covariance = torch.tensor([[2.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    draws = normal(400_000, 2) @ torch.linalg.cholesky(covariance).T
    mean, slope = bent(covariance[:1, 1:], covariance[:1, :1], covariance[1:, 1:])
    products = draws.relu().prod(1)
    assert abs(mean.item() - products.mean()) < 5 * products.std() / 400_000**0.5
    both = (draws > 0).all(1).double()
    assert abs(slope.item() - both.mean()) < 5 * both.std() / 400_000**0.5


@pytest.mark.parametrize(("depth", "bias_variance"), [(1, 0.0), (1, 0.3), (2, 0.1)])
def test_the_kernel_of_wide_networks_is_that_of_infinite_width(depth: int, bias_variance: float) -> None:
    x, other = normal(4, 3), normal(2, 3, seed=1)
    expected = infinite_width_kernel(x, other, depth, 2.0, bias_variance)
    width = 4000 if depth == 1 else 600
    found = [tangent_kernel(wide(3, width, depth, bias_variance, seed), x, other) for seed in range(8)]
    mean = torch.stack(found).view(8, 4, 2).mean(0)
    assert ((mean - expected).abs() / expected.abs().max()).max() < 0.05
    for given, plain in ((x, infinite_width_kernel(x, None, depth)), (x.float(), infinite_width_kernel(x, x, depth))):
        assert plain.dtype == torch.float64
        torch.testing.assert_close(infinite_width_kernel(given, None, depth), plain, rtol=1e-5, atol=1e-5)


def test_an_example_of_zeros_has_a_kernel_of_zeros_or_of_what_biases_add() -> None:
    x = torch.cat([torch.zeros(1, 4, dtype=torch.float64), normal(2, 4)])
    assert infinite_width_kernel(x, depth=2)[0].tolist() == [0.0, 0.0, 0.0]
    assert bool((infinite_width_kernel(x, depth=2, bias_variance=0.5)[0] > 0).all())


@pytest.mark.parametrize("bias_variance", [0.0, 0.5])
def test_of_an_example_with_itself_the_recursion_is_one_of_numbers(bias_variance: float) -> None:
    """Of a ReLU of variance v the mean square is v / 2 and that of the slope 1 / 2."""
    x = normal(3, 4)
    forward = tangent = 1.5 * x.square().sum(1) / 4 + bias_variance
    for _ in range(3):
        forward = 1.5 * forward / 2 + bias_variance
        tangent = forward + 1.5 * tangent / 2
    found = infinite_width_kernel(x, depth=3, weight_variance=1.5, bias_variance=bias_variance).diagonal()
    torch.testing.assert_close(found, tangent, rtol=1e-6, atol=0)


def test_slow_directions_are_learnt_in_the_end_and_those_that_cannot_move_never_are() -> None:
    train, apart = torch.diag(torch.tensor([1.0, 1e-9])), torch.tensor([[2.0], [-3.0]])
    torch.testing.assert_close(kernel_prediction(train, train, apart), apart.double(), rtol=1e-6, atol=0)
    after = kernel_prediction(train, train, apart, time=1e9)  # of the slow one 1 - exp(-1) is done
    assert after[:, 0].tolist() == pytest.approx([2.0, -3.0 * (1 - math.exp(-1.0))], rel=1e-6)
    stuck = kernel_prediction(torch.ones(2, 2), torch.tensor([[1.0, 0.3]]), torch.tensor([[1.0], [-1.0]]))
    assert abs(float(stuck)) < 1e-9


def test_of_no_hidden_layer_it_is_the_product_of_the_inputs() -> None:
    x = normal(3, 4)
    torch.testing.assert_close(infinite_width_kernel(x, None, 0, 4.0, 0.5), x @ x.T + 0.5)


def test_a_wide_network_follows_the_prediction() -> None:
    angle = torch.linspace(0, 2 * math.pi, 7, dtype=torch.float64)[:-1]
    x, targets = torch.stack([angle.cos(), angle.sin()], 1), (2 * angle).sin()[:, None]
    between = torch.stack([(angle + 0.4).cos(), (angle + 0.4).sin()], 1)
    net = wide(2, 4000, 1, 0.1)
    kernel = infinite_width_kernel(x, None, 1, 2.0, 0.1)
    first, start = net(x).detach(), net(between).detach()
    rate = 0.2 / float(torch.linalg.eigvalsh(kernel).max())
    across = infinite_width_kernel(between, x, 1, 2.0, 0.1)
    for steps in (20, 130):
        for _ in range(steps):
            net.zero_grad()
            (0.5 * (net(x) - targets).square().sum()).backward()
            with torch.no_grad():
                for weight in net.parameters():
                    assert weight.grad is not None
                    weight.sub_(rate * weight.grad)
        time = rate * (steps if steps == 20 else 150)
        expected = kernel_prediction(kernel, across, targets - first, start, time)
        assert (net(between).detach() - expected).abs().max() < 0.06
        assert (expected - start).abs().max() > 0.3, "it had to move"


def test_without_end_what_was_learnt_from_is_answered_exactly() -> None:
    x, targets = normal(5, 3), normal(5, 2, seed=1)
    kernel = infinite_width_kernel(x, None, 2, 2.0, 0.1)
    torch.testing.assert_close(kernel_prediction(kernel, kernel, targets), targets)
    assert not kernel_prediction(kernel, kernel, targets, time=0.0).any()
    twice = torch.ones(2, 2, dtype=torch.float64)  # the same example with two answers: the mean of them
    torch.testing.assert_close(
        kernel_prediction(twice, twice, torch.tensor([[1.0], [3.0]])), torch.full((2, 1), 2.0, dtype=torch.float64)
    )


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"examples of 3 and of 2 numbers; allowed: of the same number"):
        infinite_width_kernel(torch.zeros(1, 3), torch.zeros(1, 2))
    with pytest.raises(UserError, match="depth is -1; allowed: a whole number of hidden layers from 0"):
        infinite_width_kernel(torch.zeros(1, 3), depth=-1)
    with pytest.raises(UserError, match="weight_variance is 0; allowed: a number above 0"):
        infinite_width_kernel(torch.zeros(1, 3), weight_variance=0)
    with pytest.raises(UserError, match=r"bias_variance is -1\.0; allowed: a number from 0"):
        TangentLayer(1, 1, 2.0, -1.0)


def test_perceptrons_are_contracted_and_other_models_are_not() -> None:
    fast = {name for name, net in networks().items() if chain(net.eval()) is not None}
    assert fast == set(networks()) - {"residual", "used twice", "norm"}
    awake = MLP([4, 5, 3], dropout=0.5)
    assert chain(awake.train()) is None
    assert chain(awake.eval()) is not None
    ends_bent = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double()
    assert chain(ends_bent) is None
    x = normal(3, 4)
    torch.testing.assert_close(tangent_kernel(ends_bent, x), jacobian_kernel(ends_bent, x))
    normed = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)).double().eval()
    assert chain(normed) is None


def test_pieces_of_a_kernel_are_the_whole() -> None:
    net = networks()["norm"].double().eval()
    one, other = normal(7, 4), normal(5, 4, seed=1)
    for pair in ((one, None), (one, other)):
        torch.testing.assert_close(tangent_kernel(net, *pair, chunk=3), jacobian_kernel(net, *pair))
    with pytest.raises(UserError, match="chunk is -1; allowed"):
        jacobian_kernel(net, one, chunk=-1)


def test_a_layer_on_sequences_is_no_chain() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)).double(), normal(3, 2, 3)
    torch.testing.assert_close(tangent_kernel(net, x), jacobian_kernel(net, x))


def test_the_tangent_task_foretells_what_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.tasks.tangent.WIDTHS", (8, 128, 2048))
    monkeypatch.setattr("locution.tasks.tangent.SEEDS", 3)
    recipe = resolve("tangent", ["steps=100", "model.widths=[512]"])
    task = FollowingKernel()
    reseed(stream_key(recipe.seed, "weights"), torch.device("cpu"))
    job = task.prepare(recipe, quiet=True)
    again = first_network(recipe, job.data, recipe.part("model")).state_dict()
    assert all(torch.equal(again[name], one) for name, one in job.model.state_dict().items())
    engine = Engine(job.model, job.turns, seed=0, device="cpu").fit(job.batches, steps=100)
    results = task.evaluate(recipe, job, engine.trained())
    assert flow_time(recipe, job.data) == pytest.approx(2 * 100 * 0.3 / 8)
    figures = {metric.name: metric.value for metric in results.metrics}
    assert figures["own_kernel"] < 0.05
    assert figures["infinite_kernel"] < 0.05
    (table,) = [one for one in results.tables if one.title == "Wider is nearer"]
    for column in (1, 2):
        far = [float(row[column]) for row in table.rows]
        assert far[2] < far[1] < far[0]
        assert far[2] < 0.3 * far[0]
    assert set(results.graphs[0].lines) == {"the network", "its own kernel", "infinite width"}
    assert len(results.graphs[0].points[0]) == 8
    nearer = results.graphs[-1]
    assert nearer.log == "xy"
    widths, own, infinite = ([float(row[column]) for row in table.rows] for column in range(3))
    assert list(nearer.lines.values()) == [(widths, own), (widths, infinite)]


def test_several_outputs_are_foretold_by_the_networks_own_kernel() -> None:
    torch.manual_seed(0)
    net = TangentModel(widths=(3000,)).build((2,), 2).double()
    x, targets, other = normal(4, 2), normal(4, 2, seed=1) / 2, normal(3, 2, seed=2)
    kernel, across = square(tangent_kernel(net, x)), square(tangent_kernel(net, other, x))
    apart, start = (targets - net(x)).detach().reshape(-1, 1), net(other).detach().reshape(-1, 1)
    rate = 0.3 / float(torch.linalg.eigvalsh(kernel).max())
    for _ in range(30):
        net.zero_grad()
        (0.5 * (net(x) - targets).square().sum()).backward()
        with torch.no_grad():
            for weight in net.parameters():
                weight.sub_(rate * weight.grad)  # type: ignore[operator]
    expected = kernel_prediction(kernel, across, apart, start, 30 * rate).view(3, 2)
    assert (net(other) - expected).abs().max() < 0.05
    assert (expected.reshape(-1, 1) - start).abs().max() > 0.3


@pytest.mark.parametrize("word", ["optimizer={name: adam, lr: 0.1}", "model={name: mlp}", "+clipping"])
def test_training_that_no_kernel_foretells_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="a kernel foretells no training by"):
        FollowingKernel().prepare(resolve("tangent", [word]), quiet=True)
