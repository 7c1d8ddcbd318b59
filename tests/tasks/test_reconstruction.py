"""The task of describing: judged by true draws, so that blends do not win; taken back, shown and asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from locution.data.dataset import Dataset
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.models.categorical_vae import CategoricalVAE, CategoricalVAEModel
from locution.recipe import resolve
from locution.runs import Run, train
from locution.tasks.described_pictures import pictures
from locution.tasks.describing import DRAWS, judged
from locution.tasks.reconstruction import Reconstruction, without_answers


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    words = ("epochs=15", "seed=100")
    plain = train("digits/categorical_vae", *words, f"run_dir={folder}/plain", quiet=True)
    words = (*words, "+gumbel_softmax")
    return plain, train("digits/categorical_vae", *words, f"run_dir={folder}/gumbel", quiet=True)


def test_choices_are_learnt_with_gumbel_softmax_and_not_by_blends(pair: tuple[Run, Run]) -> None:
    plain, gumbel = (run.results["metrics"] for run in pair)
    assert list(gumbel) == ["negative_elbo", "reconstruction", "divergence"]
    assert gumbel["negative_elbo"]["high"] < plain["negative_elbo"]["low"]
    total = gumbel["reconstruction"]["value"] + gumbel["divergence"]["value"]
    assert abs(gumbel["negative_elbo"]["value"] - total) < 2e-3
    assert gumbel["divergence"]["value"] > 0.5, "the causes say something"


def test_a_run_is_taken_back_shown_and_asked(pair: tuple[Run, Run]) -> None:
    run = pair[1]
    assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Reconstructions" in page
    assert "Samples" in page
    (answer,) = run.predict(["test:3"])
    code, _, cost = answer.partition(" (negative ELBO ")
    assert len(code.split()) == 8
    assert all(0 <= int(one) < 8 for one in code.split())
    assert 2 < float(cost.removesuffix(")")) < 80


def test_draws_differ_and_are_choices_whatever_the_model_trained_with() -> None:
    torch.manual_seed(0)
    model, seen = CategoricalVAE((1, 2, 2), 3, 4, (5,)), []
    model.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    objective = resolve("digits/categorical_vae").part("objective")
    surprise, divergence = judged(objective, model.train(), torch.ones(6, 1, 2, 2))
    assert surprise.shape == (DRAWS, 6)
    assert divergence.shape == (6,)
    assert all(sorted(choices.unique().tolist()) == [0.0, 1.0] for choices in seen)
    assert not torch.equal(seen[0], seen[1])
    model.train()(torch.ones(2, 1, 2, 2))
    assert len(seen[-1].unique()) > 2, "in training the plain model hands on blends"


def test_true_choices_are_as_frequent_as_the_encoder_says() -> None:
    torch.manual_seed(0)
    model = CategoricalVAE((1, 2, 2), 1, 3, ())
    logits = torch.tensor([[[1.0, 0.0, -1.0]]]).expand(50_000, 1, 3)
    share = model.chosen(logits, torch.Generator().manual_seed(0)).mean((0, 1))
    wanted = logits[0, 0].softmax(-1)
    assert bool(((share - wanted).abs() < 5 * (wanted * (1 - wanted) / 50_000).sqrt()).all())


def test_pictures_are_of_one_colour_and_few_examples_are_not_shown() -> None:
    model = CategoricalVAE((1, 3, 3), 2, 2, ()).eval()
    reconstructions, samples = pictures(model, torch.rand(20, 1, 3, 3), True)
    assert reconstructions.pictures.shape == (2, 12, 3, 3)
    assert samples.pictures.shape == (4, 12, 3, 3)
    assert 0 <= samples.pictures.min() <= samples.pictures.max() <= 1
    assert pictures(model, torch.rand(3, 1, 3, 3), True) == []
    assert pictures(model, torch.rand(20, 9), True) == []


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    far = Dataset(TensorBatches(torch.tensor([[3.0]])))
    for refuse, line in (
        (lambda: without_answers(far, True), "leave 0 to 1; allowed: "),
        (lambda: CategoricalVAEModel(variables=0), r"model\.variables is 0; allowed: "),
        (lambda: CategoricalVAEModel(classes=1), r"model\.classes is 1; allowed: "),
        (lambda: CategoricalVAEModel(widths=(0,)), r"model\.widths is \[0\]; allowed: "),
        (
            lambda: Reconstruction().prepare(resolve("digits/categorical_vae", ["objective={name: mse}"])),
            "allowed here: elbo, factor_vae, reconstruction_error",
        ),
        (
            lambda: Reconstruction().prepare(resolve("digits/categorical_vae", ["data={name: sinusoids}"])),
            "no tensors in",
        ),
        (
            lambda: Reconstruction().prepare(resolve("digits/categorical_vae", ["model={name: mlp}"])),
            "has no code that an input is made again from; allowed here: autoencoder",
        ),
        (
            lambda: Reconstruction().prepare(resolve("digits/categorical_vae", ["model={name: autoencoder}"])),
            "a dict of outputs",
        ),
    ):
        with pytest.raises(UserError, match=line) as refused:
            refuse()
        assert "\n" not in str(refused.value)
    assert without_answers(far, False).test is None
