"""`compile=true`: the whole step in one graph equals the step it was made from, or a line says why not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from locution.engine import Batch, Engine, Method, Observer, Step, TensorBatches, Turn
from locution.engine.compile_errors import explained
from locution.errors import LocutionError, UserError

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),  # torch's own, inside its compiler
]


class Norm(Observer):
    """Measures the length of the gradient."""

    name = "norm"

    def __init__(self) -> None:
        self.seen: list[float] = []

    def gradient(self, model: nn.Module, step: Step) -> Mapping[str, float]:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        self.seen.append(float(sum(g.square().sum() for g in grads)))
        return {}


class Decay(Method):
    """Adds a penalty, and halves the gradient."""

    name = "decay"

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        return loss + 1e-3 * sum(p.square().sum() for p in step.model.parameters())

    def gradient(self, parameters: Any, step: Step) -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(0.5)


class Peeks(Method):
    """Looks at the loss as a number, which no graph can."""

    name = "peeks"

    def loss(self, loss: Tensor, step: Step) -> Tensor:
        return loss * 2 if loss.item() > 1 else loss


class CallsBack:
    """An optimizer that asks for its gradient itself."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups

    def step(self, closure: Any) -> Any:
        return self.optimizer.step(lambda: closure())


class Falls:
    """A schedule: the learning rate of each step is its own."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.count = optimizer, 0
        self.param_groups = optimizer.param_groups

    def step(self, closure: Any) -> Any:
        self.count += 1
        self.param_groups[0]["lr"] = 0.2 / self.count
        return self.optimizer.step(closure)


class FallsMethod(Method):
    name = "falls"

    def optimizer(self, optimizer: Any, plan: Any) -> Any:
        return Falls(optimizer)


class CallsBackMethod(Method):
    name = "calls_back"

    def optimizer(self, optimizer: Any, plan: Any) -> Any:
        return CallsBack(optimizer)


def objective(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    return output, F.cross_entropy(output, batch.targets)


def build(compile: bool, methods: list[Method], observers: list[Observer]) -> Engine:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)]
    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    turn = Turn(objective, optimizer)
    return Engine(
        nn.Sequential(*layers), turn, methods, observers=observers, device="cpu", compile=compile, log_every=1
    )


def data() -> TensorBatches:
    torch.manual_seed(1)
    return TensorBatches(torch.randn(22, 4), torch.randint(0, 3, (22,)), batch_size=8)


def test_compiled_equals_uncompiled_also_on_the_ragged_last_batch() -> None:
    ends, norms = [], []
    for compile in (False, True):
        watch = Norm()
        engine = build(compile, [Decay(), FallsMethod()], [watch]).fit(data(), epochs=2)
        ends.append({name: tensor.clone() for name, tensor in engine.model.state_dict().items()})
        norms.append(watch.seen)
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name], rtol=0, atol=1e-6)
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    assert len(norms[1]) == 6


@pytest.mark.parametrize(
    ("method", "said"),
    [(Peeks(), "method 'peeks' cannot be compiled"), (CallsBackMethod(), "CallsBack asks for its gradients itself")],
)
def test_what_cannot_be_compiled_is_named_in_one_line(method: Method, said: str) -> None:
    with pytest.raises(UserError) as caught:
        build(True, [method], []).fit(data(), epochs=1)
    assert said in str(caught.value)
    assert "compile=false" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optimizer_that_is_not_torchs_own_is_refused() -> None:
    engine = build(True, [], [])
    engine.turns[0].optimizer = torch.optim.LBFGS
    with pytest.raises(UserError, match="optimizer LBFGS cannot be compiled"):
        engine.fit(data(), epochs=1)


def test_no_compiler_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(UserError, match=r"no C\+\+ compiler; allowed: install g\+\+"):
        build(True, [], []).fit(data(), epochs=1)


def test_a_file_that_an_interrupted_compilation_left_is_named_to_be_removed() -> None:
    said = "ImportError: /tmp/torchinductor/ab/c1.main.so: file too short"
    with pytest.raises(LocutionError) as caught, explained([], nn.Linear(1, 1)):
        raise torch._dynamo.exc.TorchDynamoException(f"backend='inductor' raised:\n{said}")
    assert "remove /tmp/torchinductor/ab/c1.main.so, then train again" in str(caught.value)
    assert caught.value.exit_code == 1, "the world's fault, not the user's"
    other = r"the step of Linear cannot be compiled: ImportError: no such module; allowed: compile=false"
    with pytest.raises(UserError, match=other), explained([], nn.Linear(1, 1)):
        raise torch._dynamo.exc.TorchDynamoException("backend='inductor' raised:\nImportError: no such module")
