"""FactorVAE: two turns written out by hand, a critic that knows the total correlation, and codes permuted by column."""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches
from locution.engine.checkpoint import read_checkpoint, write_checkpoint
from locution.engine.random import reseed, stream_key
from locution.errors import UserError
from locution.losses.elbo import ELBO
from locution.losses.factor_vae import Criticised, FactorVAE, permuted, total_correlation
from locution.models.autoencoder import AutoencoderModel
from locution.models.vae import VAEModel

PLAIN = partial(torch.optim.SGD, lr=0.05)


def inputs(count: int = 12) -> Tensor:
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(0)).round()


def both(objective: FactorVAE) -> Criticised:
    torch.manual_seed(3)
    return objective.beside(VAEModel(latents=3, widths=(8,)).build((6,), 1))


def test_columns_are_permuted_each_by_itself() -> None:
    torch.manual_seed(0)
    codes = torch.arange(3000.0).view(1000, 3)
    mixed = permuted(codes)
    assert torch.equal(mixed.sort(0).values, codes)
    rows = (mixed - torch.tensor([0.0, 1.0, 2.0])) / 3
    assert float((rows[:, 0] == rows[:, 1]).double().mean()) < 0.01
    assert float(torch.corrcoef(mixed.T).triu(1).abs().max()) < 5 / 1000**0.5
    assert not torch.equal(permuted(codes), mixed), "another order each time"


def test_a_trained_critic_knows_the_total_correlation_of_gaussians() -> None:
    """Of two Gaussians with correlation r it is -ln(1 - r^2) / 2; of three with none, 0."""

    class Still(nn.Module):
        """A VAE whose causes are its inputs."""

        latents = 2

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"causes": x, "outputs": x, "divergence": 0 * x[:, 0]}

    objective, found = FactorVAE(critic_lr=0.002, layers=2, width=32), {}
    for correlation in (0.8, 0.0):
        draw = torch.Generator().manual_seed(1)
        first, second = torch.randn(4000, 2, generator=draw).unbind(1)
        codes = torch.stack([first, correlation * first + (1 - correlation**2) ** 0.5 * second], 1)
        torch.manual_seed(0)
        model = objective.beside(Still())
        critic = objective.turns(PLAIN)[0]
        Engine(model, critic, device="cpu").fit(TensorBatches(codes, batch_size=500), steps=500)
        with torch.no_grad():
            found[correlation] = float(total_correlation(model.critic(codes)).mean())
    assert found[0.8] == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.06)
    assert found[0.0] == pytest.approx(0.0, abs=0.03)


def test_a_step_is_that_of_the_paper_written_by_hand() -> None:
    objective = FactorVAE(gamma=7.0, critic_lr=0.003, layers=2, width=5)
    model, x = both(objective), inputs()
    mine = copy.deepcopy(model)
    engine = Engine(model, objective.turns(PLAIN), device="cpu", seed=4).fit([Batch(x)], steps=1)

    assert [turn.name for turn in engine.turns] == ["critic", "autoencoder"]
    settings = engine.turns[0].optimizer.param_groups[0]
    assert (settings["lr"], settings["betas"]) == (0.003, (0.5, 0.9))
    critic = torch.optim.Adam(mine.critic.parameters(), lr=0.003, betas=(0.5, 0.9))
    reseed(stream_key(4, "model", 0, 0, 0), torch.device("cpu"))
    with torch.no_grad():
        causes = mine.vae(x)["causes"]
    orders = torch.rand(12, 3).argsort(0)
    mixed = torch.stack([causes[orders[:, k], k] for k in range(3)], 1)
    answers = torch.tensor([0] * 12 + [1] * 12)
    nn.functional.cross_entropy(mine.critic(torch.cat([causes, mixed])), answers).backward()
    critic.step()

    plain = PLAIN(list(mine.vae.parameters()))
    reseed(stream_key(4, "model 1", 0, 0, 0), torch.device("cpu"))
    said = mine.vae(x)
    surprise = nn.functional.binary_cross_entropy_with_logits(said["outputs"], x, reduction="none").sum(1)
    scores = mine.critic(said["causes"])
    (surprise + said["divergence"] + 7.0 * (scores[:, 0] - scores[:, 1])).mean().backward()
    plain.step()
    for found, wanted in zip(engine.model.parameters(), mine.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_the_critic_is_a_chain_of_leaky_layers_of_which_the_last_is_plain() -> None:
    critic, causes = both(FactorVAE(layers=2, width=5)).critic, torch.randn(9, 3)
    first, second, last = (layer for layer in critic if isinstance(layer, nn.Linear))
    hidden = causes
    for layer in (first, second):
        hidden = layer(hidden)
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    torch.testing.assert_close(critic(causes), last(hidden))


def test_each_turn_moves_its_own_weights_alone() -> None:
    objective = FactorVAE(layers=2, width=5)
    for turn, moved, still in zip(objective.turns(PLAIN), ("critic", "vae"), ("vae", "critic"), strict=True):
        model = both(objective)
        before = copy.deepcopy(model.state_dict())
        after = Engine(model, turn, device="cpu").fit([Batch(inputs())], steps=1).model.state_dict()
        assert all(torch.equal(after[key], before[key]) for key in after if key.startswith(still))
        assert any(not torch.equal(after[key], before[key]) for key in after if key.startswith(moved))


def test_without_a_price_for_dependence_it_is_the_bound() -> None:
    for settings in ({}, {"likelihood": "gaussian", "spread": 0.3}):
        objective = FactorVAE(gamma=0.0, layers=2, width=5, **settings)
        model, batch = both(objective), Batch(inputs())
        losses = []
        for minimised, part in ((objective, model), (ELBO(**settings), model.vae)):
            torch.manual_seed(1)
            losses.append(minimised(part, batch)[1])
        torch.testing.assert_close(*losses)


def test_it_goes_on_to_the_bit_from_where_it_stopped(tmp_path: Path) -> None:
    objective, batches = FactorVAE(layers=2, width=5), TensorBatches(inputs(), batch_size=4)

    def engine(stop: int | None = None) -> Engine:
        made = Engine(both(objective), objective.turns(partial(torch.optim.Adam, lr=0.01)), device="cpu")
        return made.fit(batches, steps=stop) if stop else made

    write_checkpoint(tmp_path, engine(4).state_dict())
    again = engine()
    again.load_state_dict(read_checkpoint(tmp_path))
    again.fit(batches, steps=7)
    whole, left = engine(7).model.state_dict(), again.model.state_dict()
    assert again.number == 7
    assert all(torch.equal(left[key], whole[key]) for key in whole)


@pytest.mark.parametrize("turn", ["__call__", "criticise"])
def test_the_loss_of_either_turn_is_a_mean_over_weights(turn: str) -> None:
    objective = FactorVAE(layers=1, width=4)
    model, losses = both(objective).eval(), []
    for weights in ((1.0, 0.0), (0.0, 1.0), (3.0, 1.0)):
        torch.manual_seed(2)
        with torch.no_grad():
            losses.append(float(getattr(objective, turn)(model, Batch(inputs(2), weights=torch.tensor(weights)))[1]))
    assert losses[0] != pytest.approx(losses[1])
    assert losses[2] == pytest.approx((3 * losses[0] + losses[1]) / 4)


def test_what_does_not_fit_is_refused() -> None:
    for refuse, line in (
        (lambda: FactorVAE(gamma=-1.0), r"objective\.gamma is -1\.0; allowed: "),
        (lambda: FactorVAE(critic_lr=0.0), r"objective\.critic_lr is 0\.0; allowed: "),
        (lambda: FactorVAE(layers=0), r"objective\.layers is 0; allowed: "),
        (lambda: FactorVAE(width=0), r"objective\.width is 0; allowed: "),
        (lambda: FactorVAE(likelihood="poisson"), r"objective\.likelihood is 'poisson'; allowed: "),  # type: ignore[arg-type]
        (lambda: FactorVAE(spread=0.0), r"objective\.spread is 0\.0; allowed: "),
        (
            lambda: FactorVAE().beside(AutoencoderModel().build((6,), 1)),
            "without Gaussian causes; allowed: model.name=vae",
        ),
    ):
        with pytest.raises(UserError, match=line):
            refuse()
