"""What every engine trains in the benchmarks: the same data, network and raw loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Setting:
    """A network's widths, its batch size, and how many steps an epoch has."""

    widths: tuple[int, ...]
    batch: int
    steps: int
    adamw: bool = False

    def data(self) -> tuple[Tensor, Tensor]:
        """Draw inputs and classes."""
        torch.manual_seed(0)
        count = self.batch * self.steps
        return torch.randn(count, self.widths[0]), torch.randint(0, self.widths[-1], (count,))

    def model(self) -> nn.Sequential:
        """Build the network, with the same first weights for everyone."""
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The optimizer as people write it."""
        return torch.optim.AdamW(parameters, lr=1e-3) if self.adamw else torch.optim.SGD(parameters, lr=0.1)


TINY = Setting((20, 64, 2), batch=32, steps=200)
WIDE = Setting((784, 1024, 1024, 10), batch=128, steps=8, adamw=True)


def raw_loop(setting: Setting, epochs: int = 1) -> Callable[[], None]:
    """The loop people write: a DataLoader over a TensorDataset, zero_grad, backward, step."""
    inputs, targets = setting.data()
    model = setting.model()
    optimizer = setting.optimizer(model.parameters())
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=setting.batch, shuffle=True)

    def run() -> None:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    return run


def locution_loop(setting: Setting, *, methods: int = 8, epochs: int = 1, compile: bool = False) -> Callable[[], None]:
    """locution on the same, with methods that fill no seam; one engine, which goes on from round to round."""
    from locution.engine import Batch, Engine, Method, TensorBatches, Turn
    from locution.optimizers.basic import SGD, AdamW

    def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = model(batch.inputs)
        return output, F.cross_entropy(output, batch.targets)

    nothing = [type(f"Nothing{n}", (Method,), {"name": f"nothing{n}"})() for n in range(methods)]
    make = AdamW(lr=1e-3) if setting.adamw else SGD(lr=0.1)
    engine = Engine(setting.model(), Turn(objective, make.build), nothing, device="cpu", compile=compile)
    data = TensorBatches(*setting.data(), batch_size=setting.batch)

    def run() -> None:
        engine.fit(data, epochs=epochs)

    return run
