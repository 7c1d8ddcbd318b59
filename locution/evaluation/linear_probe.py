"""What a straight line can read off vectors that were learnt without it."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_probe(train: Tensor, classes: Tensor, test: Tensor, strength: float = 1.0) -> Tensor:
    """A linear probe says how much of the classes a linear classifier reads off vectors that stay as they are.

    Each feature is brought to mean 0 and spread 1 by the examples learnt from; the classifier is a logistic regression.

    train (N, D), classes (N,), test (M, D), strength: how freely it fits (scikit-learn's C); gives the class of each
    test example (M,).

    >>> linear_probe(torch.tensor([[0.0], [0.1], [2.0], [2.1]]), torch.tensor([3, 3, 7, 7]), torch.tensor([[1.9]]))
    tensor([7])

    Reference: G. Alain, Y. Bengio, 2017, "Understanding intermediate layers using linear classifier probes", section 3.
    """
    from sklearn.linear_model import LogisticRegression

    middle, spread = train.double().mean(0), train.double().std(0, correction=0)
    rows, asked = ((one.double() - middle) / spread.clamp(min=1e-6) for one in (train, test))
    probe = LogisticRegression(C=strength, max_iter=5000).fit(rows.cpu().numpy(), classes.cpu().numpy())
    return torch.as_tensor(probe.predict(asked.cpu().numpy()))
