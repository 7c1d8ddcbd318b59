"""Whether drawn examples are recognised: by a classifier that learnt from real ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from locution.errors import UserError


class Recogniser:
    """A recogniser judges drawn examples: a classifier that learnt from real ones says of which class each is.

    It is a support vector machine with radial kernels, which learns digits in a moment and is right about 99 of 100
    that it never saw; what it does not recognise is either of no class or of another.

    >>> x = torch.tensor([[0.0], [0.1], [1.0], [0.9]])
    >>> judge = Recogniser(x, torch.tensor([0, 0, 1, 1]))
    >>> judge(torch.tensor([[0.05], [0.95]]))
    tensor([0, 1])

    Reference: C. Cortes, V. Vapnik, 1995, "Support-vector networks"; judging by a classifier that learnt from real
    examples: S. Ravuri, O. Vinyals, 2019, "Classification accuracy score for conditional generative models".
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        from sklearn.svm import SVC

        if len(set(targets.tolist())) < 2:
            raise UserError("a recogniser came upon one class; allowed: two or more.")
        self.machine: Any = SVC(C=10.0).fit(inputs.flatten(1).numpy(), targets.numpy())

    def __call__(self, inputs: Tensor) -> Tensor:
        """Say the class of each example: (N, ...) -> (N,)."""
        return torch.from_numpy(self.machine.predict(inputs.flatten(1).numpy()))

    def right(self, inputs: Tensor, targets: Tensor) -> int:
        """Count the examples that are taken for what they should be."""
        return int((self(inputs) == targets).sum())
