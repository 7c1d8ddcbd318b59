"""The working vocabulary of machine learning: every term is a part that runs, and every part composes.

>>> import locution
>>> locution.__version__
'0.1.0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from locution.data.mixup import mixup
    from locution.engine import Batch, Engine, Method, Observer, Step, Stop, Turn
    from locution.losses.label_smoothing import smooth
    from locution.optimizers.lookahead import Lookahead
    from locution.optimizers.sam import SAM
    from locution.runs import Run, resume, train

# found when first asked for, so that `import locution` and `locution --help` do not wait for torch
WHERE = {
    "Batch": "locution.engine",
    "Engine": "locution.engine",
    "Lookahead": "locution.optimizers.lookahead",
    "Method": "locution.engine",
    "Observer": "locution.engine",
    "Run": "locution.runs",
    "SAM": "locution.optimizers.sam",
    "Step": "locution.engine",
    "Stop": "locution.engine",
    "Turn": "locution.engine",
    "mixup": "locution.data.mixup",
    "resume": "locution.runs",
    "smooth": "locution.losses.label_smoothing",
    "train": "locution.runs",
}

__all__ = [
    "SAM",
    "Batch",
    "Engine",
    "Lookahead",
    "Method",
    "Observer",
    "Run",
    "Step",
    "Stop",
    "Turn",
    "mixup",
    "resume",
    "smooth",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a name of the library when it is first asked for."""
    if name not in WHERE:
        raise AttributeError(f"module 'locution' has no attribute '{name}'; it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(WHERE[name]), name)


def __dir__() -> list[str]:
    """List the names of the library."""
    return [*__all__, "__version__"]
