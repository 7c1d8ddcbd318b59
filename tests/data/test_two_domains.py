"""Data of two domains: rotated digits and messages; what is withheld stays withheld, and nothing is in two parts."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from locution.data.digits import read_digits
from locution.data.messages import KINDS, LENGTHS, MessagesData, bag_of_words, fill, message, phrases
from locution.data.rotated_digits import RotatedDigitsData, rotate
from locution.errors import UserError


def test_quarter_turns_are_exact_and_a_turn_back_is_where_one_was() -> None:
    pictures = read_digits()[0][:20]
    for quarters in range(4):
        torch.testing.assert_close(
            rotate(pictures, 90.0 * quarters), torch.rot90(pictures, quarters, (2, 3)), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("degrees", [30.0, -17.0])
def test_other_turns_are_scipys(degrees: float) -> None:
    pictures = read_digits()[0][:20]
    theirs = [
        ndimage.rotate(one.numpy(), degrees, reshape=False, order=1, mode="grid-constant") for one in pictures[:, 0]
    ]
    np.testing.assert_allclose(rotate(pictures, degrees)[:, 0].numpy(), np.stack(theirs), atol=1e-5)


def test_no_picture_is_in_both_domains_or_two_parts() -> None:
    data = RotatedDigitsData(angle=0.0).load(0)
    assert data.development is not None
    assert data.test is not None
    train, beside = data.train.inputs, data.train.beside["target"]  # type: ignore[attr-defined]
    parts = [train, beside, data.development.inputs, data.test.inputs]
    assert sum(len(part) for part in parts) == 1797
    everything = torch.cat(parts).flatten(1)
    assert torch.equal(everything.sum(0), read_digits()[0].flatten(1).sum(0))
    assert torch.equal(data.others["source"].inputs, data.test.inputs)


def test_the_target_is_turned_and_the_source_is_not() -> None:
    still, turned = RotatedDigitsData(angle=0.0).load(0), RotatedDigitsData(angle=30.0).load(5)
    assert still.test is not None
    assert turned.test is not None
    assert torch.equal(still.train.inputs, turned.train.inputs)  # type: ignore[attr-defined]
    target = still.train.beside["target"]  # type: ignore[attr-defined]
    assert torch.equal(rotate(target, 30.0), turned.train.beside["target"])  # type: ignore[attr-defined]
    assert torch.equal(rotate(still.test.inputs, 30.0), turned.test.inputs)
    assert torch.equal(turned.others["source"].inputs, still.test.inputs)


@pytest.mark.parametrize(
    "wrong",
    [{"angle": 400.0}, {"batch_size": 1}, {"test": 0.0}, {"development": 1.0}, {"test": 0.5, "development": 0.5}],
)
def test_refuses_what_cannot_be_split(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"^data\."):
        RotatedDigitsData(**wrong)  # type: ignore[arg-type]


# Messages ----------------------------------------------------------------------------------------------------


def test_messages_are_the_same_for_every_seed_and_no_two_are_alike() -> None:
    for source in LENGTHS:
        parts = MessagesData().texts(source)
        texts = [text for part, _ in parts for text in part]
        assert len(set(texts)) == len(texts) == 800 + 400 + 400
        assert all(abs(kinds.float().mean().item() - 0.5) < 0.01 for _, kinds in parts)
        assert texts == [text for part, _ in MessagesData().texts(source) for text in part]
        assert texts != [text for part, _ in MessagesData(split=1).texts(source) for text in part]


def test_mails_are_longer_and_each_source_has_words_of_its_own() -> None:
    words = {}
    for source in LENGTHS:
        texts = MessagesData().texts(source)[0][0]
        words[source] = {word for text in texts for word in text.split()}
        lengths = [len(text.split()) for text in texts]
        assert (np.mean(lengths) > 30) == (source == "mail")
    assert min(len(words["phone"] - words["mail"]), len(words["mail"] - words["phone"])) > 50
    assert len(words["phone"] & words["mail"]) > 100


def test_every_open_place_has_words_and_every_phrase_is_told_once() -> None:
    found = phrases()
    said = [phrase for kind in KINDS for place in ("both", *LENGTHS) for phrase in found[kind][place]]
    assert len(said) == len(set(said)) > 140
    assert all("{" not in fill(phrase, random.Random(0)) for phrase in said)


@pytest.mark.parametrize("kind", KINDS)
def test_of_messages_of_one_phrase_the_kind_can_be_known(kind: str) -> None:
    """What is strayed in stands behind the first phrase: nobody is asked to guess."""
    around = phrases()["around"]["phone"]
    found = phrases()[kind]
    patterns = [*found["both"], *found["phone"]]
    known = {re.sub(r"\\{\w+\\}", "[a-z0-9 ]+", re.escape(one)) for one in patterns}
    polite = {re.sub(r"\\{\w+\\}", "[a-z]+", re.escape(one)) for one in around["opening"]}
    strayed = 0
    for number in range(300):
        parts = message(kind, "phone", random.Random(number)).split(". ")
        body = parts[1:] if any(re.fullmatch(one, parts[0]) for one in polite) else parts
        body = body[:-1] if body[-1] in around["closing"] else body
        own = [any(re.fullmatch(one, part) for one in known) for part in body]
        assert own[0], body
        strayed += not all(own)
    assert 10 < strayed < 60  # a tenth of one phrase on average


def test_bags_of_words_are_counted_by_hand() -> None:
    bag = bag_of_words(["call me, CALL me; call"], 2**20)
    values = bag[0][bag[0] > 0].tolist()
    counts = np.log1p([3.0, 2.0])
    np.testing.assert_allclose(sorted(values, reverse=True), counts / np.linalg.norm(counts), rtol=1e-5)
    assert bag_of_words([""], 16).abs().sum() == 0
    assert bag_of_words(["free offer"], 16).equal(bag_of_words(["offer free"], 16))


def test_the_labels_of_the_mails_are_withheld() -> None:
    data = MessagesData(count=50, held=20).load(3)
    batch = next(data.train.epoch(0, 0))
    assert isinstance(batch.beside["target"], torch.Tensor)
    assert batch.beside["target"].shape == (32, 1024)
    mails = bag_of_words(MessagesData(count=50, held=20).texts("mail")[0][0], 1024)
    assert torch.equal(data.train.beside["target"], mails)  # type: ignore[attr-defined]
    assert data.test is not None
    assert torch.equal(data.test.inputs, bag_of_words(MessagesData(count=50, held=20).texts("mail")[2][0], 1024))


@pytest.mark.parametrize("wrong", [{"count": 1}, {"held": 0}, {"buckets": 1}, {"batch_size": 0}])
def test_refuses_settings_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"data.{next(iter(wrong))}"):
        MessagesData(**wrong)
