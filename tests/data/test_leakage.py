"""Planted leaks are found, and clean data pass: scikit-learn's own are the judges of false alarms."""

from __future__ import annotations

import pytest
import torch
from sklearn import datasets
from torch import Tensor

from locution.data.chance import expected_copies
from locution.data.dataset import stratified_split
from locution.data.digits import DigitsData, read_digits
from locution.data.giveaways import giveaways
from locution.data.leakage import copies, dataset_leaks, leaks, refused
from locution.data.near_duplicate_texts import near_duplicate_texts, shingles
from locution.data.near_duplicates import near_duplicates
from locution.data.tables.splitting import tenths
from locution.errors import UserError


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy(name: str) -> tuple[Tensor, Tensor]:
    inputs, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    values = torch.tensor(targets)
    return torch.tensor(inputs).float(), values.float() if name == "diabetes" else values


def parts(name: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs, targets = toy(name)
    strata = tenths(targets) if name == "diabetes" else targets
    train, test = stratified_split(strata, (0.2,), seed)
    return inputs[train], inputs[test], targets[train], targets[test]


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
@pytest.mark.parametrize("seed", range(3))
def test_clean_tables_pass(name: str, seed: int) -> None:
    train, test, answers, held = parts(name, seed)
    assert leaks(train, test, answers, held) == []


def test_the_row_that_stands_twice_in_iris_is_found_and_is_what_chance_explains() -> None:
    inputs, targets = toy("iris")
    rows = [tuple(row) for row in inputs.tolist()]
    twins = [row for row in range(150) if rows.count(rows[row]) > 1]
    assert twins == [101, 142]  # scikit-learn's iris holds one row twice: four numbers, in tenths of a centimetre
    for seed in range(8):
        train, test = stratified_split(targets, (0.2,), seed)
        torn = sum(twin in test.tolist() for twin in twins) == 1
        assert len(copies(inputs[train], inputs[test])) == torn
        assert leaks(inputs[train], inputs[test], targets[train], targets[test]) == []
    assert 0.01 < expected_copies(list(inputs.T), 30) < 0.2


def test_rows_of_few_and_coarse_columns_meet_by_chance_and_planted_ones_stand_out() -> None:
    stream = draw()
    ages, cities = torch.randint(18, 80, (400, 1), generator=stream), torch.randint(3, (400, 1), generator=stream)
    days = torch.randint(0, 30, (400, 1), generator=stream)
    rows = torch.cat([ages, cities, days], 1).float()
    assert len(copies(rows[:300], rows[300:])) > 0
    assert leaks(rows[:300], rows[300:]) == []
    rows[300:340] = rows[:40]
    assert [leak.kind for leak in leaks(rows[:300], rows[300:])] == ["copies"]


@pytest.mark.parametrize("seed", range(3))
def test_clean_digits_pass(seed: int) -> None:
    assert dataset_leaks(DigitsData(split=seed).load(seed=0)) == []


def test_every_planted_copy_is_found_and_nothing_else() -> None:
    train, test, answers, held = parts("breast_cancer", 0)
    planted = {3: 17, 40: 99, 77: 0}
    for at, source in planted.items():
        test[at] = train[source]
    found = leaks(train, test, answers, held)
    assert [leak.kind for leak in found] == ["copies"]
    assert {pair.second: pair.first for pair in found[0].pairs} == planted
    assert found[0].line.startswith("3 of 114 test examples (2.6 %) also stand in training, such as test:3 = train:17")


def test_copies_with_another_answer_are_counted() -> None:
    train, test = torch.rand(50, 3, generator=draw()), torch.rand(10, 3, generator=draw(1))
    test[:4] = train[:4]
    found = leaks(train, test, torch.zeros(50, 1), torch.tensor([[0.0]] * 2 + [[1.0]] * 8))
    assert found[0].line.endswith("2 of them with another answer there.")


def test_where_all_copies_have_another_answer_nothing_is_said_to_be_too_good() -> None:
    train, test = torch.rand(50, 3, generator=draw()), torch.rand(10, 3, generator=draw(1))
    test[:4] = train[:4]
    line = leaks(train, test, torch.zeros(50, 1), torch.ones(10, 1))[0].line
    assert line.endswith("each with another answer there: the same thing again, or too little to tell them apart by.")
    assert "too good" not in line


def test_zero_is_zero_whatever_its_sign_and_a_missing_number_equals_itself() -> None:
    train = torch.tensor([[0.0, float("nan")], [1.0, 2.0]])
    assert [pair.first for pair in copies(train, torch.tensor([[-0.0, -float("nan")]]))] == [0]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_near_copies_of_rows_are_found(name: str) -> None:
    train, test, _, _ = parts(name, 1)
    noise = 0.003 * train.std(0) * torch.randn(8, train.shape[1], generator=draw())
    test[:8] = train[10:18] + noise
    pairs = {pair.second: pair.first for pair in near_duplicates(train, test)}
    assert {at: pairs.get(at) for at in range(8)} == {at: at + 10 for at in range(8)}
    assert len(pairs) <= 9  # one more may be the twin in iris


def test_near_copies_of_pictures_are_found_through_noise_brightness_and_contrast() -> None:
    data = DigitsData().load(seed=0)
    train, test = data.train.inputs, data.test.inputs.clone()
    noise = 0.015 * torch.randn(30, 1, 8, 8, generator=draw())
    test[:10] = train[:10] + noise[:10]
    test[10:20] = 0.5 * train[10:20] + 0.2
    test[20:30] = 0.5 * train[20:30] + 0.2 + 0.5 * noise[20:]
    found = {pair.second: pair.first for pair in near_duplicates(train, test)}
    assert found == {at: at for at in range(30)}


def test_large_pictures_are_found_though_another_compression_moved_every_pixel() -> None:
    small = torch.rand(60, 3, 12, 12, generator=draw())
    photos = torch.nn.functional.interpolate(small, size=(96, 96), mode="bilinear")
    again = photos[5:6] + 0.05 * torch.randn(1, 3, 96, 96, generator=draw(1))
    assert [(pair.first, pair.second) for pair in near_duplicates(photos[:50], torch.cat([photos[50:], again]))] == [
        (5, 10)
    ]


def test_copies_in_training_do_not_hide_what_is_near() -> None:
    base = torch.rand(100, 8, generator=draw())
    train = torch.cat([base, base + 1e-4, base - 1e-4])  # three of each: the nearest neighbour is a copy
    test = torch.cat([base[:5] + 2e-4, torch.rand(20, 8, generator=draw(2))])
    assert {pair.second for pair in near_duplicates(train, test)} == set(range(5))


@pytest.mark.parametrize("columns", [2, 3])
def test_in_few_columns_numbers_are_near_by_chance(columns: int) -> None:
    train, test = torch.rand(5000, columns, generator=draw()), torch.rand(1000, columns, generator=draw(1))
    assert near_duplicates(train, test) == []
    test[7] = train[11]
    assert [(pair.first, pair.second) for pair in near_duplicates(train, test)] == [(11, 7)]


def test_where_examples_lie_close_together_closeness_is_no_sign() -> None:
    crowd = 0.01 * torch.randn(400, 6, generator=draw())  # closer to each other than the rest by a hundred times
    train = torch.cat([crowd[:300], torch.randn(700, 6, generator=draw(1))])
    assert near_duplicates(train, crowd[300:]) == []
    assert {pair.second for pair in near_duplicates(train, torch.cat([crowd[300:], crowd[:2] + 1e-5]))} == {100, 101}


def test_a_table_of_many_rows_is_looked_over_within_seconds_and_without_alarm() -> None:
    train, test = torch.randn(7000, 50, generator=draw()), torch.randn(3000, 50, generator=draw(1))
    test[2999] = train[6999] * 1.0001
    assert [(pair.first, pair.second) for pair in near_duplicates(train, test)] == [(6999, 2999)]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="allowed: one shape"):
        near_duplicates(torch.zeros(3, 2), torch.zeros(3, 4))
    assert near_duplicates(torch.zeros(0, 2), torch.zeros(3, 2)) == []


def test_blank_pictures_and_constant_columns_divide_by_nothing() -> None:
    assert len(near_duplicates(torch.zeros(4, 1, 8, 8), torch.zeros(2, 1, 8, 8))) == 2
    assert len(near_duplicates(torch.ones(4, 6), torch.ones(2, 6))) == 2


def test_likeness_of_texts_is_jaccards_of_their_pieces() -> None:
    words = "the quick brown fox jumps over the lazy dog and runs away into the deep dark wood"
    first = [words, "an entirely different sentence about the weather of tomorrow"]
    second = ["The QUICK brown fox, jumps over the lazy dog and runs away into the deep dark woods!!"]
    a, b = set(shingles(first[0]).tolist()), set(shingles(second[0]).tolist())
    (pair,) = near_duplicate_texts(first, second)
    assert (pair.first, pair.second) == (0, 0)
    assert pair.likeness == round(len(a & b) / len(a | b), 4)
    assert near_duplicate_texts(first, second, likeness=0.999) == []


def test_minima_of_hashes_find_what_comparing_every_pair_finds() -> None:
    stream = draw(3)
    vocabulary = [f"word{n}" for n in range(300)]
    first = [" ".join(vocabulary[i] for i in torch.randint(300, (30,), generator=stream)) for _ in range(150)]
    second = []
    for at in range(150):
        words = first[at].split()
        for _ in range(at % 6):
            words[int(torch.randint(30, (1,), generator=stream))] = "changed"
        second.append(" ".join(words))
    sets = [[set(shingles(text).tolist()) for text in texts] for texts in (first, second)]
    exact = {j for j, b in enumerate(sets[1]) if max(len(a & b) / len(a | b) for a in sets[0]) >= 0.8}
    found = {pair.second for pair in near_duplicate_texts(first, second)}
    assert found <= exact
    assert len(found) >= 0.98 * len(exact)
    assert len(exact) > 40


def test_texts_without_letters_are_alike_to_none_and_copies_of_texts_are_found() -> None:
    assert near_duplicate_texts(["", "!!"], ["", "..."]) == []
    found = leaks(["win a prize now", "see you"], ["see  you", "what is new in town?"])
    assert [leak.kind for leak in found] == ["copies"]


def test_a_planted_column_gives_the_target_away() -> None:
    train, test, answers, held = parts("breast_cancer", 0)
    leaky = torch.where(answers == 1, 1.0, 0.0) + 0.1 * torch.randn(len(answers), generator=draw())
    train[:, 12] = leaky
    found = leaks(train, test, answers, held)
    assert [(leak.kind, leak.column) for leak in found] == [("giveaway", "column 12")]


def test_a_target_renamed_is_found_among_categories_and_a_code_of_each_row_is_not() -> None:
    answers = torch.randint(3, (300,), generator=draw())
    named = [["rot", "grün", "blau"][answer] for answer in answers.tolist()]
    own = [f"C{row}" for row in range(300)]
    found = giveaways({"colour": named, "customer": own}, answers)
    assert [(one.name, one.score) for one in found] == [("colour", 1.0)]


def test_what_is_filled_in_only_for_one_class_is_found() -> None:
    answers = torch.randint(2, (200,), generator=draw())
    paid = torch.where(answers == 1, torch.rand(200, generator=draw(1)), torch.nan)
    assert [one.name for one in giveaways({"refunded on": paid}, answers)] == ["refunded on"]


@pytest.mark.parametrize("change", [lambda y: 3 * y - 1, torch.exp, lambda y: y**3])
def test_values_that_are_the_target_in_other_units_are_found(change: object) -> None:
    values = torch.randn(60, 1, generator=draw())
    other = torch.randn(60, generator=draw(1))
    found = giveaways({"other": other, "leak": change(values).flatten()}, values)  # type: ignore[operator]
    assert [one.name for one in found] == ["leak"]
    assert found[0].measure == "R2"


def test_a_strong_but_honest_column_and_a_handful_of_rows_raise_no_alarm() -> None:
    answers = torch.randint(2, (500,), generator=draw())
    strong = answers + 0.5 * torch.randn(500, generator=draw(1))  # right in 84 of 100
    assert giveaways({"strong": strong}, answers) == []
    few = (torch.arange(38) > 18).long()
    assert giveaways({"x": few.float()}, few) == []
    assert len(giveaways({"x": few.float().repeat(2)}, few.repeat(2))) == 1
    assert giveaways({"x": torch.arange(60.0)}, (torch.arange(60) > 55).long()) == []  # four of one class


def test_pictures_are_not_asked_for_columns_and_a_single_column_may_tell_all() -> None:
    pictures, answers = read_digits()
    assert leaks(pictures[:200], pictures[200:260], answers[:200], answers[200:260]) == []
    line = torch.arange(100.0).unsqueeze(1)
    assert leaks(line[:80], line[80:], 2 * line[:80] + 1, 2 * line[80:] + 1) == []


def test_leaks_can_be_refused() -> None:
    train = torch.rand(20, 4, generator=draw())
    with pytest.raises(UserError, match=r"the data leak: 5 of 5 test examples.*data.leaks=warn"):
        refused(leaks(train, train[:5]))
    refused([])
