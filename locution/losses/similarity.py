"""Likeness of all with all in bounded memory: a tile of the table at a time, made again for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from locution.errors import require

TILE = 512  # rows of the table held at once


def _tiles(queries: Tensor, keys: Tensor, tile: int, apart: bool) -> Iterator[tuple[slice, Tensor]]:
    """Go through the table of likeness by blocks of rows: which rows, and their scores (B, M)."""
    for start in range(0, len(queries), tile):
        rows = slice(start, min(start + tile, len(queries)))
        scores = queries[rows] @ keys.T  # (B, M)
        if apart:
            scores.diagonal(start).fill_(-torch.inf)  # nobody is compared with itself
        yield rows, scores


class _SumsOfRows(torch.autograd.Function):
    """The logarithms of the summed exponentials of each row, or of each row and each column."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, tile: int, apart: bool) -> tuple[Tensor, Tensor]:
        across = queries.new_empty(len(queries))
        down = queries.new_full((len(keys),), -torch.inf)
        for rows, scores in _tiles(queries, keys, tile, apart):
            across[rows] = scores.logsumexp(1)
            down = torch.logaddexp(down, scores.logsumexp(0))
        ctx.save_for_backward(queries, keys, across, down)
        ctx.tile, ctx.apart = tile, apart
        return across, down

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, across, down = ctx.saved_tensors
        along, along_down = slopes
        to_queries, to_keys = torch.empty_like(queries), torch.zeros_like(keys)
        for rows, scores in _tiles(queries, keys, ctx.tile, ctx.apart):
            pull = (scores - across[rows, None]).exp_().mul_(along[rows, None])  # (B, M): softmax of the rows
            pull.addcmul_(scores.sub_(down).exp_(), along_down)  # and of the columns; in place, to hold two tiles only
            to_queries[rows] = pull @ keys
            to_keys += pull.T @ queries[rows]
        return to_queries, to_keys, None, None


class _SumsAmong(torch.autograd.Function):
    """The same among one set: the table is its own mirror image, so that one product gives the whole gradient."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, tile: int) -> Tensor:
        across = points.new_empty(len(points))
        for rows, scores in _tiles(points, points, tile, apart=True):
            across[rows] = scores.logsumexp(1)
        ctx.save_for_backward(points, across)
        ctx.tile = tile
        return across

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        points, across = ctx.saved_tensors
        (along,) = slopes
        to_points = torch.empty_like(points)
        for rows, scores in _tiles(points, points, ctx.tile, apart=True):
            pull = (scores - across[rows, None]).exp_().mul_(along[rows, None])  # (B, N)
            pull.addcmul_(scores.sub_(across).exp_(), along)
            to_points[rows] = pull @ points
        return to_points, None


def log_sum_exp(queries: Tensor, keys: Tensor, tile: int = TILE) -> tuple[Tensor, Tensor]:
    """A contrastive batch needs bounded memory where the table of all scores is made tile by tile and never held.

    What is added up, in logs, is e to the power of a query's score with every key, and of a key's with every query.
    queries (N, D), keys (M, D); gives (N,) and (M,). The table of N x M scores is never held: a tile of so many rows
    is made, summed and dropped, and made again when the gradient asks for it. So memory grows with the batch and not
    with its square, for one more product of matrices.

    >>> across, down = log_sum_exp(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
    >>> across  # ln (e^0 + e^0), ln (e^0 + e^1)
    tensor([0.6931, 1.3133])

    Reference: T. Chen, B. Xu, C. Zhang, C. Guestrin, 2016, "Training deep nets with sublinear memory cost", section 3;
    M. Rabe, C. Staats, 2021, "Self-attention does not need O(n^2) memory", section 3.
    """
    _check(queries, keys, tile)
    with torch.autocast(queries.device.type, enabled=False):
        found: tuple[Tensor, Tensor] = _SumsOfRows.apply(full(queries), full(keys), tile, False)  # type: ignore[no-untyped-call]
    return found


def log_sum_exp_of_others(points: Tensor, tile: int = TILE) -> Tensor:
    """Add up, for each point, e to the power of its score with every other point, in logs: (N, D) -> (N,).

    >>> log_sum_exp_of_others(torch.tensor([[0.0], [1.0], [2.0]]))  # ln 2, ln (e^0 + e^2), ln (e^0 + e^2)
    tensor([0.6931, 2.1269, 2.1269])

    Reference: M. Rabe, C. Staats, 2021, "Self-attention does not need O(n^2) memory", section 3.
    """
    _check(points, points, tile)
    require(len(points) >= 2, "points", len(points), "two or more, for one has no others")
    with torch.autocast(points.device.type, enabled=False):
        found: Tensor = _SumsAmong.apply(full(points), tile)  # type: ignore[no-untyped-call]
    return found


def full(values: Tensor) -> Tensor:
    """Go on in fp32 where less came: sums of exponentials want it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check(queries: Tensor, keys: Tensor, tile: int) -> None:
    fits = queries.dim() == keys.dim() == 2 and queries.shape[1] == keys.shape[1] and len(queries) and len(keys)
    came = (tuple(queries.shape), tuple(keys.shape))
    require(bool(fits), "shapes of queries and keys", came, "(N, D) and (M, D), one row or more")
    require(tile >= 1, "tile", tile, "a whole number from 1, usually 512")
