"""What a spiking network shows besides its answers: how many spikes they cost, and when each neuron fired."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from locution.evaluation.intervals import bootstrap
from locution.evaluation.spiking_costs import ADDITION, MULTIPLICATION, spiking_costs
from locution.models.spiking import SpikingNet
from locution.reporting.raster import raster
from locution.reporting.results import Drawing, Drawn, Graph, Metric, Table

FOLLOWED = 3  # potentials of the neurons that answer, drawn for one example


def spike_pictures(model: nn.Module, inputs: Tensor) -> Drawn:
    """Show the spikes of a spiking network and what they cost, and a raster; nothing for other networks.

    Shapes: inputs (N, ...), of which the first is drawn.

    >>> from locution.models.spiking import SpikingModel
    >>> drawn = spike_pictures(SpikingModel().build((1, 8, 8), 10), torch.rand(20, 1, 8, 8))
    >>> [metric.name for metric in drawn.metrics], [one.title for one in drawn.drawings]
    (['spikes', 'synaptic_operations', 'energy'], ['Spike raster'])
    """
    if not isinstance(model, SpikingNet):
        return Drawn()
    costs = spiking_costs(model, inputs)
    note = f"{len(inputs)} examples"
    figures = {
        "spikes": (costs.spikes.sum(1), "spikes per inference", note),
        "synaptic_operations": (costs.additions, "synaptic operations", f"{note}; {costs.dense:,} without spikes"),
        "energy": (
            costs.nanojoules,
            "energy, nJ",
            f"{note}; {costs.dense_nanojoules:.1f} nJ without spikes; estimated",
        ),
    }
    metrics = [
        Metric(name, **bootstrap(values), label=label, group=label, better="lower", note=measured)
        for name, (values, label, measured) in figures.items()
    ]
    names = ["inputs", *(f"layer {number + 1}" for number in range(costs.spikes.shape[1] - 1))]
    rows = [(name, f"{mean:.1f}") for name, mean in zip(names, costs.spikes.mean(0).tolist(), strict=True)]
    said = (
        f"means over {note}. An answer takes {costs.additions.mean():,.0f} additions, one a synapse that a spike "
        f"reaches, and {costs.multiplications:,} multiplications ({model.steps} steps in which each neuron leaks); "
        f"without spikes it takes {costs.dense:,} multiplications with additions. At {ADDITION} and {MULTIPLICATION} "
        f"pJ (45 nm): {costs.nanojoules.mean():.1f} nJ, and {costs.dense_nanojoules:.1f} nJ without spikes."
    )
    tables = [Table("Spikes of an answer", ("layer", "spikes"), rows, said)]
    drawings, graphs = example_pictures(model, inputs[:1], names)
    return Drawn(metrics, tables=tables, graphs=graphs, drawings=drawings)


def example_pictures(model: SpikingNet, inputs: Tensor, names: list[str]) -> tuple[list[Drawing], list[Graph]]:
    """Draw when each neuron fired while one example, (1, ...), was looked at, and the potentials that answered."""
    training = model.training
    with torch.no_grad():
        trace = model.eval().trace(inputs.to(model.shares.device))
    model.train(training)
    fired = trace.layers if model.coding == "direct" else [trace.inputs, *trace.layers]
    shown = {name: one[:, 0].cpu().numpy() for name, one in zip(names[-len(fired) :], fired, strict=True)}
    note = "of the first test example: a row for each neuron, a mark where it fired"
    drawings = [Drawing("Spike raster", raster(shown, alt="Spike raster."), note, wide=True)] if fired else []
    potentials = trace.potentials[:, 0].float().cpu()  # (T, O)
    most = potentials.mean(0).argsort(descending=True)[:FOLLOWED].tolist()
    steps = list(range(len(potentials)))
    lines = {f"output {one}": (steps, potentials[:, one].tolist()) for one in most}
    said = "of the neurons that answer, while the first test example is looked at: those of the highest mean"
    graphs = [Graph("Membrane potentials", lines, across="step", note=said)] if len(steps) > 1 else []
    return drawings, graphs
