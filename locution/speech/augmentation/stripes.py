"""Stripes that hide part of a picture of sound: some of its bands, or some of its time."""

from __future__ import annotations

import torch
from torch import Tensor


def stripes(counts: Tensor, room: int, masks: int, longest: Tensor | int, draw: torch.Generator) -> Tensor:
    """Draw which places are hidden: in each row, `masks` stripes of 0 to `longest` places, all within its `counts`.

    counts (B,); longest is one number, or one for each row (B,). Widths and places are uniform. Returns (B, room),
    on the device of `counts`.

    >>> hidden = stripes(torch.tensor([8, 20]), 20, 1, 4, torch.Generator().manual_seed(2))
    >>> ["".join(".#"[place] for place in row) for row in hidden.int().tolist()]
    ['...###..............', '.........#..........']
    """
    uniform = torch.rand(2, len(counts), masks, generator=draw).to(counts.device)
    most = torch.as_tensor(longest, device=counts.device).expand(len(counts)).minimum(counts)[:, None]  # (B, 1)
    widths = (uniform[0] * (most + 1)).long()  # (B, masks)
    starts = (uniform[1] * (counts[:, None] - widths + 1)).long()
    place = torch.arange(room, device=counts.device)[:, None]  # (room, 1)
    starts, widths = starts[:, None], widths[:, None]  # (B, 1, masks)
    return ((place >= starts) & (place < starts + widths)).any(-1)
