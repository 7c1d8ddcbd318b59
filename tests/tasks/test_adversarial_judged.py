"""How a GAN is judged, on modes, points and pictures whose figures are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.data.digits import DigitsData
from locution.data.gaussian_mixture import GaussianMixture
from locution.engine import Record, TensorBatches
from locution.evaluation.generated import PictureJudge
from locution.evaluation.modes import mode_collapse, mode_coverage
from locution.losses.wasserstein import matching_distance
from locution.models.gan import GAN
from locution.reporting.results import RunResults
from locution.tasks import adversarial, generated_pictures
from locution.tasks.adversarial import made
from locution.tasks.adversarial_judged import ModesWatch, judge_modes, judge_points, judged, modes_of

# three clouds, of which the last is due a fiftieth of all
TRUTH = GaussianMixture(torch.tensor([0.49, 0.49, 0.02]), torch.tensor([[0.0, 0], [10, 0], [0, 10]]), torch.ones(3))
POINTS = Dataset(TensorBatches(TRUTH.means), inputs=(2,), outputs=3, labels=("left", "right", "rare"))


def made_points(*counts: int) -> Tensor:
    """So many points in the middle of each cloud, and the last count of none."""
    return torch.cat([TRUTH.means, torch.full((1, 2), 99.0)]).repeat_interleave(torch.tensor(counts), 0)


class Copies(nn.Module):
    """A generator that hands out given examples, whatever the noise."""

    def __init__(self, examples: Tensor) -> None:
        super().__init__()
        self.scale, self.examples = nn.Parameter(torch.ones(1)), examples

    def forward(self, noise: Tensor) -> Tensor:
        return self.examples[torch.arange(len(noise)) % len(self.examples)]


def test_what_is_due_to_each_mode_is_its_share_of_all_that_was_made() -> None:
    results = RunResults("three clouds")
    judge_modes(results, TRUTH, POINTS, made_points(250, 10, 2, 238), "Try more.")
    figures = {metric.name: metric.value for metric in results.metrics}
    # of 500 the second is due 245, of which 10 are too few, and the last 10, of which 2 are enough
    assert figures == {"covered_modes": 2.0, "high_quality": 0.524}
    (line,) = results.warnings
    assert line == "mode collapse: 1 of 3 modes have less than 0.1 of their share of 500 samples: right. Try more."
    (table,) = results.tables
    assert [(name, int(count), round(float(due))) for name, count, due in table.rows] == [
        ("left", 250, 245),
        ("right", 10, 245),
        ("rare", 2, 10),
    ]
    watch = ModesWatch(TRUTH).measure(
        GAN(Copies(made_points(250, 10, 2, 238)), nn.Linear(2, 1), 2), Record("epoch", 1, 1, 0.0, 0.1, 1, 0.0)
    )
    assert watch == {"covered_modes": 2.0, "high_quality": 0.524}


def test_of_many_modes_that_are_missing_six_are_named() -> None:
    for count, tail in ((6, "6. Try"), (7, "6, .... Try")):
        found = mode_coverage(torch.zeros(50, 1), torch.arange(0.0, count + 1)[:, None] * 10, 0.1)
        line = mode_collapse(found, [str(number) for number in range(count + 1)])
        assert f": 1, 2, 3, 4, 5, {tail}" in line


def test_modes_are_modes_where_they_are_two_or_more_and_not_pieces_of_a_line() -> None:
    class Known:
        def __init__(self, count: int) -> None:
            self.count = count

        def truth(self) -> GaussianMixture:
            return GaussianMixture(torch.full((self.count,), 1 / self.count), torch.zeros(self.count, 2), torch.ones(1))

    assert [modes_of(Known(count)) is not None for count in (1, 2, 100, 101)] == [False, True, True, False]
    assert modes_of(object()) is None


def test_points_are_matched_with_held_out_ones_and_those_learnt_from_beside() -> None:
    draw = torch.Generator().manual_seed(0)
    held, known, samples = (torch.randn(30, 1, generator=draw) + shift for shift in (0.0, 3.0, 7.0))
    results = RunResults("a line")
    net = GAN(Copies(samples), nn.Linear(1, 1), 1)
    judge_points(results, net, None, held, known, lambda count, seed: samples[:count])
    found = results.metrics[0]
    assert found.value == pytest.approx(float(matching_distance(samples, held)))
    assert found.note.endswith(f"as many that were learnt from: {float(matching_distance(known, held)):.3f}")
    said = [net.score(some).mean().item() for some in (held, samples)]
    assert results.metrics[1].value == pytest.approx(said[0] - said[1], abs=1e-5)
    for name, some in (("samples", samples), ("held-out points", held)):
        _, up = results.graphs[0].lines[name]
        assert (up[0], up[-1]) == pytest.approx((some.min().item(), some.max().item()))


def test_what_was_held_out_is_what_is_judged_by() -> None:
    def part(value: float) -> TensorBatches:
        return TensorBatches(torch.full((8, 1), value))

    for test, far in ((part(5.0), 4.0), (None, 0.0)):
        results = RunResults("a line")
        data = Dataset(part(1.0), part(3.0), test, inputs=(1,), outputs=0)
        net = GAN(Copies(torch.ones(1, 1)), nn.Linear(1, 1), 1)
        judged(results, net, None, data, lambda count, seed: torch.ones(count, 1))
        assert results.metrics[0].value == pytest.approx(far)


def test_each_example_is_made_of_the_class_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Said(nn.Module):
        """Makes the number of the class that it was told, behind the noise."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, told: Tensor) -> Tensor:
            return torch.stack([told[:, 2:].argmax(1).float(), told[:, 0]], 1)

    monkeypatch.setattr(adversarial, "CHUNK", 10)
    label = torch.randint(3, (25,), generator=torch.Generator().manual_seed(0))
    net = GAN(Said().train(), nn.Linear(2, 1), latents=2, classes=3)
    values = made(net, 25, seed=0, label=label)
    assert values[:, 0].tolist() == label.tolist()
    assert len(values[:, 1].unique()) == 25  # each from noise of its own
    torch.testing.assert_close(made(net, 25, seed=0, scale=0.5, label=label)[:, 1], 0.5 * values[:, 1])


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return DigitsData().load(seed=0)


def test_pictures_are_judged_beside_others_and_as_what_was_asked_for(digits: Dataset, monkeypatch: Any) -> None:
    judges: list[PictureJudge] = []

    def quick(*all_of: Tensor) -> PictureJudge:
        judges.append(PictureJudge(*all_of, steps=150))
        return judges[-1]

    monkeypatch.setattr(generated_pictures, "PictureJudge", quick)
    known: Any = digits.train
    held: Any = digits.test
    few = known.inputs[known.targets < 3][:200]
    asked = known.targets[known.targets < 3][:200].clone()
    asked[:100] = (asked[:100] + 1) % 3  # half of them is asked to be another
    results = RunResults("digits")
    generated_pictures.judge_pictures(results, known, held, digits.labels, few, asked)
    figures = {metric.name: metric.value for metric in results.metrics}
    assert figures["precision"] == 1.0
    assert figures["data_copying"] == 1.0  # all of them were handed out again
    classes = judges[0](few).classes
    assert figures["recognised"] == pytest.approx(float((classes >= 0).double().mean()))
    assert figures["recognised"] > 0.3
    assert figures["as_asked"] == pytest.approx(float((classes == asked).double().mean()))
    assert figures["as_asked"] == pytest.approx(figures["recognised"] / 2, abs=0.1)
    assert 0.15 < figures["coverage"] < 0.45  # three kinds of ten
    assert figures["frechet_held_out"] < figures["frechet"]
    (line,) = results.warnings
    assert line.startswith("mode collapse: 7 of 10 modes")
    rows = {row[0]: row[1:] for row in results.tables[0].rows}
    assert list(rows) == ["samples", "Gaussian fit", "held out", "learnt from"]
    hidden = {name: [value != value for value in row] for name, row in rows.items()}
    assert hidden["held out"] == [key in ("recall", "coverage") for key in generated_pictures.SAID]
    assert not any(hidden["samples"])
    assert rows["samples"][0] == figures["recognised"]
    first = torch.as_tensor(results.galleries[1].pictures)
    assert torch.equal(first[0], first[1])  # what lies nearest to a copy is what was copied


def test_without_classes_distance_and_coverage_are_left(digits: Dataset) -> None:
    known: Any = digits.train
    results = RunResults("pictures")
    generated_pictures.judge_pictures(results, known, known, (), known.inputs[:400])
    figures = {metric.name: metric.value for metric in results.metrics}
    assert set(figures) == {"energy_distance", "coverage"}
    assert figures["energy_distance"] < 0.3
    assert 0.3 < figures["coverage"] < 1
