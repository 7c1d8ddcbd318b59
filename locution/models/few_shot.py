"""Few-shot learning: a model that is asked about a task of which it sees a few examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.models.adaptation import Adaptation, adapt, beginning, per_task

PARTS = ("support", "answers", "query")


class FewShot(nn.Module):
    """Few-shot learning answers questions of a task it has not met before, from a handful of that task's examples.

    Parameters
    ----------
    network: answers a single example. adaptation: how it adapts to each task before it answers, or None to answer as
    it is.

    Shapes: a dict of "support" (T, K, ...), "answers" (T, K) or (T, K, ...) and "query" (T, Q, ...) gives (T, Q, ...).
    "classes" (T, N) may say which of the network's classes each task tells apart: then a model that does not adapt
    answers with their columns, and one that adapts with its first N, in the task's own order (T, Q, N). A tensor
    (N, ...) goes through the network.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> net.weight.data.fill_(1.0)
    tensor([[1.]])
    >>> task = {"support": torch.ones(1, 1, 1), "answers": torch.full((1, 1, 1), 3.0), "query": torch.ones(1, 1, 1)}
    >>> FewShot(net)(task).item(), FewShot(net, Adaptation(lr=0.1))(task).item()  # 1 + 0.1 * 4
    (1.0, 1.4)

    Reference: O. Vinyals et al., 2016, "Matching networks for one shot learning", section 2.
    """

    def __init__(self, network: nn.Module, adaptation: Adaptation | None = None) -> None:
        super().__init__()
        self.network, self.adaptation = network, adaptation

    def forward(self, inputs: Any) -> Tensor:
        if isinstance(inputs, Tensor):
            plain: Tensor = self.network(inputs)
            return plain
        check_task(inputs)
        if self.adaptation is not None:
            return self.after(inputs, [self.adaptation.steps], self.adaptation.lr)[0]
        query, classes = inputs["query"], inputs.get("classes")  # (T, Q, ...), (T, N)
        scores: Tensor = self.network(query.flatten(0, 1)).unflatten(0, query.shape[:2])  # (T, Q, C)
        return scores if classes is None else columns(scores, classes)

    def after(self, inputs: dict[str, Tensor], steps: Sequence[int], lr: float) -> list[Tensor]:
        """Answer the query after so many steps of adaptation, for each of several numbers of steps in rising order.

        The gradient of a loss of the answers flows back to the weights of the network, unless gradients are off.
        """
        support, answers, query = (inputs[part] for part in PARTS)
        classes, way = inputs.get("classes"), self.adaptation or Adaptation()
        linked, done, found = torch.is_grad_enabled(), 0, []
        network = per_task(self.network)

        def answer(weights: dict[str, Tensor], examples: Tensor) -> Tensor:
            scores = network(weights, examples)  # (T, K, C)
            if classes is None:
                return scores
            return scores[..., : classes.shape[1]] if self.adaptation else columns(scores, classes)

        with torch.enable_grad():  # adapting takes gradients even where nobody asks for one of the answers
            weights = beginning(self.network, way.adapt, len(query), linked)
            for count in steps:
                weights = adapt(answer, weights, support, answers, lr, count - done, way.first_order or not linked)
                if not linked:
                    weights = {name: one.detach().requires_grad_() for name, one in weights.items()}
                found.append(answer(weights, query))
                done = count
        return found if linked else [one.detach() for one in found]


def columns(scores: Tensor, classes: Tensor) -> Tensor:
    """Keep the scores of the classes that each task tells apart: (T, Q, C), (T, N) -> (T, Q, N).

    >>> columns(torch.tensor([[[5.0, 6.0, 7.0]]]), torch.tensor([[2, 0]]))
    tensor([[[7., 5.]]])
    """
    return scores.gather(-1, classes[:, None, :].expand(-1, scores.shape[1], -1))


def check_task(inputs: Any) -> None:
    """Refuse inputs that are no tasks."""
    if not isinstance(inputs, dict) or any(part not in inputs for part in PARTS):
        came = ", ".join(map(str, inputs)) if isinstance(inputs, dict) else type(inputs).__name__
        raise UserError(f"the inputs are {came or 'empty'}; allowed: tasks, a dict of {', '.join(PARTS)}.")
