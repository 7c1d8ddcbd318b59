"""Drawing from a run: the command, its files, and what it says where a run cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from locution.cli import run
from locution.errors import UserError
from locution.recipe import resolve
from locution.reporting.results import Gallery
from locution.runs import train
from locution.tasks.abilities import Generation, Samples, abilities, able
from locution.tasks.drawing import draw, settings_of, write_samples
from locution.tasks.supervised import Supervised


@dataclass(frozen=True)
class Wishes:
    """Settings of a task that is made up."""

    label: int | None = None
    guidance: float = 0.0


class Painter(Supervised):
    """A task that draws the same number again and again."""

    sampling = Wishes

    def sample(self, recipe: Any, folder: Path, count: int, seed: int, wishes: Wishes) -> Samples:
        values = torch.full((count, 1, 2, 2), wishes.guidance + seed)
        return Samples(values, [Gallery("drawn", values[None, :, 0].numpy())], lines=["drawn with care"])


def test_settings_are_typed_and_checked(tmp_path: Path) -> None:
    recipe = resolve("line")
    drawn = draw(Painter(), recipe, tmp_path, 3, 5, ["guidance=2"])
    assert drawn.values.shape == (3, 1, 2, 2)
    assert drawn.values.max() == 7
    with pytest.raises(UserError, match=r"'sampling.guidence' is no key. Did you mean 'sampling.guidance'"):
        draw(Painter(), recipe, tmp_path, 3, 0, ["guidence=2"])
    with pytest.raises(UserError, match="count is 0; allowed: a whole number from 1"):
        draw(Painter(), recipe, tmp_path, 0, 0, [])
    for endless in (".inf", "-.inf", "1e999"):
        with pytest.raises(UserError, match=r"guidance is -?inf; allowed: a finite number"):
            draw(Painter(), recipe, tmp_path, 3, 0, [f"guidance={endless}"])
    with pytest.raises(UserError, match="'7' is no setting; allowed: setting=value"):
        settings_of(["7"])


def test_numbers_and_pictures_are_written_and_said(tmp_path: Path) -> None:
    drawn = draw(Painter(), resolve("line"), tmp_path, 3, 5, [])
    lines = list(write_samples(drawn, "line", tmp_path / "new" / "mine"))
    assert lines[0] == "drawn with care"
    assert [Path(line.removeprefix("written: ")).name for line in lines[1:]] == ["mine.npy", "mine.png"]
    assert np.array_equal(np.load(tmp_path / "new" / "mine.npy"), drawn.values.numpy())
    assert (tmp_path / "new" / "mine.png").read_bytes()[:4] == b"\x89PNG"


class Diverged(Painter):
    """A task whose model has diverged."""

    def sample(self, recipe: Any, folder: Path, count: int, seed: int, wishes: Wishes) -> Samples:
        return Samples(torch.tensor([0.0, float("inf")]))


def test_what_is_not_finite_is_no_sample(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="numbers that are not finite; allowed: settings nearer to the usual ones"):
        draw(Diverged(), resolve("line"), tmp_path, 2, 0, [])


def test_a_run_that_cannot_says_what_it_can(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("line", "steps=2", f"run_dir={tmp_path}/line", quiet=True)
    capsys.readouterr()
    for words in (["sample", f"{tmp_path}/line"], ["generate", f"{tmp_path}/line", "so"]):
        assert run(words) == 2
        said = capsys.readouterr().err
        assert f"line cannot {words[0]}; what it can: evaluate, predict" in said
        assert said.count("\n") == 1


def test_abilities_are_what_a_task_has() -> None:
    assert "sample" in abilities(Painter())
    assert able(Painter(), "sample", "here") is not None
    assert "generate" not in abilities(Painter())


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"length": 0}, "length is 0"), ({"top_p": 0.0}, "top_p is 0.0"), ({"top_k": -1}, "top_k is -1")],
)
def test_ways_of_generating_are_checked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Generation(**settings)
