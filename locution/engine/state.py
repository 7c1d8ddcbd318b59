"""What of an engine a checkpoint holds: the weights that train, and where training stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from locution.errors import LocutionError, UserError, require

if TYPE_CHECKING:
    from locution.engine.loop import Engine


EMPTY = "the training data are empty; allowed: at least one example."


def reached(count: int, end: int | None) -> bool:
    """Say whether a count has come to its end, or past it: a run may be asked for less than it has done already.

    >>> reached(3, None), reached(3, 5), reached(7, 5)
    (False, False, True)
    """
    return end is not None and count >= end


def limit(steps_per_epoch: int | None, epochs: int | None, steps: int | None) -> int | None:
    """Count the steps that training will take, if anybody can know.

    >>> limit(10, 3, None), limit(10, None, 7), limit(None, 3, None)
    (30, 7, None)
    """
    if steps_per_epoch == 0:
        raise UserError(EMPTY)
    if (epochs is None) == (steps is None):
        raise UserError(f"epochs is {epochs} and steps is {steps}; allowed: one of the two.")
    if steps is not None:
        require(steps >= 1, "steps", steps, "a whole number from 1")
        return steps
    assert epochs is not None
    require(epochs >= 1, "epochs", epochs, "a whole number from 1")
    return None if steps_per_epoch is None else epochs * steps_per_epoch


def frozen_prefixes(module: nn.Module, prefix: str = "") -> list[str]:
    """Name the largest parts of a model that hold parameters, all of them frozen."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return [prefix]
    found = []
    for name, child in module.named_children():
        found += frozen_prefixes(child, f"{prefix}{name}.")
    return found


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Collect the weights that train and the buffers beside them; frozen parts are known from the recipe.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> _ = net[0].requires_grad_(False)
    >>> sorted(trained_state(net))
    ['1.bias', '1.weight']
    """
    prefixes = tuple(frozen_prefixes(model))
    return {
        name: tensor for name, tensor in model.state_dict().items() if not prefixes or not name.startswith(prefixes)
    }


def load_trained_state(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put back what `trained_state` collected; refuse weights that are not this model's."""
    expected = trained_state(model)
    if set(expected) != set(weights):
        odd = sorted(set(expected) ^ set(weights))
        raise LocutionError(f"the checkpoint is of another model: {', '.join(odd[:4])} on one side only.")
    for name, tensor in expected.items():
        if tensor.shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)}; this model has {tuple(tensor.shape)}"
            raise LocutionError(f"the checkpoint is of another model: {name} is {shapes}.")
    model.load_state_dict(weights, strict=False)


def save(engine: Engine) -> dict[str, Any]:
    """Collect the state of an engine as tensors, numbers, text, and dicts and lists of them."""
    return {
        "model": trained_state(engine.model),
        "optimizers": [turn.optimizer.state_dict() for turn in engine.turns],
        "methods": {method.name: method.state_dict() for method in engine.methods},
        "observers": {observer.name: observer.state_dict() for observer in engine.observers},
        "watch": engine.watch.state_dict(),
        "position": {
            "step": engine.number,
            "epoch": engine.epoch,
            "step_in_epoch": engine.step_in_epoch,
            "origin": list(engine.origin),
            "accumulate": engine.accumulate,
            "closed": engine.closed,
        },
        "seed": engine.seed,
    }


def load(engine: Engine, saved: dict[str, Any]) -> None:
    """Put an engine where `save` found it."""
    if saved["seed"] != engine.seed:
        raise UserError(f"seed is {engine.seed}; allowed: {saved['seed']}, the seed this run was begun with.")
    load_trained_state(engine.model, saved["model"])
    for turn, kept in zip(engine.turns, saved["optimizers"], strict=True):
        turn.optimizer.load_state_dict(kept)
    for method in engine.methods:
        method.load_state_dict(saved["methods"].get(method.name, {}))
    for observer in engine.observers:
        observer.load_state_dict(saved["observers"].get(observer.name, {}))
    engine.watch.load_state_dict(saved["watch"])
    where = saved["position"]
    engine.number, engine.epoch, engine.step_in_epoch = where["step"], where["epoch"], where["step_in_epoch"]
    engine.accumulate = max(engine.accumulate, where.get("accumulate", 1))  # cut finer, for memory had run out
    engine.closed = where.get("closed", 0)
    first_step, first_epoch = where["origin"]
    engine.origin = (first_step, first_epoch)
    engine.loaded = None
