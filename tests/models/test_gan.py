"""Two networks that learn against each other: shapes, noise, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from locution.errors import UserError
from locution.models.gan import GAN, GANModel, ProjectionCritic

SHAPES = [(2,), (7,), (1, 8, 8), (3, 16, 16), (1, 28, 28)]


@pytest.mark.parametrize("shape", SHAPES)
def test_examples_are_made_of_the_shape_of_the_data(shape: tuple[int, ...]) -> None:
    gan = GANModel(latents=3).build(shape, 10)
    answer = gan(torch.rand(4, *shape))
    assert answer["samples"].shape == (4, *shape)
    assert answer["real"].shape == answer["fake"].shape == (4,)
    inside = (answer["samples"] >= 0).all() and (answer["samples"] <= 1).all()
    assert inside or len(shape) == 1  # pictures lie between 0 and 1


def test_small_pictures_are_convolved_where_that_is_asked_for() -> None:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    count = {
        network: sum(isinstance(m, kinds) for m in GANModel(network=network).build((1, 8, 8), 0).modules())  # type: ignore[arg-type]
        for network in ("auto", "convolutional")
    }
    assert count == {"auto": 0, "convolutional": 2}


@pytest.mark.parametrize(("squash", "shape", "squashed"), [("none", (1, 8, 8), False), ("sigmoid", (2,), True)])
def test_what_is_made_is_squashed_as_the_settings_say(squash: str, shape: tuple[int, ...], squashed: bool) -> None:
    torch.manual_seed(0)
    gan = GANModel(squash=squash).build(shape, 0)  # type: ignore[arg-type]
    values = gan.sample(500, torch.Generator().manual_seed(0), scale=100.0)
    assert bool(((values >= 0) & (values <= 1)).all()) == squashed


def test_evaluation_is_always_alike_and_training_draws_from_torchs_own_generator() -> None:
    gan, x = GANModel().build((2,), 0), torch.zeros(3, 2)
    torch.manual_seed(0)
    first = gan(x)["samples"]
    second = gan(x)["samples"]
    torch.manual_seed(0)
    assert torch.equal(first, gan(x)["samples"])
    assert not torch.equal(first, second)
    gan.eval()
    torch.manual_seed(5)
    assert torch.equal(gan(x)["samples"], gan(x)["samples"])
    many = gan(torch.zeros(500, 2))["samples"]
    torch.testing.assert_close(many[:3], gan(x)["samples"])
    drawn = [gan(x, torch.Generator().manual_seed(seed))["samples"] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_scores_are_those_of_what_came_and_of_what_was_made() -> None:
    gan, x = GANModel().build((2,), 0).eval(), torch.randn(3, 2)
    answer = gan(x)
    torch.testing.assert_close(answer["real"], gan.critic(x)[:, 0])
    torch.testing.assert_close(answer["fake"], gan.critic(answer["samples"])[:, 0])


def test_a_smaller_scale_stays_nearer_to_the_middle() -> None:
    torch.manual_seed(0)
    gan = GANModel().build((2,), 0)
    near, far = (gan.sample(200, torch.Generator().manual_seed(0), scale).std() for scale in (0.1, 1.0))
    assert 0 < near < 0.7 * far


def test_noise_has_the_type_of_the_weights() -> None:
    assert GANModel().build((2,), 0).double().noise(2).dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"latents": 0}, "model.latents is 0; allowed: a whole number from 1, usually 2 to 128"),
        ({"widths": (8, 0)}, "model.widths is [8, 0]; allowed: whole numbers from 1"),
        ({"channels": (0,)}, "model.channels is [0]; allowed: whole numbers from 1"),
        ({"network": "deep"}, "model.network is 'deep'; allowed: auto, mlp, convolutional"),
        ({"squash": "tanh"}, "model.squash is 'tanh'; allowed: auto, sigmoid, none"),
        ({"activation": "rel"}, "Did you mean 'relu'?"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        GANModel(**settings)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("shape", [(5, 3), (), (1, 2, 3, 4)])
def test_inputs_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as caught:
        GANModel().build(shape, 0)
    fits = "vectors (features,) or pictures (channels, height, width)"
    assert str(caught.value) == f"model gan came upon inputs {shape}; allowed: {fits}."


def conditional(network: str = "mlp", shape: tuple[int, ...] = (1, 8, 8)) -> GAN:
    torch.manual_seed(0)
    return GANModel(latents=3, widths=(16, 8), network=network, conditional=True).build(shape, 4).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(("network", "shape"), [("mlp", (2,)), ("mlp", (1, 8, 8)), ("convolutional", (1, 8, 8))])
def test_both_networks_are_told_the_class(network: str, shape: tuple[int, ...]) -> None:
    gan, x, noise = conditional(network, shape), torch.rand(5, *shape), torch.randn(5, 3)
    two, three = torch.full((5,), 2), torch.full((5,), 3)
    assert gan.make(noise, two).shape == (5, *shape)
    assert not torch.equal(gan.make(noise, two), gan.make(noise, three))
    assert not torch.equal(gan.score(x, two), gan.score(x, three))
    answer = gan(x, label=two)
    torch.testing.assert_close(answer["real"], gan.score(x, two))
    torch.testing.assert_close(answer["fake"], gan.score(answer["samples"], two))
    drawn = [gan.sample(6, torch.Generator().manual_seed(0), label=torch.full((6,), k)) for k in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_classes_may_be_shares_and_nothing_told_is_all_of_them_alike() -> None:
    gan, x, noise = conditional(), torch.rand(5, 1, 8, 8), torch.randn(5, 3)
    whole = torch.eye(4)[[2] * 5]
    torch.testing.assert_close(gan.score(x, whole), gan.score(x, torch.full((5,), 2)))
    torch.testing.assert_close(gan.make(noise, whole), gan.make(noise, torch.full((5,), 2)))
    blend = 0.3 * torch.eye(4)[[2] * 5] + 0.7 * torch.eye(4)[[1] * 5]
    two, one = (gan.score(x, torch.full((5,), k)) for k in (2, 1))
    torch.testing.assert_close(gan.score(x, blend), 0.3 * two + 0.7 * one)
    each = torch.stack([gan.score(x, torch.full((5,), k)) for k in range(4)])
    torch.testing.assert_close(gan.score(x), each.mean(0))  # the projection is linear in the shares


def test_a_projection_critic_adds_how_well_an_example_goes_with_its_class() -> None:
    gan, x = conditional(), torch.rand(5, 1, 8, 8)
    critic = gan.critic
    assert isinstance(critic, ProjectionCritic)
    like = critic.body(x)
    embedded = critic.classes.weight[:, 3]
    torch.testing.assert_close(gan.score(x, torch.full((5,), 3)), critic.head(like)[:, 0] + like @ embedded)


@pytest.mark.parametrize(
    ("settings", "outputs", "said"),
    [({}, 1, "with 1 classes"), ({}, 0, "with 0 classes"), ({"widths": ()}, 4, "widths ()")],
)
def test_what_cannot_be_told_a_class_is_refused(settings: dict[str, Any], outputs: int, said: str) -> None:
    with pytest.raises(UserError, match="conditional is true") as caught:
        GANModel(conditional=True, **settings).build((2,), outputs)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="a class is told to a GAN without classes"):
        GANModel().build((2,), 4).score(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
