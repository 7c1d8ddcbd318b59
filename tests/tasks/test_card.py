"""The embedded halves are what their cards say, and their cards say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from locution.errors import UserError
from locution.speech.frozen import EMBEDDED, load_encoder, load_language_model, weights_digest
from locution.tasks import card


def facts(half: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EMBEDDED / half / card.FACTS).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("half", card.HALVES)
def test_a_card_is_made_of_what_was_measured(half: str) -> None:
    assert (EMBEDDED / half / card.CARD).read_text(encoding="utf-8") == card.render(facts(half))
    assert "human speech" in card.render(facts("encoder"))


@pytest.mark.parametrize("half", card.HALVES)
def test_what_was_measured_are_the_weights_that_ship(half: str) -> None:
    model = load_encoder() if half == "encoder" else load_language_model()[0]
    path = EMBEDDED / half / "model.safetensors"
    assert facts(half)["weights"] == {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "bytes": path.stat().st_size,
        "digest": weights_digest(model),
    }
    with safe_open(path, "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*") if path.is_file()) <= 20e6


def test_a_half_is_judged_by_its_recipes_own_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    few = card.resolve("speech/decoder", ["data.test=1"])
    monkeypatch.setattr(card, "resolve", lambda recipe: few)
    found = card.judge("decoder", EMBEDDED / "decoder")
    assert [one["name"] for one in found["metrics"]] == [one["name"] for one in facts("decoder")["metrics"]]
    assert "made-up words" in card.render(found)


def test_an_unknown_half_is_refused() -> None:
    with pytest.raises(UserError, match="Did you mean 'encoder'"):
        card.main(["encodr"])


def test_cards_are_written_beside_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "decoder").mkdir()
    monkeypatch.setattr(card, "EMBEDDED", tmp_path)
    monkeypatch.setattr(card, "judge", lambda half, folder: facts("decoder"))
    card.main(["decoder"])
    assert (tmp_path / "decoder" / "README.md").read_text(encoding="utf-8") == card.render(facts("decoder"))
