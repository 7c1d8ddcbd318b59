"""How likely inputs are to a model with hidden causes, estimated by drawing the causes where the model expects them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from locution.engine.random import generator
from locution.errors import require
from locution.losses.elbo import ELBO, full, gaussian_surprise, reconstruction_surprise


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """The importance-weighted bound (IWAE) estimates from below how likely an input is, by many draws of its causes.

    log_weights: (S, N), for each draw the logarithm of how likely cause and input are together, less that of how likely
    the cause was to be drawn. Returns (N,), in nats: the logarithm of the mean weight. With one draw it is the ELBO;
    each further draw can only tighten it, on average.

    >>> importance_weighted_bound(torch.tensor([[1.0], [3.0]]).log())  # ln 2, where the ELBO says (ln 1 + ln 3) / 2
    tensor([0.6931])

    Reference: Y. Burda, R. Grosse, R. Salakhutdinov, 2016, "Importance weighted autoencoders", eq. 8.
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def log_weights(answer: Mapping[str, Tensor], x: Tensor, elbo: ELBO) -> Tensor:
    """Weigh one draw of the causes of each input: ln p(x | z) + ln p(z) - ln q(z | x), (N,).

    answer: what a VAE answers for x.

    >>> nothing = torch.zeros(1, 1)  # drawn from what was expected of it: what is left is how likely x is
    >>> answer = {"outputs": nothing, "causes": nothing, "means": nothing, "log_variances": nothing}
    >>> log_weights(answer, torch.ones(1, 1), ELBO())  # - ln 2
    tensor([-0.6931])
    """
    surprise = reconstruction_surprise(full(answer["outputs"]), x, elbo.likelihood, elbo.spread)
    noise = (answer["causes"] - answer["means"]) * (-0.5 * answer["log_variances"]).exp()
    drawn = gaussian_surprise(torch.zeros_like(noise), noise) + 0.5 * answer["log_variances"].sum(1)  # - ln q(z | x)
    expected = gaussian_surprise(torch.zeros_like(noise), answer["causes"])  # - ln p(z)
    return drawn - expected - surprise


def log_likelihood(model: nn.Module, x: Tensor, elbo: ELBO, draws: int = 100, seed: int = 0) -> Tensor:
    """The marginal likelihood (evidence) says how likely an input is under a model, whatever its hidden causes were.

    Its logarithm is estimated from below by the importance-weighted bound, for each input of a variational autoencoder:
    (N,), in nats.

    draws: of the causes of each input; more come closer from below. seed: of the draws.

    >>> from locution.models.vae import VAEModel
    >>> _ = torch.manual_seed(0)
    >>> log_likelihood(VAEModel(latents=2).build((4,), 1), torch.ones(3, 4), ELBO(), draws=5).shape
    torch.Size([3])

    Reference: Y. Burda, R. Grosse, R. Salakhutdinov, 2016, "Importance weighted autoencoders", section 5.
    """
    require(draws >= 1, "draws", draws, "a whole number from 1, usually 100 to 5000")
    weights = []
    vae: Any = model.eval()
    with torch.no_grad():
        for number in range(draws):
            weights.append(log_weights(vae(x, generator(seed, "importance", number)), x, elbo))
    return importance_weighted_bound(torch.stack(weights))
