"""Pictures of what a network has learnt: one list, asked by every task whose network answers for examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.reporting.results import Drawn, RunResults
from locution.tasks.attention_drawn import attention_drawn
from locution.tasks.depth import depth_pictures
from locution.tasks.expert_pictures import expert_pictures
from locution.tasks.filters import edge_pictures, filter_pictures
from locution.tasks.gate_pictures import gate_pictures
from locution.tasks.plane import planes
from locution.tasks.spikes import spike_pictures
from locution.tasks.turned import turned_pictures

if TYPE_CHECKING:
    from locution.recipe import Recipe


@dataclass(frozen=True)
class Shown:
    """A trained network with what pictures of it are made of: its recipe, its data, and held-out inputs (N, ...)."""

    recipe: Recipe
    model: nn.Module
    data: Dataset
    inputs: Tensor

    @property
    def part(self) -> Any:
        """What the recipe names as its model."""
        return self.recipe.part("model", **self.data.sizes)


# each draws what it knows how to draw, and nothing for a network of another kind; the report keeps their order
PICTURES: tuple[Callable[[Shown], Drawn], ...] = (
    lambda shown: Drawn(galleries=planes(shown.model, shown.data)),
    lambda shown: Drawn(
        galleries=filter_pictures(shown.model, shown.inputs) + edge_pictures(shown.model, shown.inputs)
    ),
    lambda shown: Drawn(galleries=turned_pictures(shown.model, shown.inputs)),
    lambda shown: Drawn(galleries=attention_drawn(shown.model, shown.inputs)),
    lambda shown: Drawn(graphs=depth_pictures(shown.part, shown.data, shown.recipe.seed)),
    lambda shown: gate_pictures(shown.model, shown.inputs),
    lambda shown: expert_pictures(shown.model, shown.data),
    lambda shown: spike_pictures(shown.model, shown.inputs),
)


def show_network(results: RunResults, recipe: Recipe, model: nn.Module, data: Dataset, inputs: Tensor) -> None:
    """Add to the results every picture that there is of a network of this kind.

    >>> import torch
    >>> from locution.models.convnet import ConvNet
    >>> from locution.recipe import resolve
    >>> recipe, results = resolve("digits"), RunResults("digits")
    >>> show_network(results, recipe, ConvNet(1, (4,), 10), recipe.part("data").load(0), torch.rand(9, 1, 8, 8))
    >>> [gallery.title for gallery in results.galleries]
    ['Filters, as they were learnt', 'What the filters find', 'Edges']
    """
    shown = Shown(recipe, model, data, inputs)
    for draw in PICTURES:
        results.add(draw(shown))
