"""Pictures of a mixture of experts: who does the work, and on what."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.evaluation.intervals import bootstrap
from locution.models.mixture_of_experts import MixtureOfExperts, active_parameters, mixtures, routings
from locution.models.routing import Routing
from locution.reporting.results import Drawn, Gallery, Matrix, Metric, Table

MOST = 4096  # examples that are routed
PICTURE = "Who works on what"
OF_EXPERTS = ("largest_load", "router_entropy")  # the figures that only a mixture has
WHOLE = "a column for each expert; each row adds up to 1"


def expert_pictures(model: nn.Module, data: Dataset) -> Drawn:
    """Show how a mixture of experts shares the work; nothing for a model without experts.

    Figures of the mixture with the most uneven load: the largest share of all work that one expert has, beside the even
    one, and the router's entropy as a share of the largest there can be. Matrices of each: which share of each class
    (or of each task, where the data are of several) goes to which expert; and a table of each expert's share.
    """
    if not mixtures(model) or data.test is None:
        return Drawn()
    inputs = data.test.inputs[:MOST]
    device = next(model.parameters()).device
    found = routings(model, inputs.to(device))
    worst = max(found.values(), key=lambda routing: float(routing.share().max()))
    drawn = Drawn(figures(worst, f"{len(inputs)} held-out examples"))
    total = sum(weight.numel() for weight in model.parameters())
    drawn.notes.append(f"{total:,} parameters, of which an example uses {active_parameters(model):,}")
    shares = [[name, *(f"{share:.3f}" for share in routing.share().tolist())] for name, routing in found.items()]
    widest = max(routing.experts for routing in found.values())
    columns = ["mixture", *numbered(widest)]
    rows = [row + [""] * (len(columns) - len(row)) for row in shares]
    note = "of all places, to each expert; even would be one over their number"
    drawn.tables.append(Table("Who does the work", columns, rows, note))
    if data.tasks:
        drawn.matrices = by_task(model, data, device)
    elif data.labels and data.test.targets.dim() == 1:
        drawn.matrices = [
            shared(f"Experts of {name}, by class", routing, data.test.targets[:MOST], data.labels)
            for name, routing in found.items()
        ]
    drawn.galleries = [
        Gallery(PICTURE, np.array(one.values)[None, None], drawn_note(one)) for one in drawn.matrices[:1]
    ]
    return drawn


def drawn_note(matrix: Matrix) -> str:
    """Say what a picture of a matrix shows."""
    rows = f"{matrix.rows[0]} to {matrix.rows[-1]}" if len(matrix.rows) > 1 else matrix.rows[0]
    return f"downwards {rows}, across the experts; dark: where most of it goes"


def numbered(experts: int) -> list[str]:
    """Name experts by their numbers, from 1."""
    return [str(number) for number in range(1, experts + 1)]


def figures(routing: Routing, note: str) -> list[Metric]:
    """Measure how even the work of a mixture is, and how sure its router.

    >>> even = torch.full((4, 1, 2), 0.5)
    >>> alone = torch.tensor([1.0, 0.0]).expand(4, 1, 2)
    >>> [metric.value for metric in figures(Routing(even, alone, torch.ones(4, 1, dtype=torch.bool)), "four")]
    [1.0, 1.0]
    """
    busiest = int(routing.share().argmax())
    load = bootstrap(routing.dispatch[..., busiest].float().mean(1).cpu())  # (N,)
    said = f"{note}; even would be {1 / routing.experts:.3f}"
    held = routing.probabilities.float().cpu()  # (N, T, E)
    entropy = bootstrap(torch.special.entr(held).sum(-1).mean(1) / torch.tensor(max(routing.experts, 2)).log())
    label = "router's entropy, of the largest"
    return [
        Metric("largest_load", **load, label="largest share of an expert", group="", better="lower", note=said),
        Metric("router_entropy", **entropy, label=label, group="", better="", note=note),
    ]


def shared(title: str, routing: Routing, groups: Tensor, names: tuple[str, ...]) -> Matrix:
    """Say which share of each group of examples (N,) goes to each expert."""
    sent = routing.dispatch.float().mean(1).cpu()  # (N, E)
    rows = [sent[groups == number].mean(0).nan_to_num().tolist() for number in range(len(names))]
    return Matrix(title, list(names), numbered(routing.experts), rows, WHOLE)


def by_task(model: nn.Module, data: Dataset, device: torch.device) -> list[Matrix]:
    """Say for each mixture which share of each task's held-out examples goes to each expert."""
    rows: dict[str, list[list[float]]] = {}
    for one in data.tasks.values():
        if one.test is not None:
            for name, routing in routings(model, one.test.inputs[:MOST].to(device)).items():
                rows.setdefault(name, []).append(routing.share().tolist())
    names = [one.source or task for task, one in data.tasks.items() if one.test is not None]
    layers = mixtures(model)
    return [
        Matrix(f"Experts of {name}, by task", names, numbered(count(layers[name])), found, WHOLE)
        for name, found in rows.items()
    ]


def count(layer: MixtureOfExperts) -> int:
    """Count the experts of a mixture."""
    return len(layer.router)
