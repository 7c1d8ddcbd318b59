"""A picture of gates: how far those of an LSTM or a GRU are open while it reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.models.gates import gate_openings
from locution.models.recurrent import Recurrent
from locution.reporting.results import Drawn, Gallery, Graph

EXAMPLES, UNITS = 64, 32


def gate_pictures(model: nn.Module, inputs: Tensor) -> Drawn:
    """Draw how far the gates of a gated recurrent network are open at each step; nothing for others.

    A graph has a line for each gate, the mean over units and examples; a gallery has a picture for each gate, of the
    first example: a row for each unit, time to the right, dark where the gate is open.

    Shapes: inputs (N, T, F), or (N, 1, T, F).

    >>> from locution.models.recurrent import RecurrentModel
    >>> drawn = gate_pictures(RecurrentModel(kind="lstm").build((9, 2), 1), torch.rand(5, 9, 2))
    >>> list(drawn.graphs[0].lines), drawn.galleries[0].pictures.shape
    (['input gate', 'forget gate', 'output gate'], (1, 3, 32, 9))
    """
    if not isinstance(model, Recurrent) or inputs.dim() not in (3, 4):
        return Drawn()
    few = inputs[:EXAMPLES].to(model.head.weight.device)
    found = gate_openings(model.cells, few.squeeze(1) if few.dim() == 4 else few)  # name -> (N, T, H)
    if not found:
        return Drawn()
    steps = list(range(1, few.shape[-2] + 1))
    lines = {f"{name} gate": (steps, opening.mean((0, 2)).tolist()) for name, opening in found.items()}
    note = f"0 is shut, 1 is open; the mean over {len(few)} held-out examples and all units of the last layer"
    graph = Graph("How far the gates are open", lines, across="step", note=note)
    first = torch.stack([opening[0, :, :UNITS].T for opening in found.values()])  # (gates, units, T)
    note = f"{', '.join(lines)}, of one example: a row for each unit, time to the right, dark is open"
    return Drawn(graphs=[graph], galleries=[Gallery("Gates, unit by unit", first[None].cpu().numpy(), note)])
