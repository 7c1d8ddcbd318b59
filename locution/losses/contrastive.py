"""Contrastive losses: two views of one thing belong together, and apart from everything else in the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean
from locution.losses.similarity import TILE, full, log_sum_exp, log_sum_exp_of_others
from locution.losses.whole_batch import check_whole_batch, in_chunks


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5, tile: int = TILE) -> Tensor:
    """A contrastive loss is small where the two views of a thing lie close to each other and far from all other things.

    Each view has to pick out its partner among all the other views of the batch, by the cosines of their angles, over
    the temperature (the normalised temperature-scaled cross-entropy, NT-Xent).

    first, second (N, D): row i of both belong together. Gives the loss of each pair (N,), the mean of its two. The
    table of all 2N x 2N cosines is never held, see `log_sum_exp`; tile: rows of it at once.

    >>> right, up = [1.0, 0.0], [0.0, 1.0]
    >>> nt_xent(torch.tensor([right, up]), torch.tensor([right, up]), temperature=1.0)  # ln (e^1 + 2 e^0) - 1
    tensor([0.5514, 0.5514])

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", eq. 1.
    """
    _check(first, second, temperature)
    views = functional.normalize(torch.cat([full(first), full(second)]), dim=1) / temperature**0.5  # (2N, D)
    one, other = views.chunk(2)
    among = log_sum_exp_of_others(views, tile)
    losses: Tensor = (among[: len(one)] + among[len(one) :]) / 2 - (one * other).sum(1)
    return losses


def info_nce(queries: Tensor, keys: Tensor, scale: Tensor | float = 10.0, tile: int = TILE) -> tuple[Tensor, Tensor]:
    """InfoNCE is the surprise of picking for each query its own key out of all the keys of the batch.

    queries, keys (N, D): row i of both belong together. scale: what the cosines are multiplied by, 1 over the
    temperature. Gives the loss of each query among the keys (N,), and of each key among the queries (N,).

    >>> right, up = [1.0, 0.0], [0.0, 1.0]
    >>> info_nce(torch.tensor([right, up]), torch.tensor([right, right]), scale=1.0)  # ln 2: a tie; ln (e^1 + e^0) - 1
    (tensor([0.6931, 0.6931]), tensor([0.3133, 1.3133]))

    Reference: A. van den Oord, Y. Li, O. Vinyals, 2018, "Representation learning with contrastive predictive coding",
    eq. 4.
    """
    _check(queries, keys, 1.0)
    asked = functional.normalize(full(queries), dim=1) * scale
    given = functional.normalize(full(keys), dim=1)
    across, down = log_sum_exp(asked, given, tile)
    right = (asked * given).sum(1)
    return across - right, down - right


def clip_loss(pictures: Tensor, texts: Tensor, scale: Tensor | float, tile: int = TILE) -> Tensor:
    """CLIP's loss asks each picture for its text among all texts of the batch, and each text for its picture.

    pictures, texts (N, D): row i of both belong together. scale: what the cosines are multiplied by, usually learnt.
    Gives the mean of both surprises (N,).

    >>> right, up = [1.0, 0.0], [0.0, 1.0]
    >>> clip_loss(torch.tensor([right, up]), torch.tensor([right, up]), scale=1.0)  # ln (e^1 + e^0) - 1
    tensor([0.3133, 0.3133])

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    figure 3.
    """
    to_texts, to_pictures = info_nce(pictures, texts, scale, tile)
    return (to_texts + to_pictures) / 2


@dataclass
class SimCLR:
    """SimCLR learns without answers: two views of each picture are to be told from the views of all other pictures.

    The batch holds the first views of all pictures and then the second ones, in the same order; the model gives each a
    vector (2N, D). The loss is `nt_xent`, in memory that grows with the batch and not with its square. Batches must be
    whole: no accumulate, one process.

    Settings
    --------
    temperature: less looks more at those that are nearly as close as the partner. tile: rows of the table of cosines
    held at once. chunks: pieces in which the network is run, to save memory, see `in_chunks`.

    >>> views = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> _, loss = SimCLR(temperature=1.0)(nn.Identity(), Batch(views))
    >>> round(loss.item(), 4)  # ln (e^1 + 2 e^0) - 1
    0.5514

    Reference: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, 2020, "A simple framework for contrastive learning of
    visual representations", algorithm 1.
    """

    temperature: float = 0.5
    tile: int = TILE
    chunks: int = 1
    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 2

    def __post_init__(self) -> None:
        require(self.temperature > 0, "objective.temperature", self.temperature, "a number above 0, usually 0.1 to 0.5")
        check_sizes(self.tile, self.chunks)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (vectors, loss)."""
        check_whole_batch(batch, "simclr")
        if len(batch) < 4 or len(batch) % 2:
            raise UserError(f"simclr came upon {len(batch)} views; allowed: two of each picture, of two or more.")
        output = in_chunks(model, batch.inputs, self.chunks)
        first, second = vectors(output).chunk(2)
        pairs = Batch(first, weights=None if batch.weights is None else batch.weights.chunk(2)[0])
        return output, weighted_mean(nt_xent(first, second, self.temperature, self.tile), pairs)


@dataclass
class CLIP:
    """CLIP learns from pictures and what is written about them: each picture is to find its text, and each text it.

    The model answers with a dict of "pictures" (N, D), "texts" (N, D) and "scale", what the cosines are multiplied by.
    The loss is `clip_loss`, in bounded memory. Batches must be whole: no accumulate, one process.

    Settings
    --------
    tile: rows of the table of cosines held at once. chunks: pieces in which the network is run, to save memory.

    >>> class Same(nn.Module):
    ...     def forward(self, x): return {"pictures": x, "texts": x, "scale": torch.tensor(1.0)}
    >>> _, loss = CLIP()(Same(), Batch(torch.eye(2)))
    >>> round(loss.item(), 4)  # ln (e^1 + e^0) - 1
    0.3133

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    figure 3.
    """

    tile: int = TILE
    chunks: int = 1
    whole_batch: ClassVar[bool] = True
    views: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_sizes(self.tile, self.chunks)

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (output, loss)."""
        check_whole_batch(batch, "clip")
        output = in_chunks(model, batch.inputs, self.chunks)
        if not isinstance(output, dict) or not {"pictures", "texts", "scale"} <= set(output):
            kind = type(output).__name__
            raise UserError(f"the model answered with {kind}; allowed for clip: a dict of pictures, texts and scale.")
        losses = clip_loss(output["pictures"], output["texts"], full(output["scale"]), self.tile)
        return output, weighted_mean(losses, batch)


def check_sizes(tile: int, chunks: int) -> None:
    """Refuse sizes that are none."""
    require(tile >= 1, "objective.tile", tile, "a whole number from 1, usually 512")
    require(chunks >= 1, "objective.chunks", chunks, "a whole number from 1, usually 1")


def vectors(output: Any) -> Tensor:
    """Take what a model put out as a vector for each example (N, D), or refuse it."""
    if not isinstance(output, Tensor) or output.dim() != 2:
        came = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise UserError(f"the model answered with {came}; allowed: one vector an example, (N, D).")
    return output


def _check(first: Tensor, second: Tensor, temperature: float) -> None:
    came = (tuple(first.shape), tuple(second.shape))
    require(first.dim() == 2 and first.shape == second.shape, "shapes of the two sides", came, "(N, D), the same")
    require(temperature > 0, "temperature", temperature, "a number above 0, usually 0.1 to 0.5")
