"""The classifier of texts: its formula, as a bag of words and with filters over three words."""

from __future__ import annotations

import pytest
import torch

from locution.errors import UserError
from locution.models.text_classifier import TextClassifier, TextClassifierModel

WORDS = torch.tensor([[3, 5, 2, 7, 0, 0], [4, 0, 0, 0, 0, 0], [2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0]])


def test_a_bag_is_the_mean_of_the_words_that_are_there() -> None:
    torch.manual_seed(0)
    net = TextClassifier(8, 3, width=5).eval()
    for row, text in enumerate(WORDS.tolist()):
        there = [word for word in text if word]
        mean = net.embedding.weight[there].mean(0) if there else torch.zeros(5)
        torch.testing.assert_close(net(WORDS)[row], net.head(mean))


def test_filters_look_at_three_words_and_give_their_strongest_answer() -> None:
    torch.manual_seed(0)
    net = TextClassifier(8, 3, width=5, filters=4).eval()
    assert net.phrases is not None
    for row, text in enumerate(WORDS.tolist()):
        there = [word for word in text if word]
        vectors = [torch.zeros(5), *(net.embedding.weight[word] for word in text), torch.zeros(5)]
        answers = [
            (net.phrases.weight * torch.stack(vectors[at : at + 3], 1)).sum((1, 2)) + net.phrases.bias
            for at in range(len(there))
        ]
        best = torch.stack(answers).relu().amax(0) if answers else torch.zeros(4)
        mean = net.embedding.weight[there].mean(0) if there else torch.zeros(5)
        torch.testing.assert_close(net(WORDS)[row], net.head(torch.cat([mean, best])))


@pytest.mark.parametrize("filters", [0, 4])
def test_padding_says_nothing_and_never_learns(filters: int) -> None:
    torch.manual_seed(0)
    net = TextClassifier(8, 3, width=5, filters=filters, dropout=0.0)
    longer = torch.nn.functional.pad(WORDS, (0, 3))
    torch.testing.assert_close(net(longer), net(WORDS))
    net(WORDS).sum().backward()
    grad = net.embedding.weight.grad
    assert grad is not None
    assert not grad[0].any()
    assert torch.isfinite(grad).all()


def test_the_order_counts_where_filters_look_and_only_there() -> None:
    turned = WORDS[2:3].flip(1)
    for form, same in (("bag", True), ("convolution", False)):
        torch.manual_seed(0)
        net = TextClassifierModel(form=form, vocabulary=8).build((6,), 2).eval()  # type: ignore[arg-type]
        assert torch.allclose(net(turned), net(WORDS[2:3]), atol=1e-6) is same


def test_the_form_is_chosen_by_the_number_of_examples() -> None:
    few, many = (TextClassifierModel(vocabulary=8, examples=count).build((6,), 2) for count in (1999, 2000))
    assert few.phrases is None
    assert many.phrases is not None
    assert "bag of words" in few.describe
    assert "64 filters over three words" in many.describe


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"form": "tree"}, r"model\.form is 'tree'; allowed: auto, bag, convolution"),
        ({"width": 0}, r"model\.width is 0"),
        ({"filters": 0}, r"model\.filters is 0"),
        ({"dropout": -0.1}, r"model\.dropout is -0\.1"),
        ({"vocabulary": -1}, r"model\.vocabulary is -1"),
        ({"examples": -1}, r"model\.examples is -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TextClassifierModel(**settings)  # type: ignore[arg-type]


def test_what_is_no_text_is_refused_in_one_line() -> None:
    for inputs, vocabulary in (((1, 8, 8), 10), ((6,), 0)):
        with pytest.raises(UserError, match=r"text_classifier came upon inputs .*; allowed: texts"):
            TextClassifierModel(vocabulary=vocabulary).build(inputs, 10)
