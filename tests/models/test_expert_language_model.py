"""A transformer with experts: its twin, its cache, and the methods that balance it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from locution.engine import Engine, TensorBatches, Turn
from locution.engine.random import generator
from locution.errors import UserError
from locution.losses.bias_balancing import BiasBalancingMethod
from locution.losses.language import NextToken
from locution.losses.load_balancing import LoadBalancingMethod
from locution.models.expert_language_model import ExpertLanguageModel
from locution.models.mixture_of_experts import active_parameters, mixtures, routings

SIZES: dict[str, Any] = {"width": 16, "heads": 2, "layers": 2, "experts": 4, "hidden": 8, "shared": 8}


def tokens(*shape: int) -> Tensor:
    return torch.randint(20, shape, generator=generator(0, "tokens"))


def build(**settings: Any) -> Any:
    torch.manual_seed(0)
    return ExpertLanguageModel(**SIZES | settings).build((10,), 20)


def test_each_block_has_a_mixture_that_routes_each_token() -> None:
    model = build()
    assert list(mixtures(model)) == ["blocks.blocks.0.feed_forward", "blocks.blocks.1.feed_forward"]
    for routing in routings(model, tokens(3, 10)).values():
        assert routing.dispatch.shape == (3, 10, 4)
        torch.testing.assert_close(routing.dispatch.sum(-1), torch.ones(3, 10))


@pytest.mark.parametrize("settings", [{}, {"top": 1, "shared": 0}, {"experts": 16, "top": 4}], ids=str)
def test_the_dense_twin_has_as_many_active_parameters(settings: dict[str, Any]) -> None:
    few, many = active_parameters(build(**settings)), active_parameters(build(**settings, dense=True))
    assert not mixtures(build(**settings, dense=True))
    assert few <= many <= few + 2 * (2 * 16 + 1)  # a unit more at most, in each of two blocks


def test_no_token_knows_of_a_later_one_and_the_cache_changes_nothing() -> None:
    model, text = build().eval(), tokens(2, 10)
    other = text.clone()
    other[:, 6:] = (other[:, 6:] + 1) % 20
    with torch.no_grad():
        whole = model(text)
        torch.testing.assert_close(whole[:, :6], model(other)[:, :6], rtol=0, atol=1e-6)
        cache = model.cache()
        parts = torch.cat([model(text[:, at : at + 1], cache=cache) for at in range(10)], 1)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", [LoadBalancingMethod(weight=1.0), BiasBalancingMethod()], ids=lambda one: one.name)
def test_the_load_of_its_experts_can_be_balanced(method: Any) -> None:
    text = tokens(40, 11)

    def largest(*methods: Any) -> float:
        model = build(top=1)
        for layer in mixtures(model).values():
            layer.router.data[0] += 0.3 * layer.router.data[0].sign()
        data = TensorBatches(text[:, :-1], text[:, 1:], batch_size=20)
        turn = Turn(NextToken(), partial(torch.optim.Adam, lr=0.003))
        Engine(model, turn, methods, device="cpu").fit(data, steps=60)
        return max(float(routing.share().max()) for routing in routings(model, text[:, :-1]).values())

    assert largest(method) < 0.45
    assert largest(method) < largest()


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match=r"model expert_language_model came upon inputs \(3, 4\); allowed: \(T,\)"):
        ExpertLanguageModel().build((3, 4), 5)
    with pytest.raises(UserError, match=r"model\.context is 5; allowed: from 10"):
        build(context=5)
    for settings in ({"top": 9}, {"experts": 0}, {"hidden": 0}, {"width": 15}):
        with pytest.raises(UserError, match=r"model\.\w+ is \d+; allowed: "):
            ExpertLanguageModel(**settings)  # type: ignore[arg-type]
