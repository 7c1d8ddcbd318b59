"""Contrastive divergence of examples that count differently."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from locution.engine import Batch
from locution.losses.contrastive_divergence import ContrastiveDivergence
from locution.models.boltzmann import BoltzmannMachine


@pytest.mark.parametrize("persistent", [False, True])
def test_examples_count_as_much_as_they_weigh_and_chains_alike(
    persistent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    machine = BoltzmannMachine((4,), 3, chains=2)
    seen, drawn = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 1]]), torch.tensor([[0.0, 0, 1, 1], [1, 1, 1, 0]])
    begun: list[Tensor] = []

    def gibbs(units: Tensor, steps: int) -> Tensor:
        begun.append(units.clone())
        assert steps == 7
        return drawn

    monkeypatch.setattr(machine, "gibbs", gibbs)
    chains = machine.chains.clone()
    batch = Batch(seen, None, weights=torch.tensor([3.0, 1.0]))
    energies, loss = ContrastiveDivergence(steps=7, persistent=persistent)(machine, batch)
    below, above = machine.energy(seen), machine.energy(drawn)
    assert torch.equal(energies, below)
    raised = above.mean() if persistent else (3 * above[0] + above[1]) / 4  # a chain belongs to no example
    torch.testing.assert_close(loss, (3 * below[0] + below[1]) / 4 - raised)
    assert torch.equal(begun[0], chains if persistent else seen)
    assert torch.equal(machine.chains, drawn if persistent else chains)
