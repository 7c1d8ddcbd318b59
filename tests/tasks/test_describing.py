"""Autoencoders of every kind as runs: judged, drawn, sampled from, embedded and asked; causes that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from locution.data.sprites import SpritesData
from locution.engine import TensorBatches
from locution.errors import UserError
from locution.evaluation.principal_error import principal_error
from locution.losses.factor_vae import Criticised, FactorVAE
from locution.losses.reconstruction_error import ReconstructionError
from locution.models.autoencoder import AutoencoderModel
from locution.models.vae import VAE, VAEModel
from locution.recipe import resolve
from locution.reporting.results import Gallery
from locution.runs import Run, train
from locution.tasks.described_pictures import in_rows, liveliest, pictures, plane, sheet, traversals
from locution.tasks.describing import elbo_of, everything, factor_figures, uncriticised
from locution.tasks.reconstruction import CausesDrawn, Reconstruction, is_binary, without_answers

SMALL = "data={name: sprites, scales: 2, rotations: 2, positions: 5, side: 8}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    asked = {
        "autoencoder": ("digits/autoencoder", "epochs=12", "data.limit=400"),
        "vae": ("digits/vae", "epochs=12", "data.limit=400"),
        "factor": ("sprites/factor", "epochs=8", "model.widths=[32]", SMALL),
    }
    return {
        name: train(*words, "seed=100", f"run_dir={folder}/{name}", quiet=True)  # type: ignore[misc]
        for name, words in asked.items()
    }


def figures(run: Run) -> dict[str, float]:
    return {name: one["value"] for name, one in run.results["metrics"].items()}


def test_an_autoencoder_is_judged_beside_principal_components(runs: dict[str, Run]) -> None:
    found = figures(runs["autoencoder"])
    assert list(found) == ["reconstruction_error", "pca_error"]
    job = runs["autoencoder"].job()
    seen, held, model = job.data.train.inputs, job.data.test.inputs, runs["autoencoder"].load(job)
    assert found["pca_error"] == pytest.approx(float(principal_error(seen, held, 8).mean()), rel=1e-4)
    with torch.no_grad():
        assert found["reconstruction_error"] == pytest.approx(float((model(held) - held).square().mean()), rel=1e-4)
    assert found["reconstruction_error"] < 0.06


def test_a_vae_is_judged_by_the_bound_and_the_likelihood_is_below_it(runs: dict[str, Run]) -> None:
    found = figures(runs["vae"])
    assert list(found) == ["negative_elbo", "reconstruction", "divergence", "negative_log_likelihood"]
    assert found["negative_elbo"] == pytest.approx(found["reconstruction"] + found["divergence"], abs=2e-3)
    assert found["negative_log_likelihood"] < found["negative_elbo"] - 0.2
    assert found["negative_elbo"] < 40


def test_where_causes_are_known_a_code_is_compared_with_them(runs: dict[str, Run]) -> None:
    found = figures(runs["factor"])
    assert list(found)[:2] == ["disentanglement", "mutual_information_gap"]
    assert 0 <= found["disentanglement"] <= 1
    assert "negative_elbo" in found


def test_runs_are_taken_back_and_drawn(runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
        page = (run.folder / "report.html").read_text(encoding="utf-8")
        for title in ("Reconstructions", "Latent traversals", "The latent plane", "Where test pictures lie"):
            assert title in page, (name, title)
        assert ("Samples" in page) == (name != "autoencoder")


def test_runs_are_asked_for_codes(runs: dict[str, Run]) -> None:
    for name, what in (
        ("autoencoder", "(reconstruction error 0."),
        ("vae", "(negative ELBO "),
        ("factor", "(negative ELBO "),
    ):
        (answer,) = runs[name].predict(["test:3"])
        code, _, rest = answer.partition(" (")
        assert len(code.split()) == (6 if name == "factor" else 8)
        assert f"({rest}".startswith(what), answer
    grey, black = (",".join([ink] * 20 + ["0"] * 44) for ink in ("0.6", "1"))
    assert runs["vae"].predict([grey]) == runs["vae"].predict([black]), "0 or 1, whichever is nearer"
    assert runs["autoencoder"].predict([grey]) != runs["autoencoder"].predict([black])


def asked(run: Run) -> tuple[Any, Any, Path]:
    return run.task, run.recipe, run.folder


def test_samples_are_new_examples_and_a_plain_autoencoder_has_none(runs: dict[str, Run]) -> None:
    task, recipe, folder = asked(runs["vae"])
    one, same, other = (task.sample(recipe, folder, 14, seed, CausesDrawn()) for seed in (0, 0, 1))
    assert one.values.shape == (14, 1, 8, 8)
    assert 0 <= float(one.values.min()) < 0.2 < 0.8 < float(one.values.max()) <= 1
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)
    assert one.galleries[0].pictures.shape == (2, 12, 8, 8)
    many = task.sample(recipe, folder, 600, 0, CausesDrawn())
    torch.testing.assert_close(many.values[:14], one.values)
    assert many.values.unique(dim=0).shape[0] == 600
    assert many.galleries[0].pictures.shape == (40, 12, 8, 8), "a person looks at some"
    assert "the first 480 of 600" in many.galleries[0].note
    alike = task.sample(recipe, folder, 14, 0, CausesDrawn(spread=0.0)).values
    assert torch.equal(alike[0], alike[1])
    assert task.sample(*asked(runs["factor"])[1:], 2, 0, CausesDrawn()).values.shape == (2, 1, 8, 8)
    with pytest.raises(UserError, match="is a plain autoencoder, whose codes nobody can draw; allowed: "):
        task.sample(*asked(runs["autoencoder"])[1:], 2, 0, CausesDrawn())
    with pytest.raises(UserError, match=r"sampling\.spread is -1; allowed: "):
        CausesDrawn(spread=-1)


def test_inputs_are_placed_by_their_codes(runs: dict[str, Run]) -> None:
    task, recipe, folder = asked(runs["vae"])
    whole = task.embed(recipe, folder, [], "test")
    assert whole.vectors.shape == (270, 8)
    assert whole.names[3] == "test:3"
    assert set(whole.labels) == {str(digit) for digit in range(10)}
    some = task.embed(recipe, folder, ["test:3"], "test")
    torch.testing.assert_close(some.vectors[0], whole.vectors[3])
    job = runs["vae"].job()
    with torch.no_grad():
        torch.testing.assert_close(whole.vectors, runs["vae"].load(job).code(job.data.test.inputs))  # type: ignore[operator]
    assert whole.pictures is not None
    assert whole.pictures.shape == (270, 8, 8)
    assert task.embed(*asked(runs["factor"])[1:], [], "test").labels == []
    with pytest.raises(UserError, match="no part 'tests' of these data; allowed: train, development or test"):
        task.embed(recipe, folder, [], "tests")


def codes_of_factors(inputs: torch.Tensor) -> VAE:
    """A VAE whose first two causes are the first two numbers of an input, the rest being still."""
    model = VAEModel(latents=3, widths=()).build((4,), 1)
    code = next(m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        code.weight.zero_()
        code.bias.zero_()
        code.weight[2, 0], code.weight[0, 1] = 1.0, 2.0
    return model.eval()


def test_numbers_of_a_code_are_ordered_by_what_they_say_and_moved_one_at_a_time() -> None:
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    model = codes_of_factors(x)
    order, much = liveliest(model, x)
    assert order.tolist() == [0, 2, 1]
    torch.testing.assert_close(
        much, torch.tensor([0.5 * 4 * float(x[:, 1].square().mean()), 0.5 * float(x[:, 0].square().mean()), 0.0])
    )
    codes, _ = traversals(model, x)
    here = model.code(x[:1])[0]
    for row, number in enumerate(order.tolist()):
        assert torch.equal(codes[row, :, number], torch.linspace(-2, 2, 9))
        others = [k for k in range(3) if k != number]
        assert bool((codes[row][:, others] == here[others]).all())
    places = plane(model, x)
    assert bool((places[:, :, 1] == 0).all())
    assert bool((places[:, 1:, 0] > places[:, :-1, 0]).all()), "the liveliest goes to the right"
    assert bool((places[1:, :, 2] < places[:-1, :, 2]).all()), "the next one upward"


def test_the_plane_of_an_autoencoder_lies_where_its_codes_do() -> None:
    x = 5 + torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0])
    model = AutoencoderModel(latents=2, widths=()).build((2,), 1)
    code = next(m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        code.weight.copy_(torch.eye(2))
        code.bias.zero_()
    places = plane(model, x)
    torch.testing.assert_close(places.mean((0, 1)), x.mean(0), atol=0.05, rtol=0)
    assert float(places[0, -1, 0]) == pytest.approx(float(x[:, 0].mean() + 1.73 * x[:, 0].std()), abs=0.05)
    moved, note = traversals(model, x)
    assert note.endswith("of spread")
    assert float(moved[0, -1, 0]) == pytest.approx(float(x[:, 0].mean() + 2 * x[:, 0].std()), abs=1e-3)


def test_pictures_lie_where_their_codes_do() -> None:
    x = torch.zeros(3, 1, 2, 2)
    x[0], x[1], x[2] = 0.1, 0.9, 0.5
    model = AutoencoderModel(latents=2, widths=()).build((1, 2, 2), 1)
    code = next(m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        code.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0.5, 0, 0, 0]]))
        code.bias.zero_()
    large = sheet(model, x)
    assert large.shape == (60, 60)
    assert large[-1, 0] == pytest.approx(0.1), "the least lies at the lower left"
    assert large[0, -1] == pytest.approx(0.9), "the most at the upper right"
    assert large[29, 29] == pytest.approx(0.5)


def test_rows_are_filled_up() -> None:
    assert in_rows(torch.rand(5, 3, 3), 4).shape == (2, 4, 3, 3)
    assert in_rows(torch.rand(3, 3, 3), 12).shape == (1, 3, 3, 3)
    assert in_rows(torch.full((3, 1, 1), -2.0), 2).min() == -2.0


def test_galleries_are_of_what_can_be_seen() -> None:
    titles = {"Reconstructions", "Latent traversals", "The latent plane", "Where test pictures lie"}
    shown = pictures(AutoencoderModel(latents=1).build((1, 8, 8), 1), torch.rand(20, 1, 8, 8), False)
    assert [one.title for one in shown] == ["Reconstructions", "Latent traversals"], "one number has no plane"
    colours = pictures(VAEModel(latents=2).build((3, 8, 8), 1), torch.rand(20, 3, 8, 8), True)
    assert {one.title for one in colours} == titles | {"Samples"}
    assert all(isinstance(one, Gallery) and one.pictures.ndim == 4 for one in colours)
    assert pictures(VAEModel(latents=2).build((9,), 1), torch.rand(20, 9), True) == []


def test_what_is_made_again_is_drawn_between_ink_and_paper() -> None:
    torch.manual_seed(0)
    model = AutoencoderModel().build((1, 8, 8), 10)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3  # answers far beyond the inputs
        x = torch.rand(12, 1, 8, 8)
        assert float(model(x).min()) < 0 or float(model(x).max()) > 1
    for drawn in pictures(model, x, binary=False):
        assert 0 <= drawn.pictures.min() <= drawn.pictures.max() <= 1, drawn.title


def test_a_code_that_is_the_causes_is_said_to_be() -> None:
    class Telling(VAE):
        """Looks the causes of a picture up."""

        def code(self, x: torch.Tensor) -> torch.Tensor:
            key = {row.numpy().tobytes(): answer for row, answer in zip(*everything(data), strict=True)}
            return torch.stack([key[row.numpy().tobytes()] for row in x])

    data = SpritesData(scales=2, rotations=2, positions=4, side=16).load(0)
    model = Telling(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), 5)
    score, gap = factor_figures(model, data, binary=False)
    assert (score.value, gap.value) == (1.0, pytest.approx(1.0))
    assert "by chance 0.20" in score.note
    assert "shape 1.00" in gap.note
    assert factor_figures(model, without_answers(data, False), binary=False) == []


def test_each_objective_has_its_turns_its_bound_and_its_inputs() -> None:
    job = Reconstruction().prepare(resolve("sprites/factor", [SMALL]))
    assert isinstance(job.model, Criticised)
    assert isinstance(uncriticised(job.model), VAE)
    assert [turn.name for turn in job.turns] == ["critic", "autoencoder"]
    assert elbo_of(FactorVAE(likelihood="gaussian", spread=0.2)).spread == 0.2
    assert is_binary(FactorVAE())
    assert not is_binary(ReconstructionError())
    assert not is_binary(FactorVAE(likelihood="gaussian"))
    plain = Reconstruction().prepare(resolve("digits/autoencoder"))
    assert isinstance(plain.batches, TensorBatches)
    assert len(plain.batches.inputs.unique()) > 2, "greys stay greys"
    assert plain.batches.targets is None
    with pytest.raises(UserError, match="allowed here: elbo, factor_vae, reconstruction_error"):
        Reconstruction().prepare(resolve("digits/vae", ["objective.explains=targets"]))


@pytest.mark.parametrize("name", ["linear", "mlp", "denoiser"])
def test_a_model_without_a_code_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"model '{name}' has no code that an input is made again from; allowed here: "):
        Reconstruction().prepare(
            resolve("digits/autoencoder", [f"model={{name: {name}}}", "data.limit=50"]), quiet=True
        )


def test_methods_change_an_autoencoder_as_any_other_model(tmp_path: Path) -> None:
    words = ("epochs=2", "data.limit=128", "+clipping", "+averaging", "+lora", "+spectral_norm")
    for number, word in enumerate(words[2:]):
        run = train("digits/vae", *words[:2], word, f"run_dir={tmp_path}/{number}", quiet=True)
        assert figures(run)["negative_elbo"] > 0
        assert run.evaluate().as_json()["metrics"] == run.results["metrics"]
