"""Spiking networks: neurons and codes as snntorch's, networks as step by step, gradients, costs and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from locution.data.digits import read_digits
from locution.engine import Engine, TensorBatches, Turn
from locution.engine.method import Method
from locution.errors import UserError
from locution.evaluation.spiking_costs import spiking_costs
from locution.losses.basic import CrossEntropy
from locution.losses.distillation import DistillationMethod
from locution.models.lora import LoRAMethod
from locution.models.mlp import MLP
from locution.models.spike_codes import latency_code, rate_code
from locution.models.spiking import SpikingModel, SpikingNet
from locution.models.spiking_neuron import leaky_integrate_and_fire, leaky_integrator, surrogate_gradient
from locution.optimizers.basic import AdamW
from locution.optimizers.sam import SAMMethod
from locution.reporting.results import Drawn
from locution.tasks.spikes import spike_pictures

SNNTORCH = json.loads((Path(__file__).with_name("snntorch") / "leaky.json").read_text(encoding="utf-8"))
RULES = [name for name in SNNTORCH if name.startswith(("subtract", "zero"))]


def theirs(*path: str) -> Tensor:
    """What snntorch 1.0.0 computed in double precision, written down to nine digits."""
    found = SNNTORCH
    for name in path:
        found = found[name]
    return torch.tensor(found["values"], dtype=torch.float64).view(found["shape"])


def step_by_step(net: SpikingNet, inputs: Tensor) -> Tensor:
    """The network by its definition: a step at a time, each layer with a state, through autograd's own graph."""
    decay, threshold, reset, surrogate, slope = net.neuron
    code = net.coded(inputs).expand(net.steps, -1, -1)
    potentials: list[Tensor | float] = [0.0] * len(net.layers)
    fired: list[Tensor | float] = [0.0] * len(net.layers)
    answers = []
    for now in code:
        for number, layer in enumerate(net.layers):
            last = number == len(net.layers) - 1
            left = potentials[number] * decay
            now = layer(now)
            if last and net.readout == "membrane":
                potentials[number] = left + now
                break
            kept = left * (1 - fired[number]) if reset == "zero" else left - threshold * fired[number]
            over = kept + now - threshold
            potentials[number] = over + threshold
            slopes = surrogate_gradient(over.detach(), surrogate, slope)
            now = (over > 0).to(over) + slopes * (over - over.detach())
            fired[number] = now.detach()
        answers.append(potentials[-1] if net.readout == "membrane" else now)
    whole = torch.stack(answers)
    return whole.mean(0) if net.readout == "membrane" else whole.sum(0)


@pytest.mark.parametrize("rule", RULES)
def test_the_neuron_is_snntorchs_forward_and_back(rule: str) -> None:
    reset, surrogate, slope = rule.split()
    currents = theirs("currents").requires_grad_()
    spikes, potentials = leaky_integrate_and_fire(currents, 0.85, 0.9, reset, surrogate, float(slope))
    torch.testing.assert_close(spikes, theirs(rule, "spikes"), rtol=0, atol=0)
    torch.testing.assert_close(potentials, theirs(rule, "potentials"), rtol=0, atol=1e-7)
    said = (spikes * theirs("to_spikes")).sum() + (potentials * theirs("to_potentials")).sum()
    (gradient,) = torch.autograd.grad(said, currents)
    torch.testing.assert_close(gradient, theirs(rule, "gradient"), rtol=1e-6, atol=1e-6)
    assert spikes.sum() > 10


def test_the_latency_code_is_snntorchs() -> None:
    values = theirs("latency", "values")
    torch.testing.assert_close(latency_code(values, 9), theirs("latency", "spikes"), rtol=0, atol=0)


@pytest.mark.parametrize("coding", ["latency", "rate", "direct"])
@pytest.mark.parametrize("readout", ["membrane", "spikes"])
@pytest.mark.parametrize(("reset", "surrogate", "slope"), [("subtract", "arctan", 2.0), ("zero", "fast_sigmoid", 5.0)])
def test_all_steps_at_once_are_the_steps_one_by_one(
    coding: str, readout: str, reset: str, surrogate: str, slope: float
) -> None:
    torch.manual_seed(0)
    net = SpikingNet([6, 9, 8, 3], 7, coding, 0.8, 0.5, reset, surrogate, slope, readout).double().eval()
    for layer in net.layers:
        layer.weight.data.mul_(3)  # so that all of them fire
    inputs = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, expected = net(inputs), step_by_step(net, inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    weights = list(net.parameters())
    by = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    one, other = (torch.autograd.grad((by * said).sum(), weights) for said in (found, expected))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert all(gradient.abs().max() > 0 for gradient in one)


def test_a_network_has_the_neurons_that_its_settings_ask_for() -> None:
    settings = {"decay": 0.7, "threshold": 0.4, "reset": "zero", "surrogate": "fast_sigmoid", "slope": 5.0}
    model = SpikingModel(widths=(4, 5), steps=6, coding="rate", readout="spikes", **settings)  # type: ignore[arg-type]
    net = model.build((2, 3), 3)
    assert (net.widths, net.steps, net.coding, net.readout) == ((6, 4, 5, 3), 6, "rate", "spikes")
    currents = torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found, expected = net.fire(currents), leaky_integrate_and_fire(currents, **settings)[0]  # type: ignore[arg-type]
    assert torch.equal(found, expected)
    assert 0 < float(found.detach().sum()) < found.numel()
    by = torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(1))
    one, other = (torch.autograd.grad((by * said).sum(), currents)[0] for said in (found, expected))
    assert torch.equal(one, other)
    assert net.fire(currents.bfloat16()).dtype == torch.float32, "sums over time want more than bf16"
    assert sorted(net.state_dict()) == [f"layers.{n}.{part}" for n in range(3) for part in ("bias", "weight")]


def test_a_potential_at_the_threshold_does_not_fire_yet() -> None:
    spikes, potentials = leaky_integrate_and_fire(torch.tensor([1.0, 0.5, 0.25]), decay=0.5, threshold=1.0)
    assert potentials.tolist() == [1.0, 1.0, 0.75]
    assert not spikes.any()
    assert leaky_integrate_and_fire(torch.tensor([1.0 + 2**-23]))[0].all()


def test_a_trace_says_how_the_answer_came_about() -> None:
    torch.manual_seed(0)
    inputs = torch.rand(5, 6)
    for readout in ("membrane", "spikes"):
        net = SpikingModel(widths=(12,), steps=6, threshold=0.3, readout=readout).build((6,), 3).eval()  # type: ignore[arg-type]
        trace = net.trace(inputs)
        assert set(trace.layers[0].unique().tolist()) == {0.0, 1.0}
        assert trace.potentials.shape == (6, 5, 3)
        answer = trace.potentials.mean(0) if readout == "membrane" else trace.layers[-1].sum(0)
        torch.testing.assert_close(answer, net(inputs))


def test_rates_are_the_numbers_and_no_gradient_is_lost() -> None:
    values = torch.tensor([[0.0, 0.2, 0.9, 1.0, 1.7, -1.0]])
    torch.manual_seed(0)
    spikes = rate_code(values, 20_000)
    share = values.clamp(0, 1)
    assert bool(((spikes.mean(0) - share).abs() <= 5 * (share * (1 - share) / 20_000).sqrt()).all())
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    for code in (rate_code, latency_code):
        leaf = values.clone().requires_grad_()
        again = code(leaf, 4)
        assert set(again.unique().tolist()) <= {0.0, 1.0}
        assert again.sum().backward() is None
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


def test_rates_are_drawn_anew_in_training_and_alike_when_it_is_asked() -> None:
    torch.manual_seed(0)
    net = SpikingModel(coding="rate", widths=(16,)).build((5,), 2)
    x = torch.rand(6, 5)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    torch.testing.assert_close(net(x)[4:], net(x[4:]))
    assert abs(net.coded(torch.full((1, 2000), 0.3)).mean() - 0.3) < 5 * (0.21 / 2000 / 16) ** 0.5


def test_a_leaky_integrator_is_the_sum_of_what_is_left() -> None:
    currents = torch.randn(9, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state, expected = torch.zeros(2, 3, dtype=torch.float64), []
    for now in currents:
        state = 0.7 * state + now
        expected.append(state)
    torch.testing.assert_close(leaky_integrator(currents, 0.7), torch.stack(expected))


def test_bytes_are_read_as_shares() -> None:
    net = SpikingModel().build((1, 4, 4), 2).eval()
    picture = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(net(picture), net(picture.float() / 255))


def digits(count: int) -> tuple[Tensor, Tensor]:
    inputs, targets = read_digits()
    return inputs[:count], targets[:count]


def test_what_passes_costs_by_hand() -> None:
    torch.manual_seed(0)
    inputs = digits(30)[0]
    for coding, first in (("latency", (inputs > 0).flatten(1).sum(1).float()), ("direct", torch.zeros(30))):
        net = SpikingModel(widths=(20, 12), steps=5, coding=coding, threshold=0.1).build((1, 8, 8), 10)  # type: ignore[arg-type]
        costs, trace = spiking_costs(net, inputs), net.trace(inputs)
        torch.testing.assert_close(costs.spikes[:, 0], first)
        second, third = (layer.sum((0, 2)) for layer in trace.layers)
        assert min(second.sum(), third.sum()) > 0
        torch.testing.assert_close(costs.additions.float(), first * 20 + second * 12 + third * 10)
        assert costs.multiplications == 5 * (20 + 12 + 10) + (64 * 20 if coding == "direct" else 0)
        assert costs.dense == 64 * 20 + 20 * 12 + 12 * 10
        joules = 0.9 * costs.additions[3].item() + 4.6 * costs.multiplications
        assert costs.nanojoules[3].item() == pytest.approx(joules / 1000)
        assert net.training
    net = SpikingModel(widths=(20,), readout="spikes", threshold=0.1).build((1, 8, 8), 10)
    costs = spiking_costs(net, inputs)
    assert costs.spikes.shape == (30, 3)
    torch.testing.assert_close(costs.additions.float(), costs.spikes[:, 0] * 20 + costs.spikes[:, 1] * 10)


@pytest.mark.parametrize("settings", [{}, {"coding": "direct"}, {"readout": "spikes"}, {"widths": ()}, {"steps": 1}])
def test_the_report_has_spikes_their_cost_and_a_raster(settings: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = SpikingModel(**settings).build((1, 8, 8), 10)  # type: ignore[arg-type]
    results = spike_pictures(net, digits(20)[0])
    found = {metric.name: metric for metric in results.metrics}
    spikes = spiking_costs(net, digits(20)[0]).spikes.sum(1)
    assert found["spikes"].value == pytest.approx(spikes.mean().item())
    assert found["synaptic_operations"].low is not None
    (table,) = results.tables
    assert "multiplications" in table.note
    if settings.get("coding") != "direct":
        assert results.drawings[0].picture.count("v") > 10
        first = spiking_costs(net, digits(1)[0]).spikes[0]
        assert f"inputs: {int(first[0])} spikes" in results.drawings[0].picture
    assert spike_pictures(MLP([64, 10]), digits(20)[0]) == Drawn()


def trained(methods: list[Method], steps: int, targets: Tensor | None = None) -> float:
    """Train on a part of the digits, and say how many of another part, by other writers, are right."""
    inputs, right = digits(1797)
    torch.manual_seed(0)
    net = SpikingModel(widths=(48,), steps=6).build((1, 8, 8), 10)
    turn = Turn(CrossEntropy(), AdamW(lr=0.01).build)
    data = TensorBatches(inputs[:1200], (right if targets is None else targets)[:1200], batch_size=64)
    model = Engine(net, turn, methods, device="cpu").fit(data, steps=steps).trained()
    with torch.no_grad():
        return float((model(inputs[1200:]).argmax(1) == right[1200:]).float().mean())


def test_it_learns_digits_alone_and_with_methods() -> None:
    assert trained([], 120) > 0.87
    for method in (SAMMethod(), LoRAMethod(rank=8)):
        assert trained([method], 40) > 0.3


def test_a_teacher_without_spikes_distils_into_it() -> None:
    inputs, targets = digits(1797)
    rows = torch.cat([inputs.flatten(1), torch.ones(1797, 1)], 1).double()
    ridge = rows[:1200].T @ rows[:1200] + 5 * torch.eye(65, dtype=torch.float64)
    best = torch.linalg.solve(ridge, rows[:1200].T @ torch.eye(10, dtype=torch.float64)[targets[:1200]]).float()
    linear = nn.Linear(64, 10)
    linear.weight.data, linear.bias.data = 10 * best[:64].T.contiguous(), 10 * best[64]
    teacher = nn.Sequential(nn.Flatten(), linear).eval()
    says_nothing = torch.zeros_like(targets)  # that every digit is a 0: what is right it can only have from its teacher
    taught = trained([DistillationMethod(teacher=teacher, temperature=2.0, weight=1.0)], 120, says_nothing)
    assert taught > 0.85
    assert trained([], 40, says_nothing) < 0.15


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decay": 1.1}, "model.decay is 1.1; allowed: a share from 0 to 1"),
        ({"threshold": 0.0}, "model.threshold is 0.0; allowed: a number above 0"),
        ({"steps": 0}, "model.steps is 0; allowed: a whole number from 1"),
        ({"coding": "phase"}, "model.coding is 'phase'; allowed: direct, rate, latency"),
        ({"surrogate": "step"}, "model.surrogate is 'step'; allowed: arctan or fast_sigmoid"),
        ({"reset": "none"}, "model.reset is 'none'; allowed: subtract or zero"),
        ({"readout": "first"}, "model.readout is 'first'; allowed: membrane or spikes"),
        ({"slope": 0.0}, "model.slope is 0.0; allowed: a number above 0"),
        ({"widths": (0,)}, r"model.widths is \[0\]; allowed: whole numbers from 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        SpikingModel(**settings)  # type: ignore[arg-type]


def test_what_cannot_be_fired_is_refused() -> None:
    with pytest.raises(UserError, match=r"currents are torch.int64 of shape \(3,\); allowed: fractions"):
        leaky_integrate_and_fire(torch.arange(3))
    x = torch.rand(4, requires_grad=True)
    (slope,) = torch.autograd.grad(leaky_integrate_and_fire(x)[1].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
