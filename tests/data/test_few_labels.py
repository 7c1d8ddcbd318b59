"""Few labels and two moons: who keeps a label, who lies beside, and scikit-learn's moons."""

from __future__ import annotations

import pytest
import torch

from locution.data.few_labels import FewLabelsData, choose_labelled
from locution.data.two_moons import TwoMoonsData, draw_moons, moons
from locution.engine import TensorBatches
from locution.errors import UserError


def rows(tensor: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in tensor}


@pytest.mark.parametrize("labels", [10, 37, 100])
def test_each_digit_keeps_as_many_labels_and_no_picture_is_lost(labels: int) -> None:
    data = FewLabelsData(labels=labels).load(seed=4)
    assert isinstance(data.train, TensorBatches)
    counts = data.train.targets.bincount(minlength=10)
    assert counts.sum() == labels
    assert counts.max() - counts.min() <= 1
    beside = data.train.beside["unlabelled"]
    assert len(beside) == 1257 - labels
    assert data.development is not None
    assert data.test is not None
    parts = [data.train.inputs, beside, data.development.inputs, data.test.inputs]
    together = set[bytes]()
    for part in parts:
        assert not together & rows(part)
        together |= rows(part)
    assert len(together) == 1797


def test_the_runs_seed_chooses_the_labels_and_never_the_test() -> None:
    one, other = (FewLabelsData().load(seed) for seed in (0, 1))
    assert isinstance(one.train, TensorBatches)
    assert isinstance(other.train, TensorBatches)
    assert one.test is not None
    assert other.test is not None
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert torch.equal(one.test.inputs, other.test.inputs)
    fixed, again = (FewLabelsData(by_seed=False).load(seed).train for seed in (0, 1))
    assert isinstance(fixed, TensorBatches)
    assert isinstance(again, TensorBatches)
    assert torch.equal(fixed.inputs, again.inputs)


def test_where_a_class_runs_out_the_others_give_more() -> None:
    classes = torch.tensor([0] * 2 + [1] * 20 + [2] * 20)
    chosen = choose_labelled(classes, 12, seed=0)
    assert classes[chosen].bincount().tolist() == [2, 5, 5]
    assert chosen.tolist() == sorted(set(chosen.tolist()))


def test_what_is_beside_comes_in_the_size_that_was_asked_for() -> None:
    data = FewLabelsData(labels=50, batch_size=16, beside_size=40).load(0)
    sizes = [(len(batch), len(batch.beside["unlabelled"])) for batch in data.train.epoch(0, 0)]
    assert sizes == [(16, 40), (16, 40), (16, 40), (2, 40)]


def test_the_moons_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import make_moons

    points, classes = make_moons(40, shuffle=False, noise=None)
    wanted = torch.as_tensor(points, dtype=torch.float32)
    places = torch.linspace(0, 1, 20).repeat(2)
    torch.testing.assert_close(moons(places, torch.as_tensor(classes)), wanted, rtol=0, atol=1e-6)


def test_noise_moves_points_by_its_standard_deviation() -> None:
    """Of a half circle's points the distance from it is Gaussian: its spread is the noise, within five errors."""
    points, classes = draw_moons(20_000, 0.05, torch.Generator().manual_seed(0))
    centre = torch.where((classes == 0)[:, None], torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.5]))
    off = (points - centre).norm(dim=1) - 1
    assert abs(off.std().item() - 0.05) < 5 * 0.05 / (2 * 20_000) ** 0.5 + 1e-3
    clean, _ = draw_moons(100, 0.0, torch.Generator().manual_seed(0))
    assert (clean[::2].norm(dim=1) - 1).abs().max() < 1e-6


def test_moons_are_drawn_anew_for_each_run_and_judged_by_the_same() -> None:
    one, other = (TwoMoonsData().load(seed) for seed in (0, 1))
    assert isinstance(one.train, TensorBatches)
    assert isinstance(other.train, TensorBatches)
    assert one.test is not None
    assert other.test is not None
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert torch.equal(one.test.inputs, other.test.inputs)
    assert one.train.targets.tolist() == [0, 1] * 4
    assert len(one.train.beside["unlabelled"]) == 1000


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (FewLabelsData, "labels", 9),
        (FewLabelsData, "beside_size", 0),
        (FewLabelsData, "batch_size", 0),
        (FewLabelsData, "test", 0.6),
        (TwoMoonsData, "labels", 1),
        (TwoMoonsData, "unlabelled", 0),
        (TwoMoonsData, "noise", -0.1),
        (TwoMoonsData, "beside_size", 0),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"data.{setting} is {value}; allowed"):
        kind(**{setting: value})


def test_as_many_labels_as_there_are_pictures_leave_none_without() -> None:
    with pytest.raises(UserError, match=r"data.labels is 1200; allowed: fewer than the"):
        FewLabelsData(labels=1200, development=0.2, test=0.2).load(0)
