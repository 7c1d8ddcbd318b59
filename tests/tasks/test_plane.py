"""The picture of the plane: which way up it is, where its examples lie, and for which data there is one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset, held_out
from locution.data.digits import DigitsData
from locution.data.two_moons import TwoMoonsData
from locution.engine import TensorBatches
from locution.tasks.plane import decision_plane, planes


def halves(axis: int) -> nn.Module:
    """A classifier whose second class is where one of the two numbers is above zero."""
    layer = nn.Linear(2, 2)
    layer.weight.data = torch.zeros(2, 2)
    layer.weight.data[1, axis] = 50.0
    layer.bias.data.zero_()
    return layer


def corners() -> tuple[Tensor, Tensor]:
    return torch.tensor([-2.0, -1.0]), torch.tensor([2.0, 1.0])


def test_up_is_up_and_right_is_right() -> None:
    right, upper = (decision_plane(halves(axis), *corners(), rows=10).detach().round() for axis in (0, 1))
    assert right.shape == (10, 20)
    assert right[:, 10:].all()
    assert not right[:, :10].any()
    assert upper[:5].all()
    assert not upper[5:].any()


def test_labelled_examples_are_painted_where_they_lie() -> None:
    low, high = corners()
    inputs = torch.stack([low, high, torch.tensor([0.0, -0.9])])
    data = Dataset(
        TensorBatches(inputs[2:], torch.tensor([1])),
        test=held_out(inputs[:2], torch.tensor([0, 1])),
        inputs=(2,),
        outputs=2,
        labels=("below", "above"),
    )
    (found,) = planes(halves(1), data)
    picture = torch.as_tensor(found.pictures)[0, 0]
    lower = picture[picture.shape[0] // 2 + 1 :]
    rows, columns = (lower == 1).nonzero(as_tuple=True)
    assert len(rows) == 9, "a black square in the white half"
    assert abs(columns.float().mean().item() - picture.shape[1] / 2) < 1
    assert "squares: the 1 labelled examples" in found.note


def test_there_is_one_of_two_numbers_and_two_classes_only() -> None:
    moons = TwoMoonsData().load(0)
    assert len(planes(halves(0), moons)) == 1
    assert planes(nn.Identity(), DigitsData().load(0)) == []
