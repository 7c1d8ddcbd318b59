"""A CTC head learns to spell from frames, and comes back to its own encoder only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from locution.engine.batch import Batch
from locution.errors import UserError
from locution.speech.ctc import greedy, spell
from locution.speech.ctc_head import CARD, CTCHead, ctc_head_objective, load_ctc_head, save_ctc_head


def test_it_learns_to_spell(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head, encoder = CTCHead(8, hidden=32), nn.Linear(2, 2)
    frames, letters = torch.randn(2, 30, 8), [spell("turn it on"), spell("off")]
    targets = nn.utils.rnn.pad_sequence([torch.tensor(one) for one in letters], batch_first=True)
    counts = torch.tensor([len(one) for one in letters])
    batch = Batch({"frames": frames, "lengths": torch.tensor([30, 20]), "counts": counts}, targets)
    optimizer = partial(torch.optim.Adam, lr=0.03)(head.parameters())
    for _ in range(300):
        loss = ctc_head_objective(head, batch)[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert greedy(head(frames), torch.tensor([30, 20])) == ["turn it on", "off"]
    save_ctc_head(head, encoder, tmp_path)
    assert torch.equal(load_ctc_head(tmp_path, encoder)(frames), head(frames))
    with pytest.raises(UserError, match=r"has hash [0-9a-f]{40}; this CTC head was trained on [0-9a-f]{40}"):
        load_ctc_head(tmp_path, nn.Linear(2, 2))
    (tmp_path / CARD).write_text("{")
    with pytest.raises(UserError, match="holds no CTC head"):
        load_ctc_head(tmp_path, encoder)
