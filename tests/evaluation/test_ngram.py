"""The n-gram model: against sums by hand, against the formula by the letter, and as a distribution."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from locution.data.prose import ProseData
from locution.errors import LocutionError, UserError
from locution.evaluation.ngram import NGram, best_order, discounts

TOY = [0, 1, 2, 0, 1, 3, 0, 1, 2, 2]


def drawn(length: int, vocabulary: int, seed: int = 0) -> torch.Tensor:
    """A text in which each token hangs on the two before it."""
    stream = torch.Generator().manual_seed(seed)
    text = [0, 1]
    while len(text) < length:
        noise = int(torch.randint(vocabulary, (), generator=stream))
        text.append((3 * text[-1] + text[-2]) % vocabulary if noise % 3 else noise)
    return torch.tensor(text)


def test_a_bigram_model_is_the_one_worked_out_by_hand() -> None:
    # bigrams: 01 three times, 12 twice, 20, 13, 30 and 22 once, so Y = 4 / (4 + 2); none four times: D3 is a half
    # in how many contexts: 0 and 2 in two, 1 and 3 in one, so Y = 2 / (2 + 4); none in three: D2 is a half
    model = NGram(2, vocabulary=4).fit(torch.tensor(TOY))
    assert Counter(model.counts_[1].values()) == {1: 4, 2: 1, 3: 1}
    y = 4 / 6
    d1, d2, d3 = 1 - 2 * y * 1 / 4, 2 - 3 * y * 1 / 1, 0.5
    assert model.discounts_[1] == pytest.approx((d1, max(0.0, d2), d3))
    e1, e2 = 1 - 2 * (2 / 6) * 2 / 2, 0.5
    assert model.discounts_[0] == pytest.approx((e1, e2, 0.5))
    off = (2 * e1 + 2 * e2) / 6
    one = {0: (2 - e2) / 6 + off / 4, 1: (1 - e1) / 6 + off / 4, 2: (2 - e2) / 6 + off / 4, 3: (1 - e1) / 6 + off / 4}
    assert model.chance([], 1) == pytest.approx(one[1])
    # behind 1: 2 twice, 3 once, three in all
    off = (max(0.0, d2) + d1) / 3
    assert model.chance([1], 2) == pytest.approx((2 - max(0.0, d2)) / 3 + off * one[2])
    assert model.chance([1], 3) == pytest.approx((1 - d1) / 3 + off * one[3])
    assert model.chance([1], 0) == pytest.approx(off * one[0])


def reference(text: list[int], order: int, vocabulary: int, context: tuple[int, ...], token: int) -> float:
    """Equation 24 of Chen and Goodman by the letter: everything is counted anew."""
    if len(context) + 1 == order:
        grams = [tuple(text[at : at + order]) for at in range(len(text) - order + 1)]
    else:
        size = len(context) + 1
        highest = {tuple(text[at : at + order]) for at in range(len(text) - order + 1)}
        longer = {gram[len(gram) - size - 1 :] for gram in highest}
        grams = [gram[1:] for gram in longer]
    counts = Counter(grams)
    taken = discounts(counts.values())
    behind = {gram: count for gram, count in counts.items() if gram[:-1] == context}
    lower = reference(text, order, vocabulary, context[1:], token) if context else 1 / vocabulary
    if not behind:
        return lower
    off = sum(taken[min(count, 3) - 1] for count in behind.values())
    count = behind.get((*context, token), 0)
    left = max(count - taken[min(count, 3) - 1], 0.0) if count else 0.0
    return (left + off * lower) / sum(behind.values())


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_chances_are_those_of_the_equation_by_the_letter(order: int) -> None:
    text = drawn(120, 5)
    model = NGram(order, 5).fit(text)
    for at in range(order, 60, 7):
        context = tuple(text[at - order + 1 : at].tolist())
        for token in range(5):
            assert model.chance(context, token) == pytest.approx(reference(text.tolist(), order, 5, context, token))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_chances_are_a_distribution_whatever_came_before(order: int) -> None:
    model = NGram(order, 9).fit(drawn(300, 7))  # two tokens were never seen
    for context in ([], [0], [8], [0, 1], [8, 8, 8, 8], [0, 1, 1, 4, 6, 3]):
        chances = [model.chance(context, token) for token in range(9)]
        assert sum(chances) == pytest.approx(1.0)
        assert min(chances) > 0


def test_discounts_are_what_is_left_of_the_formula_where_counts_are_missing() -> None:
    counts = [1] * 10 + [2] * 4 + [3] * 3 + [4] * 2
    y = 10 / 18
    assert discounts(counts) == pytest.approx((1 - 2 * y * 4 / 10, 2 - 3 * y * 3 / 4, 3 - 4 * y * 2 / 3))
    assert discounts([5, 5]) == discounts([]) == (0.5, 0.5, 0.5)
    for counts in ([1, 2, 2, 2, 2, 2], [1, 2, 3, 3, 3, 3, 3, 3], [1, 2, 3, 4, 4, 4, 4, 4, 4, 4]):
        assert all(0 <= taken <= seen for seen, taken in enumerate(discounts(counts), 1))


def test_surprise_is_of_each_token_after_all_before_it() -> None:
    text = drawn(60, 5)
    model = NGram(3, 5).fit(drawn(200, 5, seed=1))
    surprise = model.surprise(text)
    assert len(surprise) == 59
    tokens = text.tolist()
    assert float(surprise[0]) == pytest.approx(-math.log(model.chance(tokens[:1], tokens[1])))
    assert float(surprise[-1]) == pytest.approx(-math.log(model.chance(tokens[:-1], tokens[-1])))


def test_the_order_is_chosen_by_the_held_out_text() -> None:
    train, held = drawn(3000, 7), drawn(500, 7, seed=1)
    chosen = best_order(train, held, 7, orders=(1, 2, 3))
    assert chosen.order == 3
    assert float(chosen.surprise(held).mean()) < float(NGram(2, 7).fit(train).surprise(held).mean())


def test_real_prose_is_expected_better_with_more_before_it() -> None:
    data = ProseData(vocabulary=300).load(0)
    streams = data.reader.streams
    means = [float(NGram(order, 300).fit(streams["train"]).surprise(streams["test"]).mean()) for order in (1, 2, 3)]
    assert means[0] > means[1] > means[2]
    assert means[0] < math.log(300)


def test_what_is_no_model_is_one_line() -> None:
    with pytest.raises(UserError, match="order is 0; allowed: a whole number from 1"):
        NGram(0, 5)
    with pytest.raises(LocutionError, match="has not been fitted"):
        NGram(2, 5).chance([], 1)
