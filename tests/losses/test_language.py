"""What language models minimise: the surprise at what follows, and at what was hidden by BERT's rules."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from locution.data.byte_pairs import END, FIRST, MASK
from locution.engine import Batch
from locution.errors import UserError
from locution.losses.basic import IGNORED
from locution.losses.language import MaskedToken, NextToken, hide_tokens


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Copies(nn.Module):
    """Expects at each place the token that stands there, by a score of 5; notes what it read."""

    def forward(self, tokens: Tensor) -> Tensor:
        self.read = tokens
        return 5.0 * nn.functional.one_hot(tokens, 300).float()


def surprise(right: bool) -> float:
    return math.log(math.exp(5) + 299) - (5.0 if right else 0.0)


def test_the_loss_is_the_surprise_at_the_next_token_with_targets_and_without() -> None:
    tokens = torch.tensor([[7, 7, 8, 8]])
    _, loss = NextToken()(Copies(), Batch(tokens))
    assert loss.item() == pytest.approx((2 * surprise(True) + surprise(False)) / 3)
    scores, same = NextToken()(Copies(), Batch(tokens[:, :-1], tokens[:, 1:]))
    assert same.item() == pytest.approx(loss.item())
    assert scores.shape == (1, 3, 300)
    _, ends = NextToken()(Copies(), Batch(tokens[:, :-1], torch.tensor([[7, IGNORED, IGNORED]])))
    assert ends.item() == pytest.approx(surprise(True))


def test_passages_count_by_their_weights() -> None:
    batch = Batch(torch.tensor([[7, 7], [7, 8]]), weights=torch.tensor([3.0, 1.0]))
    _, loss = NextToken()(Copies(), batch)
    assert loss.item() == pytest.approx((3 * surprise(True) + surprise(False)) / 4)


def test_tokens_are_hidden_as_often_and_in_the_ways_that_bert_has() -> None:
    tokens = torch.full((200, 500), 77)
    read, asked = hide_tokens(tokens, vocabulary=300, draw=draw())
    there = asked != IGNORED
    count = int(there.sum())

    def near(share: float, wanted: float, of: int) -> bool:
        return abs(share - wanted) < 4 * (wanted * (1 - wanted) / of) ** 0.5

    assert near(float(there.float().mean()), 0.15, tokens.numel())
    hidden, same = (read == MASK)[there].float().mean(), (read == 77)[there].float().mean()
    assert near(float(hidden), 0.8, count)
    assert near(float(same), 0.1 + 0.1 / 298, count)  # one of those swapped is swapped for itself
    others = read[there & (read != MASK) & (read != 77)]
    assert int(others.min()) >= FIRST
    assert int(others.max()) == 299
    assert len(others.unique()) > 280  # any token may come
    assert bool((read[~there] == 77).all())
    assert bool((asked[there] == 77).all())


def test_marks_are_never_asked_for_and_something_always_is() -> None:
    tokens = torch.full((300, 8), 50)
    tokens[:, ::2] = END
    read, asked = hide_tokens(tokens, 300, share=0.01, draw=draw())
    assert bool((asked[:, ::2] == IGNORED).all())
    assert bool((read[:, ::2] == END).all())
    assert bool(((asked != IGNORED).sum(1) >= 1).all())
    _, none = hide_tokens(torch.full((2, 4), END), 300, draw=draw())
    assert bool((none == IGNORED).all())


def test_a_model_that_trains_meets_other_gaps_and_one_that_is_judged_the_same() -> None:
    tokens, objective = torch.randint(FIRST, 300, (4, 64), generator=draw()), MaskedToken(vocabulary=300)
    model = Copies()

    def read(seed: int) -> Tensor:
        torch.manual_seed(seed)
        objective(model, Batch(tokens))
        return model.read

    model.train()
    assert torch.equal(read(1), read(1))  # the engine sets torch's own generator before each pass
    assert not torch.equal(read(1), read(2))
    model.eval()
    assert torch.equal(read(1), read(2))


def test_what_stays_is_asked_for_too() -> None:
    tokens = torch.full((1, 4000), 77)
    _, loss = MaskedToken(vocabulary=300)(Copies().eval(), Batch(tokens))
    copied = 0.1
    assert loss.item() == pytest.approx(copied * surprise(True) + (1 - copied) * surprise(False), rel=0.05)


def test_the_share_of_gaps_is_a_setting() -> None:
    tokens = torch.full((50, 200), 77)
    _, asked = hide_tokens(tokens, 300, share=0.4, draw=draw())
    assert float((asked != IGNORED).float().mean()) == pytest.approx(0.4, abs=0.03)
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(UserError, match=rf"objective\.share is {share}; allowed: a share above 0, below 1"):
            MaskedToken(share=share)
    with pytest.raises(UserError, match=r"objective\.vocabulary is 0; allowed: the number of tokens"):
        MaskedToken()(Copies(), Batch(tokens))
