"""Augmentations of texts, each against its formula; and the contract of a method, on ids of words."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.data.augmentation.text.word_dropout import WordDropoutMethod, drop_words
from locution.data.augmentation.text.word_swap import WordSwapMethod, draw_places
from locution.data.augmentation.text.words import packed
from locution.data.mixup import MixupMethod
from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.loop import Engine, Turn
from locution.engine.method import Method, Plan, Step, ordered
from locution.engine.observer import Observer, Record, Stop
from locution.errors import UserError
from locution.losses.basic import CrossEntropy
from locution.losses.label_smoothing import LabelSmoothingMethod
from locution.optimizers.sam import SAMMethod

METHODS: list[Method] = [WordSwapMethod(), WordDropoutMethod()]
LENGTHS = [9, 1, 4, 0, 20, 2]


def named(methods: list[Method]) -> str:
    return "+".join(method.name for method in methods)


def texts(copies: int = 1) -> Tensor:
    """Each word of a text bears its own place, from 1; 0 behind them."""
    places = torch.arange(1, 21).expand(len(LENGTHS), 20)
    return (places * (places <= torch.tensor(LENGTHS)[:, None])).repeat(copies, 1)


def changed(method: Method, words: Tensor, number: int = 0) -> Tensor:
    found = method.batch(Batch(words, torch.zeros(len(words))), Step(number, 0, Plan(seed=0), nn.Identity())).inputs
    assert isinstance(found, Tensor)
    assert (found.shape, found.dtype) == (words.shape, words.dtype)
    return found


def written(words: Tensor) -> list[list[int]]:
    """The words of each text, of which padding is only behind them."""
    rows = [[word for word in row if word] for row in words.tolist()]
    assert all(row[: len(text)] == text for row, text in zip(words.tolist(), rows, strict=True))
    return rows


def test_words_left_out_leave_the_others_in_their_order() -> None:
    chance = torch.rand(6, 20, generator=torch.Generator().manual_seed(0))
    found = written(drop_words(texts(), chance, rate=0.4))
    for row, count in enumerate(LENGTHS):
        expected = [place for place in range(1, count + 1) if chance[row, place - 1] >= 0.4]
        assert found[row] == (expected or [int(chance[row, :count].argmax()) + 1] if count else [])
    assert packed(texts(), torch.zeros(6, 20).bool()).sum() == 0


def test_a_word_is_lost_by_its_rate_and_never_the_last_one() -> None:
    words = texts(400)
    found = written(changed(WordDropoutMethod(rate=0.3), words))
    long = [row for row in range(len(words)) if LENGTHS[row % 6] == 20]
    assert 1 - sum(len(found[row]) for row in long) / (20 * len(long)) == pytest.approx(0.3, abs=0.02)
    most = written(changed(WordDropoutMethod(rate=0.99), words))
    assert {len(most[row]) for row in range(len(words)) if LENGTHS[row % 6] == 1} == {1}
    assert all(len(most[row]) >= 1 for row in range(len(words)) if LENGTHS[row % 6])


def test_swapped_words_are_the_same_words_in_other_places() -> None:
    words = texts(50)
    found = written(changed(WordSwapMethod(), words))
    for row, text in enumerate(found):
        count = LENGTHS[row % 6]
        plain = list(range(1, count + 1))
        assert sorted(text) == plain
        moved = sum(one != other for one, other in zip(text, plain, strict=True))
        if count < 2:
            assert moved == 0
        elif count < 15:
            assert moved == 2  # one swap: 0.1 x 9, and at least one
        else:
            assert moved in (0, 3, 4)  # two swaps, of which the second may undo the first


def test_places_are_two_and_each_is_as_likely() -> None:
    lengths = torch.tensor([5, 2, 1]).repeat(6000)
    first, second = draw_places(lengths, torch.Generator().manual_seed(0))
    assert not (first == second)[lengths > 1].any()
    assert (second < lengths).all()
    assert not (first + second)[lengths == 1].any()
    pairs = torch.bincount((first * 5 + second)[lengths == 5], minlength=25).view(5, 5) / 6000
    expected = (1 - torch.eye(5)) / 20
    torch.testing.assert_close(pairs, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_they_refuse_what_is_no_text_in_one_line(method: Method) -> None:
    for inputs in (torch.zeros(4, 6), torch.zeros(4, 1, 6, 6), torch.zeros(4, dtype=torch.int64), {"words": texts()}):
        with pytest.raises(
            UserError, match=f"'{method.name}' came upon inputs that are no words; allowed: "
        ) as refused:
            changed(method, inputs)  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)
    assert torch.equal(changed(method, torch.zeros(3, 4, dtype=torch.int64)), torch.zeros(3, 4).long())
    with pytest.raises(UserError, match="cannot be combined; words do not blend"):
        ordered([method, MixupMethod()])


def test_words_are_swapped_before_some_are_lost() -> None:
    for listed in itertools.permutations(METHODS):
        assert [method.name for method in ordered(listed)] == ["word_swap", "word_dropout"]


# The contract of a method, on words ------------------------------------------------------------------------


def train(methods: list[Method], *, state: Any = None, **settings: Any) -> list[Tensor]:
    torch.manual_seed(0)
    words = texts(4) % 7
    network = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(60, 3))
    turn = Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    engine = Engine(network, turn, methods, device="cpu", log_every=1, **settings)
    if state is not None:
        engine.load_state_dict(state)
    engine.fit(TensorBatches(words, torch.arange(24) % 3, batch_size=10), steps=7)
    return [weight.detach().clone() for weight in network.parameters()]


CASES: list[list[Method]] = [
    *([method] for method in METHODS),
    [*METHODS, SAMMethod(), LabelSmoothingMethod(classes=3)],
]


@pytest.mark.parametrize("methods", CASES, ids=named)
def test_they_change_training_and_micro_batches_do_not(methods: list[Method]) -> None:
    whole = train(methods)
    assert any(not torch.equal(one, plain) for one, plain in zip(whole, train([]), strict=True))
    torch.manual_seed(7)  # nothing is drawn from torch's own generator
    for one, parts in zip(whole, train(methods, accumulate=4), strict=True):  # 10 as 3, 3, 3, 1; 4 as ones
        torch.testing.assert_close(parts, one, rtol=0, atol=1e-6)
    for one, half in zip(whole, train(methods, precision="bf16"), strict=True):
        torch.testing.assert_close(half, one, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("methods", CASES, ids=named)
def test_a_run_that_was_stopped_goes_on_to_the_bit(methods: list[Method]) -> None:
    kept: dict[str, Any] = {}

    class Kill(Observer):
        name = "kill"
        engine: Engine | None = None

        def start(self, engine: Engine) -> None:
            self.engine = engine

        def watch(self, record: Record) -> Stop | None:
            if record.kind != "step" or record.step != 4 or self.engine is None:
                return None
            kept.update(copy.deepcopy(self.engine.state_dict()))
            return Stop("killed")

    whole = train(methods, seed=3)
    train(methods, seed=3, observers=[Kill()])
    kept["observers"].pop("kill")
    assert all(torch.equal(one, other) for one, other in zip(whole, train(methods, seed=3, state=kept), strict=True))


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (WordDropoutMethod, {"rate": 1.0}, "word_dropout.rate is 1.0"),
        (WordDropoutMethod, {"rate": 0.0}, "word_dropout.rate is 0.0"),
        (WordSwapMethod, {"share": 0.0}, "word_swap.share is 0.0"),
        (WordSwapMethod, {"share": 1.5}, "word_swap.share is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(kind: Any, settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind(**settings)
