"""What a task of describing measures: the bound, the error, and whether causes are told apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.engine.random import generator
from locution.evaluation.disentanglement import factor_vae_score, mutual_information_gap
from locution.evaluation.importance_weighting import log_likelihood
from locution.evaluation.intervals import bootstrap
from locution.evaluation.principal_error import principal_error
from locution.inference.predict import predict
from locution.losses.elbo import ELBO, bound
from locution.losses.factor_vae import Criticised, FactorVAE
from locution.losses.reconstruction_error import ReconstructionError, reconstruction_error
from locution.models.autoencoder import Autoencoder
from locution.models.vae import VAE
from locution.reporting.results import Metric

DRAWS, WEIGHED = 10, 100  # of the hidden causes, for each example that is judged: for the bound, for the likelihood
Objective = ELBO | FactorVAE | ReconstructionError


def elbo_of(objective: Objective) -> ELBO:
    """Name the bound that a model is judged by: its objective's own, without what else the objective minimises."""
    if isinstance(objective, FactorVAE):
        return objective.elbo
    return objective if isinstance(objective, ELBO) else ELBO("gaussian")


def uncriticised(model: nn.Module) -> nn.Module:
    """Take what describes out of what was trained: a VAE that has a critic beside it, or the model itself."""
    return model.vae if isinstance(model, Criticised) else model


def judged(objective: ELBO, model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Measure the two terms of the bound on draws of the causes: (S, N) and (N,)."""
    device = next(model.parameters()).device
    surprises, divergence = [], torch.empty(0)
    with torch.no_grad():
        for number in range(DRAWS):
            output = model.eval()(inputs.to(device), generator(0, "causes", number))
            surprise, divergence = objective.parts(output, inputs.to(device))
            surprises.append(surprise.cpu())
    return torch.stack(surprises), divergence.cpu()


def bound_figures(objective: ELBO, model: nn.Module, held: Tensor) -> list[Metric]:
    """Judge a model of hidden causes by the bound, and by how likely held-out inputs are where that can be estimated.

    The bound is the true one, in nats, whatever weight the objective gave to the divergence.
    """
    surprise, divergence = judged(objective, model, held)
    note = f"{len(held)} examples held out, {DRAWS} draws each, in nats"
    said = {
        "negative_elbo": (bound(surprise, divergence), "negative ELBO", "lower", note),
        "reconstruction": (surprise.mean(0), "surprise at the input", "lower", note),
        "divergence": (divergence, "divergence of the causes", "", note),
    }
    if isinstance(model, VAE):
        device = next(model.parameters()).device
        unlikely = -log_likelihood(model, held.to(device), objective, WEIGHED).cpu()
        often = f"{len(held)} examples held out, estimated from {WEIGHED} draws each, in nats"
        said["negative_log_likelihood"] = (unlikely, "negative log likelihood", "lower", often)
    return [
        Metric(name, **bootstrap(values), label=label, group="ELBO", better=better, note=note)
        for name, (values, label, better, note) in said.items()
    ]


def error_figures(model: Autoencoder, seen: Tensor, held: Tensor) -> list[Metric]:
    """Judge an autoencoder by its error, beside that of as many principal components."""
    size = predict(model, held[:1]).outputs[0].numel()
    latents = model.code(seen[:1].to(next(model.parameters()).device)).shape[1]
    errors = {
        "reconstruction_error": (reconstruction_error(predict(model, held).outputs, held), "reconstruction error"),
        "pca_error": (
            principal_error(seen, held, min(latents, size, len(seen))),
            f"that of {latents} principal components",
        ),
    }
    note = f"{len(held)} examples held out, mean squared error of a number"
    return [
        Metric(
            name,
            **bootstrap(values),
            label=label,
            group="error",
            better="lower" if name != "pca_error" else "",
            note=note,
        )
        for name, (values, label) in errors.items()
    ]


def codes_of(model: Any, inputs: Tensor) -> Tensor:
    """Say the code of many inputs, a chunk at a time: (N, D), on the processor."""
    device = next(model.parameters()).device
    with torch.no_grad():
        return torch.cat([model.eval().code(some.to(device)).cpu() for some in torch.split(inputs, 1024)])


def everything(data: Dataset) -> tuple[Tensor, Tensor]:
    """Put all examples of a dataset together, with their answers."""
    parts = [part for part in (data.train, data.development, data.test) if isinstance(part, TensorBatches)]
    return torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts])


def factor_figures(model: nn.Module, data: Dataset, binary: bool) -> list[Metric]:
    """Judge a code by the known causes of its examples; nothing for data whose causes nobody knows."""
    if not data.factors or not isinstance(model, VAE | Autoencoder):
        return []
    inputs, factors = everything(data)
    codes = codes_of(model, inputs.round() if binary else inputs)
    right, gaps = factor_vae_score(codes, factors.long()), mutual_information_gap(codes, factors.long())
    told = ", ".join(f"{name} {gap:.2f}" for name, gap in zip(data.factors, gaps.tolist(), strict=True))
    note = f"{len(right)} votes over {len(codes)} pictures; by chance {1 / len(data.factors):.2f}"
    score = bootstrap(right)
    return [
        Metric(
            "disentanglement",
            score["value"],
            score["low"],
            score["high"],
            label="disentanglement (FactorVAE score)",
            better="higher",
            note=note,
        ),
        Metric("mutual_information_gap", float(gaps.mean()), better="higher", note=told),
    ]
