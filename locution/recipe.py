"""A run, typed and built: data, model, objective, optimizer, methods, budget and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from locution import config
from locution.engine.method import Method, ordered
from locution.errors import UserError, require
from locution.typed import build
from locution.vocabulary.lookup import names, part
from locution.vocabulary.suited import check_suited


@dataclass
class Recipe:
    """A recipe states a run completely: the same recipe and seed give the same weights.

    The fields that hold a mapping name a part and its settings, such as `{name: adamw, lr: 0.002}`. `epochs` or
    `steps` is the budget; a learner without gradients stands under `estimator` and has none. `accumulate` cuts each
    batch into micro-batches, `precision` is fp32 or bf16, `start` names a run, or a recipe with words behind it, from
    whose weights training begins; `fresh` is a pattern on the names of the layers that begin anew all the same.
    `figures` asks for more to be measured at the end. `checkpoint_every` counts seconds, `threads` is how many
    processor threads torch may use.

    >>> Recipe(task="regression", data={"name": "line"}, optimizer={"name": "sgd"}, steps=10).seed
    0
    """

    task: str
    data: dict[str, Any]
    optimizer: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    estimator: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Any] = field(default_factory=dict)
    start: str | None = None
    fresh: str = ""
    figures: tuple[str, ...] = ()
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    accumulate: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "auto"
    compile: bool = False
    threads: int | None = None
    log_every: int = 50
    measure_every: int | None = None
    checkpoint_every: float = 60.0
    trackers: tuple[str, ...] = ()
    run_dir: str | None = None
    describe: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        self.check_budget()
        for setting in ("epochs", "steps", "accumulate", "log_every", "measure_every", "threads"):
            value = getattr(self, setting)
            require(value is None or value >= 1, setting, value, "a whole number from 1")
        require(self.checkpoint_every >= 0, "checkpoint_every", self.checkpoint_every, "seconds, from 0")
        require(abs(self.seed) < 2**62, "seed", self.seed, "a whole number below 2**62")

    def check_budget(self) -> None:
        """An optimizer steps for epochs or for steps; an estimator learns in its own way, without either."""
        if not self.estimator:
            require(bool(self.optimizer), "optimizer", self.optimizer, "a part and its settings, as {name: adamw}")
            if (self.epochs is None) == (self.steps is None):
                raise UserError(f"epochs is {self.epochs} and steps is {self.steps}; allowed: one of the two.")
            return
        plain = {"accumulate": 1, "precision": "fp32", "compile": False}
        for name in ("model", "objective", "optimizer", "methods", "epochs", "steps", "start", *plain):
            if getattr(self, name) and getattr(self, name) != plain.get(name):
                what = f"{name} came beside estimator '{self.estimator.get('name')}', which learns without gradients"
                raise UserError(f"{what}; allowed: its own settings, as estimator.NAME=value.")

    def part(self, kind: str, **extra: Any) -> Any:
        """Build the part that this recipe names for its data, model, objective or optimizer."""
        return build_part(kind, {**getattr(self, kind), **extra}, kind)

    def built_methods(self) -> list[Method]:
        """Build the methods, in the order in which they act."""
        return ordered(
            build_part("method", {**(settings or {}), "name": name}, name) for name, settings in self.methods.items()
        )

    def digest(self) -> str:
        """Name what a recipe trains, whatever its seed: recipes of one digest and one seed give the same run."""
        settings = {key: value for key, value in self.settings().items() if key not in LOCAL}
        return hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=5).hexdigest()

    def settings(self) -> dict[str, Any]:
        """Say everything that differs from nothing at all, as plain settings that make this recipe again."""
        return {key: value for key, value in vars(self).items() if value not in (None, {}, (), "")}


LOCAL = ("run_dir", "seed", "trackers", "name", "describe")  # what does not change what a recipe trains


def build_part(kind: str, settings: Mapping[str, Any], where: str) -> Any:
    """Find a part by its name and make it from its settings.

    >>> build_part("method", {"name": "samm"}, "samm")
    Traceback (most recent call last):
    locution.errors.UserError: 'samm' is no method. Did you mean 'sam'? ...
    """
    rest = dict(settings)
    name = rest.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"{where}.name is {name!r}; allowed: the name of a part of the kind '{kind}'.")
    made = part(kind, name)
    if kind == "data" and "path" in rest and "path" not in {one.name for one in fields(made)}:
        other = f", or data.name={rest['path']}" if rest["path"] in names("data") else ""
        own = "a recipe for data of one's own, such as table, images, texts (locution recipes)"
        raise UserError(f"data={rest['path']} came to data '{name}', which read no files; allowed: {own}{other}.")
    return build(made, rest, where)


def resolve(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Compose a recipe with its overrides, check every key and value, and build it.

    >>> resolve("line", ["optimizer.lr=0.1"]).optimizer["lr"]
    0.1
    """
    if not recipe:
        raise UserError(f"no recipe was named; allowed: a YAML file, or {', '.join(config.recipes())}.")
    settings = config.compose(recipe, overrides)
    typed = {word.split("=")[0] for word in overrides}
    for said, other in (("epochs", "steps"), ("steps", "epochs")):
        if said in typed and other not in typed:
            settings[other] = None
    settings.setdefault("name", recipe)
    return from_settings(settings)


def from_settings(settings: Mapping[str, Any]) -> Recipe:
    """Check plain settings against the schema, parts and their fields included."""
    filled = {key: {} if key == "methods" and value is None else value for key, value in settings.items()}
    recipe = build(Recipe, filled, "")
    part("task", recipe.task)
    for kind in ("data", "model", "objective", "optimizer", "estimator"):
        if getattr(recipe, kind):
            recipe.part(kind)
    check_suited(recipe.task, {"data": recipe.data, "model": recipe.model})
    recipe.built_methods()
    return recipe
