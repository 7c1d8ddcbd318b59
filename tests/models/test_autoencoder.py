"""Autoencoders against principal components, which no linear one beats; coders of either kind, and what fits them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from locution.data.digits import read_digits
from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.evaluation.principal_error import principal_error
from locution.losses.reconstruction_error import ReconstructionError
from locution.models.autoencoder import Autoencoder, AutoencoderModel
from locution.models.coders import channels_for, decoder, encoder
from locution.models.vae import VAEModel


def some_digits() -> Tensor:
    return read_digits()[0][:300]


def error_of(model: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float(ReconstructionError()(model.eval(), Batch(x))[1])


def test_a_linear_autoencoder_reaches_the_error_of_principal_components_and_does_not_pass_it() -> None:
    torch.manual_seed(0)
    x = some_digits()
    model = AutoencoderModel(latents=3, widths=()).build((1, 8, 8), 10)
    turn = Turn(ReconstructionError(), partial(torch.optim.LBFGS, line_search_fn="strong_wolfe"))
    Engine(model, turn, device="cpu").fit(TensorBatches(x, batch_size=300), steps=12)
    least = float(principal_error(x, x, 3).mean())
    assert least - 1e-6 <= error_of(model, x) <= least + 1e-3
    assert least < 0.9 * float(principal_error(x, x, 2).mean()), "a component fewer is told from these"


def test_with_the_principal_directions_as_weights_the_error_is_theirs_exactly() -> None:
    x = some_digits().double()
    flat = x.flatten(1)
    model = AutoencoderModel(latents=5, widths=()).build((1, 8, 8), 10).double()
    first, last = (
        next(m for m in half.modules() if isinstance(m, nn.Linear)) for half in (model.encoder, model.decoder)
    )
    directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:5]
    with torch.no_grad():
        first.weight.copy_(directions)
        first.bias.copy_(-directions @ flat.mean(0))
        last.weight.copy_(directions.T)
        last.bias.copy_(flat.mean(0))
    errors = (model(x) - x).square().flatten(1).mean(1)
    torch.testing.assert_close(errors, principal_error(x, x, 5))


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 16), (2, 24, 40), (1, 8, 8), (7,), (4, 3)], ids=str)
def test_a_code_has_its_size_and_what_is_made_again_the_shape_of_what_came(shape: tuple[int, ...]) -> None:
    model = AutoencoderModel(latents=4, widths=(6,)).build(shape, 10)
    x = torch.rand(3, *shape)
    assert model.code(x).shape == (3, 4)
    assert model(x).shape == x.shape
    convolved = any(isinstance(m, nn.Conv2d) for m in model.modules())
    assert convolved == (len(shape) == 3 and min(shape[1:]) >= 16)
    torch.testing.assert_close(model(x), model.decode(model.code(x)))


def test_channels_halve_a_picture_down_to_four_pixels_as_long_as_it_is_even() -> None:
    assert channels_for((1, 16, 16), "auto", ()) == (32, 32)
    assert channels_for((1, 64, 64), "auto", ()) == (32,) * 4
    assert channels_for((1, 24, 40), "auto", ()) == (32,) * 3
    assert channels_for((1, 18, 18), "auto", ()) == (32,)
    assert channels_for((1, 8, 8), "convolutional", (5,)) == (5,)
    assert channels_for((1, 64, 64), "mlp", ()) == ()


def test_the_decoder_is_the_encoder_turned_round() -> None:
    def sizes(half: nn.Module) -> list[tuple[int, ...]]:
        return [
            tuple(m.weight.shape) for m in half.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        ]

    there = sizes(encoder((1, 16, 16), 3, (10, 7), (4, 6), "relu"))
    back = sizes(decoder(3, (1, 16, 16), (10, 7), (4, 6), "relu"))
    assert there == [(4, 1, 4, 4), (6, 4, 4, 4), (10, 96), (7, 10), (3, 7)]
    assert back == [(7, 3), (10, 7), (96, 10), (6, 4, 4, 4), (4, 1, 4, 4)]


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    for refuse, line in (
        (lambda: AutoencoderModel(latents=0), r"model\.latents is 0; allowed: "),
        (lambda: VAEModel(latents=0), r"model\.latents is 0; allowed: "),
        (lambda: AutoencoderModel(widths=(3, 0)), r"model\.widths is \[3, 0\]; allowed: "),
        (lambda: AutoencoderModel(channels=(0,)), r"model\.channels is \[0\]; allowed: "),
        (lambda: AutoencoderModel(network="cnn"), r"model\.network is 'cnn'; allowed: auto, mlp"),  # type: ignore[arg-type]
        (lambda: AutoencoderModel(network="mlp", channels=(4,)), r"model\.channels is \[4\]; allowed: none"),
        (lambda: AutoencoderModel(network="convolutional").build((5,), 1), r"inputs \(5,\); allowed: pictures"),
        (
            lambda: AutoencoderModel(channels=(4, 4)).build((1, 18, 18), 1),
            "18 x 18; allowed: sides that are multiples of 4",
        ),
        (lambda: AutoencoderModel().build((), 1), r"inputs \(\); allowed: "),
        (lambda: VAEModel().build((), 1), r"inputs \(\); allowed: "),
        (lambda: ReconstructionError()(nn.Flatten(), Batch(torch.zeros(1, 2, 2))), r"\(1, 4\); allowed: \(1, 2, 2\)"),
        (
            lambda: ReconstructionError()(VAEModel().build((4,), 1), Batch(torch.zeros(1, 4))),
            "answered with dict; allowed for reconstruction_error: a tensor",
        ),
    ):
        with pytest.raises(UserError, match=line) as refused:
            refuse()
        assert "\n" not in str(refused.value)


def test_the_loss_is_a_mean_over_weights() -> None:
    halves = Autoencoder(nn.Identity(), nn.ReLU())
    _, loss = ReconstructionError()(halves, Batch(torch.tensor([[-2.0], [-4.0]]), weights=torch.tensor([3.0, 1.0])))
    assert loss.item() == (3 * 4 + 16) / 4
