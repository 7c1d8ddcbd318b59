"""Runs of normalising flows: trained, judged against the truth, asked and drawn from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from locution.data.gaussian_mixture import GaussianMixture
from locution.errors import UserError
from locution.losses.likelihood import NegativeLogLikelihood
from locution.models.flow import Flow
from locution.models.invertible import ActNorm
from locution.recipe import resolve
from locution.runs import Run, train
from locution.tasks.abilities import CanSample
from locution.tasks.density import DensityEstimation, DensitySampling
from locution.tasks.density_judged import gaussian_surprise, invertibility, likelihoods

SMALL = {
    "moons": ("two_moons/flow", "data.labels=200", "data.test=100", "model.steps=2", "model.widths=[8]", "steps=5"),
    "mixture": ("mixture/flow", "data.train=200", "data.test=100", "model.steps=2", "model.widths=[8]", "steps=5"),
    "digits": ("digits/flow", "data.limit=100", "model.steps=1", "model.widths=[8]", "steps=3"),
}


@pytest.fixture(scope="module", params=SMALL)
def run(request: Any, tmp_path_factory: Any) -> Run:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp(request.param)
    return train(*SMALL[request.param], f"run_dir={folder}/run", quiet=True)


def draw(run: Run, seed: int = 0, **wishes: Any) -> torch.Tensor:
    return DensityEstimation().sample(run.recipe, run.folder, 12, seed, DensitySampling(**wishes)).values


def test_a_run_is_judged_and_has_its_pictures(run: Run) -> None:
    digits = run.recipe.name == "digits/flow"
    metrics = run.results["metrics"]
    assert set(metrics) == {"nll", "round_trip", "jacobian", "energy_distance"} | (
        {"bits_per_dimension"} if digits else {"gap"}
    )
    assert metrics["round_trip"]["value"] <= 1e-5
    assert metrics["jacobian"]["value"] <= 1e-9
    assert ("Drawn from noise" if digits else "The plane") in (run.folder / "report.html").read_text()
    assert run.evaluate().as_json()["metrics"] == metrics


def test_the_same_seed_draws_the_same_in_the_units_of_the_data(run: Run) -> None:
    assert isinstance(run.task, CanSample)
    one = draw(run)
    assert torch.equal(one, draw(run))
    assert not torch.equal(one, draw(run, seed=1))
    assert not torch.equal(one, draw(run, temperature=0.5))
    if run.recipe.name == "digits/flow":
        assert one.shape == (12, 1, 8, 8)
        assert torch.equal((one * 16).round() / 16, one)  # values that a digit can have
        assert 0 <= one.min() <= one.max() <= 1


def test_inputs_are_answered_with_how_likely_they_are(run: Run) -> None:
    near, far = ("test:0", ",".join(["1", "0"] * 32)) if run.recipe.name == "digits/flow" else ("test:0", "50,50")
    likely, unlikely = (float(line.split()[1]) for line in run.predict([near, far]))
    assert likely > unlikely


def test_training_begins_with_actnorms_that_fit_the_data() -> None:
    job = DensityEstimation().prepare(resolve("mixture/flow", ["data.train=500"]), quiet=True)
    assert isinstance(job.model, Flow)
    first = next(step for step in job.model.steps if isinstance(step, ActNorm))
    y, _ = first(job.data.train.inputs)
    assert y.mean(0).abs().max() < 1e-4
    assert (y.std(0, correction=0) - 1).abs().max() < 1e-3


def test_the_gap_is_how_much_more_surprised_a_flow_is_than_the_truth() -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    flow = Flow((2,), [ActNorm(2)])  # a standard Gaussian, as long as nothing is learnt
    for deviation in (1.0, 0.5):
        truth = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([deviation]))
        found = {one.name: one.value for one in likelihoods(flow, NegativeLogLikelihood(), x, x, truth)}
        squares = float(x.square().sum(1).mean())
        theirs = 0.5 * squares / deviation**2 + math.log(2 * math.pi * deviation**2)
        assert found["nll"] == pytest.approx(0.5 * squares + math.log(2 * math.pi), abs=1e-4)
        assert found["gap"] == pytest.approx(found["nll"] - theirs, abs=1e-4)


def test_bits_are_nats_over_two_and_the_size_for_the_gaussian_beside_it_too() -> None:
    x = torch.randint(5, (200, 1, 2, 3), generator=torch.Generator().manual_seed(0)) / 4
    flow = Flow((1, 2, 3), [ActNorm(1)])
    nll, bits = likelihoods(flow, NegativeLogLikelihood(levels=5), x, x, None)
    assert bits.value == pytest.approx(nll.value / (6 * math.log(2)), abs=1e-3)
    nats, other = (float(one.note.rpartition(" ")[2]) for one in (nll, bits))
    assert other == pytest.approx(nats / (6 * math.log(2)), abs=0.006)
    even = math.log(5) + 0.5 * math.log(2 * math.pi * math.e / 12)  # five values, each spread evenly: of variance 1/12
    assert nats == pytest.approx(6 * even, rel=0.01)
    assert bits.note.startswith(f"knowing nothing: {math.log2(5):.2f}; ")


def test_a_gaussian_is_surprised_by_its_entropy() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 2, generator=draw) @ torch.tensor([[2.0, 0.0], [1.0, 0.5]]) + 3
    # ln 2 pi e + ln |2 x 0.5|
    assert gaussian_surprise(x[:10_000], x[10_000:]).mean().item() == pytest.approx(2.8379, abs=0.04)


def test_a_flow_that_misstates_its_volumes_or_is_not_undone_is_told() -> None:
    class Wrong(ActNorm):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, grown = super().forward(x)
            return y * 2, grown

    back, volumes = invertibility(Flow((2,), [Wrong(2)]), torch.ones(10, 2))
    assert back.value == pytest.approx(1.0)
    assert volumes.value == pytest.approx(1.3863, abs=1e-3)  # 2 ln 2


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("mixture/flow", ["objective={name: mse}"], "measures no likelihood"),
        ("mixture/flow", ["objective.levels=17"], "hold other values"),
        ("digits/flow", ["objective.levels=10"], "hold other values"),
        ("mixture/flow", ["model={name: mlp}"], "answered with Tensor"),
        ("mixture/flow", ["data={name: line}"], "two numbers or more"),
    ],
)
def test_what_cannot_be_learnt_so_is_refused(recipe: str, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        DensityEstimation().prepare(resolve(recipe, words), quiet=True)


@pytest.mark.long
@pytest.mark.parametrize(("recipe", "most"), [("two_moons/flow", 0.05), ("mixture/flow", 0.06)])
def test_the_density_is_near_the_true_one_and_the_way_back_returns(recipe: str, most: float, tmp_path: Path) -> None:
    metrics = train(recipe, f"run_dir={tmp_path}/run", quiet=True).results["metrics"]
    assert 0 <= metrics["gap"]["value"] <= most
    assert metrics["round_trip"]["value"] <= 1e-5


@pytest.mark.long
def test_digits_are_less_surprising_to_a_flow_than_to_a_gaussian(tmp_path: Path) -> None:
    metrics = train("digits/flow", f"run_dir={tmp_path}/run", quiet=True).results["metrics"]
    assert metrics["bits_per_dimension"]["value"] <= 2.3  # a Gaussian: 2.92
    assert metrics["round_trip"]["value"] <= 1e-5
