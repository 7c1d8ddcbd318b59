"""Every projector keeps the promises of its kind: this test finds them itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from locution.errors import UserError
from locution.speech.projectors import build_projector, projector_kinds
from locution.speech.projectors.norm import rms, within

D, H = 24, 32
LENGTHS = (30, 41, 9, 77, 3, 1)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in sorted(projector_kinds())),
    ("mlp", {"stack": 2, "hidden": 16}),
    ("linear", {"stack": 3, "hidden": 16}),
    ("mosa", {"stride": 1, "hidden": 16, "router": 8}),
    ("mosa", {"stride": 2, "hidden": 16, "router": 8, "experts": 3}),
    ("mosa", {"hidden": 16, "gate": "downsampled"}),
    ("shared_moe", {"stack": 2, "experts": 3, "top": 1}),
    ("shared_moe", {"stack": 2, "top": 4, "hidden": 16}),
    ("shared_moe", {"stack": 2, "smear": True}),
    ("qformer", {"window": 4, "queries": 2, "layers": 1, "width": 16, "heads": 4}),
    ("qformer", {"window": 1, "queries": 1}),
    ("qformer", {"window": 4, "queries": 2, "positions": True}),
]
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("mlp", {"stack": 0}, "projector.stack is 0; allowed: a whole number above 0, usually 2 to 5."),
    ("mlp", {"hidden": 0}, "projector.hidden is 0; allowed: a whole number above 0, or none."),
    ("linear", {"stack": 0}, "projector.stack is 0; allowed: a whole number above 0, usually 5."),
    ("linear", {"hidden": -1}, "projector.hidden is -1; allowed: a whole number above 0, usually 2048."),
    ("mosa", {"stride": 3}, "projector.stride is 3; allowed: 1, 2 or 4."),
    ("mosa", {"experts": 0}, "projector.experts is 0; allowed: a whole number above 0, usually 4 or 8."),
    ("mosa", {"hidden": 0}, "projector.hidden is 0; allowed: a whole number above 0, usually 4096."),
    ("mosa", {"router": 0}, "projector.router is 0; allowed: a whole number above 0, usually 512."),
    ("mosa", {"gate": "frame"}, "projector.gate is 'frame'; allowed: frames or downsampled."),
    ("shared_moe", {"stack": 0}, "projector.stack is 0; allowed: a whole number above 0, usually 2 to 5."),
    ("shared_moe", {"hidden": 0}, "projector.hidden is 0; allowed: a whole number above 0, or none."),
    ("shared_moe", {"experts": 0}, "projector.experts is 0; allowed: a whole number above 0, usually 4."),
    ("shared_moe", {"top": 5}, "projector.top is 5; allowed: a whole number from 1 to 4, usually 2."),
    ("shared_moe", {"balance": -1.0}, "projector.balance is -1.0; allowed: a number from 0, usually 0.01."),
    ("shared_moe", {"z": -1.0}, "projector.z is -1.0; allowed: a number from 0, usually 0.001."),
    ("qformer", {"window": 0}, "projector.window is 0; allowed: a whole number above 0, usually 15."),
    ("qformer", {"queries": 0}, "projector.queries is 0; allowed: a whole number above 0, usually 3."),
    ("qformer", {"layers": 0}, "projector.layers is 0; allowed: a whole number above 0, usually 2."),
    ("qformer", {"width": 0}, "projector.width is 0; allowed: a whole number above 0, or none."),
    ("qformer", {"heads": 5}, "projector.heads is 5; allowed: a number that divides 24."),
]
FORMULAS: dict[str, Callable[[int, dict[str, Any]], int]] = {
    "mlp": lambda length, s: max((length - s["stack"]) // s["stack"] + 1, 1),
    "linear": lambda length, s: max((length - s["stack"]) // s["stack"] + 1, 1),
    "shared_moe": lambda length, s: max((length - s["stack"]) // s["stack"] + 1, 1),
    "mosa": lambda length, s: -(-length // s["stride"]),
    "qformer": lambda length, s: -(-length // s["window"]) * s["queries"],
}

every = pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=str)


def make(kind: str, settings: dict[str, Any], gain: float = 0.02) -> Any:
    torch.manual_seed(5)
    return build_projector(kind, D, H, gain=gain, **settings)


def clips() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(length, D, generator=draw) for length in LENGTHS]


def together(fill: float = 0.0, room: int = 0) -> tuple[Tensor, Tensor]:
    frames = torch.full((len(LENGTHS), max(LENGTHS) + room, D), fill)
    for row, clip in enumerate(clips()):
        frames[row, : len(clip)] = clip
    return frames, torch.tensor(LENGTHS)


def test_there_are_five_kinds_and_each_has_its_formula_and_its_bad_settings() -> None:
    assert set(projector_kinds()) == {"mlp", "linear", "mosa", "shared_moe", "qformer"} == set(FORMULAS)
    assert {kind for kind, _, _ in BAD} == set(FORMULAS)


def silent(projector: Any, name: str) -> bool:
    """Say which weights can have no gradient: a key's bias moves all scores alike, and one place has no rival."""
    if ".key.bias" in name:
        return True
    alone = {"queries": "among", "window": "across"}
    lone = any(projector.settings.get(setting) == 1 and part in name for setting, part in alone.items())
    return lone and (".query." in name or ".key." in name)


@every
def test_it_starts_as_loud_as_the_embeddings_whatever_comes_in(kind: str, settings: dict[str, Any]) -> None:
    for scale in (0.1, 1.0, 50.0):
        frames, lengths = together()
        out, kept = make(kind, settings)(scale * frames, lengths)
        assert rms(out[within(out.shape[1], kept)]) == pytest.approx(0.02, rel=2e-3)


@every
def test_clips_together_equal_clips_apart(kind: str, settings: dict[str, Any]) -> None:
    projector = make(kind, settings, gain=1.0)
    out, kept = projector(*together())
    assert out.shape == (len(LENGTHS), int(kept.max()), H)
    for row, clip in enumerate(clips()):
        alone, length = projector(clip[None], torch.tensor([len(clip)]))
        assert kept[row] == length.item() == alone.shape[1]
        torch.testing.assert_close(out[row, : kept[row]], alone[0], atol=1e-5, rtol=1e-5)


@every
@pytest.mark.parametrize("fill", [1e4, float("nan"), float("inf")])
def test_what_lies_behind_a_clip_changes_nothing(kind: str, settings: dict[str, Any], fill: float) -> None:
    projector = make(kind, settings, gain=1.0)
    clean, kept = projector(*together())
    dirty, same = projector(*together(fill, room=40))
    assert torch.equal(kept, same)
    for row, length in enumerate(kept):
        torch.testing.assert_close(dirty[row, :length], clean[row, :length], atol=1e-5, rtol=1e-5)
    dirty[within(dirty.shape[1], kept)].square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in projector.parameters())


@every
def test_nothing_that_it_gives_is_other_than_a_number(kind: str, settings: dict[str, Any]) -> None:
    """A language model multiplies what lies in the padding by zero: a NaN there would stay one."""
    out, _ = make(kind, settings)(*together(float("nan"), room=40))
    assert torch.isfinite(out).all()


@every
def test_lengths_follow_their_formula(kind: str, settings: dict[str, Any]) -> None:
    projector = make(kind, settings)
    for length in range(1, 40):
        out, kept = projector(torch.randn(1, length, D), torch.tensor([length]))
        assert out.shape[1] == kept.item() == FORMULAS[kind](length, projector.settings)


@every
def test_gradients_reach_every_parameter(kind: str, settings: dict[str, Any]) -> None:
    projector = make(kind, settings)
    out, kept = projector(*together())
    (out * torch.randn_like(out))[within(out.shape[1], kept)].sum().backward()
    for name, parameter in projector.named_parameters():
        assert parameter.grad is not None, name
        assert silent(projector, name) or parameter.grad.abs().max() > 0, name


@every
def test_its_state_and_settings_make_it_again(kind: str, settings: dict[str, Any]) -> None:
    projector = make(kind, settings)
    again = build_projector(kind, D, H, gain=0.5, **projector.settings)
    again.load_state_dict(projector.state_dict())
    assert again.settings == projector.settings  # type: ignore[comparison-overlap]
    assert torch.equal(again(*together())[0], projector(*together())[0])


@every
def test_it_is_finite_under_autocast(kind: str, settings: dict[str, Any]) -> None:
    projector = make(kind, settings, gain=1.0)
    plain, kept = projector(*together())
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = projector(*together())
    counted = within(out.shape[1], kept)
    out[counted].float().square().sum().backward()
    assert torch.isfinite(out).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in projector.parameters())
    assert (out - plain)[counted].square().mean().sqrt() < 0.1  # a second choice may flip in a few rows


@every
def test_training_and_use_are_the_same(kind: str, settings: dict[str, Any]) -> None:
    projector: nn.Module = make(kind, settings)
    assert torch.equal(projector.train()(*together())[0], projector.eval()(*together())[0])


@pytest.mark.parametrize(("kind", "settings", "line"), BAD, ids=str)
def test_bad_settings_are_refused_in_one_line(kind: str, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as error:
        make(kind, settings)
    assert str(error.value) == line
