"""Train the contract's problem with methods by name and write the weights down: run by torchrun, or alone."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.vocabulary.lookup import part

CLASSES, STEPS = 3, 12


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy, with classes or distributions as targets."""
    output = model(batch.inputs)
    return output, cross_entropy(output, batch.targets)


def network(noisy: bool = False) -> nn.Module:
    """A small network; noisy: with batch norm and dropout."""
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if noisy else []
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, CLASSES))


def data(size: int = 16) -> TensorBatches:
    """40 examples of 3 classes; the last batch of an epoch has 8."""
    stream = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(40, 6, generator=stream)  # large enough for gradients that clipping shortens
    y = (x[:, :CLASSES] + torch.randn(40, CLASSES, generator=stream)).argmax(1)
    return TensorBatches(x, y, batch_size=size)


def engine(names: list[str], *, noisy: bool = False, **settings: object) -> Engine:
    """Build an engine with methods by name, at their defaults."""
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.05, momentum=0.9))
    methods = [part("method", name)() for name in names]
    return Engine(network(noisy), turn, methods, device="cpu", log_every=1, **settings)  # type: ignore[arg-type]


def weights(trained: Engine, buffers: bool = True) -> dict[str, Tensor]:
    """Everything that training may have moved, and the model that leaves it."""
    own = trained.model.state_dict() if buffers else dict(trained.model.named_parameters())
    last = {f"last.{name}": tensor.detach().clone() for name, tensor in own.items()}
    leaves = trained.trained().state_dict()
    return last | {f"trained.{name}": tensor.clone() for name, tensor in leaves.items()}


def main() -> None:
    """Train with the methods named, and write the weights if this process is the one that writes."""
    torch.set_num_threads(1)
    path, *groups = sys.argv[1:]
    for group in groups:
        done = engine(group.split(",")).fit(data(), steps=STEPS)
        if done.group.first:
            save_file(weights(done, buffers=False), Path(path) / f"{group}.safetensors")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
