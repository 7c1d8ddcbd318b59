"""Runs of diffusion models: trained, judged, asked and drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from locution.data.dataset import Dataset
from locution.data.digits import DigitsData
from locution.data.gaussian_mixture import GaussianMixture, GaussianMixtureData
from locution.engine import TensorBatches
from locution.engine.random import generator
from locution.errors import UserError
from locution.evaluation.energy_distance import energy_distance
from locution.models.diffusion import predicted_noise
from locution.models.noise_levels import NoiseLevels
from locution.recipe import resolve
from locution.reporting.results import RunResults
from locution.runs import Run, train
from locution.tasks import diffusion, diffusion_judged
from locution.tasks.abilities import CanSample
from locution.tasks.clouds import corners, crowd, density_picture, gallery_of
from locution.tasks.diffusion import Diffusion, DiffusionSampling, ready
from locution.tasks.diffusion_judged import judge_pictures, judge_points, ways_back
from locution.vocabulary.lookup import part

SMALL = {
    "points": ("mixture/score", "data.train=300", "data.test=100", "model.widths=[16]", "steps=5"),
    "digits": ("digits/diffusion", "data.limit=100", "model.widths=[4,8]", "objective.levels=20", "steps=3"),
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge by few examples."""
    monkeypatch.setattr(diffusion_judged, "JUDGED", 40)
    monkeypatch.setattr(diffusion_judged, "COMPARED", 40)
    monkeypatch.setattr(diffusion_judged, "POINTS", 200)


@pytest.fixture(scope="module", params=SMALL)
def run(request: Any, tmp_path_factory: Any) -> Run:
    """A run of a few steps, judged by few examples."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion_judged, "JUDGED", 40)
        patch.setattr(diffusion_judged, "COMPARED", 40)
        patch.setattr(diffusion_judged, "POINTS", 200)
        return train(*SMALL[request.param], f"run_dir={folder}/run", quiet=True)


def draw(run: Run, count: int = 12, seed: int = 0, **wishes: Any) -> torch.Tensor:
    values = Diffusion().sample(run.recipe, run.folder, count, seed, DiffusionSampling(**wishes)).values
    assert values.shape[0] == count
    return values


def test_a_run_is_judged_and_has_its_pictures(run: Run) -> None:
    points = run.recipe.name == "mixture/score"
    found = set(run.results["metrics"])
    assert found == (
        {"score_error", "score_error_mean", "share_error", "energy_distance"}
        if points
        else {"recognised", "recognised_guided", "energy_distance"}
    )
    page = (run.folder / "report.html").read_text()
    wanted = ("The plane", "Relative error") if points else ("Drawn with guidance 2", "What guidance does")
    assert all(words in page for words in wanted)
    assert "log10" not in page, "axes that span powers of ten are logarithmic, in the units of what is measured"


def test_the_same_seed_draws_the_same_and_another_seed_others(run: Run) -> None:
    assert isinstance(run.task, CanSample)
    one = draw(run, steps=4)
    assert torch.equal(one, draw(run, steps=4))
    assert not torch.equal(one, draw(run, seed=1, steps=4))
    assert not torch.equal(one, draw(run, steps=4, eta=1.0))
    assert not torch.equal(one, draw(run, kind="ddpm"))
    if run.recipe.name == "digits/diffusion":
        assert one.shape == (12, 1, 8, 8)
        assert 0 <= one.min() <= one.max() <= 1


def test_many_are_drawn_in_parts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "CHUNK", 5)
    found = draw(run, count=12, steps=2)
    assert len(found.flatten(1).unique(dim=0)) == 12  # no part begins from the noise of another


def test_classes_and_guidance_are_for_runs_that_are_told(run: Run) -> None:
    if run.recipe.name == "digits/diffusion":
        plain, guided = draw(run, label=3, guidance=0.0, steps=3), draw(run, label="3", guidance=4.0, steps=3)
        assert not torch.equal(plain, guided)
        assert not torch.equal(plain, draw(run, label=4, guidance=0.0, steps=3))
        with pytest.raises(UserError, match="'12' is no class of these data"):
            draw(run, label=12)
        with pytest.raises(UserError, match="langevin"):
            draw(run, kind="langevin")
    else:
        for wish in ({"label": 1}, {"guidance": 1.0}):
            with pytest.raises(UserError, match="told no class"):
                draw(run, **wish)
        assert draw(run, kind="langevin").isfinite().all()


def test_inputs_are_answered(run: Run) -> None:
    if run.recipe.name == "digits/diffusion":
        one, other = run.predict(["test:0", "test:1"])
        assert one.startswith("noise prediction loss ")
        assert one != other
        assert "score" not in one
    else:
        assert ", score " in run.predict(["0.5,1"])[0]
        assert run.predict(["test:3"]) == run.predict(["test:3"])


def test_inputs_are_asked_about_on_the_scale_that_was_learnt(run: Run) -> None:
    job = Diffusion().prepare(run.recipe, quiet=True)
    model, levels = run.task.load(run.recipe, job, run.folder), run.recipe.part("objective").noise
    x = job.data.test.inputs[3]  # of pictures from -1 to 1
    at = torch.linspace(1, len(levels), min(100, len(levels))).long()
    noise = torch.randn(len(at), *x.shape, generator=generator(0, "noise"))
    with torch.no_grad():
        said = predicted_noise(model, levels.noised(x.expand(noise.shape), noise, at), levels, at)
        least = predicted_noise(model, x[None], levels, torch.tensor([1]))[0]
    told = run.predict(["test:3"])[0].replace(",", "").split()
    assert float(told[3]) == pytest.approx(float((said - noise).square().mean()), abs=1e-4)
    if run.recipe.name == "mixture/score":
        score = (-least / levels.sigmas[1]).tolist()
        assert [float(one) for one in told[5:]] == pytest.approx(score, abs=1e-3)
    else:
        assert float(x.min()) == -1


class Silent(nn.Module):
    """A network that expects no noise."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return 0 * x


class Knowing(nn.Module):
    """A network that knows of what density the points are, and so which noise to expect."""

    def __init__(self, levels: NoiseLevels, truth: GaussianMixture) -> None:
        super().__init__()
        self.levels, self.truth, self.none = levels, truth, nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        (level,) = (time * len(self.levels)).round().long().unique()
        alpha, sigma = float(self.levels.alphas[level]), float(self.levels.sigmas[level])
        return -sigma * self.truth.noised(alpha, sigma).score(x * (alpha**2 + sigma**2) ** 0.5)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["noise_prediction", "score_matching"])
def test_a_network_that_knows_the_score_has_no_error_and_one_that_says_nothing_errs_by_all_of_it(name: str) -> None:
    levels, truth, draws = part("objective", name)().noise, GaussianMixtureData().truth(), iter(range(9))

    def draw(count: int) -> torch.Tensor:
        return truth.draw(count, generator(next(draws), "drawn in a test"))[0]

    for model, error in ((Knowing(levels, truth), 0.0), (Silent(), 1.0)):
        results = RunResults("points")
        judge_points(results, model, levels, truth, draw)
        found = {metric.name: metric.value for metric in results.metrics}
        assert (found["score_error"], found["score_error_mean"]) == pytest.approx((error, error), abs=1e-3)
        assert found["share_error"] < 5 * (0.24 / 200) ** 0.5  # of a share of 0.4 at most, over 200 draws
        assert found["energy_distance"] < 0.3


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("conditional", [False, True])
def test_real_pictures_pass_for_drawn_ones(conditional: bool) -> None:
    data = ready(DigitsData().load(seed=0), conditional=True)
    held, targets = ((data.test.inputs + 1) / 2, data.test.targets)  # type: ignore[union-attr]

    def draw(count: int, **wishes: Any) -> torch.Tensor:
        if not conditional:
            return held
        return torch.stack([held[targets == number % 10][number // 10] for number in range(count)])

    results = RunResults("digits")
    judge_pictures(results, data, draw, conditional)
    found = {metric.name: metric.value for metric in results.metrics}
    if conditional:
        assert found["recognised"] == found["recognised_guided"] > 0.95
        assert found["energy_distance"] < 0.5  # 40 of each
    else:
        assert found == {"energy_distance": 0.0}


@pytest.mark.usefixtures("few")
def test_kept_weights_are_those_that_were_trained(run: Run) -> None:
    assert run.evaluate().as_json()["metrics"] == run.results["metrics"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective={name: mse}"], "adds no noise"),
        (["model.conditional=true", "data={name: line}"], "no classes"),
    ],
)
def test_what_cannot_be_learnt_so_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Diffusion().prepare(resolve("mixture/score", words), quiet=True)


@pytest.mark.parametrize(
    ("inputs", "shape", "said"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), (2,), "int64; allowed here: fractions"),
        (torch.full((3, 1, 2, 2), 1.5), (1, 2, 2), "leave 0 to 1"),
        (torch.full((3, 1, 2, 2), -0.5), (1, 2, 2), "leave 0 to 1"),
    ],
)
def test_inputs_that_noise_does_not_suit_are_refused(inputs: torch.Tensor, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ready(Dataset(TensorBatches(inputs), inputs=shape), conditional=False)


def test_points_are_counted_in_their_fields_and_densities_stand_upright() -> None:
    low, high = corners(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), rim=0.0)
    picture = crowd(torch.tensor([[0.1, 0.95], [5.0, 5.0]]), low, high, rows=4)
    assert picture[0, 0] == 1  # high up and to the left
    assert picture.sum() == 1  # what lies outside is not seen
    up = density_picture(lambda x: x[:, 1].log(), low, high, rows=4)
    assert up[0, 0] > up[3, 0]


@pytest.mark.parametrize("count", [1, 7, 16, 23])
def test_any_number_of_pictures_is_shown(count: int) -> None:
    (shown,) = gallery_of(torch.rand(count, 1, 3, 3), "Samples")
    assert shown.pictures.shape[0] * shown.pictures.shape[1] <= count
    assert shown.pictures.shape[0] * shown.pictures.shape[1] > count / 2
    assert gallery_of(torch.rand(count, 5), "Samples") == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_the_score_is_within_five_hundredths_of_the_true_one(seed: int, tmp_path: Path) -> None:
    run = train("mixture/score", f"seed={seed}", f"run_dir={tmp_path}/run", quiet=True)
    assert run.results["metrics"]["score_error"]["value"] <= 0.05


@pytest.mark.long
def test_guidance_makes_digits_clearer(tmp_path: Path) -> None:
    metrics = train("digits/diffusion", f"run_dir={tmp_path}/run", quiet=True).results["metrics"]
    assert metrics["recognised"]["value"] >= 0.8
    assert metrics["recognised_guided"]["low"] > metrics["recognised"]["high"]


def test_ways_back_of_all_lengths_are_compared(few: None) -> None:
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    seen = []

    def draw(count: int, steps: int, eta: float, **wishes: float) -> torch.Tensor:
        seen.append((count, steps, eta, wishes))
        return x[:count] + 1 / steps  # the more steps, the nearer

    graph = ways_back(draw, x, x, conditional=True)
    assert seen == [(40, steps, eta, {"guidance": 0.0}) for eta in (0.0, 1.0) for steps in (5, 10, 25, 50, 100)]
    far = graph.lines["DDIM"][1]
    assert list(far) == sorted(far, reverse=True)
    assert far[0] > 3 * far[-1]
    assert list(graph.lines["DDIM"][0]) == [5, 10, 25, 50, 100]
    assert graph.log == "x"
    ways_back(draw, x, x, conditional=False)
    assert seen[-1] == (40, 100, 1.0, {})
    near = ways_back(draw, x, x + 1, conditional=False).lines["pictures learnt from"][1]
    assert near == pytest.approx([energy_distance(x + 1, x)] * 2, rel=0.1)
