"""Train on tasks, on choices and with experts in balance, and write the weights down: run by torchrun, or alone."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "losses"))

import test_gumbel_softmax as choices
import test_load_balancing as experts
import test_maml as tasks


def main(folder: Path) -> None:
    """Train each, and write the weights if this process is the one that writes."""
    torch.set_num_threads(1)
    balanced = experts.engine(experts.BiasBalancingMethod(rate=0.1))
    experts.mixtures(balanced.model)["1"].router.data = experts.rows(4, 6)  # each half of a batch has a load of its own
    cases = {
        "maml": (tasks.engine(["sam"]), tasks.waves(7)),
        "gumbel": (choices.engine([]), choices.pictures(11)),
        "experts": (balanced, experts.data(19)),
    }
    for name, (engine, source) in cases.items():
        done = engine.fit(source, steps=6)
        if done.group.first:
            save_file(
                {key: one.contiguous() for key, one in done.model.state_dict().items()}, folder / f"{name}.safetensors"
            )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
