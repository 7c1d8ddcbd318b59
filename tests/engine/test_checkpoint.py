"""Checkpoints: every value comes back to the bit, damage is noticed, the last whole one is found."""

from __future__ import annotations

import hashlib
import json
import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from locution.engine import Engine, Turn
from locution.engine.checkpoint import Checkpoints, checkpoints, read_checkpoint, write_checkpoint
from locution.engine.checkpoint_files import MANIFEST, STRUCTURE, TENSORS, load
from locution.engine.distributed import Group
from locution.engine.observer import Record
from locution.engine.pack import DTYPES, pack, safetensors_chunks, unpack
from locution.errors import LocutionError, UserError


def same(left: object, right: object) -> bool:
    """Compare two states to the bit, types of keys and sequences included."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        bits = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (left, right)]
        return torch.equal(*bits)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right)


def all_types() -> dict[str, torch.Tensor]:
    """One tensor of random bits for every type that a checkpoint takes: NaNs with odd payloads among them."""
    source = torch.Generator().manual_seed(0)
    raw = torch.randint(0, 256, (64,), dtype=torch.uint8, generator=source)
    made = {f"{dtype}": raw.clone().view(dtype) for dtype in DTYPES if dtype != torch.bool}
    return {**made, "bool": raw > 127}


STATE = {
    "types": all_types(),
    "shapes": [
        torch.tensor(3.5),
        torch.empty(0, 4),
        torch.arange(6.0).reshape(2, 3).t(),
        torch.ones(3, 4)[:, ::2],
    ],
    "optimizers": [{"state": {0: {"step": torch.tensor(7.0)}, 1: {}}, "param_groups": [{"betas": (0.9, 0.999)}]}],
    "keys": {"0": 1, 0: 2, True: 3, None: 4, (1, "a"): 5, 0.5: 6, "$tensor": 7},
    "marks": {"$tensor": "no tensor"},
    "numbers": [
        0,
        -1,
        2**80,
        0.1,
        -0.0,
        1e-320,
        float("inf"),
        float("-inf"),
        float("nan"),
        True,
        False,
        None,
    ],
    "words": ["", "Müller\n\u2028", "\ud800", "$float"],
    "empty": [{}, [], ()],
    "a/b": torch.tensor([1]),
    "a": {"b": torch.tensor([2])},
    "__metadata__": torch.tensor([3]),
}


def test_every_value_comes_back_to_the_bit(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, STATE)
    assert same(read_checkpoint(tmp_path), STATE)


def test_shared_storage_comes_back_as_tensors_of_their_own(tmp_path: Path) -> None:
    base = torch.arange(4.0)
    write_checkpoint(tmp_path, {"whole": base, "again": base, "part": base[1:3], "weight": nn.Parameter(base)})
    back = read_checkpoint(tmp_path)
    assert same(back, {"whole": base, "again": base, "part": base[1:3], "weight": base})
    back["whole"].zero_()
    assert torch.equal(back["again"], base)


def test_our_safetensors_are_the_librarys(tmp_path: Path) -> None:
    tensors = {**all_types(), "scalar": torch.tensor(1.5), "none": torch.empty(2, 0)}
    (tmp_path / "ours").write_bytes(b"".join(safetensors_chunks(tensors)))
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / "theirs")
    ours, theirs = load_file(tmp_path / "ours"), load_file(tmp_path / "theirs")
    assert same(dict(sorted(ours.items())), dict(sorted(theirs.items())))
    assert (tmp_path / "ours").read_bytes()[8:9] == b"{"


def test_large_tensors_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locution.engine.pack.CHUNK", 1000)
    tensors = {"x": torch.arange(2000.0)}
    pieces = list(safetensors_chunks(tensors))
    assert len(pieces) == 1 + 8
    (tmp_path / "file").write_bytes(b"".join(pieces))
    assert torch.equal(load_file(tmp_path / "file")["x"], tensors["x"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "set"),
        (torch.float32, "dtype"),
        (torch.ones(2, 2).to_sparse(), "sparse"),
        (torch.empty(2, device="meta"), "meta"),
    ],
)
def test_what_fits_no_file_is_refused_with_its_place(tmp_path: Path, value: object, words: str) -> None:
    with pytest.raises(LocutionError, match=rf"^methods/x is a .*{words}.* fits no checkpoint; allowed") as error:
        write_checkpoint(tmp_path / "c", {"methods": {"x": value}})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "c").exists()


def test_a_checkpoint_is_safetensors_json_and_a_manifest_of_hashes(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, STATE, label="step-7")
    assert path.name == "000001-step-7"
    assert sorted(file.name for file in path.iterdir()) == [MANIFEST, STRUCTURE, TENSORS]
    listed = json.loads((path / MANIFEST).read_text())["files"]
    assert listed == {n: hashlib.sha256((path / n).read_bytes()).hexdigest() for n in (TENSORS, STRUCTURE)}
    assert json.loads((path / STRUCTURE).read_text())["empty"] == [{}, [], {"$tuple": []}]


def test_the_newest_two_stay_and_nothing_else(tmp_path: Path) -> None:
    for number in range(5):
        write_checkpoint(tmp_path, {"number": number})
    assert [path.name for path in checkpoints(tmp_path)] == ["000005", "000004"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000004", "000005"]


def test_a_damaged_one_does_not_push_out_the_last_whole_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        damaged = write_checkpoint(tmp_path, {"number": number})
    (damaged / STRUCTURE).write_text("{}")
    write_checkpoint(tmp_path, {"number": 2})
    assert [path.name for path in checkpoints(tmp_path)] == ["000003", "000001"]
    assert len(caplog.records) == 1
    assert str(damaged) in caplog.text


def test_a_damaged_one_is_named_in_one_line_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        newest = write_checkpoint(tmp_path, {"number": number})
    (newest / TENSORS).write_bytes(b"")
    assert read_checkpoint(tmp_path) == {"number": 0}
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"checkpoint {newest} is damaged ({TENSORS} is not what was written)" in line
    assert "\n" not in line


def test_none_whole_is_an_error_that_lists_them(tmp_path: Path) -> None:
    for path in [write_checkpoint(tmp_path, {"number": number}) for number in range(2)]:
        (path / MANIFEST).unlink()
    listed = r"is whole: 000002 \(manifest\.json: .*\), 000001 \(manifest.*\)\.$"
    with pytest.raises(LocutionError, match=listed):
        read_checkpoint(tmp_path)


def test_none_written_is_no_error(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    assert read_checkpoint(tmp_path / "nowhere") is None


def test_a_format_of_another_version_says_so(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, {})
    (path / MANIFEST).write_text((path / MANIFEST).read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(LocutionError, match="has format 2, this version reads 1"):
        read_checkpoint(tmp_path)


def test_a_reader_does_not_mind_that_a_run_at_work_prunes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from locution.engine import checkpoint_files

    for number in range(2):
        write_checkpoint(tmp_path, {"number": number})
    load = checkpoint_files.load

    def overtaken(path: Path) -> object:
        monkeypatch.setattr(checkpoint_files, "load", load)
        for number in (2, 3):
            write_checkpoint(tmp_path, {"number": number})
        return load(path)

    monkeypatch.setattr(checkpoint_files, "load", overtaken)
    assert read_checkpoint(tmp_path) == {"number": 3}


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    for name in (".writing-000001", ".pruned-000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / TENSORS).write_bytes(b"half")
    write_checkpoint(tmp_path, {"number": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]


def test_pack_leaves_the_state_as_it_is() -> None:
    state = {"w": torch.ones(2, requires_grad=True), 1: [1, (2,)]}
    structure, tensors = pack(state)
    json.dumps(structure, allow_nan=False)
    assert tensors["w"] is state["w"]
    assert unpack(structure, tensors) == state


def engine(observer: Checkpoints, log_every: int = 1, measure_every: int | None = None) -> Engine:
    def objective(model: nn.Module, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
        output = model(batch.inputs)  # type: ignore[attr-defined]
        return output, output.square().mean()

    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    return Engine(
        nn.Linear(2, 1),
        turn,
        observers=[observer],
        log_every=log_every,
        measure_every=measure_every,
        device="cpu",
    )


def steps_written(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in reversed(checkpoints(folder))]


def test_checkpoints_come_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    observer = Checkpoints(tmp_path, every_steps=3, every_seconds=None, keep=99)
    engine(observer).fit([torch.ones(4, 2)], steps=11)
    assert steps_written(tmp_path) == [3, 6, 9, 11]


def test_checkpoints_come_every_so_many_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("locution.engine.checkpoint.time.monotonic", lambda: now)
    observer = Checkpoints(tmp_path, every_seconds=10.0, keep=99)
    made = engine(observer).fit([torch.ones(4, 2)], steps=1)
    observer.start(made)
    for step, now in ((2, 3.0), (3, 9.0), (4, 12.0), (5, 21.0), (6, 22.0)):  # noqa: B007
        made.number = step
        observer.watch(Record("step", step, 0, 0.0, 0.1, 0, 0.0))
    assert steps_written(tmp_path) == [1, 4, 6]


def test_a_checkpoint_waits_for_the_measurement_of_its_step(tmp_path: Path) -> None:
    kinds: list[str] = []

    class Spy(Checkpoints):
        def watch(self, record: Record) -> None:
            before = self.written
            super().watch(record)
            if self.written != before:
                kinds.append(f"{record.kind} {record.step}")

    engine(Spy(tmp_path, every_steps=2), measure_every=4).fit([torch.ones(4, 2)], steps=5)
    assert kinds == ["step 2", "epoch 4"]


def test_at_the_last_step_a_checkpoint_waits_for_the_end(tmp_path: Path) -> None:
    engine(Checkpoints(tmp_path, every_steps=1, every_seconds=None, keep=99)).fit([torch.ones(4, 2)] * 3, epochs=2)
    places = []
    for path in reversed(checkpoints(tmp_path)):
        where = load(path)["position"]
        places.append((where["step"], where["epoch"], where["step_in_epoch"]))
    assert places == [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 1), (5, 1, 2), (6, 2, 0)]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    observer = Checkpoints(tmp_path, every_steps=1)
    made = engine(observer)
    made.group = Group(rank=1, world=1)
    made.fit([torch.ones(4, 2)], steps=3)
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize("setting", [{"keep": 0}, {"every_steps": 0}, {"every_seconds": -1.0}])
def test_settings_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"checkpoints.{next(iter(setting))} is "):
        Checkpoints("nowhere", **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("moved", ["number", "epoch", "step_in_epoch", "closed"])
def test_a_moment_is_written_once_and_any_other_moment_again(moved: str, tmp_path: Path) -> None:
    place = {"number": 4, "epoch": 1, "step_in_epoch": 2, "closed": 0}
    engine: Any = SimpleNamespace(**place, group=SimpleNamespace(first=True), state_dict=lambda: {"step": 1})
    kept = Checkpoints(tmp_path, keep=9)
    kept.write(engine)
    kept.write(engine)
    assert len(checkpoints(tmp_path)) == 1
    setattr(engine, moved, 9)
    kept.write(engine)
    assert len(checkpoints(tmp_path)) == 2
