"""The loss with a clip's own audio, with another clip's, and with none: by how much the audio helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from locution.engine.batch import Batch
from locution.speech.recogniser import IGNORED, Recogniser

SOUNDS = ("frames", "mel", "waves")
AT_ONCE = 16  # utterances that are measured at a time: logits over a large vocabulary are large


def likeness(texts: Sequence[Sequence[int]]) -> Tensor:
    """Say how alike texts are, pair by pair, from 0 to 1: the share of their runs of three tokens that both hold.

    >>> likeness([[1, 2, 3, 4], [1, 2, 3, 5], [7, 8, 9]])
    tensor([[1.0000, 0.3333, 0.0000],
            [0.3333, 1.0000, 0.0000],
            [0.0000, 0.0000, 1.0000]])

    Reference: A. Broder, 1997, "On the resemblance and containment of documents", section 1 (shingles).
    """
    runs = [{tuple(text[i : i + 3]) for i in range(max(1, len(text) - 2))} for text in texts]
    rows = [[len(one & other) / max(1, len(one | other)) for other in runs] for one in runs]
    return torch.tensor(rows)


def derangement(costs: Tensor) -> list[int]:
    """A derangement gives everyone somebody else's: here one whose summed costs (B, B) no exchange of two can lower.

    >>> derangement(torch.tensor([[0.0, 9.0, 1.0], [1.0, 0.0, 9.0], [9.0, 1.0, 0.0]]))
    [2, 0, 1]

    Reference: P. R. de Montmort, 1713, "Essay d'analyse sur les jeux de hazard", problem of coincidences.
    """
    count, cost = len(costs), costs.tolist()
    shifts = [[(i + shift) % count for i in range(count)] for shift in range(1, count)]
    found = min(shifts, key=lambda order: sum(cost[i][order[i]] for i in range(count)))
    changed = True
    while changed:
        changed = False
        for i in range(count):
            for j in range(i):
                a, b = found[i], found[j]
                allowed = a != j and b != i
                if allowed and cost[i][b] + cost[j][a] < cost[i][a] + cost[j][b] - 1e-9:
                    found[i], found[j], changed = b, a, True
    return found


def partners(batch: Batch) -> list[int]:
    """Give every clip of a batch another one, unlike it in words and alike in length."""
    texts = [[token for token in row if token != IGNORED] for row in batch.targets.tolist()]
    lengths = batch.inputs["lengths"].float()
    apart = (lengths[:, None] - lengths).abs() / lengths.max()
    return derangement(likeness(texts) + apart)


def select(batch: Batch, rows: Tensor) -> Batch:
    """Take some utterances of a batch, in any order."""
    inputs = {key: value[rows] for key, value in batch.inputs.items()}
    return Batch(inputs, batch.targets[rows], None if batch.weights is None else batch.weights[rows])


def with_audio_of(batch: Batch, other: Batch) -> Batch:
    """Give every clip of a batch the audio of the clip of another batch that stands in its row."""
    sounds = {key: other.inputs[key] for key in (*SOUNDS, "lengths") if key in other.inputs}
    return Batch(batch.inputs | sounds, batch.targets, batch.weights)


def no_audio(batch: Batch) -> Batch:
    """Silence every clip of a batch: samples and frames become zero."""
    sounds = {key: torch.zeros_like(batch.inputs[key]) for key in SOUNDS if key in batch.inputs}
    return Batch(batch.inputs | sounds, batch.targets, batch.weights)


@torch.no_grad()
def utterance_losses(recogniser: Recogniser, batch: Batch) -> Tensor:
    """Measure how much each transcript of a batch costs, in nats summed over its tokens: (B,), asleep."""
    awake, found = [module for module in recogniser.modules() if module.training], []
    recogniser.eval()
    for start in range(0, len(batch), AT_ONCE):
        part = batch.rows(start, start + AT_ONCE)
        logits = recogniser(part.inputs).float()  # (b, L, V)
        losses = nn.functional.cross_entropy(logits.mT, part.targets, ignore_index=IGNORED, reduction="none")  # (b, L)
        found.append(losses.sum(1))
    for module in awake:
        module.training = True
    return torch.cat(found)


@dataclass(frozen=True)
class Gap:
    """By how many nats a token another audio is worse than the clip's own, with its standard error over utterances."""

    value: float
    error: float


def gap(losses: Tensor, heard: Tensor, tokens: Tensor) -> Gap:
    """Compare two losses (B,) of the same utterances, each summed over its tokens (B,).

    >>> gap(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0]), torch.tensor([2, 2]))
    Gap(value=1.5, error=0.5)

    Reference: W. G. Cochran, 1977, "Sampling techniques", equation 6.13 (the standard error of a ratio).
    """
    more, tokens = (losses - heard).double(), tokens.double()
    value = more.sum() / tokens.sum()
    rest = more - value * tokens
    spread = rest.square().sum() * len(rest) / max(1, len(rest) - 1)
    return Gap(float(value), float(spread.sqrt() / tokens.sum()))


class Comparison:
    """One batch heard three ways: with each clip's own audio, with another's, and with none.

    Clips whose partner says the same are left out; `batch` is what remains, perhaps nothing.
    """

    def __init__(self, batch: Batch) -> None:
        order = partners(batch)
        texts = batch.targets.tolist()
        kept = torch.tensor([i for i, other in enumerate(order) if texts[i] != texts[other]], dtype=torch.long)
        others = torch.tensor(order)[kept]
        self.batch = select(batch, kept)
        self.shuffled = with_audio_of(self.batch, select(batch, others))
        self.silenced = no_audio(self.batch)
        self.tokens = (self.batch.targets != IGNORED).sum(1)  # (B,)

    def measure(self, recogniser: Recogniser) -> tuple[Gap, Gap]:
        """Measure by how much another clip's audio is worse than a clip's own, and by how much silence is."""
        device = recogniser.before.device
        ways = (self.batch, self.shuffled, self.silenced)
        heard, *changed = (utterance_losses(recogniser, batch.to(device)).cpu() for batch in ways)
        shuffled, silenced = (gap(losses, heard, self.tokens) for losses in changed)
        return shuffled, silenced
