"""The picture of depth: the recipe's own network, with and without its ways around."""

from __future__ import annotations

from locution.data.digits import DigitsData
from locution.models.mlp import MLPModel
from locution.models.resnet import ResNetModel
from locution.tasks.depth import depth_pictures


def test_a_hundred_layers_let_the_gradient_through_only_around() -> None:
    data = DigitsData().load(0)
    (drawn,) = depth_pictures(ResNetModel(layers=100, widths=(8,), stride=2), data, seed=0)
    around, through = (drawn.lines[name][1] for name in ("with skip connections", "without"))
    assert len(around) == len(through) == 100
    assert drawn.lines["without"][0] == [float(layer) for layer in range(1, 101)]
    assert max(around) - min(around[1:]) < 2.5  # within a few hundred of each other, whatever the layer
    assert max(through) - min(through) > 5


def test_other_networks_and_values_have_no_such_picture() -> None:
    data = DigitsData().load(0)
    assert depth_pictures(MLPModel(), data, 0) == []
