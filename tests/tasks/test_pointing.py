"""The task of pointing: what is judged, how it is drawn, how it answers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from locution.data.tours import shortest_tours
from locution.errors import UserError
from locution.reporting.polygons import polygons
from locution.runs import Run, train
from locution.tasks.pointing import BEAMS, hull_figures, listed, picked, tour_figures

SQUARE = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]).expand(2, -1, -1)


def test_a_tour_is_judged_by_how_much_longer_it_is() -> None:
    crossing, right = [0, 2, 1, 3], [0, 1, 2, 3]
    three = SQUARE[:1].expand(3, -1, -1)
    found = {one.name: one.value for one in tour_figures(three, [crossing, right, right], [right] * 3, "")}
    assert found["over_shortest"] == pytest.approx(((2 + 2 * 2**0.5) / 4 - 1) / 3, abs=1e-6)
    assert found["shortest"] == pytest.approx(2 / 3)
    assert found["optimum"] == 4.0


def test_a_hull_is_judged_by_its_area_and_by_every_corner() -> None:
    whole, half = [0, 1, 2, 3], [0, 1, 2]
    found = {one.name: one.value for one in hull_figures(SQUARE, [half, whole], [whole, whole], "")}
    assert found["area"] == pytest.approx(0.75)
    assert found["right"] == 0.5
    assert hull_figures(SQUARE[:1], [[0, 1]], [whole], "")[0].value == 0.0
    assert hull_figures(SQUARE[:1], [[1, 2, 3, 0]], [whole], "")[1].value == 0.0  # the same corners, begun elsewhere


def test_answers_end_where_the_end_stands() -> None:
    assert listed(torch.tensor([[0, 3, 1, 1], [2, 1, 0, 3]]), 3) == [[0], [2, 1, 0]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    where = tmp_path_factory.mktemp("tours")
    return train(
        "tours", "data.count=64", "data.test=16", "data.development=8", "steps=4", f"run_dir={where}/run", quiet=True
    )


def test_a_run_answers_points_however_many(run: Run) -> None:
    for question, count in (("test:3", 10), ("0,0 1,0 1,1 0,1", 4)):
        (said,) = run.predict([question])
        order, _, length = said.partition(" (length ")
        assert sorted(map(int, order.split())) == list(range(count))
        assert 1 < float(length.rstrip(")")) < 10
    assert "<svg" in (run.folder / "report.html").read_text()
    assert (run.folder / "pictures" / "tours.svg").is_file()
    assert (run.folder / "pictures" / "other-numbers-of-cities.svg").is_file()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("0,0 1,0", "the points have shape (2, 2); allowed: three or more"),
        ("0,0,0 1,0,0 1,1,1", "the points have shape (3, 3)"),
        ("0,0 1,0 1", "are no points; allowed: x,y x,y"),
        ("here", "'here' are no points"),
        ("0,0 1,0 2,2", "leaves the square that was learnt from"),
        ("0,0 1,0 nan,0", "leaves the square that was learnt from"),
        ("test:99", "test:99 is not there; allowed: test:0 to test:15"),
    ],
)
def test_what_is_no_question_is_one_line(run: Run, question: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        run.predict([question])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_that_does_not_pick_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model 'mlp' does not pick elements.*; allowed: model\.name=pointer"):
        train(
            "tours",
            "data.count=8",
            "data.test=4",
            "steps=1",
            "model={name: mlp}",
            f"run_dir={tmp_path}/run",
            quiet=True,
        )


def test_an_answer_is_the_best_of_the_beams(run: Run) -> None:
    network = run.load(run.job())
    points = run.job().data.test.inputs
    said = [answer.split(" (")[0] for answer in run.predict([f"test:{row}" for row in range(16)])]
    assert said == [" ".join(map(str, row)) for row in picked(network, points, BEAMS)]
    assert picked(network, points, BEAMS) != picked(network, points)


def test_an_answer_does_not_wait_for_questions_of_training_to_be_solved(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.job().data
    solved: list[int] = []

    def counting(points: torch.Tensor) -> torch.Tensor:
        solved.append(len(points))
        return shortest_tours(points)

    monkeypatch.setattr("locution.data.tours.shortest_tours", counting)
    run.predict(["test:3"])
    assert sum(solved) < len(whole.train)
    solved.clear()
    (said,) = run.predict(["train:0"])
    assert sum(solved) > len(whole.train)
    network = run.load(run.job())
    assert said.split(" (")[0] == " ".join(map(str, picked(network, whole.train.inputs[:1], BEAMS)[0]))


def test_a_run_of_hulls_is_judged_drawn_and_answers(tmp_path: Path) -> None:
    few = ("data.count=64", "data.test=16", "data.development=8")
    run = train("hulls", *few, "steps=4", f"run_dir={tmp_path}/run", quiet=True)
    assert set(run.results["metrics"]) == {"area", "right", "area_of_5_beams", "right_of_5_beams"}
    assert "area" in (run.folder / "pictures" / "hulls.svg").read_text()
    (said,) = run.predict(["test:0"])
    assert "(area " in said


def test_points_are_drawn_with_up_as_up() -> None:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    drawn = polygons([corners], [[0, 1, 2]], [[]], ["three"], alt="three")
    low, _, high = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
    assert low > high  # the page counts downwards
