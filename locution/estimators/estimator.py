"""scikit-learn's conventions for a learner that is a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from locution.errors import unknown


class Estimator:
    """An estimator learns with `fit` and answers with `predict` or `transform`, in scikit-learn's
    conventions.

    A dataclass that takes this in keeps its settings as they came, checks them in `fit`, and gives what it
    learnt names that end in an underscore. So it fits into scikit-learn's pipelines, searches and
    cross-validation.

    >>> @dataclasses.dataclass(eq=False)
    ... class Mean(Estimator):
    ...     shift: float = 0.0
    >>> Mean(shift=1.0).get_params(), Mean().set_params(shift=2.0)
    ({'shift': 1.0}, Mean(shift=2.0))

    Reference: L. Buitinck et al., 2013, "API design for machine learning software", section 2.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # each estimator is a dataclass
        return {field.name: getattr(self, field.name) for field in fields if field.init}

    def state_dict(self) -> dict[str, Any]:
        """Hand out what was learnt, by name: everything but the settings.

        >>> @dataclasses.dataclass(eq=False)
        ... class Mean(Estimator):
        ...     shift: float = 0.0
        >>> learnt = Mean()
        >>> learnt.mean_ = 3.0
        >>> learnt.state_dict()
        {'mean_': 3.0}
        """
        settings = self.get_params()
        return {name: value for name, value in vars(self).items() if name not in settings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave; lists, as JSON has them, become arrays."""
        for name, value in state.items():
            setattr(self, name, np.asarray(value) if isinstance(value, list) else value)

    def set_params(self, **settings: Any) -> Self:
        """Change settings by name; refuse any other name."""
        known = self.get_params()
        for name, value in settings.items():
            if name not in known:
                raise unknown(f"setting of {type(self).__name__}", name, known)
            setattr(self, name, value)
        return self
