"""Carrying out the runs of a study on other machines, through Ray."""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from locution import config
from locution.engine.durable import make_folder, write_text
from locution.engine.lock import LOCK
from locution.errors import UserError
from locution.recipe import resolve
from locution.studies.carry import ALONE, DONE, Ended, Planned, run_one, terminable

LEFT_OUT = ("checkpoints", LOCK)  # nobody goes on with a run that is done


def train_elsewhere(settings: str) -> tuple[int, str, bytes]:
    """Train a resolved recipe, given as YAML, wherever this is called, and hand back its whole run folder as bytes.

    Returns an exit code, the reason if it is not 0, and the folder.
    """
    with tempfile.TemporaryDirectory(prefix="locution-") as place, contextlib.chdir(place):
        recipe, folder = Path(place) / "run.yaml", Path(place) / "run"
        recipe.write_text(settings, encoding="utf-8")
        code, why = run_one(Planned("", 0, str(recipe), (f"run_dir={folder}",), folder))
        return code, why, pack(folder) if code == DONE else b""


def pack(folder: Path) -> bytes:
    """Pack a run folder into bytes, without its checkpoints."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in LEFT_OUT:
                archive.add(path, path.name)
    return made.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Unpack a run folder, whole or not at all; nothing in it can lead outside of it.

    >>> with tempfile.TemporaryDirectory() as place:
    ...     (Path(place) / "a").mkdir()
    ...     _ = (Path(place) / "a" / "results.json").write_text("{}")
    ...     unpack(pack(Path(place) / "a"), Path(place) / "b")
    ...     (Path(place) / "b" / "results.json").read_text()
    '{}'
    """
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as aside:
        whole = Path(aside) / folder.name
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(whole, filter="data")
        if folder.exists():
            shutil.rmtree(folder)  # a run that was begun here and is done there
        whole.rename(folder)


def on_ray(left: Sequence[Planned]) -> Generator[Ended]:
    """Carry out runs through Ray: each is a task of its own, on whatever machine has room.

    The machines need locution of this version, and one's own data under the same path; results come back as bytes.
    Raises UserError where Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("--on ray came without Ray; allowed: pip install 'locution[ray]', or --workers N.") from error
    own = not ray.is_initialized()
    with terminable():
        waiting: dict[Any, tuple[Planned, str]] = {}
        try:
            if own:
                ray.init(log_to_driver=False, logging_level="error")
            for one in left:
                recipe = resolve(one.recipe, one.words)
                settings = {key: value for key, value in recipe.settings().items() if key != "run_dir"}
                needs = {"num_cpus": recipe.threads or 1, "num_gpus": int(recipe.device == "cuda")}
                task = ray.remote(max_calls=1, **needs)(train_elsewhere)  # a process a run: its memory is its own
                kept = config.to_yaml({**settings, "run_dir": str(one.folder)})
                waiting[task.remote(config.to_yaml(settings))] = (one, kept)
            while waiting:
                for ended in ray.wait(list(waiting), num_returns=1)[0]:
                    one, kept = waiting.pop(ended)
                    yield (one, *received(ray, ended, one, kept))
        finally:
            for task in waiting:
                ray.cancel(task, force=True)
            if own:
                ray.shutdown()


def received(ray: Any, ended: Any, one: Planned, recipe: str) -> tuple[int, str]:
    """Take a run that is back: unpack it into its folder."""
    try:
        code, why, data = ray.get(ended)
    except ray.exceptions.RayError as error:
        return 1, f"its machine or its process was lost: {str(error).strip().splitlines()[0]}"
    if code == DONE:
        unpack(data, one.folder)
        write_text(one.folder / "recipe.yaml", recipe)
        (one.folder / ALONE).touch()
    return code, why
