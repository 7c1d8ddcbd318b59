"""Pairs of answers: the questions of a part stand in its chapters alone, the better answer first, and where it ends."""

from __future__ import annotations

import pytest
import torch

from locution.data.byte_pairs import END
from locution.data.dataset import Dataset
from locution.data.preferences import KINDS, Pairs, PreferencesData, mistaken, questions
from locution.data.prose import read_prose
from locution.errors import LocutionError, UserError

SETTINGS = {"vocabulary": 400, "length": 128, "answer": 64}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return PreferencesData(**SETTINGS).load(seed=0)


def texts(data: Dataset, part: str) -> list[tuple[str, list[tuple[str, list[int]]]]]:
    held = data.train if part == "train" else getattr(data, part)
    found = []
    for tokens, answer in zip(held.inputs["tokens"], held.inputs["answer"], strict=True):
        first = int(answer[0].nonzero()[0])
        written = [tokens[place][answer[place]].tolist() for place in range(2)]
        begins = data.reader.tokenizer.text(tokens[0, :first].tolist())
        found.append((begins, [(data.reader.tokenizer.text(one), one) for one in written]))
    return found


def test_there_are_enough_pairs_and_all_three_kinds(data: Dataset) -> None:
    assert isinstance(data.train, Pairs)
    assert data.test is not None
    asked = data.train.asked
    assert len(data.train) > 500
    assert len(data.test) == len(asked.kinds) == len(asked.begins) > 50
    counts = [asked.kinds.count(two) for two in (KINDS[:2], KINDS[1:], (KINDS[0], KINDS[2]))]
    assert min(counts) > 10
    assert sum(counts) == len(asked.kinds)


def test_answers_are_what_their_kinds_say(data: Dataset) -> None:
    parts, _ = read_prose(0.1, 0.1, 0)
    whole = {one.begins: one for chapter in parts["test"].values() for one in questions(chapter)}
    endings = {one.whole for one in whole.values()}
    pairs: Pairs = data.train  # type: ignore[assignment]
    for (begins, both), kinds, asked in zip(texts(data, "test"), pairs.asked.kinds, pairs.asked.begins, strict=True):
        assert begins == asked
        one = whole[begins]
        for (text, tokens), kind in zip(both, kinds, strict=True):
            assert (tokens[-1] == END) == (kind != "rambling")
            if kind == "whole":
                assert text == one.whole
            elif kind == "rambling":
                assert len(tokens) == 64
                assert text.startswith(one.whole)
                assert one.rambling.startswith(text.rstrip("�"))
            else:
                assert text in endings
                assert text != one.whole


def test_what_is_behind_an_answer_are_ends_and_both_begin_alike(data: Dataset) -> None:
    assert data.test is not None
    tokens, answer = data.test.inputs["tokens"], data.test.inputs["answer"]
    for row in range(len(tokens)):
        first = [int(answer[row, place].nonzero()[0]) for place in range(2)]
        assert first[0] == first[1] >= 2
        assert torch.equal(tokens[row, 0, : first[0]], tokens[row, 1, : first[0]])
        assert int(tokens[row, 0, 0]) == END
        for place in range(2):
            last = int(answer[row, place].nonzero()[-1])
            assert answer[row, place, first[0] : last + 1].all()
            assert bool((tokens[row, place, last + 1 :] == END).all())


def test_no_question_of_the_test_was_learnt_from(data: Dataset) -> None:
    begun = {name: {begins for begins, _ in texts(data, name)} for name in ("train", "development", "test")}
    assert not begun["test"] & begun["train"]
    assert not begun["test"] & begun["development"]
    parts, _ = read_prose(0.1, 0.1, 0)
    training = "\n".join(parts["train"].values())
    assert not any(begins in training for begins in begun["test"] if len(begins) > 40)


def test_the_pairs_depend_on_the_split_alone_and_mistakes_fall_on_training_alone(data: Dataset) -> None:
    again, wrong = PreferencesData(**SETTINGS).load(seed=7), PreferencesData(**SETTINGS, mistakes=0.25).load(seed=0)
    for part in ("train", "test"):
        one, same, other = (getattr(some, part).inputs["tokens"] for some in (data, again, wrong))
        assert torch.equal(one, same)
        swapped = (one.flip(1) == other).flatten(1).all(1) & (one != other).flatten(1).any(1)
        assert int(swapped.sum()) == (round(0.25 * len(one)) if part == "train" else 0)
    both = mistaken({"tokens": torch.tensor([[[1], [2]]]), "answer": torch.tensor([[[True], [False]]])}, 0.49, 0)
    assert both["tokens"].tolist() == [[[1], [2]]]


def test_pairs_come_with_what_the_reference_said_of_them() -> None:
    tokens = torch.arange(5)[:, None, None].expand(5, 2, 3)
    pairs = Pairs({"tokens": tokens, "answer": torch.ones(5, 2, 3, dtype=torch.bool)}, batch_size=2)
    with pytest.raises(LocutionError, match="nothing is known of the model where training began"):
        next(pairs.epoch(0, seed=0))
    pairs.reference = torch.arange(5.0)[:, None].expand(5, 2)
    batches = list(pairs.epoch(3, seed=0))
    assert len(batches) == pairs.steps() == 3
    for batch in batches:
        assert torch.equal(batch.inputs["tokens"][:, :, 0].float(), batch.targets["reference"])
    rest = list(pairs.epoch(3, seed=0, skip=2))
    assert torch.equal(rest[0].inputs["tokens"], batches[2].inputs["tokens"])


def test_sentences_are_cut_behind_half_of_their_words() -> None:
    text = "Head\n====\n\nOne two three four five six\nseven eight. It goes on here for eight words now.\n\n   a = b\n"
    found = questions(text, reach=8)
    assert [one.begins for one in found] == ["One two three four", "It goes on here"]
    assert [one.whole for one in found] == [" five six\nseven eight.", " for eight words now."]
    assert found[0].rambling == " five six\nseven eight. It goes"


@pytest.mark.parametrize(
    ("setting", "value"), [("batch_size", 0), ("answer", 7), ("length", 100), ("mistakes", 0.5), ("vocabulary", 3)]
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"data\.{setting} is {value}; allowed: "):
        PreferencesData(**{**SETTINGS, setting: value})
