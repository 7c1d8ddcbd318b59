"""The losses of a GAN: against formulas written by hand, finite differences, and exact Wasserstein distances."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.errors import UserError
from locution.losses.adversarial import Adversarial, GANLoss, HingeGAN, WassersteinGAN, gradient_penalty
from locution.losses.wasserstein import matching_distance, wasserstein_distance
from locution.models.gan import GAN, GANModel

KINDS = [GANLoss, WassersteinGAN, HingeGAN]


def gan(seed: int = 0, **settings: Any) -> GAN:
    torch.manual_seed(seed)
    return GANModel(widths=(8, 8), activation="tanh", **settings).build((2,), 0).double()


def batch(count: int = 6, weights: Tensor | None = None) -> Batch:
    stream = torch.Generator().manual_seed(1)
    drawn = {
        name: torch.randn(count, 2, generator=stream).double() for name in ("x", "noise", "noise of the generator")
    }
    x = drawn.pop("x")
    return Batch(x, weights=weights, beside={**drawn, "blend": torch.rand(count, generator=stream).double()})


def by_hand(kind: type, net: GAN, one: Batch) -> tuple[Tensor, Tensor]:
    """What the papers say, with probabilities and logarithms as they write them."""
    fake, other = net.generator(one.beside["noise"]), net.generator(one.beside["noise of the generator"])
    real, made, fooled = (net.critic(some)[:, 0] for some in (one.inputs, fake, other))
    if kind is GANLoss:
        judge = -(torch.log(torch.sigmoid(real)) + torch.log(1 - torch.sigmoid(made)))
        return judge.mean(), -torch.log(torch.sigmoid(fooled)).mean()
    if kind is HingeGAN:
        return (1 - real).clamp(min=0).mean() + (1 + made).clamp(min=0).mean(), -fooled.mean()
    steep = []
    for x, y, share in zip(one.inputs, fake, one.beside["blend"], strict=True):
        point = (share * x + (1 - share) * y).detach().requires_grad_()
        (slope,) = torch.autograd.grad(net.critic(point[None])[0, 0], point)
        steep.append((slope.norm() - 1) ** 2)
    return made.mean() - real.mean() + 10 * torch.stack(steep).mean(), -fooled.mean()


@pytest.mark.parametrize("kind", KINDS)
def test_both_turns_minimise_what_the_paper_says(kind: type) -> None:
    net, one = gan(), batch()
    critic, generator = by_hand(kind, net, one)
    objective = kind()
    torch.testing.assert_close(objective.critic(net, one)[1], critic.detach(), check_stride=False)
    torch.testing.assert_close(objective.generator(net, one)[1].detach(), generator.detach())
    torch.testing.assert_close(objective(net, one)[1], objective.critic(net, one)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_critics_turn_teaches_the_critic_alone_by_gradients_that_finite_differences_find(kind: type) -> None:
    net, one, objective = gan(), batch(), kind()
    objective.critic(net, one)[1].backward()
    assert all(p.grad is None for p in net.generator.parameters())
    for weight in (net.critic[1].layers[0].weight, net.critic[1].layers[2].bias):  # type: ignore[index, union-attr]
        flat, moved = weight.data.view(-1), 1e-6
        before = flat[3].item()
        ends = []
        for sign in (1, -1):
            flat[3] = before + sign * moved
            ends.append(objective.critic(net, one)[1].item())
        flat[3] = before
        assert weight.grad.view(-1)[3].item() == pytest.approx((ends[0] - ends[1]) / (2 * moved), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generators_turn_leads_to_higher_scores(kind: type) -> None:
    net, one = gan(), batch()
    optimizer = torch.optim.SGD(net.generator.parameters(), lr=0.01)
    before = kind().generator(net, one)[0]["fake"].mean()
    kind().generator(net, one)[1].backward()
    optimizer.step()
    assert kind().generator(net, one)[0]["fake"].mean() > before


@pytest.mark.parametrize("kind", KINDS)
def test_examples_count_by_their_weights(kind: type) -> None:
    net = gan()
    heavy = batch(6, torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0, 1.0]).double())
    rows = torch.tensor([0, 2, 2, 5])
    picked = Batch(heavy.inputs[rows], beside={name: values[rows] for name, values in heavy.beside.items()})
    for turn in (kind().critic, kind().generator):
        torch.testing.assert_close(turn(net, heavy)[1], turn(net, picked)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_beside_it_is_drawn_from_torchs_own_generator(kind: type) -> None:
    net, bare = gan().float(), Batch(torch.zeros(4, 2))
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(kind().critic(net, bare)[0]["samples"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_penalty_is_that_of_a_known_slope_wherever_the_points_lie() -> None:
    slope = torch.tensor([3.0, 4.0])  # of length 5
    x, y = torch.randn(7, 2), torch.randn(7, 2)
    for blend in (torch.zeros(7), torch.ones(7), torch.rand(7)):
        torch.testing.assert_close(gradient_penalty(lambda p: p @ slope, x, y, blend), torch.full((7,), 16.0))


@pytest.mark.parametrize(("blend", "place"), [(1.0, 3.0), (0.0, 1.0), (0.25, 1.5)])
def test_the_blend_is_the_share_of_the_real_example(blend: float, place: float) -> None:
    real, fake = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    found = gradient_penalty(lambda p: p[:, 0].square(), real, fake, torch.tensor([blend]))  # a slope of 2 x
    torch.testing.assert_close(found, torch.tensor([(2 * place - 1) ** 2]))


def test_the_penalty_is_measured_also_where_nothing_else_needs_a_gradient() -> None:
    with torch.no_grad():
        found = gradient_penalty(lambda p: p[:, 0], torch.zeros(2, 2), torch.ones(2, 2), torch.ones(2))
    assert found.tolist() == [0.0, 0.0]


def test_the_penalty_teaches_the_critic_and_no_one_else() -> None:
    critic = nn.Linear(2, 1)
    real, fake = (torch.randn(5, 2, requires_grad=True) for _ in range(2))
    gradient_penalty(lambda p: critic(p.tanh())[:, 0], real, fake, torch.rand(5)).sum().backward()
    assert critic.weight.grad is not None
    assert bool(critic.weight.grad.abs().sum() > 0)
    assert real.grad is None
    assert fake.grad is None


def test_each_example_is_blended_by_a_share_of_its_own_drawn_evenly() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:
                seen.append(x.detach())
            return x.sum(1, keepdim=True)

    class Nothing(nn.Module):
        def forward(self, noise: Tensor) -> Tensor:
            return torch.zeros(len(noise), 2)

    bare = Batch(torch.ones(2000, 2), beside={"noise": torch.zeros(2000, 2)})
    WassersteinGAN().critic(GAN(Nothing(), Looking(), 2), bare)
    (shares,) = (points[:, 0] for points in seen)  # of the ones in ones and zeros
    assert 0 <= shares.min() <= shares.max() <= 1
    quarters = torch.histc(shares, 4, 0, 1)
    assert (quarters - 500).abs().max() < 5 * (2000 * 3 / 16) ** 0.5


def test_pictures_are_blended_each_as_a_whole() -> None:
    x, y = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    seen: list[Tensor] = []

    def look(p: Tensor) -> Tensor:
        seen.append(p)
        return p.flatten(1).sum(1)

    gradient_penalty(look, x, y, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(seen[0].detach(), torch.stack([y[0], (x[1] + y[1]) / 2, x[2]]))


def estimate(real: Tensor, fake: Tensor, steps: int, penalty: float = 10.0) -> float:
    """Train a critic alone between examples and others, and take the difference of its means."""

    class Given(nn.Module):
        def forward(self, noise: Tensor) -> Tensor:
            return noise

    torch.manual_seed(0)
    size = real.shape[1]
    net = GAN(Given(), GANModel(widths=(64, 64)).build((size,), 0).critic, size)
    both = TensorBatches(real, batch_size=len(real), beside={"noise": fake}, beside_size=len(fake))
    objective = WassersteinGAN(penalty=penalty)
    adam = partial(torch.optim.Adam, lr=0.002, betas=(0.5, 0.9))
    Engine(net, Turn(objective.critic, adam, lambda model: model.critic.parameters()), device="cpu").fit(
        both, steps=steps
    )
    with torch.no_grad():
        return float(net.score(real).mean() - net.score(fake).mean())


def with_penalty(distance: float, penalty: float) -> float:
    """What a perfect critic says: with a slope s, -s W + penalty (s - 1)^2 is least at s = 1 + W / (2 penalty)."""
    return distance * (1 + distance / (2 * penalty))


@pytest.mark.parametrize("penalty", [10.0, 100.0])
def test_a_trained_critic_measures_the_wasserstein_distance_on_a_line(penalty: float) -> None:
    stream = torch.Generator().manual_seed(3)
    real, fake = torch.randn(256, 1, generator=stream), 0.5 * torch.randn(256, 1, generator=stream) + 3
    exact = float(wasserstein_distance(real[:, 0], fake[:, 0]))
    assert estimate(real, fake, 200, penalty) == pytest.approx(with_penalty(exact, penalty), rel=0.02)


def test_a_trained_critic_measures_the_wasserstein_distance_on_a_plane() -> None:
    stream = torch.Generator().manual_seed(4)
    real = torch.randn(128, 2, generator=stream)
    fake = torch.randn(128, 2, generator=stream) + torch.tensor([2.0, -1.5])
    exact = float(matching_distance(real, fake))
    assert estimate(real, fake, 200) == pytest.approx(with_penalty(exact, 10.0), rel=0.03)


def test_without_a_penalty_a_critic_exaggerates() -> None:
    real, fake = torch.zeros(32, 1), torch.ones(32, 1)
    assert estimate(real, fake, 60, penalty=0.0) > 3.0  # the distance is 1


def test_slopes_of_bf16_are_measured_in_fp32_and_the_papers_settings_are_the_usual_ones() -> None:
    real, fake = torch.randn(4, 3).bfloat16(), torch.randn(4, 3).bfloat16()
    found = gradient_penalty(lambda p: p.square().sum(1), real, fake, torch.rand(4))
    assert found.dtype == torch.float32
    assert (WassersteinGAN().penalty, WassersteinGAN().critic_steps) == (10, 5)  # Gulrajani et al., algorithm 1


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_computes_its_sums_in_full(kind: type) -> None:
    net, one = gan().float(), batch()
    one = Batch(one.inputs.float(), beside={name: values.float() for name, values in one.beside.items()})
    plain = kind().critic(net, one)[1]
    with torch.autocast("cpu", torch.bfloat16):
        short = kind().critic(net, one)[1]
    assert short.dtype == torch.float32
    torch.testing.assert_close(short, plain, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: GANLoss(critic_steps=0),
            "objective.critic_steps is 0; allowed: a whole number from 1, usually 1 to 5",
        ),
        (lambda: WassersteinGAN(critic_steps=0), "objective.critic_steps is 0"),
        (lambda: HingeGAN(critic_steps=0), "objective.critic_steps is 0"),
        (
            lambda: WassersteinGAN(penalty=-1.0),
            "objective.penalty is -1.0; allowed: a number from 0, usually 0.1 to 10",
        ),
        (lambda: GANLoss()(nn.Linear(2, 1), Batch(torch.zeros(1, 2))), "the model is a Linear, without a generator"),
        (
            lambda: gradient_penalty(lambda p: p[:, 0], torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2)),
            "made examples have shape (2, 4); allowed: (2, 3), as the real ones.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_two_sides(kind: type) -> None:
    assert isinstance(kind(), Adversarial)
    assert not isinstance(nn.MSELoss(), Adversarial)


def classed(count: int = 6) -> tuple[GAN, Batch]:
    torch.manual_seed(0)
    net = GANModel(widths=(8, 8), activation="tanh", conditional=True).build((2,), 3).double()
    return net, replace(batch(count), targets=torch.arange(count) % 3)


@pytest.mark.parametrize("kind", KINDS)
def test_with_classes_both_turns_make_and_judge_examples_as_of_the_class_of_the_batch(kind: type) -> None:
    net, one = classed()
    assert one.targets is not None
    shares = torch.eye(3).double()[one.targets]
    made, other = (
        net.generator(torch.cat([one.beside[name], shares], 1)) for name in ("noise", "noise of the generator")
    )
    critic: Any = net.critic
    real, fake, fooled = (critic(some, shares)[:, 0] for some in (one.inputs, made, other))
    said, loss = kind().critic(net, one)
    torch.testing.assert_close(said["samples"], made)
    torch.testing.assert_close(said["real"], real)
    torch.testing.assert_close(said["fake"], fake)
    if kind is WassersteinGAN:
        steep = []
        for x, y, share, told in zip(one.inputs, made, one.beside["blend"], shares, strict=True):
            point = (share * x + (1 - share) * y).detach().requires_grad_()
            (slope,) = torch.autograd.grad(critic(point[None], told[None])[0, 0], point)
            steep.append((slope.norm() - 1) ** 2)
        torch.testing.assert_close(loss, fake.mean() - real.mean() + 10 * torch.stack(steep).mean())
    torch.testing.assert_close(kind().generator(net, one)[0]["fake"], fooled)
