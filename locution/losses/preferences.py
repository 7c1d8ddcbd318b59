"""Learning from preferences: which of two answers is better, and what a model is to make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from locution.engine.batch import Batch
from locution.errors import UserError, require
from locution.losses.basic import weighted_mean

BETTER, WORSE = 0, 1  # places of the two answers in a pair


def preference(better: Tensor, worse: Tensor) -> Tensor:
    """The Bradley-Terry model says how likely one of two is preferred: by the difference of their rewards alone.

    Shapes: rewards (N,) each -> (N,), from 0 to 1.

    >>> preference(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.1972]))  # equal; e^2.1972 = 9 to 1
    tensor([0.5000, 0.1000])

    Reference: R. Bradley, M. Terry, 1952, "Rank analysis of incomplete block designs: the method of paired
    comparisons", Biometrika 39, section 3.
    """
    return (better - worse).sigmoid()


def preference_loss(better: Tensor, worse: Tensor) -> Tensor:
    """Measure how surprising it is to rewards that the first of two was preferred: (N,), (N,) -> (N,), in nats.

    >>> preference_loss(torch.tensor([0.0]), torch.tensor([0.0]))  # ln 2
    tensor([0.6931])

    Reference: P. Christiano et al., 2017, "Deep reinforcement learning from human preferences", eq. 1.
    """
    return -functional.logsigmoid(better - worse)


def implicit_reward(log_probs: Tensor, reference: Tensor, beta: float = 0.1) -> Tensor:
    """The implicit reward of an answer is how much likelier a model makes it than the model where training began.

    Of all models that are not too far from the reference, this one is best for that reward: beta times the logarithm of
    the ratio of probabilities, up to what depends on the question alone. Shapes: any, all alike.

    >>> implicit_reward(torch.tensor([-10.0]), torch.tensor([-12.0]), beta=0.5)
    tensor([1.])

    Reference: R. Rafailov et al., 2023, "Direct preference optimization: your language model is secretly a reward
    model", eq. 5.
    """
    return beta * (log_probs - reference)


def dpo_loss(log_probs: Tensor, reference: Tensor, beta: float = 0.1) -> Tensor:
    """Direct preference optimisation (DPO) makes preferred answers likelier than others, measured from a reference.

    Shapes: log-probabilities of whole answers (N, 2), the better first, to the model that learns and to the one that it
    began from. Returns (N,).

    >>> dpo_loss(torch.tensor([[-10.0, -10.0]]), torch.tensor([[-10.0, -10.0]]))  # nothing learnt: ln 2
    tensor([0.6931])

    Reference: R. Rafailov et al., 2023, "Direct preference optimization: your language model is secretly a reward
    model", eq. 7.
    """
    rewards = implicit_reward(log_probs, reference, beta)
    return preference_loss(rewards[:, BETTER], rewards[:, WORSE])


def answer_log_probs(scores: Tensor, tokens: Tensor, answer: Tensor) -> Tensor:
    """Say how likely a model takes each answer to be: the logarithms of its tokens' probabilities, added.

    Shapes: scores (N, T, V) before softmax, those at t for what token t + 1 is; tokens (N, T); answer (N, T), True
    where a token is of the answer. Returns (N,), in nats.

    >>> answer_log_probs(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]), torch.tensor([[False, True, True]]))  # 2 ln 4
    tensor([-2.7726])
    """
    ahead, wanted = scores[:, :-1].to(torch.promote_types(scores.dtype, torch.float32)), tokens[:, 1:]
    flat = functional.cross_entropy(ahead.flatten(0, 1), wanted.flatten(), reduction="none")
    return -(flat.view(wanted.shape) * answer[:, 1:]).sum(1)


def surprise(log_probs: Tensor, answer: Tensor) -> Tensor:
    """Measure how surprising answers are, in nats a token: log-probabilities (N,) and where they stand (N, T) -> (N,).

    >>> surprise(torch.tensor([-6.0]), torch.tensor([[False, True, True, True]]))
    tensor([2.])
    """
    return -log_probs / answer.sum(1)


def beside_each_other(inputs: Any) -> tuple[Tensor, Tensor]:
    """Lay pairs of texts out as one batch of texts: tokens and answers (N, 2, T) -> (2 N, T)."""
    if not isinstance(inputs, dict) or not {"tokens", "answer"} <= set(inputs):
        raise UserError("the batch holds no pairs of answers; allowed: data of pairs, such as preferences.")
    return inputs["tokens"].flatten(0, 1), inputs["answer"].flatten(0, 1)


@dataclass
class DPO:
    """Direct preference optimisation (DPO) makes preferred answers likelier than others, measured from a reference.

    A batch holds as inputs a dict of "tokens" and "answer" (N, 2, T): two texts, the preferred first, and where in each
    the answer stands; and as targets "reference" (N, 2): how likely each answer was to the model where training began.
    `beta` says how dear it is to move away from there. `likelihood` adds so many times the surprise at the preferred
    answer, in nats a token: without it both answers may become less likely, the other only more so.

    >>> class Even(nn.Module):
    ...     def forward(self, tokens): return torch.zeros(*tokens.shape, 4)
    >>> pair = {"tokens": torch.tensor([[[0, 1], [0, 2]]]), "answer": torch.tensor([[[False, True], [False, True]]])}
    >>> _, loss = DPO()(Even(), Batch(pair, {"reference": torch.tensor([[-2.0, -1.0]])}))
    >>> round(loss.item(), 4)  # the preferred was less likely by 1 nat, now it is as likely: -ln sigmoid(0.1)
    0.6444

    Reference: R. Rafailov et al., 2023, "Direct preference optimization: your language model is secretly a reward
    model", eq. 7; `likelihood` from R. Pang et al., 2024, "Iterative reasoning preference optimization", eq. 1.
    """

    beta: float = 0.1
    likelihood: float = 0.0

    def __post_init__(self) -> None:
        require(self.beta > 0, "objective.beta", self.beta, "a number above 0, usually 0.1 to 0.5")
        require(self.likelihood >= 0, "objective.likelihood", self.likelihood, "a number from 0, usually 0 or 1")

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (log-probabilities of the answers, loss)."""
        log_probs = self.judged(model, batch.inputs)
        losses = dpo_loss(log_probs, batch.targets["reference"], self.beta)
        if self.likelihood:
            losses = losses + self.likelihood * surprise(log_probs[:, BETTER], batch.inputs["answer"][:, BETTER])
        return log_probs, weighted_mean(losses, batch)

    def judged(self, model: nn.Module, inputs: Any) -> Tensor:
        """Say how likely the model takes both answers of each pair to be: (N, 2)."""
        tokens, answer = beside_each_other(inputs)
        return answer_log_probs(model(tokens), tokens, answer).view(-1, 2)

    def rewards(self, judged: Tensor, reference: Tensor) -> Tensor:
        """Say what reward the model's likings stand for, measured from the reference: (N, 2)."""
        return implicit_reward(judged, reference, self.beta)


@dataclass
class RewardLoss:
    """A reward model learns from pairs to give the preferred answer the higher reward.

    A batch holds as inputs a dict of "tokens" and "answer" (N, 2, T), as for `DPO`. The model answers with a reward at
    each place (N, T), for the text up to there; the one at the answer's last token counts.

    >>> class Length(nn.Module):
    ...     def forward(self, tokens): return torch.arange(tokens.shape[1]).expand(tokens.shape).float()
    >>> answer = torch.tensor([[[False, True, True], [False, True, False]]])
    >>> _, loss = RewardLoss()(Length(), Batch({"tokens": torch.zeros(1, 2, 3, dtype=torch.int64), "answer": answer}))
    >>> round(loss.item(), 4)  # rewards 2 and 1: -ln sigmoid(1)
    0.3133

    Reference: N. Stiennon et al., 2020, "Learning to summarize from human feedback", section 3.4.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
        """Run the model and measure: (rewards, loss)."""
        found = self.judged(model, batch.inputs)
        return found, weighted_mean(preference_loss(found[:, BETTER], found[:, WORSE]), batch)

    def judged(self, model: nn.Module, inputs: Any) -> Tensor:
        """Say the reward of both answers of each pair: (N, 2)."""
        tokens, answer = beside_each_other(inputs)
        found = model(tokens)
        if found.shape != tokens.shape:
            came, wanted = tuple(found.shape), tuple(tokens.shape)
            raise UserError(f"the model answered with {came}; allowed: {wanted}, a reward a place, as of reward_model.")
        places = torch.arange(tokens.shape[1], device=tokens.device)
        last = (answer * places).amax(1, keepdim=True)  # (2 N, 1)
        rewards: Tensor = found.gather(1, last)  # (2 N, 1)
        return rewards.to(torch.promote_types(found.dtype, torch.float32)).view(-1, 2)

    def rewards(self, judged: Tensor, reference: Tensor) -> Tensor:
        """The rewards are what the model says; there is no reference to measure them from."""
        return judged
