"""Weights that were kept are read back whole, or one line says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from locution.cli import run
from locution.engine.weights import read_weights
from locution.errors import LocutionError, UserError
from locution.runs import resume, train


def test_tensors_come_back_to_the_bit(tmp_path: Path) -> None:
    kept = {"weight": torch.rand(3, 2), "count": torch.tensor([7])}
    save_file(kept, tmp_path / "model.safetensors")
    read = read_weights(tmp_path / "model.safetensors")
    assert sorted(read) == sorted(kept)
    assert all(torch.equal(read[name], kept[name]) for name in kept)


@pytest.mark.parametrize("left", [0, 5, 30, -1])
def test_a_file_that_is_not_whole_is_said_to_be_damaged(tmp_path: Path, left: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.rand(30)}, path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(LocutionError) as refused:
        read_weights(path)
    assert not isinstance(refused.value, UserError)
    assert str(refused.value).startswith(f"{path} is damaged: ")
    assert "\n" not in str(refused.value)
    path.unlink()
    with pytest.raises(UserError, match=r"holds no model.safetensors; go on with: locution train --resume"):
        read_weights(path)


def test_a_run_whose_weights_are_damaged_or_gone_gets_them_back_from_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train("line", "steps=5", f"run_dir={tmp_path}/line", quiet=True)
    path, said = whole.folder / "model.safetensors", whole.predict(["10"])
    path.write_bytes(b"damaged")
    capsys.readouterr()
    assert run(["predict", str(whole.folder), "10"]) == 1
    error = capsys.readouterr().err
    assert f"{path} is damaged: " in error
    assert "LOCUTION_DEBUG" not in error
    path.unlink()
    assert run(["predict", str(whole.folder), "10"]) == 2
    assert resume(whole.folder, quiet=True).predict(["10"]) == said


def test_a_recipe_that_holds_nothing_is_said_to_be_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train("line", "steps=1", f"run_dir={tmp_path}/line", quiet=True).folder
    (folder / "recipe.yaml").write_text("")
    capsys.readouterr()
    assert run(["predict", str(folder), "10"]) == 1
    assert "recipe.yaml is damaged: it holds no settings." in capsys.readouterr().err
