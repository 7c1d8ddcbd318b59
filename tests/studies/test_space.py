"""What a tuning varies, read from words: ranges, choices, methods on or off; what is none is refused in one line."""

from __future__ import annotations

import pytest

from locution.errors import UserError
from locution.studies.space import Dimension, read_space, split_choices, switched, words_of


def test_ranges_choices_and_switches_are_told_from_what_is_fixed() -> None:
    fixed, space = read_space(
        ["epochs=3", "-clipping", "+mixup", "optimizer.lr=log:1e-4:1e-1", "model.dropout=lin:0:0.5",
         "data.batch_size=logint:8:256", "model.widths=[32],[64, 64]", "model.activation=relu,gelu", "+sam?",
         "data.limit=[1,2]"]
    )  # fmt: skip
    assert fixed == ["epochs=3", "-clipping", "+mixup", "data.limit=[1,2]"]
    assert space == [
        Dimension("optimizer.lr", "log", 1e-4, 0.1),
        Dimension("model.dropout", "lin", 0.0, 0.5),
        Dimension("data.batch_size", "logint", 8, 256),
        Dimension("model.widths", "choice", choices=("[32]", "[64, 64]")),
        Dimension("model.activation", "choice", choices=("relu", "gelu")),
        Dimension("sam", "switch"),
    ]


def test_a_methods_own_setting_may_vary() -> None:
    fixed, space = read_space(["+sam.rho=log:0.01:0.5"])
    assert fixed == []
    assert words_of(space, {"+sam.rho": 0.05}) == ["+sam.rho=0.05"]


def test_values_become_words_that_train_takes() -> None:
    space = read_space(["a.b=int:1:8", "c=lin:0:1", "+sam?", "d=x,y"])[1]
    assert words_of(space, {"a.b": 3, "c": 0.1 + 0.2, "sam": False, "d": "y"}) == ["a.b=3", "c=0.3", "d=y"]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lr=log:0:1", "lr goes from 0 to 1; allowed: a lower and a higher number, above 0."),
        ("lr=lin:2:1", "lr goes from 2 to 1; allowed: a lower and a higher number."),
        ("n=int:1.5:3", "n goes from 1.5 to 3; allowed: a lower and a higher number, whole."),
        ("lr=log:a:b", "lr=log:a:b is no range; allowed: two numbers, as in"),
        ("lr=lin:0:inf", "lr goes from 0 to inf; allowed"),
        ("a=1,1", "a came with the choices 1,1; allowed: each once"),
        ("a=1,", "none of them empty"),
        ("lr=lg:0.1:1", "lr=lg:0.1:1: 'lg:' is no kind of range. Did you mean 'log:'? Allowed: log:0.0001:0.1,"),
        ("lr=log:0.1", "lr=log:0.1 is no range; allowed: two numbers, as in"),
        ("epochs=3", "nothing varies; allowed: at least one key with"),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(word: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        read_space([word])
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_setting_varies_once() -> None:
    with pytest.raises(UserError, match="'a' varies twice"):
        read_space(["a=1,2", "a=lin:0:1"])


def test_commas_in_quotes_and_brackets_cut_nothing() -> None:
    assert split_choices("'a,b',{x: 1, y: 2},[3,[4,5]]") == ["'a,b'", "{x: 1, y: 2}", "[3,[4,5]]"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("lr=log:0.1:1", "lr=0.5"), "'lr' varies and 'lr=0.5' sets it; allowed: one of the two."),
        (("+sam?", "+sam"), "'+sam' and '+sam?' were both asked for; allowed: one of the two."),
        (("+sam?", "-sam"), "'-sam' and '+sam?' were both asked for; allowed: one of the two."),
    ],
)
def test_what_varies_is_not_set_besides(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(UserError) as refused:
        read_space(words)
    assert str(refused.value) == line


def test_a_place_with_colons_is_no_range() -> None:
    assert read_space(["a=1,2", "start=http://host:80", "data.path=C:/x"])[0] == [
        "start=http://host:80",
        "data.path=C:/x",
    ]


def test_a_method_that_is_on_already_is_tried_without() -> None:
    fixed, space = read_space(["+sam?", "+sam.rho=0.01,0.1", "+mixup?"])
    on = switched(space, ["mixup"])
    off = {"sam": False, "+sam.rho": "0.1", "mixup": False}
    assert fixed == []
    assert words_of(on, off) == ["+sam.rho=0.1", "-sam", "-mixup"]
    assert words_of(on, off | {"sam": True, "mixup": True}) == ["+sam", "+sam.rho=0.1", "+mixup"]


@pytest.mark.parametrize(("word", "said"), [("a=lin:1:1", "a goes from 1 to 1"), ("a=int:3:3", "a goes from 3 to 3")])
def test_a_range_of_one_value_is_none(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_space([word])


def test_what_counts_is_told_as_whole_numbers_and_what_is_log_as_such() -> None:
    _, (n, m, lr, drop) = read_space(["n=int:1:8", "m=logint:16:1024", "lr=log:0.001:1", "drop=lin:0:0.5"])
    told = [one.distribution() for one in (n, m, lr, drop)]
    assert [type(one).__name__ for one in told] == ["IntDistribution"] * 2 + ["FloatDistribution"] * 2
    assert [one.log for one in told] == [False, True, True, False]  # type: ignore[attr-defined]
