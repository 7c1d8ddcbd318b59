"""What each method costs: a step with it beside the plain step, and beside the best peer that has the same method.

    python -m benchmarks.methods [--quick] [--peers PYTHON]

Every method of the vocabulary that trains at its defaults on pictures of 28 x 28, on a network whose arithmetic counts,
one thread, processor time, everyone in turn; SAM on a larger network too. Beside peers both sides stand in the same raw
loop, so that what is compared is the method alone: SAM and Lookahead of pytorch_optimizer, torch's own spectral norm,
and timm's mixup (its file by itself, for timm asks for a torchvision that has no build for this torch). The closed form
of CORAL must be skada's. The peers live in an environment of their own (`make bench` builds it), where the whole
comparison runs. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.networks import Setting
from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

ROOT = Path(__file__).parents[1]
WIDE = Setting((784, 1024, 1024, 10), batch=128, steps=5)
LARGE = Setting((784, 2048, 2048, 2048, 10), batch=256, steps=6)
SAM_GOAL = 2.05
BLENDS = 200  # batches a round
NOT_HERE = {
    "distillation": "costs what its teacher's answer costs",
    "maml": "see benchmarks.maml",
    "pruning": "trains in rounds: a step of it is a plain step with masks",
}
"""Methods whose cost on this problem would say nothing."""
BESIDE = {"vat", "dann", "coral"}
PICTURES = {"flip", "rotation", "shift", "brightness", "cutout"}
Run = Callable[[], object]


def objective(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Cross-entropy."""
    output = model(batch.inputs)
    return output, F.cross_entropy(output, batch.targets)


def epochs_of(setting: Setting, methods: list[Any]) -> Run:
    """One engine that goes on from round to round, an epoch each, with methods that are already made.

    What methods do once, at the end of a task, is left out: it is no part of a step.
    """
    from locution.engine import Engine, TensorBatches, Turn
    from locution.optimizers.basic import SGD

    inputs, targets = setting.data()
    called = {method.name for method in methods}
    beside = {"unlabelled": inputs, "target": inputs.flip(0)} if called & BESIDE else None
    hard = torch.rand(len(inputs)) if "curriculum" in called else None
    shown, model = inputs, setting.model()
    if called & PICTURES:
        shown, model = inputs.view(-1, 1, 28, 28), nn.Sequential(nn.Flatten(), *model)
    data = TensorBatches(shown, targets, batch_size=setting.batch, beside=beside, difficulty=hard)
    engine = Engine(model, Turn(objective, SGD(lr=0.01, momentum=0.9).build), methods, device="cpu", log_every=10**9)
    engine.fit(data, epochs=1)
    engine.seams["finish"] = []
    return lambda: engine.fit(data, epochs=1)


def beside_plain(setting: Setting, names: list[str], rounds: int) -> list[Ratio]:
    """Compare a step with each method with the plain step."""
    from locution.errors import LocutionError
    from locution.vocabulary.lookup import part

    contestants: dict[str, Run] = {"plain": epochs_of(setting, [])}
    notes = dict(NOT_HERE)
    for name in names:
        if name in notes:
            continue
        try:
            run = epochs_of(setting, [part("method", name)()])
        except LocutionError as refused:
            notes[name] = str(refused).split(";")[0][:90]
            continue
        contestants[name] = run
    times = interleave(contestants, rounds)
    found = []
    for name in contestants:
        ratio = compare(times, name, "plain", setting.steps, SAM_GOAL if name == "sam" else None)
        ratio.name = "plain step" if name == "plain" else f"+{name}"
        found.append(ratio)
    return found + [Ratio(f"+{name}", "plain", 0, 0, 0, 0, note=notes[name]) for name in names if name in notes]


def raw(setting: Setting, prepare: Callable[[nn.Module], tuple[nn.Module, Any, Callable[[], None]]]) -> Run:
    """The loop people write, around whatever `prepare` makes: a model, its optimizer, what follows each step."""
    inputs, targets = setting.data()
    model, optimizer, after = prepare(setting.model())
    batches = list(zip(torch.split(inputs, setting.batch), torch.split(targets, setting.batch), strict=True))

    def run() -> None:
        for x, y in batches:

            def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()  # type: ignore[no-untyped-call]
                return loss

            optimizer.step(closure)
            after()

    return run


class TwoPasses:
    """pytorch_optimizer's SAM as its documentation calls it: one pass before the step, one within."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.zero_grad = optimizer, optimizer.zero_grad

    def step(self, closure: Callable[[], Tensor]) -> None:
        closure()
        self.optimizer.step(closure)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of everyone."""
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def nothing() -> None:
    """What follows a step where nothing does."""


def pairs(setting: Setting) -> Iterator[tuple[str, str, Run, Run]]:
    """Make the contestants: the method, the peer, locution's loop and the peer's."""
    import pytorch_optimizer as peer  # type: ignore[import-not-found,unused-ignore]

    from locution.models.spectral_norm import advance, spectral_norm
    from locution.optimizers.lookahead import Lookahead
    from locution.optimizers.sam import SAM

    def their_sam(model: nn.Module) -> Any:
        made = peer.SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.01, momentum=0.9)
        return model, TwoPasses(made), nothing

    yield "SAM", "pytorch_optimizer", raw(setting, lambda m: (m, SAM(sgd(m)), nothing)), raw(setting, their_sam)
    ours, theirs = (lambda m: (m, Lookahead(sgd(m)), nothing)), (lambda m: (m, peer.Lookahead(sgd(m)), nothing))
    yield "Lookahead", "pytorch_optimizer", raw(setting, ours), raw(setting, theirs)

    def our_norm(model: nn.Module) -> Any:
        normalised = spectral_norm(model)
        return normalised, sgd(normalised), partial(advance, normalised)

    def their_norm(model: nn.Module) -> Any:
        for layer in model:  # type: ignore[attr-defined]
            if isinstance(layer, nn.Linear):
                torch.nn.utils.parametrizations.spectral_norm(layer)
        return model, sgd(model), nothing

    yield "spectral norm", "torch", raw(setting, our_norm), raw(setting, their_norm)


def mixups(pictures: Tensor) -> tuple[Run, Run]:
    """Blend a batch of pictures again and again: locution's method and timm's."""
    from locution.data.mixup import MixupMethod
    from locution.engine import Batch, Plan, Step

    found = importlib.util.find_spec("timm")
    assert found, "timm is in the peers' environment"
    spec = importlib.util.spec_from_file_location("timm_mixup", Path(str(found.origin)).parent / "data" / "mixup.py")
    assert spec, "timm has a file data/mixup.py"
    module = importlib.util.module_from_spec(spec)
    assert spec.loader, "a file has a loader"
    spec.loader.exec_module(module)
    theirs, ours = module.Mixup(mixup_alpha=0.2, label_smoothing=0.0, num_classes=10), MixupMethod(0.2, classes=10)
    targets, step = torch.randint(0, 10, (len(pictures),)), Step(0, 0, Plan(), nn.Identity())

    def our_way() -> None:
        for number in range(BLENDS):
            step.number = number
            ours.batch(Batch(pictures, targets), step)

    def their_way() -> None:
        for _ in range(BLENDS):
            theirs(pictures.clone(), targets)  # it blends in place: a copy leaves the pictures what they are

    return our_way, their_way


def aligned() -> str:
    """Compare the closed form of CORAL with skada's, which divides covariances by N and adds nothing to them."""
    import numpy as np
    from skada import CORALAdapter  # type: ignore[import-not-found,unused-ignore]

    from locution.losses.coral import coral_align

    torch.manual_seed(0)
    source, target = (torch.randn(n, 5, dtype=torch.float64) @ torch.randn(5, 5).double() for n in (200, 150))
    source, target = source - source.mean(0), target - target.mean(0)
    both, where = torch.cat([source, target]).numpy(), np.r_[np.ones(200), -2 * np.ones(150)]
    theirs = CORALAdapter(reg=None).fit_transform(both, None, sample_domain=where)[:200]
    factor = (149 / 150 * 200 / 199) ** 0.5  # N - 1 here, N there
    far = abs(coral_align(source, target, regularise=1e-12).numpy() * factor - theirs).max()
    return f"Closed-form CORAL: at most {far:.1e} from skada's, of features up to {abs(theirs).max():.1f}."


def beside_peers(setting: Setting, rounds: int) -> list[Ratio]:
    """Compare the same method of locution and of a peer, each against the plain loop and against one another."""
    plain = raw(setting, lambda model: (model, sgd(model), nothing))
    contestants: dict[str, Run] = {"plain": plain}
    made = list(pairs(setting))
    for method, peer, ours, theirs in made:
        contestants |= {f"locution {method}": ours, f"{peer} {method}": theirs}
    times, table = interleave(contestants, rounds), list[Ratio]()
    for method, peer, _, _ in made:
        for who in (peer, "locution"):
            ratio = compare(times, f"{who} {method}", "plain", setting.steps)
            ratio.name = f"{method}: {who} / plain loop"
            table.append(ratio)
        ratio = compare(times, f"locution {method}", f"{peer} {method}", setting.steps, 1.0)
        ratio.name = f"{method}: locution / {peer}"
        table.append(ratio)
    for shape in ((128, 1, 28, 28), (128, 3, 32, 32)):
        ours, theirs = mixups(torch.randn(shape))
        blended = interleave({"locution": ours, "timm": theirs}, 3 * rounds)
        ratio = compare(blended, "locution", "timm", BLENDS, 1.0)
        ratio.name = f"mixup of {' x '.join(map(str, shape))}: locution / timm"
        table.append(ratio)
    return table


def measure(*, quick: bool) -> int:
    """Run it in an environment that has the peers."""
    from locution.vocabulary.lookup import names, part

    torch.set_num_threads(1)
    every = [name for name in names("method") if "speech" not in part("method", name).__module__]
    rounds = 5 if quick else 11
    # the large network first: amid the memory of many engines the allocator hands pages back and asks anew in each step
    large = beside_plain(LARGE, ["sam"], rounds)
    tables = {
        "a step of 784-1024-1024-10, batch 128, SGD with momentum": beside_plain(WIDE, every, rounds),
        "a step of 784-2048-2048-2048-10, batch 256, SGD with momentum": large,
        "the same method in the same loop, 784-1024-1024-10, batch 128": beside_peers(WIDE, rounds),
    }
    for title, ratios in tables.items():
        show(title, ratios)
    return finish("methods", tables, quick=quick, facts=[aligned()])


def main() -> int:
    """Run it, in the peers' environment if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    parser.add_argument("--peers", default="", help="the peers' python; this one if none is named")
    chosen = parser.parse_args()
    if chosen.peers:
        command = [chosen.peers, "-m", "benchmarks.methods", *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    return measure(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
