"""The contract's problems, and training on them with methods by name: run by torchrun, or alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.engine import Batch, Engine, TaskSequence, TensorBatches, Turn
from locution.engine.method import Method
from locution.errors import UserError
from locution.losses.elbo import ELBO
from locution.models.few_shot import FewShot
from locution.models.mixture_of_experts import MixtureOfExperts
from locution.vocabulary.lookup import names, part

CLASSES, STEPS = 3, 12


def cross(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy, with classes or distributions as targets."""
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def over_tasks(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """The mean squared error of the answers to a batch of tasks."""
    output = model(batch.inputs)
    return output, (output - batch.targets).square().flatten(1).mean(1).mean()


def reconstruction(model: nn.Module, batch: Batch) -> tuple[Any, Tensor]:
    """The surprise at inputs that are put together again."""
    return ELBO()(model, batch)


class Choices(nn.Module):
    """Describes six inputs by two choices among three, and puts them together again."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.choose, self.decode = nn.Linear(6, 6), nn.Softmax(-1), nn.Linear(6, 6)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        logits = self.encode(inputs).unflatten(1, (2, 3))  # (N, 2, 3)
        return {"outputs": self.decode(self.choose(logits).flatten(1)), "divergence": logits.square().sum((1, 2))}


class Read(nn.Module):
    """Looks at what the words of a text stand for, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.answer = nn.Embedding(20, 4), nn.Linear(7 * 4, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.answer(self.words(ids).flatten(1))  # type: ignore[no-any-return]


def network(noisy: bool = False, inputs: int = 6) -> nn.Module:
    """A small network; noisy: with batch norm and dropout."""
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), *middle, nn.Tanh(), nn.Linear(8, CLASSES))


def with_experts() -> nn.Module:
    """A small network of which each input uses two of four experts."""
    return nn.Sequential(nn.Linear(6, 8), MixtureOfExperts(8, 6, experts=4, top=2, shared=4), nn.Linear(8, CLASSES))


def seeded(make: Callable[[], nn.Module]) -> Callable[[bool], nn.Module]:
    """Build a model of which there is one kind only, its weights from a seed."""

    def built(noisy: bool) -> nn.Module:
        torch.manual_seed(0)
        return make()

    return built


def vectors(size: int = 16, shape: tuple[int, ...] = (6,)) -> TensorBatches:
    """40 examples of 3 classes, others beside them, and how hard each is; the last batch of an epoch has 8."""
    stream = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(40, 6, generator=stream)  # large enough for gradients that clipping shortens
    y = (x[:, :CLASSES] + torch.randn(40, CLASSES, generator=stream)).argmax(1)
    if shape != (6,):
        x = torch.cat([x, torch.randn(40, 10, generator=stream)], 1).sigmoid().view(40, *shape)
    other = torch.randn(23, *x.shape[1:], generator=stream) + 0.5
    difficulty = torch.rand(40, generator=stream)
    beside = {"unlabelled": other, "target": other.flip(0)}
    return TensorBatches(x, y, batch_size=size, beside=beside, beside_size=size, difficulty=difficulty)


def pictures(size: int = 16) -> TensorBatches:
    """The same as pictures of 4 x 4."""
    return vectors(size, (1, 4, 4))


def words(size: int = 16) -> TensorBatches:
    """Texts of 7 words at most, filled up with 0."""
    stream = torch.Generator().manual_seed(7)
    ids = torch.randint(1, 20, (40, 7), generator=stream)
    ids[::3, 4:] = 0
    return TensorBatches(ids, (ids[:, 0] % CLASSES), batch_size=size)


def tasks(size: int = 16) -> TensorBatches:
    """Lines through the origin, of which each task shows three points."""
    stream = torch.Generator().manual_seed(7)
    slopes, x = torch.randn(40, 1, 1, generator=stream), torch.randn(40, 5, 1, generator=stream)
    y = slopes * x
    inputs = {"support": x[:, :3], "answers": y[:, :3], "query": x[:, 3:]}
    return TensorBatches(inputs, y[:, 3:], batch_size=size)


def marks(size: int = 16) -> TensorBatches:
    """Six numbers from 0 to 1, to be put together again."""
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(7))
    return TensorBatches(x, x, batch_size=size)


def sequence(size: int = 16) -> TaskSequence:
    """Two tasks: the second calls the classes by other numbers."""
    first, second = vectors(size), vectors(size)
    second.targets = (second.targets + 1) % CLASSES
    return TaskSequence([first, second], epochs_each=2)


@dataclass(frozen=True)
class Problem:
    """Something to train on: its data by batch size, its model, and what is minimised."""

    data: Callable[[int], Any]
    model: Callable[[bool], nn.Module]
    objective: Any = cross
    rate: float = 0.05


PROBLEMS = {
    "vectors": Problem(vectors, network),
    "pictures": Problem(pictures, partial(network, inputs=16)),
    "words": Problem(words, seeded(Read)),
    "sequence": Problem(sequence, network),
    "normed": Problem(vectors, lambda noisy: network(True)),
    "tasks": Problem(tasks, seeded(lambda: FewShot(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))))),
    "choices": Problem(marks, seeded(Choices), reconstruction),
    "experts": Problem(vectors, seeded(with_experts)),
}


def teacher() -> nn.Module:
    """Another network for the same inputs, which knows nothing; it still has answers to be learnt from."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, CLASSES))


NEEDS: dict[str, Callable[[], dict[str, Any]]] = {"distillation": lambda: {"teacher": teacher()}}
"""What a method cannot do without."""


def made(name: str) -> Method:
    """Build a method at its defaults, with what it cannot do without."""
    method: Method = part("method", name)(**NEEDS.get(name, dict)())
    return method


def engine(chosen: list[str], problem: str = "", *, noisy: bool = False, **settings: object) -> Engine:
    """Build an engine with methods by name, on a problem, or on the first where they all do something."""
    one = PROBLEMS[problem or common(tuple(chosen))]
    turn = Turn(one.objective, partial(torch.optim.SGD, lr=one.rate, momentum=0.9))
    methods = [made(name) for name in chosen]
    return Engine(one.model(noisy), turn, methods, device="cpu", log_every=1, **settings)  # type: ignore[arg-type]


def data(size: int = 16, problem: str = "vectors") -> Any:
    """The data of a problem."""
    return PROBLEMS[problem].data(size)


@cache
def does_something(name: str, problem: str) -> bool:
    """Try a method on a problem: it is refused in one line, or it changes what comes out."""
    plain = weights(engine([], problem).fit(data(problem=problem), steps=STEPS))
    try:
        done = weights(engine([name], problem).fit(data(problem=problem), steps=STEPS))
    except UserError as refused:
        assert "\n" not in str(refused)  # noqa: PT017 - a refusal is one of two fine outcomes
        return False
    return done.keys() != plain.keys() or any(not torch.equal(done[key], plain[key]) for key in plain)


@cache
def common(chosen: tuple[str, ...]) -> str:
    """Find the first problem on which each of some methods does something, or "" where there is none."""
    fits = (problem for problem in PROBLEMS if all(does_something(name, problem) for name in chosen))
    return next(fits, "")


OF_SOUND = [name for name in names("method") if part("method", name).__module__.startswith("locution.speech.augment")]
METHODS = [name for name in names("method") if name not in OF_SOUND]


@cache
def together() -> tuple[str, ...]:
    """All methods that do something on vectors, leaving out what another one excludes, and what needs whole batches."""
    chosen: list[str] = []
    refused = {name: set(part("method", name).excludes) for name in METHODS}
    for name in METHODS:
        free = not any(name in refused[other] or other in refused[name] for other in chosen)
        if free and not part("method", name).whole_batch and does_something(name, "vectors"):
            chosen.append(name)
    return tuple(chosen)


def weights(trained: Engine, buffers: bool = True) -> dict[str, Tensor]:
    """Everything that training may have moved, and the model that leaves it."""
    own = trained.model.state_dict() if buffers else dict(trained.model.named_parameters())
    last = {f"last.{name}": tensor.detach().clone() for name, tensor in own.items()}
    leaves = trained.trained().state_dict()
    return last | {f"trained.{name}": tensor.clone() for name, tensor in leaves.items()}


def main() -> None:
    """Train with the methods named, each group on its problem, and write the weights if this process is the one."""
    torch.set_num_threads(1)
    path, *groups = sys.argv[1:]
    for word in groups:
        problem, _, group = word.partition(":")
        done = engine(group.split(","), problem).fit(data(problem=problem), steps=STEPS)
        if done.group.first:
            save_file(weights(done, buffers=False), Path(path) / f"{group}.safetensors")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
