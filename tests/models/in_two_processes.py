"""Train on tasks and on choices and write the weights down: run by torchrun, or alone."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))

import test_gumbel_softmax as choices
import test_maml as tasks


def main(folder: Path) -> None:
    """Train each, and write the weights if this process is the one that writes."""
    torch.set_num_threads(1)
    cases = {"maml": (tasks.engine(["sam"]), tasks.waves(7)), "gumbel": (choices.engine([]), choices.pictures(11))}
    for name, (engine, source) in cases.items():
        done = engine.fit(source, steps=6)
        if done.group.first:
            save_file(
                {key: one.contiguous() for key, one in tasks.weights(done).items()}, folder / f"{name}.safetensors"
            )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
