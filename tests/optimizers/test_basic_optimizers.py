"""torch's optimizers by name: the same steps as torch's plain form, whichever form is chosen."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.optimizers.basic import SGD, Adam, AdamW, Momentum, fastest, gradient_descent, largest_learning_rate

PAIRS = [
    (SGD(lr=0.1), partial(torch.optim.SGD, lr=0.1)),
    (SGD(lr=0.1, weight_decay=0.1), partial(torch.optim.SGD, lr=0.1, weight_decay=0.1)),
    (Momentum(lr=0.1), partial(torch.optim.SGD, lr=0.1, momentum=0.9)),
    (SGD(lr=0.1, momentum=0.5, nesterov=True), partial(torch.optim.SGD, lr=0.1, momentum=0.5, nesterov=True)),
    (Adam(lr=0.1, weight_decay=0.1), partial(torch.optim.Adam, lr=0.1, weight_decay=0.1)),
    (Adam(beta1=0.5, beta2=0.9, eps=1e-3), partial(torch.optim.Adam, lr=0.001, betas=(0.5, 0.9), eps=1e-3)),
    (AdamW(lr=0.1, weight_decay=0.3), partial(torch.optim.AdamW, lr=0.1, weight_decay=0.3)),
]


@pytest.mark.parametrize(("ours", "torchs"), PAIRS, ids=lambda one: type(one).__name__)
def test_the_steps_are_torchs(ours: SGD, torchs: partial[torch.optim.Optimizer]) -> None:
    draw = torch.Generator().manual_seed(0)
    start = [
        torch.randn(4, 3, generator=draw, dtype=torch.float64),
        torch.randn(3, generator=draw, dtype=torch.float64),
    ]
    sides = []
    for make in (ours.build, partial(torchs, foreach=False, fused=False)):
        weights = [nn.Parameter(tensor.clone()) for tensor in start]
        optimizer = make(weights)
        draw.manual_seed(1)
        for _ in range(20):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
            optimizer.step()
        sides.append(weights)
    for mine, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-12)


def test_gradient_descent_is_plain_sgd() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    gradient = torch.tensor([0.5, 0.25])
    expected = gradient_descent(weight.detach().clone(), gradient, 0.1)
    weight.grad = gradient
    SGD(lr=0.1).build([weight]).step()
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize(("share", "comes_to_rest"), [(0.98, True), (1.02, False)])
def test_gradient_descent_diverges_just_above_the_largest_learning_rate(share: float, comes_to_rest: bool) -> None:
    curvature = torch.tensor([[12.0, 4.0], [4.0, 2.0]], dtype=torch.float64)
    rate = share * largest_learning_rate(curvature)
    weights = torch.ones(2, dtype=torch.float64)
    for _ in range(2000):
        weights = gradient_descent(weights, curvature @ weights, rate)
    assert bool(weights.norm() < 1e-6) is comes_to_rest
    assert bool(weights.norm() > 1e6) is not comes_to_rest


def test_the_fast_form_is_chosen_where_torch_has_one() -> None:
    weight = nn.Parameter(torch.ones(2))
    assert AdamW().build([weight]).defaults["fused"]
    assert Momentum().build([weight]).defaults["fused"]
    assert not SGD().build([weight]).defaults["fused"]  # one tensor after the other is faster
    assert fastest([torch.ones(2, dtype=torch.complex64)]) == {}
    assert fastest([torch.ones(2, device="meta")]) == {}
    assert fastest([]) == {}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(SGD, lr=-0.1), "optimizer.lr is -0.1; allowed: a number from 0"),
        (partial(SGD, momentum=1.0), "optimizer.momentum is 1.0"),
        (partial(SGD, nesterov=True), "only with a momentum above 0"),
        (partial(Adam, beta2=1.0), "optimizer.beta2 is 1.0"),
        (partial(Adam, lr=float("nan")), "optimizer.lr is nan"),
        (partial(AdamW, weight_decay=-1.0), "optimizer.weight_decay is -1.0"),
        (partial(AdamW, eps=-1e-8), "optimizer.eps"),
    ],
)
def test_settings_out_of_range_are_refused(make: partial[SGD], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
