"""The task of telling apart: two views drawn anew, no label learnt from, judged beside pixels, stopped and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from locution import runs
from locution.data.captioned_digits import encode
from locution.engine import Engine, Observer, Record, Stop, TensorBatches
from locution.engine.random import reseed, stream_key
from locution.errors import UserError
from locution.evaluation.linear_probe import linear_probe
from locution.evaluation.retrieval import average_precision, relevance
from locution.recipe import Recipe, resolve
from locution.reporting.results import Metric
from locution.runs import Run
from locution.tasks.abilities import abilities
from locution.tasks.contrast import Contrast, Doubled
from locution.tasks.contrast_judged import by_captions, place
from locution.tasks.task import Job

SMALL = {
    "simclr": ("data.limit=256", "data.batch_size=64", "model.encoder=mlp", "model.widths=[32]"),
    "triplet": ("data.limit=256", "data.batch_size=64", "model.widths=[32]", "model.features=16"),
    "clip": ("data.batch_size=64", "data.test=0.4", "data.development=0.3", "model.widths=[32]"),
}


def small(name: str, *words: str) -> Recipe:
    """Take a recipe in small."""
    return resolve(f"digits/{name}", [*SMALL[name], "epochs=3", *words])


def prepared(recipe: Recipe) -> tuple[Job, Engine]:
    """Put together what trains, without a folder."""
    reseed(stream_key(recipe.seed, "weights"), torch.device("cpu"))
    job = Contrast().prepare(recipe, quiet=True)
    methods = recipe.built_methods()
    return job, Engine(job.model, job.turns, methods, seed=recipe.seed, device="cpu", log_every=1)


class After(Observer):
    """Ends training after three steps of more."""

    name = "after"

    def watch(self, record: Record) -> Stop | None:
        return Stop("enough") if record.step == 3 else None


@pytest.fixture(scope="module", params=SMALL)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return runs.train(f"digits/{request.param}", *SMALL[request.param], "epochs=3", f"run_dir={folder}", quiet=True)


def test_a_run_is_trained_judged_kept_and_asked(run: Run) -> None:
    figures = run.results["metrics"]
    gain, ours, plain = (figures[f"mean_average_precision{end}"]["value"] for end in ("_gain", "", "_of_pixels"))
    assert gain == pytest.approx(ours - plain, abs=2e-3)
    assert 0.15 < figures["linear_probe"]["value"] <= 1
    again = run.evaluate().as_json()["metrics"]
    kept = json.loads((run.folder / "results.json").read_text())["metrics"]
    assert {name: one["value"] for name, one in again.items()} == {name: one["value"] for name, one in kept.items()}
    assert len(run.predict(["test:0", "test:1"])) == 2
    report = (run.folder / "report.html").read_text()
    assert "Where test examples lie" in report
    assert "Nearest by the embedding" in report
    assert ("Pictures found by words" in report) is (run.recipe.name == "digits/clip")
    assert ("Both sides of the projection head" in report) is (run.recipe.name != "digits/clip")
    assert "embed" in abilities(run.task)


def test_what_is_printed_is_what_the_vectors_of_the_run_give(run: Run) -> None:
    task: Any = run.task
    found = task.embed(run.recipe, run.folder, [], "test")
    before_head = run.recipe.name == "digits/simclr"  # the head is left off where it was there for training alone
    assert found.vectors.shape[1] == (128 if before_head else 32)
    classes = torch.tensor([int(label) for label in found.labels])
    value = float(average_precision(relevance(found.vectors, classes)).mean())
    assert run.results["metrics"]["mean_average_precision"]["value"] == pytest.approx(value, abs=6e-4)
    learnt = task.embed(run.recipe, run.folder, [], "train")
    probed = linear_probe(learnt.vectors, torch.tensor([int(label) for label in learnt.labels]), found.vectors)
    right = float((probed == classes).double().mean())
    assert run.results["metrics"]["linear_probe"]["value"] == pytest.approx(right, abs=6e-4)
    row = int(torch.cdist(found.vectors[:1], learnt.vectors).argmin())
    assert run.predict(["test:0"])[0].startswith(f"{learnt.labels[row]} (train:{row}, ")


def test_two_views_are_drawn_apart_and_anew_and_no_label_is_handed_on() -> None:
    job, engine = prepared(small("simclr"))
    seen = []

    class Watching(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> Any:
            seen.append(x.clone())
            return self.inner(x)

    engine.model = Watching(engine.model)
    engine.fit(job.batches, epochs=2)
    first, second = seen[0].chunk(2)
    assert not torch.equal(first, second)  # each of the two is moved and turned for itself
    assert not torch.equal(seen[0], seen[len(seen) // 2])
    assert all(batch.targets is None for batch in job.batches.epoch(0, 0))


def test_two_views_keep_the_order_and_the_weights_of_their_examples() -> None:
    source = Doubled(TensorBatches(torch.arange(6.0), weights=torch.arange(6.0) / 10, batch_size=3))
    seen = [list(source.epoch(number, 0)) for number in range(2)]
    for batch in seen[0]:
        first, second = batch.inputs.chunk(2)
        assert torch.equal(first, second)
        assert batch.weights is not None
        assert torch.equal(batch.weights * 10, batch.inputs)
    assert not torch.equal(seen[0][0].inputs, seen[1][0].inputs)  # another order in each epoch


@pytest.mark.parametrize("name", SMALL)
def test_a_run_says_what_it_counts_and_is_looked_at_without_being_changed(name: str) -> None:
    job, _ = prepared(small(name))
    assert job.unit == ("views" if name == "simclr" else "examples")
    watched = [one.name for one in job.observers]
    assert ("overfitting" in watched) is (name != "simclr")
    seen = [int(one.num_batches_tracked) for one in job.model.modules() if isinstance(one, torch.nn.BatchNorm1d)]
    assert seen == [0] * len(seen)  # the look at the first batch left no trace
    assert seen or name == "clip"


def test_a_last_batch_of_one_example_is_left_out_and_counted_so() -> None:
    source = Doubled(TensorBatches(torch.arange(5.0), batch_size=2))
    assert source.steps() == len(list(source.epoch(0, 0))) == 2
    assert len(Doubled(TensorBatches(torch.arange(4.0), batch_size=2))) == 8
    assert len(list(source.epoch(0, 0, skip=1))) == 1


@pytest.mark.parametrize("name", SMALL)
def test_stopped_and_resumed_it_ends_with_the_same_weights(name: str) -> None:
    recipe = small(name)
    job, straight = prepared(recipe)
    straight.fit(job.batches, steps=7)
    job, begun = prepared(recipe)
    begun.observers.append(After())
    begun.fit(job.batches, steps=7)
    assert begun.number == 3
    job, again = prepared(recipe)
    again.load_state_dict(begun.state_dict())
    again.fit(job.batches, steps=7)
    for one, other in zip(straight.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["simclr", "triplet"])
def test_methods_that_make_sense_train_along(name: str) -> None:
    recipe = small(name, "+sam", "+clipping", "+averaging", "epochs=2")
    job, engine = prepared(recipe)
    engine.fit(job.batches, epochs=2)
    assert bool(place(engine.trained(), job.data.test.inputs, True).isfinite().all())


def figures_of(recipe: Recipe, epochs: int) -> dict[str, Metric]:
    job, engine = prepared(recipe)
    if epochs:
        engine.fit(job.batches, epochs=epochs)
    return {one.name: one for one in Contrast().evaluate(recipe, job, engine.trained()).metrics}


def test_two_views_teach_what_a_digit_is_without_a_label() -> None:
    recipe = resolve("digits/simclr", ["model.encoder=mlp", "model.widths=[256]"])
    before, after = (figures_of(recipe, epochs) for epochs in (0, 20))
    for name in ("mean_average_precision", "linear_probe"):
        low, high = after[name].low, before[name].high
        assert low is not None
        assert high is not None
        assert low > high


@pytest.mark.long
def test_vectors_learnt_without_a_label_retrieve_what_pixels_do_not() -> None:
    found = figures_of(resolve("digits/simclr"), 100)
    assert found["mean_average_precision_gain"].value > 0.3
    assert found["recall_at_1_gain"].value > 0.2


def test_triplets_place_digits_so_that_they_retrieve_better_than_pixels() -> None:
    found = figures_of(resolve("digits/triplet"), 15)
    assert found["mean_average_precision_gain"].value > 0.2
    assert found["recall_at_1"].value > 0.97


@pytest.mark.parametrize(
    ("recipe", "changed", "said"),
    [
        ("simclr", {"accumulate": 2}, r"accumulate=2 in 1 process\(es\) came to a task that compares whole batches"),
        (
            "simclr",
            {"data": {"name": "digits", "batch_size": 1}},
            "data.batch_size is 1; allowed: a whole number from 2",
        ),
        ("triplet", {"data": {"name": "digits", "limit": 1}}, "data.batch_size is 1; allowed: a whole number from 2"),
        ("simclr", {"objective": {"name": "cross_entropy"}}, "'cross_entropy' compares no examples; allowed here: sim"),
        ("simclr", {"data": {"name": "captioned_digits"}}, r"allowed: clip with pictures and texts"),
        ("clip", {"data": {"name": "digits"}}, "objective 'clip' came with data 'digits'"),
        ("triplet", {"data": {"name": "line"}}, r"data.name is 'line'; allowed: classes in memory"),
        ("simclr", {"objective": {"name": "simclr", "chunks": 2}}, "batch norm; allowed: 1, or model.norm=none"),
        ("simclr", {"data": {"name": "two_moons"}, "model": {"name": "embedder", "encoder": "convnet"}}, "pictures"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(recipe: str, changed: dict[str, Any], said: str) -> None:
    asked = replace(resolve(f"digits/{recipe}"), **changed)
    with pytest.raises(UserError, match=said) as error:
        Contrast().prepare(asked, quiet=True)
    assert "\n" not in str(error.value)


def test_pictures_are_sought_by_all_that_is_said_of_them_and_one_of_its_own_kind_asks_nothing() -> None:
    said = encode(["a bold seven upright", "seven upright bold", "a thin seven upright", "a thin two upright"])
    vectors = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    pixels = torch.tensor([0.0, 9.0, 1.0, 2.0]).view(4, 1, 1, 1)
    held = TensorBatches({"pictures": pixels, "texts": said}, torch.tensor([7, 7, 7, 2]), batch_size=4)
    ours, plain, gain = by_captions(vectors, held)
    assert "2 test examples" in ours.note  # the thin seven and the thin two have nothing like them
    assert (ours.value, plain.value) == (1.0, pytest.approx(1 / 3))  # of the pixels either lies last of three
    assert gain.value == pytest.approx(2 / 3)


def test_pictures_and_words_lie_in_one_space(tmp_path: Path) -> None:
    run = runs.train("digits/clip", "epochs=6", f"run_dir={tmp_path / 'run'}", quiet=True)
    assert run.results["metrics"]["zero_shot_accuracy"]["low"] > 0.8
    assert run.results["metrics"]["text_to_picture"]["low"] > 0.8
    assert run.results["metrics"]["caption_average_precision_gain"]["low"] > 0.15  # placed by all that is said of them
    task: Any = run.task
    both = task.embed(run.recipe, run.folder, ["seven", "test:3", "a bold two leaning left"], "train")
    assert both.names == ["seven", "test:3", "a bold two leaning left"]
    alone = task.embed(run.recipe, run.folder, ["test:3"], "train")
    assert torch.equal(both.vectors[1], alone.vectors[0])
    assert run.predict(["seven", "two"])[0].startswith("7 ")
    with pytest.raises(UserError, match="'horse', a word that was never learnt"):
        run.predict(["a bold horse"])
