"""One peer, the raw loop and locution in one process: what a step costs each, setting up left out.

    python -m benchmarks.peers NAME [--quick]

Each trains for a short and for a longer while; the difference of their CPU times is divided by the difference of
their steps. Logging, progress bars and checkpoints are off everywhere.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.networks import TINY, locution_loop, raw_loop
from benchmarks.side_by_side import compare, cpu_seconds

SHORT, LONG = 1, 3  # epochs
Fit = Callable[[int], None]


def dataset() -> TensorDataset:
    """The data of everyone."""
    return TensorDataset(*TINY.data())


def loader() -> DataLoader[Any]:
    """The loader of the raw loop."""
    return DataLoader(dataset(), batch_size=TINY.batch, shuffle=True)


def lightning() -> Fit:
    """Lightning's Trainer."""
    import lightning  # type: ignore[import-not-found,unused-ignore]

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = TINY.model()

        def training_step(self, batch: Any, index: int) -> Any:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(epochs: int) -> None:
        off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **off)
        trainer.fit(Module(), loader())

    return fit


def transformers() -> Fit:
    """The Trainer of Hugging Face."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = TINY.model()

        def forward(self, x: Any, labels: Any = None) -> Any:
            logits = self.net(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    rows = [{"x": x, "labels": y} for x, y in zip(*TINY.data(), strict=True)]
    folder = tempfile.mkdtemp()
    assert issubclass(PrinterCallback, TrainerCallback)

    def fit(epochs: int) -> None:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=TINY.batch, use_cpu=True,
            optim="sgd", learning_rate=0.1, lr_scheduler_type="constant", max_grad_norm=0.0, report_to=[],
            logging_strategy="no", save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(Model(), arguments, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    return fit


def skorch() -> Fit:
    """skorch's NeuralNetClassifier."""
    from skorch import NeuralNetClassifier  # type: ignore[import-not-found]

    inputs, targets = TINY.data()

    def fit(epochs: int) -> None:
        net = NeuralNetClassifier(
            TINY.model(), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.SGD, lr=0.1, max_epochs=epochs,
            batch_size=TINY.batch, iterator_train__shuffle=True, train_split=None, verbose=0,
            callbacks__print_log=None,
        )  # fmt: skip
        net.fit(inputs, targets)

    return fit


def keras() -> Fit:
    """Keras 3 on torch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # type: ignore[import-not-found]

    inputs, targets = (tensor.numpy() for tensor in TINY.data())

    def fit(epochs: int) -> None:
        layers = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((20,)), *layers])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss)
        model.fit(inputs, targets, batch_size=TINY.batch, epochs=epochs, verbose=0)

    return fit


def fastai() -> Fit:
    """fastai's Learner."""
    from fastai.basics import DataLoader as FastLoader  # type: ignore[import-not-found]
    from fastai.basics import DataLoaders, Learner
    from fastai.optimizer import SGD  # type: ignore[import-not-found]

    data = dataset()

    def fit(epochs: int) -> None:
        train = FastLoader(data, bs=TINY.batch, shuffle=True, num_workers=0)
        loaders = DataLoaders(train, FastLoader(data, bs=6400, num_workers=0), device=torch.device("cpu"))
        learner = Learner(loaders, TINY.model(), loss_func=F.cross_entropy, opt_func=SGD, lr=0.1)
        learner.remove_cbs([cb for cb in learner.cbs if type(cb).__name__ in ("Recorder", "ProgressCallback")])
        learner._do_epoch_validate = lambda *_, **__: None
        learner.fit(epochs)

    return fit


def marginal(fit: Fit) -> float:
    """Take the longer training's CPU time less the shorter one's."""
    short = cpu_seconds(lambda: fit(SHORT))
    return cpu_seconds(lambda: fit(LONG)) - short


def main() -> int:
    """Measure one peer and print the ratios as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("lightning", "transformers", "skorch", "keras", "fastai"))
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fits: dict[str, Fit] = {
        "raw": lambda epochs: raw_loop(TINY, epochs)(),
        "locution": lambda epochs: locution_loop(TINY, epochs=epochs)(),
        chosen.peer: globals()[chosen.peer](),
    }
    for fit in fits.values():
        fit(1)
    times: dict[str, list[float]] = {name: [] for name in fits}
    for _ in range(3 if chosen.quick else 9):
        for name, fit in fits.items():
            times[name].append(marginal(fit))
    steps = TINY.steps * (LONG - SHORT)
    beside = compare(times, chosen.peer, "raw", steps)
    ours = compare(times, "locution", chosen.peer, steps, goal=1.0)
    beside.name, ours.name = f"{chosen.peer} / raw loop", f"locution / {chosen.peer}"
    print(json.dumps([asdict(beside), asdict(ours)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
