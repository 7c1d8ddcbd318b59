"""The bound against closed forms: divergences, likelihoods, and the evidence of a model small enough to add up."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from locution.engine import Batch
from locution.errors import UserError
from locution.losses.elbo import (
    ELBO,
    bernoulli_surprise,
    beta_bound,
    bound,
    categorical_divergence,
    gaussian_divergence,
    gaussian_surprise,
    reconstruction_surprise,
)
from locution.models.categorical_vae import CategoricalVAE


def test_the_divergence_is_torchs_own() -> None:
    logits = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    even = Categorical(logits=torch.zeros_like(logits))
    torch.testing.assert_close(categorical_divergence(logits), kl_divergence(Categorical(logits=logits), even).sum(1))
    sure = torch.full((1, 2, 8), -1e4)
    sure[..., 3] = 0.0
    torch.testing.assert_close(categorical_divergence(sure), torch.tensor([2 * math.log(8)]))


def test_surprises_are_torchs_own() -> None:
    stream = torch.Generator().manual_seed(1)
    outputs, x = torch.randn(3, 1, 2, 2, generator=stream), torch.rand(3, 1, 2, 2, generator=stream).round()
    torch.testing.assert_close(bernoulli_surprise(outputs, x), -Bernoulli(logits=outputs).log_prob(x).flatten(1).sum(1))
    torch.testing.assert_close(gaussian_surprise(outputs, x), -Normal(outputs, 1.0).log_prob(x).flatten(1).sum(1))
    torch.testing.assert_close(reconstruction_surprise(outputs, x, "gaussian"), gaussian_surprise(outputs, x))
    narrow = -Normal(outputs, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(reconstruction_surprise(outputs, x, "gaussian", 0.3), narrow)


def test_the_divergence_of_gaussians_is_torchs_own() -> None:
    stream = torch.Generator().manual_seed(2)
    means, logs = (torch.randn(4, 3, generator=stream, dtype=torch.float64) for _ in range(2))
    wanted = kl_divergence(Normal(means, (0.5 * logs).exp()), Normal(0 * means, 1 + 0 * means)).sum(1)
    torch.testing.assert_close(gaussian_divergence(means, logs), wanted)
    assert gaussian_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]
    assert gaussian_divergence(means.bfloat16(), logs.bfloat16()).dtype == torch.float32, "sums want more than bf16"
    torch.testing.assert_close(beta_bound(wanted, 2 * wanted, 3.0), 7 * wanted)


def test_the_bound_never_passes_the_evidence_and_meets_it_where_the_posterior_is_exact() -> None:
    """2 variables of 3 classes: the evidence is a sum over 9 codes, and so is the expectation of the bound."""
    torch.manual_seed(0)
    model = CategoricalVAE((4,), 2, 3, (6,)).double().eval()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    codes = list(itertools.product(range(3), repeat=2))
    with torch.no_grad():
        hot = torch.stack([torch.eye(3, dtype=torch.float64)[list(code)] for code in codes])  # (9, 2, 3)
        likely = torch.stack([-bernoulli_surprise(model.decode(hot), one.expand(9, 4)) for one in x])  # (2, 9)
        evidence = (likely - math.log(9)).logsumexp(1)
        logs = model.logits(x).log_softmax(-1)
        q = torch.stack([logs[:, 0, a] + logs[:, 1, b] for a, b in codes], 1)  # (2, 9)
        exact = -(q.exp() * likely).sum(1) + categorical_divergence(model.logits(x))
        assert bool((exact > -evidence).all())
        gap = (q.exp() * (q - (likely - math.log(9) - evidence[:, None]))).sum(1)  # KL to the true posterior
        torch.testing.assert_close(exact, -evidence + gap)
        answer = model(many := x.repeat(4000, 1), torch.Generator().manual_seed(0))
        surprise = bernoulli_surprise(answer["outputs"], many).view(4000, 2)
        found = bound(surprise, answer["divergence"][:2])
    error = surprise.std(0) / 4000**0.5
    assert bool(((found - exact).abs() < 5 * error + 1e-6).all())


class Fixed(nn.Module):
    """Answers always the same."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"outputs": torch.zeros_like(x), "divergence": torch.arange(len(x)) + 1.0}


def test_the_loss_is_a_mean_over_weights_and_beta_weighs_the_divergence() -> None:
    x = torch.ones(2, 3)
    _, loss = ELBO(beta=2.0)(Fixed(), Batch(x, weights=torch.tensor([1.0, 3.0])))
    assert abs(loss.item() - (3 * math.log(2) + 2 * (1 * 1 + 3 * 2) / 4)) < 1e-6
    surprise, divergence = ELBO(likelihood="gaussian").parts(Fixed()(x), x)
    assert abs(surprise[0].item() - 3 * (0.5 + 0.5 * math.log(2 * math.pi))) < 1e-5
    assert divergence.tolist() == [1.0, 2.0]


def test_a_model_that_answers_is_held_to_the_targets() -> None:
    x, y = torch.ones(2, 3), torch.tensor([[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    _, loss = ELBO("gaussian", spread=0.5, explains="targets")(Fixed(), Batch(x, y))
    surprise = gaussian_surprise(torch.zeros(2, 3), y, 0.5)
    torch.testing.assert_close(loss, (surprise + torch.tensor([1.0, 2.0])).mean())


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    for refuse, line in (
        (lambda: ELBO(beta=-1.0), r"objective\.beta is -1\.0; allowed: "),
        (lambda: ELBO(likelihood="poisson"), r"objective\.likelihood is 'poisson'; allowed: "),  # type: ignore[arg-type]
        (lambda: ELBO(spread=0.0), r"objective\.spread is 0\.0; allowed: "),
        (lambda: ELBO(explains="all"), r"objective\.explains is 'all'; allowed: inputs or targets"),  # type: ignore[arg-type]
        (lambda: ELBO()(nn.Identity(), Batch(torch.zeros(1, 2))), "answered with Tensor; allowed for elbo: "),
        (lambda: reconstruction_surprise(torch.zeros(1, 2), torch.zeros(1, 3)), r"\(1, 2\); allowed: \(1, 3\)"),
    ):
        with pytest.raises(UserError, match=line):
            refuse()
