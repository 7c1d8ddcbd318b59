"""Pictures of a network that predicts sound: what it expects, what it draws, how far back it looks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from locution.engine import TensorBatches
from locution.losses.basic import IGNORED, cross_entropy
from locution.models.dilated import DilatedNet, influence
from locution.reporting.results import Gallery, Graph
from locution.speech.mu_law import LEVELS, from_mu_law
from locution.speech.own_sounds import RATE

SHOWN, ROWS = 8, 200  # sentences whose gradient is measured; samples that are drawn
MOST = 1000


@torch.no_grad()
def judged_bits(model: DilatedNet, sounds: TensorBatches, batch_size: int = 8) -> Tensor:
    """Measure how surprising each sound is to a network: (N,), in bits a sample."""
    device = model.head[1].weight.device
    found = []
    for start in range(0, len(sounds), batch_size):
        rows = slice(start, start + batch_size)
        scores = model(sounds.inputs[rows].to(device)).float()
        found.append(cross_entropy(scores, sounds.targets[rows].to(device)).cpu())
    return torch.cat(found) / math.log(2)


def waveforms(title: str, sounds: Tensor) -> Graph:
    """Draw a few waveforms (N, T) one above another, over seconds."""
    count = min(sounds.shape[1], MOST)
    times = [step / RATE for step in range(count)]
    apart = 2.2 * float(sounds[:, :count].abs().max().clamp(min=1e-3))
    lines = {
        f"sound {number + 1}": (times, (one[:count] - number * apart).tolist()) for number, one in enumerate(sounds)
    }
    return Graph(title, lines, across="seconds", note=f"the first {count} samples, one sound above another")


def sound_pictures(model: DilatedNet, held: TensorBatches, drawn: Tensor) -> tuple[list[Graph], list[Gallery]]:
    """Draw a piece of held-out speech with what was expected of it, how far back that goes by, and sounds drawn."""
    heard = int((held.targets[0] == IGNORED).sum())
    piece = slice(heard, heard + ROWS)
    device = model.head[1].weight.device
    with torch.no_grad():
        chances = model(held.inputs[:1].to(device))[0, piece].float().softmax(-1).cpu()  # (T', 256)
    true = from_mu_law(held.targets[0, piece])
    expected = chances @ from_mu_law(torch.arange(LEVELS))
    times = [1000 * step / RATE for step in range(len(true))]
    lines = {"what came": (times, true.tolist()), "what was expected": (times, expected.tolist())}
    wave = Graph("Speech, and the next sample as it was expected", lines, across="milliseconds", note="held out")
    coarse = functional.avg_pool1d(chances.sqrt()[None], 2)[0].T.flip(0)  # (128, T'): loud above zero at the top
    note = "time to the right, 128 grades of loudness upwards; dark is likely (the square root of the probability)"
    likely = Gallery("How likely each next sample was", coarse[None, None].numpy(), note)
    return [
        wave,
        looking_back(model, held.inputs[:SHOWN].to(device)),
        waveforms("How it goes on with speech that it was played", drawn),
    ], [likely]


def looking_back(model: DilatedNet, sounds: Tensor) -> Graph:
    """Draw how much each sample of the past moves what is expected next, beside the receptive field in closed form."""
    size = influence(model, sounds).cpu()
    moved = int((size > 0).sum())
    back = size.flip(0)[: min(len(size), model.reach + 50)].clamp(min=1e-12).log10().clamp(min=-6).tolist()
    edge = ([float(model.reach)] * 2, [min(back), max(back)])
    note = f"the size of the gradient (power of ten); above zero for {moved} samples, computed: {model.reach}"
    steps = [float(step) for step in range(1, len(back) + 1)]
    lines = {"gradient": (steps, back), "receptive field, computed": edge}
    return Graph("How far back it looks", lines, across="samples back", note=note)
