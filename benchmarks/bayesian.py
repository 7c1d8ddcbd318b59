"""What a small Bayesian model costs, and how near it comes to the exact posterior: locution against pyro's SVI.

    python -m benchmarks.bayesian [--quick] [--peers PYTHON]

pyro lives in the peers' environment (`make bench` builds it), so the whole comparison runs there, both sides in one
process on one thread, CPU time, everyone in turn. Both sides learn the posterior of the same weights from the same
points: a Gaussian with a full covariance, Adam, one cycle of the learning rate, as many steps, and in each step one
answer for each point: locution's recipe `bayesian` through its engine, which draws weights for each point, and pyro's
`SVI` with `AutoMultivariateNormal` and `Trace_ELBO` as it comes, which draws them once for all. Beside them stands pyro
with as many draws as there are points, each for all of them: so many times the answers. Seed by seed the posteriors are
held against the one in closed form, and against each other. Exit code 1 when locution's step is slower than pyro's as
it comes, when it is further from the exact posterior by more than chance explains, or when the two disagree by more
than both together are off.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.side_by_side import compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
RATE, NOISE, PRIOR, POINTS = 0.03, 0.5, 5.0, 12
GOAL = 1.0  # no slower
CLOSE = 0.001  # nats that are no difference
Posterior = tuple[Tensor, Tensor]  # mean (D,) and covariance (D, D)


def points(seed: int) -> tuple[Tensor, Tensor]:
    """Draw what is learnt from: (N, 1) and (N, 1)."""
    from locution.data.noisy_line import NoisyLineData

    train: Any = NoisyLineData(points=POINTS, noise=NOISE).load(seed).train
    return train.inputs, train.targets


def ours(seed: int, steps: int) -> Posterior:
    """Learn as the recipe `bayesian` does."""
    from locution.engine import Engine, TensorBatches, Turn
    from locution.losses.elbo import ELBO
    from locution.models.bayesian_linear import BayesianLinearModel
    from locution.optimizers.basic import Adam
    from locution.optimizers.one_cycle import OneCycleMethod

    x, y = points(seed)
    model = BayesianLinearModel(prior=PRIOR, examples=POINTS).build((1,), 1)
    turn = Turn(ELBO("gaussian", spread=NOISE, explains="targets"), Adam(lr=RATE).build)
    engine = Engine(model, turn, [OneCycleMethod()], seed=seed, device="cpu", log_every=10**9)
    engine.fit(TensorBatches(x, y, batch_size=POINTS), steps=steps)
    with torch.no_grad():
        return model.posterior.mean.double(), model.posterior.covariance().double()


def theirs(seed: int, steps: int, draws: int = 1) -> Posterior:
    """Learn as pyro's users do; draws: of the weights in a step, each for all points."""
    import pyro  # type: ignore[import-not-found,unused-ignore]
    from pyro import distributions  # type: ignore[import-not-found,unused-ignore]
    from pyro.infer import SVI, Trace_ELBO  # type: ignore[import-not-found,unused-ignore]
    from pyro.infer.autoguide import AutoMultivariateNormal  # type: ignore[import-not-found,unused-ignore]
    from pyro.optim import OneCycleLR  # type: ignore[import-not-found,unused-ignore]

    pyro.clear_param_store()
    pyro.set_rng_seed(seed)
    x, y = points(seed)
    features, heights = torch.cat([torch.ones_like(x), x], 1), y.flatten()

    def model() -> None:
        weights = pyro.sample("weights", distributions.Normal(torch.zeros(2), PRIOR).to_event(1))  # (draws, 1, 2)
        said = (weights @ features.T).squeeze(-2) if weights.dim() > 1 else features @ weights
        with pyro.plate("points", POINTS):
            pyro.sample("heights", distributions.Normal(said, NOISE), obs=heights)

    guide = AutoMultivariateNormal(model, init_scale=0.1, init_loc_fn=lambda site: torch.zeros(2))
    settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": RATE}, "max_lr": RATE, "total_steps": steps}
    optimizer = OneCycleLR({**settings, "cycle_momentum": False})
    loss = Trace_ELBO(num_particles=draws, vectorize_particles=draws > 1, max_plate_nesting=1)
    svi = SVI(model, guide, optimizer, loss)
    for _ in range(steps):
        svi.step()
        optimizer.step()
    found = guide.get_posterior()
    return found.mean.detach().double(), found.covariance_matrix.detach().double()


def exact(seed: int) -> Posterior:
    """Write the posterior down."""
    from locution.models.bayesian_linear import exact_posterior, powers

    x, y = points(seed)
    return exact_posterior(powers(x.double(), 1), y.double().flatten(), NOISE, PRIOR)


def apart(one: Posterior, other: Posterior) -> float:
    """Say how many nats are lost when numbers of the first are taken to come from the second."""
    from locution.models.gaussian_posterior import divergence_between

    return float(divergence_between(*one, *other))


MANY = f"pyro, {POINTS} draws"
SIDES: dict[str, Callable[[int, int], Posterior]] = {
    "locution": ours,
    "pyro": theirs,
    MANY: partial(theirs, draws=POINTS),
}


def contest(steps: int, seeds: int, *, quick: bool) -> tuple[list[str], bool]:
    """Let both sides learn, seed by seed; say how far they end from the truth, and from each other."""
    off: dict[str, list[float]] = {name: [] for name in SIDES}
    between = []
    for seed in range(seeds):
        found, truth = {name: learn(seed, steps) for name, learn in SIDES.items()}, exact(seed)
        for name, posterior in found.items():
            off[name].append(apart(posterior, truth))
        between.append(apart(found["locution"], found["pyro"]))
    means = {name: statistics.mean(values) for name, values in off.items()}
    more = [one - other for one, other in zip(off["locution"], off["pyro"], strict=True)]
    error = statistics.stdev(more) / seeds**0.5
    # nats grow as squares of distances: two that are off by a and b, in opposite ways, differ by (root a + root b)^2
    allowed = max(CLOSE, (means["locution"] ** 0.5 + means["pyro"] ** 0.5) ** 2)
    fine = statistics.mean(more) <= max(CLOSE, 2 * error) and statistics.mean(between) <= allowed
    said = (
        f"{POINTS} points, {steps:,} steps, {seeds} seeds: nats from the exact posterior {means['locution']:.5f} "
        f"(pyro {means['pyro']:.5f}, with {POINTS} draws {means[MANY]:.5f}); difference from pyro "
        f"{statistics.mean(more):+.5f}, error {error:.5f}; nats from locution's posterior to pyro's "
        f"{statistics.mean(between):.5f} (allowed {allowed:.5f})."
    )
    return [said], fine or quick  # what has hardly begun to learn says nothing


def measure(*, quick: bool) -> int:
    """Run it in an environment that has pyro."""
    torch.set_num_threads(1)
    timed = 100 if quick else 300
    contestants = {name: partial(learn, 0, timed) for name, learn in SIDES.items()}
    measured = interleave(contestants, 3 if quick else 21)
    ratios = [
        compare(measured, "locution", "pyro", timed, GOAL),
        compare(measured, "locution", MANY, timed),
    ]
    ratios[0].name, ratios[1].name = "locution / pyro, a step of SVI", f"locution / {MANY}"
    title = f"a line's posterior from {POINTS} points"
    show(title, ratios)
    facts, fine = contest(300 if quick else 3000, 2 if quick else 10, quick=quick)
    code = finish("bayesian", {title: ratios}, quick=quick, facts=facts)
    return code if fine else 1


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and seeds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python, which has pyro; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.bayesian", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
