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
    lengths = torch.tensor([30, 20])
    batch = Batch({"frames": frames, "lengths": lengths, "counts": counts}, targets, counts.float())
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


def test_the_loss_is_a_mean_over_letters_however_a_batch_is_cut_and_silence_is_no_division_by_nothing() -> None:
    torch.manual_seed(0)
    head, counts = CTCHead(4, hidden=8), torch.tensor([3, 0, 5])
    letters = torch.randint(1, 29, (3, 5))
    inputs = {"frames": torch.randn(3, 20, 4), "lengths": torch.tensor([20, 12, 20]), "counts": counts}
    batch = Batch(inputs, letters, counts.clamp(min=1).float())
    scores, loss = ctc_head_objective(head, batch)
    oracle = nn.functional.ctc_loss(scores.transpose(0, 1), letters, inputs["lengths"], counts, reduction="none")
    assert loss.item() == pytest.approx(oracle.sum().item() / (3 + 1 + 5), rel=1e-5)
    parts = [ctc_head_objective(head, part)[1].item() * share for part, share in batch.split(2)]
    assert sum(parts) == pytest.approx(loss.item(), rel=1e-5)
    assert ctc_head_objective(head, batch.rows(1, 2))[1].isfinite()
