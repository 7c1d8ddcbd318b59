"""Boltzmann machines: energies by enumeration and as scikit-learn's, exact gradients, partition functions, stacks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from locution.config import to_yaml
from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.evaluation import partition_function
from locution.evaluation.partition_function import (
    annealed_importance_sampling,
    exact_log_partition,
    log_likelihood,
)
from locution.losses.contrastive_divergence import ContrastiveDivergence, Layerwise
from locution.models.belief import BeliefModel, DeepBeliefNet
from locution.models.boltzmann import BoltzmannMachine, BoltzmannModel, fire, free_energy
from locution.optimizers.basic import Adam
from locution.recipe import resolve
from locution.tasks.boltzmann import BoltzmannLearning, BoltzmannSampling
from locution.tasks.boltzmann_judged import drawn, log_odds, made_again


def machine(seen: int = 4, hidden: int = 3, scale: float = 1.0, seed: int = 0) -> BoltzmannMachine:
    made = BoltzmannMachine((seen,), hidden, chains=5).double()
    stream = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=stream, dtype=torch.float64)
    return made


def states(count: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)), dtype=torch.float64)


def joint(made: BoltzmannMachine) -> Tensor:
    """The chance of every state of seen (rows) and hidden units (columns), by the definition of the energy."""
    seen, hidden = states(made.weight.shape[1]), states(made.weight.shape[0])
    energy = -(seen @ made.visible)[:, None] - hidden @ made.hidden - seen @ made.weight.T @ hidden.T
    return (-energy).flatten().softmax(0).view(len(seen), len(hidden)).detach()


def test_energies_and_chances_are_those_of_all_states_counted() -> None:
    made, all_seen, all_hidden = machine(), states(4), states(3)
    chances = joint(made)
    torch.testing.assert_close((-made.energy(all_seen)).softmax(0), chances.sum(1))
    given_seen = chances / chances.sum(1, keepdim=True)
    torch.testing.assert_close(made.hidden_chances(all_seen), given_seen @ all_hidden)
    given_hidden = chances / chances.sum(0)
    torch.testing.assert_close(made.visible_chances(all_hidden), given_hidden.T @ all_seen)


def test_energies_of_many_units_in_half_precision_are_summed_in_full() -> None:
    """There are 301 ones to add up, and no bf16 number lies between 300 and 302."""
    units, weight, bias = torch.ones(1, 301), torch.zeros(2, 301), torch.ones(301)
    energy = free_energy(units.bfloat16(), weight.bfloat16(), bias.bfloat16(), torch.zeros(2).bfloat16())
    assert energy.dtype == torch.float32
    assert energy.item() == pytest.approx(-301 - 2 * math.log(2), abs=0.01)


@pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
def test_a_unit_without_a_chance_never_fires_and_a_certain_one_does(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, number))
    assert fire(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_what_a_pass_says_is_chances_of_hidden_units_what_they_make_again_and_energies() -> None:
    made, x = machine(6, 3), states(6)[5:9]
    said = made(x)
    hidden = torch.sigmoid(x @ made.weight.T + made.hidden)
    torch.testing.assert_close(said["hidden"], hidden)
    torch.testing.assert_close(said["outputs"], hidden @ made.weight + made.visible)  # before the sigmoid
    torch.testing.assert_close(said["free_energy"], made.energy(x))


def test_first_weights_reach_to_one_over_the_root_of_what_is_seen() -> None:
    torch.manual_seed(0)
    made = BoltzmannModel(hidden=50, chains=7).build((1, 8, 8), 0)
    assert 0.9 / 8 < float(made.weight.detach().abs().max()) <= 1 / 8
    assert abs(float(made.weight.detach().mean())) < 0.01
    assert not made.visible.any()
    assert not made.hidden.any()
    assert made.chains.shape == (7, 64)
    assert set(made.chains.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("seen", "hidden"), [(4, 3), (3, 7), (1, 1), (9, 17)])
def test_the_partition_function_is_counted_over_either_side(seen: int, hidden: int) -> None:
    made = machine(seen, hidden)
    small = made if seen + hidden < 12 else None
    if small is not None:
        energy = -(states(seen) @ made.visible)[:, None] - states(hidden) @ made.hidden
        energy = energy - states(seen) @ made.weight.T @ states(hidden).T
        assert exact_log_partition(made) == pytest.approx(float((-energy).detach().flatten().logsumexp(0)), abs=1e-10)
    by_seen = float((-free_energy(states(seen), made.weight, made.visible, made.hidden)).logsumexp(0).detach())
    assert exact_log_partition(made) == pytest.approx(by_seen, abs=1e-9)


def test_states_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exact_log_partition(machine())
    monkeypatch.setattr(partition_function, "CHUNK", 3)
    assert exact_log_partition(machine()) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(("scale", "seed"), [(0.5, 1), (1.0, 2), (1.5, 3)])
def test_annealing_is_within_a_hundredth_of_the_counted_partition(scale: float, seed: int) -> None:
    made = machine(10, 6, scale, seed)
    exact = exact_log_partition(made)
    for base in (None, torch.zeros(10)):
        found = annealed_importance_sampling(made, 1000, 500, seed=seed, base=base)
        assert abs(math.expm1(found.value - exact)) < 0.01
        assert found.low <= exact <= found.high
        assert found.log_weights.shape == (500,)
    again = annealed_importance_sampling(made, 1000, 500, seed=seed, base=torch.zeros(10))
    assert again.value == found.value


def test_annealing_is_without_bias_whatever_the_number_of_temperatures() -> None:
    made = machine(5, 4, 0.7)
    exact = exact_log_partition(made)
    found = annealed_importance_sampling(made, 3, 200_000, seed=4, base=torch.ones(5))  # few, but many chains
    assert found.low < exact < found.high
    assert found.high - found.low < 0.05
    assert found.log_weights.std() > 0.1


def test_with_many_steps_contrastive_divergence_is_the_gradient_of_the_likelihood() -> None:
    made, data = machine(4, 3, 0.7), states(4)[[1, 6, 6, 13, 15]]
    exact = machine(4, 3, 0.7)
    loss = exact.energy(data).mean() + (-exact.energy(states(4))).logsumexp(0)  # minus the mean log-likelihood
    loss.backward()
    torch.manual_seed(0)
    many = data.repeat(8_000, 1)
    for steps, close in ((30, True), (1, False)):
        made.zero_grad()
        ContrastiveDivergence(steps=steps)(made, Batch(many))[1].backward()
        apart = [
            float((one.grad - other.grad).abs().max())  # type: ignore[operator]
            for one, other in zip(made.parameters(), exact.parameters(), strict=True)
        ]
        assert (max(apart) < 5 * 0.5 / 40_000**0.5) == close, (steps, apart)


def test_its_gradient_is_the_statistic_of_the_paper_and_of_scikit_learn() -> None:
    made, data = machine(6, 4), fire(torch.full((7, 6), 0.5, dtype=torch.float64))
    torch.manual_seed(3)
    _, loss = ContrastiveDivergence(steps=2)(made, Batch(data))
    loss.backward()
    torch.manual_seed(3)
    again = made.gibbs(fire(data), 2)
    on, off = made.hidden_chances(data).detach(), made.hidden_chances(again).detach()
    for found, expected in (
        (made.weight.grad, -(on.T @ data - off.T @ again) / 7),
        (made.visible.grad, -(data - again).mean(0)),
        (made.hidden.grad, -(on - off).mean(0)),
    ):
        assert found is not None
        torch.testing.assert_close(found, expected)


def test_it_agrees_with_scikit_learns_machine() -> None:
    from sklearn.neural_network import BernoulliRBM

    data = fire(torch.full((50, 6), 0.4, dtype=torch.float64))
    theirs = BernoulliRBM(n_components=4, learning_rate=0.1, n_iter=3, random_state=0).fit(data.numpy())
    made = BoltzmannMachine((6,), 4).double()
    made.weight.data = torch.tensor(theirs.components_)
    made.visible.data = torch.tensor(theirs.intercept_visible_)
    made.hidden.data = torch.tensor(theirs.intercept_hidden_)
    answer = made(data)
    torch.testing.assert_close(answer["free_energy"], torch.tensor(theirs._free_energy(data.numpy())))
    torch.testing.assert_close(answer["hidden"], torch.tensor(theirs.transform(data.numpy())))
    before, drawn_there = made.weight.data.clone(), torch.tensor(theirs.h_samples_)
    seen = made.visible_chances(drawn_there)
    assert len(seen) == 10, "as many chains as a batch of theirs has examples"
    # a step of theirs: the chains' statistic against the data's, as the gradient here
    made.chains = fire(seen)
    negative, few = made.chains.clone(), data[: len(seen)]
    loss = made.energy(few).mean() - made.energy(negative).mean()
    loss.backward()
    step = few.T @ made.hidden_chances(few) - negative.T @ made.hidden_chances(negative)
    assert made.weight.grad is not None
    torch.testing.assert_close(-made.weight.grad, (step.T / len(few)).detach())
    assert torch.equal(before, made.weight)


def test_gibbs_sampling_settles_to_the_machines_chances() -> None:
    made = machine(3, 2, 0.8)
    found = made.gibbs(torch.zeros(40_000, 3, dtype=torch.float64), 25, torch.Generator().manual_seed(0))
    places = (found @ torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)).long()
    shares = torch.bincount(places, minlength=8) / 40_000
    expected = joint(made).sum(1)
    assert bool(((shares - expected).abs() < 5 * (expected * (1 - expected) / 40_000).sqrt()).all())


def test_persistent_chains_go_on_in_training_only_and_are_kept() -> None:
    made, batch = machine(), Batch(states(4))
    before = made.chains.clone()
    persistent = ContrastiveDivergence(persistent=True)
    torch.manual_seed(0)
    persistent(made.eval(), batch)
    assert torch.equal(made.chains, before)
    persistent(made.train(), batch)
    assert not torch.equal(made.chains, before)
    kept = made.chains.clone()
    ContrastiveDivergence()(made, batch)
    assert torch.equal(made.chains, kept)
    assert "chains" in made.state_dict()
    made.chains = torch.zeros(5, 4, dtype=torch.float64)
    torch.manual_seed(0)
    expected = made.gibbs(made.chains, 1)
    torch.manual_seed(0)
    _, loss = persistent(made, batch)
    torch.testing.assert_close(loss, made.energy(states(4)).mean() - made.energy(expected).mean())


def bars(count: int) -> Tensor:
    """Pictures of 3 x 3 with each column on or off."""
    stream = torch.Generator().manual_seed(0)
    return torch.randint(2, (count, 1, 1, 3), generator=stream).float().expand(-1, 1, 3, 3).contiguous()


@pytest.mark.parametrize(
    ("objective", "rate"), [(ContrastiveDivergence(3), 0.05), (ContrastiveDivergence(10, persistent=True), 0.03)]
)
def test_it_learns_what_is_likely_and_is_resumed_to_the_bit(objective: ContrastiveDivergence, rate: float) -> None:
    data = TensorBatches(bars(200), batch_size=50)

    def engine() -> Engine:
        torch.manual_seed(0)
        return Engine(BoltzmannMachine((1, 3, 3), 6), Turn(objective, Adam(lr=rate).build), device="cpu")

    done = engine().fit(data, steps=300)
    made: Any = done.model
    mean = log_likelihood(made, bars(200), exact_log_partition(made)).mean()
    assert mean > -3.0  # ln 8 is 2.08; pixels each for itself give 9 ln 2 = 6.2
    first = engine().fit(data, steps=70)
    second = engine()
    second.load_state_dict(first.state_dict())
    second.fit(data, steps=300)
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    samples = drawn(made, 200, 50, seed=1).round()
    assert (samples == samples[:, :, :1]).flatten(1).all(1).float().mean() > 0.7, "columns are on or off"
    assert len(samples.flatten(1).unique(dim=0)) >= 6


def test_layers_are_taught_one_after_another() -> None:
    torch.manual_seed(0)
    net = DeepBeliefNet((1, 3, 3), (5, 4), outputs=2)
    objective = Layerwise(ContrastiveDivergence())
    for layer in (0, 1):
        net.zero_grad()
        objective(net, Batch(bars(20), torch.full((20,), layer)))[1].backward()
        moved = {name.rsplit(".", 1)[0] for name, one in net.named_parameters() if one.grad is not None}
        assert moved == {f"layers.{layer}"}
    torch.manual_seed(5)
    _, found = objective(net, Batch(bars(20), torch.ones(20, dtype=torch.int64)))
    torch.manual_seed(5)
    with torch.no_grad():
        handed = net.machine(0).hidden_chances(bars(20).flatten(1))
    _, expected = ContrastiveDivergence()(net.machine(1), Batch(handed))
    torch.testing.assert_close(found, expected)


def test_a_stack_hands_up_and_down_by_sigmoids() -> None:
    torch.manual_seed(0)
    net = DeepBeliefNet((4,), (3, 2), outputs=5)
    x = torch.rand(6, 4)
    one, two = net.machine(0), net.machine(1)
    first = (x @ one.weight.T + one.hidden).sigmoid()
    second = (first @ two.weight.T + two.hidden).sigmoid()
    torch.testing.assert_close(net(x), second @ net.head.weight.T + net.head.bias)
    down = ((second @ two.weight + two.visible).sigmoid() @ one.weight + one.visible).sigmoid()
    torch.testing.assert_close(net.down(second, 2), down)
    errors = made_again(net, x)
    torch.testing.assert_close(errors[1], (down - x).square().mean(1))
    assert net.down(second, 2, torch.Generator().manual_seed(0)).shape == (6, 4)
    assert not torch.equal(net.down(second, 2, torch.Generator().manual_seed(0)), down)


def run(folder: Path, words: list[str], name: str) -> tuple[BoltzmannLearning, Any, Any, Any]:
    """Train a few steps by the recipe."""
    recipe = resolve(name, words)
    task = BoltzmannLearning()
    torch.manual_seed(0)
    job = task.prepare(recipe, quiet=True)
    engine = Engine(job.model, job.turns, seed=0, device="cpu").fit(job.batches, epochs=recipe.epochs)
    task.save(recipe, engine.trained(), folder)
    (folder / "recipe.yaml").write_text(to_yaml(recipe.settings()))
    return task, recipe, job, engine.trained()


def test_a_run_of_a_machine_is_judged_drawn_and_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.tasks.boltzmann_judged.TEMPERATURES", 300)
    monkeypatch.setattr("locution.tasks.boltzmann_judged.CHAINS", 100)
    monkeypatch.setattr("locution.tasks.boltzmann_judged.LADDER", (10, 30))
    monkeypatch.setattr("locution.tasks.boltzmann_judged.STEPS", 20)
    task, recipe, job, model = run(tmp_path, ["epochs=3", "model.hidden=6"], "digits/boltzmann")
    results = task.evaluate(recipe, job, model)
    figures = {metric.name: metric.value for metric in results.metrics}
    exact = exact_log_partition(model)
    assert figures["log_partition"] == pytest.approx(exact)
    assert figures["partition_error"] == pytest.approx(abs(math.expm1(figures["annealed"] - exact)))
    assert figures["partition_error"] < 0.05
    held = job.data.test.inputs
    assert figures["log_likelihood"] == pytest.approx(float(log_likelihood(model, held, exact).mean()))
    base = log_odds(job.data.train.inputs).double()
    alone = torch.distributions.Bernoulli(logits=base).log_prob(held.flatten(1).double()).sum(1).mean()
    assert figures["independent_pixels"] == pytest.approx(float(alone), abs=1e-4)
    assert [one.title for one in results.galleries] == ["Filters", "Reconstructions", "Samples"]
    assert results.galleries[1].pictures.shape == (2, 12, 8, 8)
    assert "counted" in results.graphs[0].lines
    temperatures = results.graphs[0].lines["annealed"][0]
    assert temperatures == [10.0, 30.0]
    assert results.graphs[0].log == "x"
    made = task.sample(recipe, tmp_path, 16, 3, BoltzmannSampling(steps=5))
    assert made.values.shape == (16, 1, 8, 8)
    assert torch.equal(made.values, task.sample(recipe, tmp_path, 16, 3, BoltzmannSampling(steps=5)).values)
    assert not torch.equal(made.values, task.sample(recipe, tmp_path, 16, 4, BoltzmannSampling(steps=5)).values)
    (line,) = task.predict(recipe, tmp_path, ["test:3"])
    likely = float(log_likelihood(model, held[3:4], exact))
    assert line.startswith(f"log-likelihood {likely:.1f} (free energy ")


def test_a_large_machine_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    from locution.reporting.results import RunResults
    from locution.tasks import boltzmann_judged

    for name, value in (("TEMPERATURES", 50), ("CHAINS", 20), ("LADDER", (5, 10)), ("STEPS", 5)):
        monkeypatch.setattr(boltzmann_judged, name, value)
    results, data = RunResults("wide"), fire(torch.full((20, 30), 0.5))
    boltzmann_judged.judge_machine(results, BoltzmannMachine((30,), 24), data, data)
    assert not {"log_partition", "partition_error"} & {metric.name for metric in results.metrics}
    assert results.metrics[0].note.endswith("estimated")
    assert not results.galleries, "these are no pictures"


def test_a_run_of_a_stack_is_judged_drawn_and_sampled(tmp_path: Path) -> None:
    task, recipe, job, model = run(tmp_path, ["epochs=4", "model.widths=[12,8]"], "digits/belief_layers")
    results = task.evaluate(recipe, job, model)
    assert [task.targets.unique().tolist() for task in job.batches.tasks] == [[0], [1]]
    names = [metric.name for metric in results.metrics]
    assert names == ["reconstruction_1", "reconstruction_2", "mean_picture"]
    assert results.galleries[1].pictures.shape == (3, 12, 8, 8)
    assert task.sample(recipe, tmp_path, 2, 0, BoltzmannSampling(steps=3)).values.shape == (2, 1, 8, 8)
    (line,) = task.predict(recipe, tmp_path, ["test:0"])
    assert set(line.split(" ")[0]) <= {"0", "1"}
    assert len(line.split(" ")[0]) == 8


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("digits/boltzmann", ["objective={name: elbo}"], "objective 'elbo' trains no Boltzmann machine; allowed here"),
        ("digits/boltzmann", ["model={name: mlp}"], "model 'mlp' is no Boltzmann machine; allowed: boltzmann, belief"),
        ("digits/belief_layers", ["epochs=7"], "epochs is 7; allowed: a multiple of 3"),
        ("digits/belief_layers", ["steps=30"], "epochs is None; allowed: a multiple of 3"),
    ],
)
def test_what_is_no_boltzmann_machine_is_refused(name: str, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        BoltzmannLearning().prepare(resolve(name, words), quiet=True)


def test_settings_that_mean_nothing_are_refused() -> None:
    for make, said in (
        (lambda: BoltzmannModel(hidden=0), "model.hidden is 0; allowed: a whole number from 1"),
        (lambda: BoltzmannModel(chains=0), "model.chains is 0; allowed: a whole number from 1"),
        (lambda: BeliefModel(widths=()), r"model.widths is \[\]; allowed: one or more whole numbers"),
        (lambda: BeliefModel(chains=0), "model.chains is 0"),
        (lambda: ContrastiveDivergence(steps=0), "objective.steps is 0; allowed: a whole number from 1"),
        (lambda: BoltzmannSampling(steps=0), "sampling.steps is 0; allowed: a whole number from 1"),
        (lambda: BoltzmannModel().build((), 1), r"model boltzmann came upon inputs \(\); allowed"),
        (lambda: exact_log_partition(BoltzmannMachine((30,), 30)), "the smaller side has 30 units; allowed: up to 25"),
        (lambda: annealed_importance_sampling(machine(), 0), "temperatures is 0; allowed"),
        (lambda: annealed_importance_sampling(machine(), chains=1), "chains is 1; allowed"),
        (
            lambda: ContrastiveDivergence()(DeepBeliefNet((2,), (2,), 2), Batch(torch.ones(1, 2))),
            "DeepBeliefNet; allow",
        ),
    ):
        with pytest.raises(UserError, match=said):
            make()
