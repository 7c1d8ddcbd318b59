"""Prose: whole chapters held out, nothing of them in training; passages that cover the text, each epoch otherwise."""

from __future__ import annotations

import hashlib

import pytest
import torch

from locution.data.byte_pairs import END
from locution.data.near_duplicate_texts import near_duplicate_texts
from locution.data.passages import Passages, cut, windows
from locution.data.prose import SHORT, Prose, ProseData, divided, own_paragraphs, paragraphs, read_prose
from locution.errors import UserError


def test_chapters_are_held_out_whole() -> None:
    parts, _ = read_prose(0.1, 0.1, 0)
    names = [set(chapters) for chapters in parts.values()]
    assert all(names)
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    sizes = [sum(map(len, chapters.values())) for chapters in parts.values()]
    for held in sizes[1:]:
        assert 0.05 < held / sum(sizes) <= 0.1 + 1e-6


@pytest.mark.parametrize("split", [0, 1, 7])
def test_nothing_that_is_held_out_stands_in_training_not_even_nearly(split: int) -> None:
    parts, dropped = read_prose(0.1, 0.1, split)
    flat = {name: [one for text in chapters.values() for one in paragraphs(text)] for name, chapters in parts.items()}
    long = {
        name: [" ".join(one.split()) for one in some if len(" ".join(one.split())) >= SHORT]
        for name, some in flat.items()
    }
    assert dropped > 0
    for one, other in (("train", "development"), ("train", "test"), ("development", "test")):
        assert not set(long[one]) & set(long[other])
        assert not near_duplicate_texts(long[one], long[other], 0.5)


def test_a_paragraph_that_stands_in_two_parts_is_left_out_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    import pydoc_data.topics

    filler = {f"c{at}": hashlib.sha512(str(at).encode()).hexdigest() for at in range(10)}
    shared = "Here stands a long paragraph that two chapters have, but for a word."
    filler["c1"] += f"\n\n{shared}\n\n"
    filler["c2"] += f"\n\n{shared.replace('two', 'both')}\n\n"
    monkeypatch.setattr(pydoc_data.topics, "topics", filler)
    found = set[int]()
    for split in range(20):
        parts, dropped = read_prose.__wrapped__(0.2, 0.2, split)
        places = [
            name
            for name, texts in parts.items()
            if any("two chapters have" in t or "both chapters have" in t for t in texts.values())
        ]
        found.add(dropped)
        assert len(places) == 1
    assert found == {0, 1}


def test_another_split_holds_out_other_chapters_and_no_share_holds_out_none() -> None:
    assert set(read_prose(0.1, 0.1, 0)[0]["test"]) != set(read_prose(0.1, 0.1, 1)[0]["test"])
    parts, _ = read_prose(0.0, 0.0, 0)
    assert parts["development"] == parts["test"] == {}
    data = ProseData(vocabulary=258, development=0.0, test=0.0).load(0)
    assert data.development is None
    assert data.test is None


def test_shares_are_never_passed() -> None:
    chapters = {name: ["x" * size] for name, size in zip("abcdef", (50, 30, 10, 5, 3, 2), strict=True)}
    for seed in range(10):
        rest, held, test = divided(chapters, [0.2, 0.1], seed)
        assert sorted(rest + held + test) == sorted(chapters)
        assert sum(len(chapters[name][0]) for name in held) <= 20
        assert sum(len(chapters[name][0]) for name in test) <= 10


def test_a_chapter_that_stands_in_another_is_left_out() -> None:
    inner = "A paragraph of its own, long enough to be looked at by all."
    chapters = {"inner": inner, "outer": f"{inner}\n\nAnother paragraph, also long enough to be looked at.\n\n{inner}!"}
    assert list(own_paragraphs(chapters)) == ["outer"]


def test_what_the_data_hand_over() -> None:
    data = ProseData(vocabulary=300, length=64, batch_size=4).load(seed=3)
    prose = data.reader
    assert isinstance(prose, Prose)
    assert data.sizes == {"vocabulary": 300}
    assert data.outputs == len(prose.tokenizer) == 300
    for name, stream in prose.streams.items():
        texts = prose.texts[name]
        assert stream[0] == stream[-1] == END
        assert int((stream == END).sum()) == len(texts) + 1
        assert prose.tokenizer.text(stream.tolist()) == "".join(texts)
    assert data.test is not None
    assert torch.equal(data.test.inputs[:, 1:], data.test.targets[:, :-1])
    assert torch.equal(ProseData(vocabulary=300, length=64).load(seed=4).reader.streams["test"], prose.streams["test"])


def test_the_tokenizer_knows_nothing_of_held_out_chapters() -> None:
    from locution.data.byte_pairs import learn_merges

    parts, _ = read_prose(0.1, 0.1, 0)
    merges = ProseData(vocabulary=290).load(0).reader.tokenizer.merges
    assert merges == learn_merges(parts["train"].values(), 32)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"vocabulary": 257}, "data.vocabulary is 257; allowed: a whole number from 258, the bytes"),
        ({"length": 0}, "data.length is 0"),
        ({"batch_size": 0}, "data.batch_size is 0"),
        ({"test": 0.5, "development": 0.5}, "less than 1"),
        ({"test": 1.0}, "data.test is 1.0"),
    ],
)
def test_settings_out_of_range_are_one_line(settings: dict[str, float], line: str) -> None:
    with pytest.raises(UserError, match=line.replace(".", r"\.")):
        ProseData(**settings)  # type: ignore[arg-type]


# Passages -----------------------------------------------------------------------------------------------------------


def test_an_epoch_asks_for_no_token_twice_and_for_nearly_all() -> None:
    passages = Passages(torch.arange(103), length=10, batch_size=4)
    assert (len(passages), passages.steps()) == (9, 3)
    for number in range(5):
        batches = list(passages.epoch(number, seed=0))
        assert [len(batch) for batch in batches] == [4, 4, 1]
        asked = torch.cat([batch.targets.flatten() for batch in batches])
        assert len(asked.unique()) == len(asked) == 90
        assert all(torch.equal(batch.inputs + 1, batch.targets) for batch in batches)


def test_epochs_cut_at_other_places_in_another_order_and_are_resumed_to_the_bit() -> None:
    passages = Passages(torch.arange(1000), length=10, batch_size=4)
    first = [batch.inputs for batch in passages.epoch(0, seed=0)]
    assert all(torch.equal(a, b.inputs) for a, b in zip(first, passages.epoch(0, seed=0), strict=True))
    assert all(torch.equal(a, b.inputs) for a, b in zip(first[7:], passages.epoch(0, seed=0, skip=7), strict=True))
    starts = {int(next(passages.epoch(number, seed=0)).inputs[0, 0]) % 10 for number in range(40)}
    assert len(starts) > 5
    assert not torch.equal(first[0], next(passages.epoch(0, seed=1)).inputs)


@pytest.mark.parametrize("size", [20, 21, 29, 30, 57])
def test_passages_stay_within_the_text(size: int) -> None:
    for number in range(30):
        for batch in Passages(torch.arange(size), length=10, batch_size=2).epoch(number, seed=0):
            assert int(batch.targets.max()) < size


def test_a_text_too_short_is_one_line() -> None:
    with pytest.raises(UserError, match="a text of 19 tokens came; allowed: from 20, two passages"):
        Passages(torch.arange(19), length=10, batch_size=1)


@pytest.mark.parametrize("size", [2, 5, 9, 10, 11, 12, 40, 41])
@pytest.mark.parametrize(("length", "step"), [(8, 8), (8, 4), (8, 1), (1, 1), (8, 3)])
def test_windows_ask_for_each_token_but_the_first_once(size: int, length: int, step: int) -> None:
    asked = []
    for window, count in windows(torch.arange(size), length, step):
        assert len(window) <= length + 1
        assert 0 < count < len(window)
        assert len(window) == length + 1 or window[0] == 0
        asked += window[-count:].tolist()
    assert asked == list(range(1, size))


def test_side_by_side_leaves_out_what_does_not_fill_a_passage() -> None:
    inputs, targets = cut(torch.arange(11), 5)
    assert inputs.flatten().tolist() == list(range(10))
    assert torch.equal(targets, inputs + 1)
    assert cut(torch.arange(10), 5)[0].shape == (1, 5)
    assert cut(torch.arange(1), 5)[0].shape == (0, 5)
