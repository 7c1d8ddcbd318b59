"""Two processes under torchrun take the same steps as one."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from locution.engine import Batch, Engine, TensorBatches, Turn
from locution.engine.distributed import Group

WORKER = """
from tests.engine.test_distributed import finish, train
for name in ("sgd", "lbfgs", "turns"):
    train(f"{path}-{{name}}", name)
finish()
"""


def weighted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    output = model(batch.inputs)
    errors = ((output - batch.targets) ** 2)[:, 0]
    assert batch.weights is not None
    return output, (errors * batch.weights).sum() / batch.weights.sum()


def train(path: str, optimizer: str) -> None:
    """Train on whatever group there is; the first process keeps the weights and the losses."""
    torch.manual_seed(1)
    inputs, targets, weights = torch.randn(21, 4).double(), torch.randn(21, 1).double(), torch.rand(21).double()
    torch.manual_seed(int(os.environ.get("RANK", "0")))  # everyone begins elsewhere: the first one's weights count
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    kinds = {"sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9)}
    kinds["lbfgs"] = partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe")
    turns = [Turn(weighted, kinds.get(optimizer, kinds["sgd"]))]
    if optimizer == "turns":  # the last layer moves at every step, the first at every second
        turns = [
            Turn(weighted, kinds["sgd"], lambda net, at=at: net[at].parameters(), every=1 + (at == 0)) for at in (2, 0)
        ]  # type: ignore[misc]
    engine = Engine(model, turns, accumulate=2, device="cpu", log_every=1)
    # 21 in batches of 5: the last batch has one example, which leaves the second process with none
    engine.fit(TensorBatches(inputs, targets, weights=weights, batch_size=5), epochs=2)
    if engine.group.first:
        torch.save({"weights": model.state_dict(), "loss": engine.watch.last}, path)
    engine.group.wait()


def finish() -> None:
    """Leave the group."""
    torch.distributed.destroy_process_group()


def test_a_group_of_one_is_no_group() -> None:
    group = Group.current()
    assert (group.rank, group.world, group.first) == (0, 1, True)
    loss = torch.ones(())
    assert group.add_gradients([], loss) is loss


def test_two_processes_equal_one(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(path=tmp_path / "two"), encoding="utf-8")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(run, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for optimizer in ("sgd", "lbfgs", "turns"):
        train(str(tmp_path / "one"), optimizer)
        alone, together = torch.load(tmp_path / "one"), torch.load(tmp_path / f"two-{optimizer}")
        for name, tensor in alone["weights"].items():
            torch.testing.assert_close(together["weights"][name], tensor, rtol=0, atol=1e-8)
        assert abs(alone["loss"] - together["loss"]) < 1e-8
