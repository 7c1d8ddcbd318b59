"""What the report of a mixture of experts shows, against routings worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.models.mixture_of_experts import MixtureOfExperts, active_parameters, routings
from locution.models.routing import Routing
from locution.recipe import resolve
from locution.runs import train
from locution.studies.outcomes import possible
from locution.tasks.expert_pictures import OF_EXPERTS, expert_pictures, figures


def sorting(top: int = 1) -> nn.Module:
    """Sends each of four unit vectors to the expert of its number."""
    layer = MixtureOfExperts(4, hidden=2, experts=4, top=top)
    layer.router.data = 50 * torch.eye(4)
    return nn.Sequential(layer)


class Beside(nn.Module):
    """A layer with a way around it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x + self.layer(x)
        return found


def data(rows: torch.Tensor, classes: torch.Tensor, labels: tuple[str, ...]) -> Dataset:
    held = TensorBatches(rows, classes)
    return Dataset(held, None, held, inputs=(4,), outputs=len(labels), labels=labels)


def test_classes_are_shown_with_the_experts_that_they_go_to() -> None:
    which = torch.tensor([0, 0, 0, 1, 2, 2])
    classes = torch.tensor([0, 0, 0, 0, 1, 1])
    results = expert_pictures(sorting(), data(torch.eye(4)[which], classes, ("cat", "dog")))
    (matrix,) = results.matrices
    assert list(matrix.rows) == ["cat", "dog"]
    assert [list(row) for row in matrix.values] == [[0.75, 0.25, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    (picture,) = results.galleries
    assert picture.pictures.tolist() == [[[[0.75, 0.25, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]]]
    assert "cat to dog" in picture.note
    found = {metric.name: metric for metric in results.metrics}
    assert found["largest_load"].value == 0.5
    assert "even would be 0.250" in found["largest_load"].note
    assert found["router_entropy"].value < 1e-3
    (table,) = results.tables
    assert [float(cell) for cell in table.rows[0][1:]] == pytest.approx([0.5, 1 / 6, 1 / 3, 0.0], abs=1e-3)
    assert str(active_parameters(sorting())) in results.notes[0]


def test_tasks_are_shown_instead_where_the_data_are_of_several() -> None:
    tasks = {str(n): data(torch.eye(4)[[n, n]], torch.tensor([0, 1]), ("a", "b")) for n in range(2)}
    both = data(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 1, 0, 1]), ("a", "b"))
    results = expert_pictures(
        sorting(), Dataset(both.train, None, both.test, labels=both.labels, tasks=tasks, source="t")
    )
    (matrix,) = results.matrices
    assert list(matrix.rows) == ["0", "1"]
    assert [list(row) for row in matrix.values] == [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]


def test_the_entropy_is_a_share_of_the_largest() -> None:
    even = torch.full((5, 2, 8), 1 / 8)
    found = {
        metric.name: metric.value for metric in figures(Routing(even, even, torch.ones(5, 2, dtype=torch.bool)), "")
    }
    assert found == {"largest_load": pytest.approx(0.125), "router_entropy": pytest.approx(1.0)}


def test_of_several_mixtures_the_most_uneven_is_judged() -> None:
    torch.manual_seed(0)
    even, alone = sorting()[0], MixtureOfExperts(4, hidden=2, experts=2)
    even.experts.leave.data.zero_()  # type: ignore[union-attr, operator]
    alone.router.data = torch.tensor([[50.0] * 4, [0.0] * 4])
    for layers in ((even, alone), (alone, even)):
        layers[0].experts.leave.data.zero_()  # type: ignore[union-attr, operator]
        model = nn.Sequential(Beside(layers[0]), Beside(layers[1]))
        results = expert_pictures(model, data(torch.eye(4), torch.zeros(4, dtype=torch.int64), ("a", "b")))
        assert results.metrics[0].value == 1.0
        assert "even would be 0.500" in results.metrics[0].note
        assert len(results.matrices) == len(results.tables[0].rows) == 2


def test_a_model_without_experts_shows_nothing() -> None:
    results = expert_pictures(nn.Linear(4, 2), data(torch.eye(4), torch.zeros(4, dtype=torch.int64), ("a", "b")))
    assert not results.metrics + results.matrices
    assert not results.tables + results.notes + results.galleries


def test_of_a_language_model_each_token_counts() -> None:
    torch.manual_seed(0)
    recipe = resolve("texts/experts", ["model.width=16", "model.heads=2", "model.experts=4"])
    model = recipe.part("model").build((9,), 20)
    text = torch.randint(20, (7, 9))
    held = TensorBatches(text, text)
    results = expert_pictures(model, Dataset(held, None, held, inputs=(9,), outputs=20))
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in results.tables[0].rows}
    found = routings(model, text)
    assert rows.keys() == found.keys()
    for name, routing in found.items():
        assert rows[name] == pytest.approx(routing.dispatch.mean((0, 1)).tolist(), abs=1e-3)
    largest = max(float(routing.dispatch.mean((0, 1)).max()) for routing in found.values())
    assert results.metrics[0].value == pytest.approx(largest, abs=1e-3)
    assert not results.matrices


def test_the_recipe_runs_and_its_report_shows_who_does_the_work(tmp_path: Path) -> None:
    words = ["data.tasks=2", "data.limit=200", "model.experts=4", "epochs=2", f"run_dir={tmp_path / 'run'}"]
    run = train("digits/experts", *words, quiet=True)
    metrics = run.results["metrics"]
    assert {"accuracy", "largest_load", "router_entropy"} <= set(metrics)
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Who does the work" in report
    assert "by task" in report
    assert run.predict(["test:0"])


def test_studies_may_ask_for_the_figures_of_experts_where_there_are_any() -> None:
    assert set(OF_EXPERTS) <= (possible(resolve("digits/experts")) or set())
    assert not set(OF_EXPERTS) & (possible(resolve("digits")) or set())
    assert not set(OF_EXPERTS) & (possible(resolve("line")) or set())
