"""The engine: one loop, forward, loss, gradient, update, for everything that learns by gradients."""

from locution.engine.batch import Batch
from locution.engine.batches import Batches, LoaderBatches, TensorBatches
from locution.engine.loop import Engine, Turn
from locution.engine.method import Method, Optimizer, Plan, Step
from locution.engine.observer import Observer, Record, Stop
from locution.engine.sequence import TaskSequence

__all__ = [
    "Batch",
    "Batches",
    "Engine",
    "LoaderBatches",
    "Method",
    "Observer",
    "Optimizer",
    "Plan",
    "Record",
    "Step",
    "Stop",
    "TaskSequence",
    "TensorBatches",
    "Turn",
]
