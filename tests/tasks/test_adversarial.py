"""The task of GANs: two turns over real batches, resumed to the bit, judged by what they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.ring import RingData
from locution.engine import Engine, Method, Observer, Record, Stop
from locution.errors import UserError
from locution.evaluation.generated import gaussian_fit
from locution.models.gan import GAN
from locution.models.spectral_norm import normalised_layers
from locution.recipe import Recipe, resolve
from locution.reporting.results import RunResults
from locution.runs import train
from locution.tasks.abilities import abilities
from locution.tasks.adversarial import AdversarialTraining, GANSampling, made
from locution.tasks.adversarial_judged import ModesWatch, judge_modes, judge_points
from locution.vocabulary.lookup import part

SMALL = ["model.widths=[16]", "data.train=60", "data.batch_size=16"]  # the last batch of an epoch has 12


def recipe(*words: str, name: str = "ring") -> Recipe:
    return resolve(name, [*SMALL, *words])


def run(
    steps: int, *words: str, stop: int | None = None, state: Any = None, name: str = "ring", **settings: Any
) -> Engine:
    class StopAt(Observer):
        name = "stop_at"

        def watch(self, record: Record) -> Stop | None:
            return Stop("for the test") if record.kind == "step" and record.step == stop else None

    asked = recipe(*words, name=name)
    torch.manual_seed(0)
    job = AdversarialTraining().prepare(asked, quiet=True)
    engine = Engine(
        job.model, job.turns, asked.built_methods(), observers=[StopAt()], device="cpu", log_every=1, **settings
    )
    if state is not None:
        engine.load_state_dict(state)
    return engine.fit(job.batches, steps=steps)


def same(one: nn.Module, other: nn.Module, within: float = 0.0) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.allclose(mine[name], theirs[name], rtol=0, atol=within) for name in mine)


@pytest.mark.parametrize("objective", ["wasserstein_gan", "gan_loss", "hinge_gan"])
@pytest.mark.parametrize("stop", [3, 4, 7])
def test_a_run_goes_on_to_the_bit(objective: str, stop: int) -> None:
    words = [f"objective={{name: {objective}, critic_steps: 2}}"]
    straight, stopped = run(10, *words), run(10, *words, stop=stop)
    resumed = run(10, *words, state=stopped.state_dict())
    assert same(straight.model, resumed.model)
    assert same(straight.trained(), resumed.trained())
    assert not same(straight.model, stopped.model)


@pytest.mark.parametrize("objective", ["wasserstein_gan", "gan_loss", "hinge_gan"])
def test_micro_batches_give_the_update_of_the_whole_batch(objective: str) -> None:
    words = [f"objective={{name: {objective}, critic_steps: 2}}", "-averaging", "optimizer={name: sgd, lr: 0.05}"]
    whole = run(9, *words)
    for accumulate in (3, 16):
        assert same(whole.model, run(9, *words, accumulate=accumulate).model, within=2e-5)


@pytest.mark.parametrize("methods", [["+sam"], ["+clipping"], ["+lookahead"], ["+one_cycle"], ["+sam", "+clipping"]])
def test_methods_train_both_sides(methods: Sequence[str]) -> None:
    plain, changed = run(8), run(8, *methods)
    for side in ("generator", "critic"):
        one, other = (getattr(engine.model, side) for engine in (plain, changed))
        assert not same(one, other)
        assert all(bool(weight.isfinite().all()) for weight in other.parameters())


def test_averaging_hands_out_the_mean_of_the_generator_too() -> None:
    engine = run(8)
    assert not same(engine.model.generator, engine.trained().generator)  # type: ignore[arg-type]


def test_spectral_normalisation_bounds_the_critic_alone() -> None:
    words = ["+spectral_norm", "+spectral_norm.layers=critic.*", "objective={name: hinge_gan}"]
    engine = run(40, *words)
    gan: Any = engine.model
    assert len(normalised_layers(gan.critic)) == 2
    assert not normalised_layers(gan.generator)
    for layer, _, _ in normalised_layers(gan.critic):
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), ord=2)) == pytest.approx(1.0, abs=0.01)  # type: ignore[arg-type]
    trained: Any = engine.trained()
    x, y = torch.randn(2, 500, 2)
    with torch.no_grad():
        moved = (trained.score(x) - trained.score(y)).abs() / (x - y).norm(dim=1)
    assert moved.max() <= 1.001  # no slope above 1 anywhere
    assert any(
        float(torch.linalg.matrix_norm(p.detach(), ord=2)) > 1.2 for p in trained.generator.parameters() if p.dim() == 2
    )


def test_spectral_normalisation_goes_with_a_gradient_penalty() -> None:
    engine = run(6, "+spectral_norm", "+spectral_norm.layers=critic.*")
    assert all(bool(weight.isfinite().all()) for weight in engine.model.parameters())


def test_the_generator_acts_as_seldom_as_the_objective_says() -> None:
    seen: list[Tensor] = []

    class Follows(Method):
        name = "follows"

        def update(self, model: nn.Module, step: Any) -> None:
            assert isinstance(model, GAN)
            seen.append(next(model.generator.parameters()).detach().clone())

    job = AdversarialTraining().prepare(recipe("objective.critic_steps=3"), quiet=True)
    Engine(job.model, job.turns, [Follows()], device="cpu").fit(job.batches, steps=7)
    moved = [not torch.equal(one, other) for one, other in pairwise(seen)]
    assert moved == [False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["objective={name: mse}"],
            "objective 'mse' has no two sides; allowed here: gan_loss, wasserstein_gan, hinge_gan",
        ),
        (["model={name: mlp}"], "model 'mlp' has no two sides; allowed here: gan."),
        (["data={name: adding}"], "allowed"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        AdversarialTraining().prepare(resolve("ring", words), quiet=True)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_task_refuses_the_objective_in_one_line() -> None:
    with pytest.raises(UserError, match="without a generator and a critic; allowed: model gan"):
        train("digits", "objective={name: gan_loss}", "steps=1", quiet=True)


def gan(points: Tensor) -> Any:
    """A GAN whose generator makes given points, whatever the noise."""

    class Points(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, noise: Tensor) -> Tensor:
            return points[torch.arange(len(noise)) % len(points)]

    return GAN(Points(), nn.Linear(2, 1), latents=1)


def test_modes_are_watched_as_training_goes_on_without_changing_it() -> None:
    data = RingData()
    (watch,) = ModesWatch.of(data)
    record = Record("epoch", 1, 1, 0.0, 0.1, 1, 0.0)
    perfect = gan(data.truth().means)
    assert watch.measure(perfect, record) == {"covered_modes": 8.0, "high_quality": 1.0}
    half = gan(torch.cat([data.truth().means[:4], torch.full((4, 2), 9.0)]))
    assert watch.measure(half, record) == {"covered_modes": 4.0, "high_quality": pytest.approx(0.5, abs=0.01)}
    torch.manual_seed(0)
    net = part("model", "gan")().build((2,), 0).eval()
    middle = net.sample(500, torch.Generator().manual_seed(0)).detach()
    wide = ModesWatch(replace(data.truth(), deviations=torch.cdist(data.truth().means, middle).median(1).values / 3))
    state = torch.get_rng_state()
    seen = wide.measure(net, record)
    assert 0.01 < seen["high_quality"] < 0.99
    assert wide.measure(net, record) == seen  # always with the same noise
    assert torch.equal(state, torch.get_rng_state())
    assert ModesWatch.of(part("data", "two_moons")()) == []  # a line has no modes
    assert ModesWatch.of(part("data", "digits")()) == []


def test_a_collapse_is_said_and_full_coverage_is_not() -> None:
    data = RingData().load(0)
    truth = RingData().truth()
    full, gone = RunResults("a"), RunResults("b")
    judge_modes(full, truth, data, truth.draw(2500, torch.Generator().manual_seed(0))[0])
    judge_modes(gone, truth, data, truth.means[:3].repeat(100, 1))
    assert full.warnings == []
    assert full.metrics[0].value == 8.0
    assert len(gone.warnings) == 1
    assert gone.warnings[0].startswith("mode collapse: 5 of 8 modes")
    assert {metric.name: metric.value for metric in gone.metrics} == {"covered_modes": 3.0, "high_quality": 1.0}


def test_what_the_critic_still_sees_is_the_real_points_score_less_the_samples() -> None:
    held, results = torch.tensor([[1.0], [3.0]]), RunResults("a line")
    net = gan(torch.zeros(2, 1))
    net.critic = nn.Linear(1, 1)
    nn.init.constant_(net.critic.weight, 2.0)
    judge_points(results, net, None, held, held, lambda count, seed: torch.tensor([[0.0], [2.0]])[:count])
    figures = {metric.name: metric.value for metric in results.metrics}
    assert figures == {"wasserstein": 1.0, "critic_gap": pytest.approx(2.0)}  # one to the left, at a slope of 2
    assert [graph.title for graph in results.graphs] == ["What must be moved along the first axis"]
    assert results.drawings == []


def test_a_gaussian_fit_has_the_moments_of_the_pictures() -> None:
    stream = torch.Generator().manual_seed(0)
    pictures = 0.5 + 0.05 * torch.randn(400, 1, 2, 2, generator=stream).cumsum(3)
    drawn = gaussian_fit(pictures, 4000)
    assert drawn.shape == (4000, 1, 2, 2)
    torch.testing.assert_close(drawn.mean(0), pictures.mean(0), atol=0.01, rtol=0)
    covariances = [torch.cov(some.flatten(1).T) for some in (drawn, pictures)]
    torch.testing.assert_close(*covariances, atol=5e-4, rtol=0)


def test_a_run_of_points_is_trained_judged_sampled_and_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "steps=6", "data.test=80", f"run_dir={tmp_path}/ring"]
    trained = train("ring", *words)
    said = capsys.readouterr().out
    assert "warning: mode collapse: 8 of 8 modes have less than 0.1 of their share" in said
    assert "Try more steps." in said  # the loss is the one that is known to help
    assert "Try objective.name=wasserstein_gan" not in said
    figures = trained.results["metrics"]
    assert set(figures) == {"covered_modes", "high_quality", "wasserstein", "critic_gap"}
    page = (trained.folder / "report.html").read_text()
    for title in ("Samples, over the true density", "What must be moved", "Loss of each turn", "along the first axis"):
        assert title in page
    assert "covered modes" in page  # the curve
    assert abilities(trained.task) == ["evaluate", "predict", "sample"]
    asked = [(1, 1.0), (1, 1.0), (2, 1.0), (1, 0.5)]
    drawn, again, other, near = (
        trained.task.sample(trained.recipe, trained.folder, 30, seed, GANSampling(scale))  # type: ignore[attr-defined]
        for seed, scale in asked
    )
    assert drawn.values.shape == (30, 2)
    assert torch.equal(drawn.values, again.values)
    assert not torch.equal(drawn.values, other.values)
    assert near.values.std() < drawn.values.std()
    assert len(drawn.galleries) == 1
    assert trained.predict(["2,0"])[0].startswith("critic's score ")
    assert trained.evaluate().as_json()["metrics"] == figures


def test_a_run_of_pictures_is_judged_beside_a_gaussian_fit(tmp_path: Path) -> None:
    words = ["steps=6", "model.widths=[8]", "data.limit=200", f"run_dir={tmp_path}/digits"]
    trained = train("digits/gan", *words, quiet=True)
    figures = trained.results["metrics"]
    kinds = ("", "_gaussian_fit", "_held_out")
    assert {f"{name}{kind}" for name in ("recognised", "frechet") for kind in kinds} <= set(figures)
    assert figures["recognised_held_out"]["value"] > 0.5 > figures["recognised"]["value"]
    assert figures["frechet_held_out"]["value"] < figures["frechet_gaussian_fit"]["value"] < figures["frechet"]["value"]
    assert figures["recognised"]["low"] is not None
    page = (trained.folder / "report.html").read_text()
    for title in ("Samples and what they are nearest to", "Samples beside others", "mode collapse: "):
        assert title in page
    drawn = trained.task.sample(trained.recipe, trained.folder, 13, 0, GANSampling())  # type: ignore[attr-defined]
    assert drawn.values.shape == (13, 1, 8, 8)
    assert 0 <= drawn.values.min() <= drawn.values.max() <= 1


def test_a_class_is_asked_for_and_made(tmp_path: Path) -> None:
    words = ["steps=6", "model.widths=[8]", "model.conditional=true", "data.limit=200", f"run_dir={tmp_path}/digits"]
    trained = train("digits/gan", *words, quiet=True)
    assert {"as_asked", "recall", "data_copying"} <= set(trained.results["metrics"])

    def sample(count: int, label: Any) -> Tensor:
        wishes = GANSampling(label=label)
        return trained.task.sample(trained.recipe, trained.folder, count, 0, wishes).values  # type: ignore[attr-defined, no-any-return]

    three, all_of_them = sample(20, 3), sample(20, None)
    assert torch.equal(three[3], all_of_them[3])  # all by turns: the fourth is a three
    assert not torch.equal(three[4], all_of_them[4])
    assert torch.equal(sample(20, "3"), three)
    with pytest.raises(UserError, match="class of these data"):
        sample(3, "eleven")
    assert trained.predict(["test:0"])[0].startswith("critic's score ")


def test_a_run_that_is_told_no_class_cannot_be_asked_for_one(tmp_path: Path) -> None:
    trained = train("ring", *SMALL, "steps=2", "data.test=80", f"run_dir={tmp_path}/ring", quiet=True)
    with pytest.raises(UserError, match="label came to a run that is told no class"):
        trained.task.sample(trained.recipe, trained.folder, 3, 0, GANSampling(label=1))  # type: ignore[attr-defined]


def test_a_conditional_run_goes_on_to_the_bit_and_its_micro_batches_add_up() -> None:
    words = ["model.conditional=true", "-averaging", "optimizer={name: sgd, lr: 0.05}"]
    straight, stopped = run(8, *words), run(8, *words, stop=5)
    assert same(straight.model, run(8, *words, state=stopped.state_dict()).model)
    assert same(straight.model, run(8, *words, accumulate=3).model, within=2e-5)
    assert not same(straight.model.generator, run(5, *words).model.generator)  # type: ignore[arg-type]


def test_many_samples_are_made_in_pieces_and_few_are_their_beginning() -> None:
    net = part("model", "gan")().build((2,), 0)
    many = made(net, 1500, seed=3)
    assert many.shape == (1500, 2)
    assert torch.allclose(many[:7], made(net, 7, seed=3))
    assert not torch.allclose(many[:7], made(net, 7, seed=4))
    assert len(many.unique(dim=0)) == 1500


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_all_modes_of_the_ring_are_covered_on_every_seed(seed: int, tmp_path: Path) -> None:
    figures = train("ring", f"seed={seed}", f"run_dir={tmp_path}/ring", quiet=True).results["metrics"]
    assert figures["covered_modes"]["value"] == 8.0
    assert figures["high_quality"]["value"] > 0.9


@pytest.mark.long
def test_the_plain_loss_leaves_modes_out_and_the_run_says_so(tmp_path: Path) -> None:
    results = train("ring/plain", f"run_dir={tmp_path}/plain", quiet=True).results
    assert results["metrics"]["covered_modes"]["value"] <= 5.0
    assert results["metrics"]["high_quality"]["value"] > 0.8  # what it makes is real: it is not that it has not learnt
    assert any(line.startswith("mode collapse:") for line in results["warnings"])
