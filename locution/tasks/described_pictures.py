"""Pictures of a model that describes: what it makes again, and what its hidden causes do."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from locution.engine.random import generator
from locution.losses.elbo import gaussian_divergence
from locution.models.autoencoder import Autoencoder
from locution.models.vae import VAE
from locution.reporting.results import Gallery
from locution.tasks.describing import codes_of

SHOWN = 12  # pictures in a row of the report
CAUSES, STEPS = 10, 9  # rows and columns of a traversal
SHEET = 30  # pictures along a side of the sheet on which test pictures lie


def liveliest(model: VAE | Autoencoder, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Order the numbers of a code by how much they say, the most first: which (D,), and how much (D,).

    For a VAE it is the divergence of each cause in nats, for an autoencoder the spread of each number.
    """
    if isinstance(model, VAE):
        with torch.no_grad():
            said = model.posterior(inputs.to(next(model.parameters()).device))
        columns = zip(*(part.cpu().unbind(1) for part in said), strict=True)
        much = torch.stack([gaussian_divergence(m[:, None], v[:, None]).mean() for m, v in columns])
    else:
        much = codes_of(model, inputs).std(0, correction=0)
    order = much.argsort(descending=True)
    return order, much[order]


def traversals(model: VAE | Autoencoder, inputs: Tensor) -> tuple[Tensor, str]:
    """A latent traversal moves one number of a code at a time and leaves the others: what changes is what it means.

    Returns codes (rows, steps, D): from the code of the first input, a row for each of the numbers that say most, moved
    to places from -2 to 2 (times the spread, for an autoencoder); and a note that says how much each says.

    >>> from locution.models.vae import VAEModel
    >>> codes, note = traversals(VAEModel(latents=3).build((1, 8, 8), 1), torch.rand(5, 1, 8, 8))
    >>> codes.shape, codes[0, :, int((codes[0, 0] != codes[0, 1]).nonzero())].tolist()
    (torch.Size([3, 9, 3]), [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0])

    Reference: I. Higgins et al., 2017, "beta-VAE", section 4.1 (latent traversals).
    """
    order, much = liveliest(model, inputs)
    codes = codes_of(model, inputs)
    middle, spread = (0 * codes[0], 0 * codes[0] + 1) if isinstance(model, VAE) else (codes.mean(0), codes.std(0))
    rows = codes[0].repeat(min(CAUSES, len(order)), STEPS, 1)  # (rows, steps, D)
    for row, number in enumerate(order[:CAUSES].tolist()):
        rows[row, :, number] = middle[number] + spread[number] * torch.linspace(-2, 2, STEPS)
    unit = "nats" if isinstance(model, VAE) else "of spread"
    return rows, f"{', '.join(f'{one:.2f}' for one in much[:CAUSES].tolist())} {unit}"


def plane(model: VAE | Autoencoder, inputs: Tensor) -> Tensor:
    """Lay codes over the plane of the two numbers that say most, the others in their middle: (SHOWN, SHOWN, D).

    Each place of the plane stands for as many inputs as any other: places lie at even shares of a Gaussian.
    """
    order, _ = liveliest(model, inputs)
    codes = codes_of(model, inputs)
    vae = isinstance(model, VAE)
    shares = [NormalDist().inv_cdf((step + 0.5) / SHOWN) for step in range(SHOWN)]
    middle, spread = (0 * codes[0], 0 * codes[0] + 1) if vae else (codes.mean(0), codes.std(0))
    places = torch.tensor(shares)
    found = middle.repeat(SHOWN, SHOWN, 1)
    first, second = order[:2].tolist()
    found[:, :, first] = middle[first] + spread[first] * places[None, :]
    found[:, :, second] = middle[second] - spread[second] * places[:, None]  # upward, as in any plane
    return found


def sheet(model: VAE | Autoencoder, inputs: Tensor) -> Tensor:
    """Put pictures down where the two liveliest numbers of their codes lie: (rows, columns) of one large picture."""
    order, _ = liveliest(model, inputs)
    codes = codes_of(model, inputs)[:, order[:2]]  # (N, 2)
    low, high = codes.amin(0), codes.amax(0)
    height, width = inputs.shape[-2:]
    large = torch.zeros(SHEET * height, SHEET * width)
    across = (codes - low) / (high - low).clamp(min=1e-12)
    for picture, (x, y) in zip(flat(inputs), across.tolist(), strict=True):
        top, left = round((1 - y) * (SHEET - 1) * height), round(x * (SHEET - 1) * width)
        there = large[top : top + height, left : left + width]
        there.copy_(torch.maximum(there, picture))
    return large


def flat(pictures: Tensor) -> Tensor:
    """Take pictures (..., channels, H, W) or (..., H, W) as grey ones: (N, H, W)."""
    grey = pictures.mean(-3) if pictures.dim() > 3 else pictures
    return grey.reshape(-1, *pictures.shape[-2:]).float().cpu()


def in_rows(pictures: Tensor, columns: int) -> NDArray[Any]:
    """Lay pictures (N, H, W) in rows, the last one filled up with empty places: (rows, columns, H, W).

    >>> in_rows(torch.ones(3, 2, 2), 2).sum((2, 3)).tolist()
    [[4.0, 4.0], [4.0, 0.0]]
    """
    columns = min(columns, len(pictures))
    empty = -len(pictures) % columns
    blank = pictures.min().expand(empty, *pictures.shape[1:]) if len(pictures) > 0 else pictures
    whole = torch.cat([pictures, torch.zeros_like(blank) if float(pictures.min()) >= 0 else blank])
    laid: NDArray[Any] = whole.reshape(-1, columns, *pictures.shape[1:]).numpy()
    return laid


def are_pictures(inputs: Tensor) -> bool:
    """Say whether inputs (N, ...) can be looked at."""
    return inputs.dim() >= 3 and min(inputs.shape[-2:]) > 1


def pictures(model: Any, inputs: Tensor, binary: bool) -> list[Gallery]:
    """Show inputs above what was made of them, what the causes do, and what the model makes of nothing at all."""
    if not are_pictures(inputs) or len(inputs) < SHOWN:
        return []
    device = next(model.parameters()).device

    def drawn(outputs: Tensor) -> Tensor:  # what is beyond ink and paper is drawn as these, lest all others fade
        shown = outputs.sigmoid() if binary else outputs.cpu().clamp(float(inputs.min()), float(inputs.max()))
        return flat(shown.reshape(-1, *inputs.shape[1:]))

    def made(codes: Tensor) -> NDArray[Any]:  # (rows, columns, D)
        with torch.no_grad():
            outputs = model.decode(codes.flatten(0, 1).to(device))
        return in_rows(drawn(outputs), codes.shape[1])

    with torch.no_grad():
        again = model.eval()(inputs[:SHOWN].to(device))
    again = again["outputs"] if isinstance(again, dict) else again
    how = "their codes" if isinstance(model, Autoencoder) else "drawn causes"
    both = np.stack([flat(inputs[:SHOWN]).numpy(), drawn(again).numpy()])
    galleries = [Gallery("Reconstructions", both, f"above: test pictures; below: made again from {how}")]
    if not isinstance(model, Autoencoder):
        with torch.no_grad():
            new = model.sample(4 * SHOWN, generator(0, "samples"))
        where = "around 0" if isinstance(model, VAE) else "evenly"
        galleries.append(Gallery("Samples", in_rows(drawn(new), SHOWN), f"made from causes drawn {where}"))
    if isinstance(model, VAE | Autoencoder):
        moved, note = traversals(model, inputs)
        said = f"each row moves one number of the code of a test picture and leaves the others; from the top: {note}"
        galleries.append(Gallery("Latent traversals", made(moved), said))
        if moved.shape[-1] > 1:
            over = "over the plane of the two numbers of the code that say most, the others in their middle"
            galleries.append(Gallery("The latent plane", made(plane(model, inputs)), over))
            lie = "each test picture where these two numbers of its code lie"
            galleries.append(Gallery("Where test pictures lie", sheet(model, inputs)[None, None].numpy(), lie))
    return galleries
