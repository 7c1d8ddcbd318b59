"""The contract of a method: all that the vocabulary names are held to it, alone, in pairs, and together."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from locution.engine import Engine, Observer, Record, Stop, TensorBatches
from locution.engine.batch import Batch
from locution.engine.method import Method, ordered, rebuilt, seams
from locution.errors import UserError
from locution.typed import build
from locution.vocabulary.lookup import names, part

sys.path.insert(0, str(Path(__file__).parent))

from methods_alone import (
    METHODS,
    OF_SOUND,
    PROBLEMS,
    STEPS,
    common,
    data,
    does_something,
    engine,
    made,
    network,
    together,
    weights,
)

NAMES = names("method")  # those of sound are held to the same on a problem of sound, in tests/speech
REFUSED = {other: set(part("method", other).excludes) for other in METHODS}
PAIRS = [
    (one, other)
    for one, other in itertools.combinations(METHODS, 2)
    if other not in REFUSED[one] and one not in REFUSED[other]
]


ALL = ["all"]
CASES = [[], *([name] for name in METHODS), ALL]
WHOLE = [name for name in METHODS if part("method", name).whole_batch]


def listed(case: list[str]) -> list[str]:
    """Say which methods a case is of."""
    return list(together()) if case == ALL else case


def problem_of(case: list[str]) -> str:
    """The problem on which the methods of a case are tried."""
    return common(tuple(listed(case)))


def trained(case: list[str], steps: int = STEPS, size: int = 16, **settings: Any) -> Engine:
    """Train with the methods of a case on their problem."""
    problem = problem_of(case)
    return engine(listed(case), problem, **settings).fit(data(size, problem), steps=steps)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    unequal = [name for name in one if not torch.equal(one[name], other[name])]
    assert not unequal, unequal


def close(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


class StopAt(Observer):
    """Stops after a step, and keeps what a checkpoint would hold."""

    name = "stop_at"

    def __init__(self, step: int) -> None:
        self.at, self.kept = step, {}
        self.engine: Engine | None = None

    def start(self, engine: Engine) -> None:
        self.engine = engine

    def watch(self, record: Record) -> Stop | None:
        if record.kind == "step" and record.step == self.at and self.engine is not None:
            self.kept = copy.deepcopy(self.engine.state_dict())
            return Stop("killed")
        return None


# What a method is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_is_a_dataclass_of_checked_settings_with_defaults(name: str) -> None:
    kind = part("method", name)
    assert issubclass(kind, Method)
    assert dataclasses.is_dataclass(kind)
    assert kind.name == name
    method = made(name)
    assert seams(method), "a method that fills no seam changes nothing"
    settings = {field.name: getattr(method, field.name) for field in dataclasses.fields(kind)}
    assert build(kind, settings, name) == method
    assert all(word in kind.__doc__ for word in settings), "every setting is explained"
    assert all(isinstance(other, str) for other in (*kind.after, *kind.excludes, *kind.excludes.values()))


def out_of_range(name: str, setting: str) -> Any:
    """A value that no setting of this type can mean, or None for words and switches, which have no range."""
    hint = typing.get_type_hints(part("method", name))[setting]
    kinds = set(typing.get_args(hint)) or {hint}
    if typing.get_origin(hint) is typing.Literal:
        return "no such thing"
    if typing.get_origin(hint) is tuple:
        return (-1000,) if int in kinds else None
    if kinds & {int, float}:
        return -1000 if int in kinds else -1000.0
    return None


SETTINGS = [
    (name, field.name)
    for name in NAMES
    for field in dataclasses.fields(part("method", name))
    if out_of_range(name, field.name) is not None
]


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_refuses_a_setting_out_of_range_in_one_line(name: str, setting: str) -> None:
    kind, came = part("method", name), out_of_range(name, setting)
    with pytest.raises(UserError) as refused:
        kind(**{setting: came})
    line = str(refused.value)
    assert "\n" not in line
    assert name in line
    assert str(came) in line
    assert "llowed" in line


def test_refuses_to_be_listed_twice() -> None:
    with pytest.raises(UserError, match="listed twice"):
        ordered([made(METHODS[0]), made(METHODS[0])])


@pytest.mark.parametrize("name", OF_SOUND)
def test_what_changes_sound_refuses_other_data_in_one_line(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' came upon inputs that are no sound; allowed: ") as refused:
        engine([name], "vectors").fit(data(), steps=1)
    assert "\n" not in str(refused.value)


def test_wrappers_nest_in_one_order_however_they_are_listed() -> None:
    for order in itertools.permutations(("sam", "lookahead", "one_cycle")):
        engine_ = engine(list(order), "vectors").fit(data(), steps=1)
        outer = engine_.turns[0].optimizer
        nest = [
            type(outer).__name__,
            type(outer.optimizer).__name__,
            type(outer.optimizer.optimizer).__name__,
        ]
        assert nest == ["OneCycle", "Lookahead", "SAM"]


# What a method keeps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_a_run_that_was_stopped_goes_on_to_the_bit(case: list[str]) -> None:
    """Dropout, batch norm, shuffling, accumulation; stopped in mid-epoch, and amid Lookahead's cycle."""
    parts = 1 if set(case) & set(WHOLE) else 2
    whole = trained(case, noisy=True, accumulate=parts, seed=3)
    stop = StopAt(7)
    trained(case, noisy=True, accumulate=parts, seed=3, observers=[stop])
    again = engine(listed(case), problem_of(case), noisy=True, accumulate=parts, seed=3)
    again.load_state_dict(without(stop.kept, "stop_at"))
    again.fit(data(problem=problem_of(case)), steps=STEPS)
    same(weights(whole), weights(again))


def without(state: dict[str, Any], observer: str) -> dict[str, Any]:
    """A checkpoint without what one observer kept."""
    return {
        **state,
        "observers": {name: kept for name, kept in state["observers"].items() if name != observer},
    }


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_state_is_made_of_what_a_checkpoint_can_hold(case: list[str]) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, (str, int)) for key in value)
            for item in value.values():
                check(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                check(item)
        else:
            assert value is None or isinstance(value, (Tensor, str, int, float, bool)), type(value)

    check(trained(case, steps=6).state_dict())


# What a method promises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_trains_and_does_something_where_it_is_not_refused(name: str) -> None:
    problems = [problem for problem in PROBLEMS if does_something(name, problem)]
    assert problems, "a method at its defaults does something, or says in one line why it does not"
    done = trained([name])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(done).values())


def test_most_methods_act_on_any_problem() -> None:
    """What only some data can show is the exception: a change that makes methods refuse more would hide their pairs."""
    assert sum(does_something(name, "vectors") for name in METHODS) >= len(METHODS) - 13
    assert len(together()) >= 12
    assert sum(common(pair) != "" for pair in PAIRS) >= 0.6 * len(PAIRS)


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_every_pair_runs_in_whatever_order_it_is_listed(pair: tuple[str, str]) -> None:
    problem = common(pair)
    if not problem:  # such as what turns pictures and what swaps words
        assert not any(all(does_something(name, one) for name in pair) for one in PROBLEMS)
        return
    one = engine(list(pair), problem, noisy=True).fit(data(problem=problem), steps=6)
    other = engine(list(reversed(pair)), problem, noisy=True).fit(data(problem=problem), steps=6)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(one).values())
    same(weights(one), weights(other))


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if not set(pair) & set(WHOLE)], ids="+".join)
def test_every_pair_is_exact_in_micro_batches(pair: tuple[str, str]) -> None:
    problem = common(pair)
    if problem in ("", "normed"):
        return
    whole = engine(list(pair), problem).fit(data(problem=problem), steps=6)
    parts = engine(list(pair), problem, accumulate=3).fit(data(problem=problem), steps=6)
    close(weights(whole, buffers=False), weights(parts, buffers=False))


def test_all_together_do_not_depend_on_the_listed_order() -> None:
    every = list(together())
    one = engine(every, noisy=True).fit(data(), steps=6)
    other = engine(every[::-1], noisy=True).fit(data(), steps=6)
    same(weights(one), weights(other))


@pytest.mark.parametrize("size", [16, 11], ids=["even", "ragged"])
@pytest.mark.parametrize("case", [one for one in CASES if not set(one) & set(WHOLE)], ids="+".join)
def test_four_micro_batches_equal_one_batch(case: list[str], size: int) -> None:
    """11 examples are cut into 3, 3, 3 and 2; the last batch of the epoch, 7, into 2, 2, 2 and 1."""
    if problem_of(case) == "normed":
        pytest.skip("what normalises by the statistics of a micro-batch cannot be that of the whole batch")
    whole = trained(case, size=size)
    parts = trained(case, size=size, accumulate=4)
    close(weights(whole, buffers=False), weights(parts, buffers=False))


@pytest.mark.parametrize("name", WHOLE)
def test_what_compares_whole_batches_refuses_to_see_them_cut(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' compares whole batches") as refused:
        trained([name], accumulate=2)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_runs_in_bf16(case: list[str]) -> None:
    done = trained(case, precision="bf16")
    full = trained(case)
    expected = weights(full, buffers=False)
    for name, tensor in weights(done, buffers=False).items():
        assert tensor.dtype == expected[name].dtype, "the weights stay fp32"
        torch.testing.assert_close(tensor, expected[name], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_nothing_is_drawn_from_torchs_own_generator(case: list[str]) -> None:
    runs = []
    for seed in (1, 2):
        built = engine(listed(case), problem_of(case))
        torch.manual_seed(seed)
        runs.append(weights(built.fit(data(problem=problem_of(case)), steps=6)))
    same(*runs)


@pytest.mark.parametrize("name", METHODS)
def test_the_model_in_training_is_not_touched_by_handing_one_out(name: str) -> None:
    problem = common((name,))
    done = engine([name], problem, noisy=True).fit(data(problem=problem), steps=6)
    before = {key: tensor.clone() for key, tensor in done.model.state_dict().items()}
    leaves = done.trained()
    batch = next(iter(data(5, problem).epoch(0, 0)))
    with torch.no_grad():
        leaves(batch.inputs)
    same(before, dict(done.model.state_dict()))
    plain = engine([], problem, noisy=True).model
    assert list(leaves.state_dict()) == list(plain.state_dict()), "what leaves is a plain model"


@pytest.mark.parametrize("name", METHODS)
def test_one_method_serves_two_engines_one_after_another(name: str) -> None:
    method, problem = made(name), common((name,))
    results = []
    for _ in range(2):
        built = engine([], problem)
        built.methods = [method]
        results.append(weights(built.fit(data(problem=problem), steps=8)))
    same(*results)


def test_a_steps_randomness_is_drawn_once_for_all_its_passes() -> None:
    """SAM's two passes and all micro-batches see the same blends."""
    seen: list[Tensor] = []
    built = engine(["sam", "mixup"])
    turn = built.turns[0]
    objective = turn.objective

    def spy(model: Any, batch: Batch) -> Any:
        seen.append(batch.inputs)
        return objective(model, batch)

    turn.objective = spy
    built.fit(data(), steps=3)
    assert len(seen) == 6
    assert all(torch.equal(one, other) for one, other in zip(seen[::2], seen[1::2], strict=True))


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """torchrun with gloo on this machine: the update is that of one process, with each method and all."""
    script = Path(__file__).with_name("methods_alone.py")
    cases = [case for case in CASES if case and not set(case) & set(WHOLE) and problem_of(case) != "normed"]
    groups = {",".join(listed(case)): problem_of(case) for case in cases}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, str(tmp_path), *(f"{problem}:{group}" for group, problem in groups.items())],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for group, problem in groups.items():
        alone = engine(group.split(","), problem).fit(data(problem=problem), steps=STEPS)
        close(weights(alone, buffers=False), load_file(tmp_path / f"{group}.safetensors"))


@pytest.mark.parametrize("name", METHODS)
def test_tasks_can_build_a_model_as_a_method_left_it_without_training(name: str) -> None:
    """A run folder is opened by surgery and what undoes it, with no number of steps known and no other model opened."""
    problem = common((name,))
    before = engine([], problem).model
    kind = part("method", name)
    method = kind(teacher="digits") if name == "distillation" else kind()
    model = rebuilt(engine([], problem).model, [method], 0)
    assert list(model.state_dict()) == list(before.state_dict())


def test_the_problem_itself_is_learnt() -> None:
    """The contract means something only on a problem that training moves."""
    before = network()
    source = data()
    assert isinstance(source, TensorBatches)
    after = engine([], "vectors").fit(source, steps=60).model
    right = [(model(source.inputs).argmax(1) == source.targets).float().mean().item() for model in (before, after)]
    assert right[0] < 0.6 < 0.85 < right[1]
