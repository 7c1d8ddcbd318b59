"""Augmentations of pictures, each against its formula or a peer; and the contract of a method, on pictures."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from locution.data.augmentation.image.brightness import BrightnessMethod, adjust
from locution.data.augmentation.image.cutout import CutoutMethod, cut_out
from locution.data.augmentation.image.flip import FlipMethod, flip
from locution.data.augmentation.image.rotation import RotationMethod, rotate
from locution.data.augmentation.image.shift import ShiftMethod, shift
from locution.data.augmentation.views import views
from locution.data.mixup import MixupMethod
from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.loop import Engine, Turn
from locution.engine.method import Method, Plan, Step, ordered
from locution.engine.observer import Observer, Record, Stop
from locution.errors import UserError
from locution.losses.basic import CrossEntropy
from locution.losses.label_smoothing import LabelSmoothingMethod
from locution.optimizers.sam import SAMMethod

METHODS: list[Method] = [FlipMethod(), RotationMethod(), ShiftMethod(), BrightnessMethod(), CutoutMethod()]


def named(methods: list[Method]) -> str:
    return "+".join(method.name for method in methods) or "plain"


def pictures(count: int = 6, channels: int = 1, height: int = 7, width: int = 5) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(3))


def step(number: int = 0) -> Step:
    return Step(number, 0, Plan(seed=0), nn.Identity())


def changed(method: Method, inputs: Tensor, number: int = 0) -> Tensor:
    found = method.batch(Batch(inputs, torch.arange(len(inputs))), step(number))
    assert found.targets.tolist() == list(range(len(inputs))), "what it shows stays what it is"
    tensor: Tensor = found.inputs
    assert (tensor.shape, tensor.dtype) == (inputs.shape, inputs.dtype)
    return tensor


# Flip ------------------------------------------------------------------------------------------------------


def test_a_flip_is_numpys_and_leaves_the_others() -> None:
    x = pictures(2, 3)
    found = flip(x, torch.tensor([True, False]))
    np.testing.assert_array_equal(found[0].numpy(), np.flip(x[0].numpy(), 2))
    assert torch.equal(found[1], x[1])
    np.testing.assert_array_equal(flip(x, torch.ones(2).bool(), -2).numpy(), np.flip(x.numpy(), 2))


def test_flips_come_by_their_chance_and_by_draws_of_their_own() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2).expand(4000, 1, 2, 2)
    kinds = {"": [0, 1, 2, 3], "h": [1, 0, 3, 2], "v": [2, 3, 0, 1], "hv": [3, 2, 1, 0]}

    def shares(method: Method) -> dict[str, float]:
        found = changed(method, x).flatten(1)
        return {kind: (found == torch.tensor(places)).all(1).float().mean().item() for kind, places in kinds.items()}

    assert shares(FlipMethod(chance=0.3, axis="both")) == pytest.approx(
        {"": 0.49, "h": 0.21, "v": 0.21, "hv": 0.09}, abs=0.03
    )
    assert shares(FlipMethod()) == pytest.approx({"": 0.5, "h": 0.5, "v": 0, "hv": 0}, abs=0.03)
    assert shares(FlipMethod(1.0, "vertical"))["v"] == 1


# Rotation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fill", "mode"), [("zero", "grid-constant"), ("edge", "nearest")])
@pytest.mark.parametrize("degrees", [15.0, -40.0, 90.0, 133.0])
def test_a_rotation_is_scipys(degrees: float, fill: str, mode: str) -> None:
    from scipy.ndimage import rotate as turn

    x = pictures(2, 2).double()
    found = rotate(x, torch.tensor([degrees, 0.0]), fill)
    for channel in range(2):
        expected = turn(x[0, channel].numpy(), degrees, reshape=False, order=1, mode=mode)
        np.testing.assert_allclose(found[0, channel].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(found[1], x[1], rtol=0, atol=1e-6)


def test_angles_are_uniform_between_their_bounds() -> None:
    x = torch.zeros(3000, 1, 1, 41)
    x[..., 40] = 1.0  # the right end of a strip: its height after the turn says the angle
    tall = nn.functional.pad(x, (0, 0, 20, 20))
    found = changed(RotationMethod(degrees=30), tall)[:, 0]  # (N, 41, 41)
    rows = torch.arange(41.0).view(1, -1, 1) - 20
    angles = torch.asin(-(found * rows).sum((1, 2)) / found.sum((1, 2)) / 20).rad2deg()
    assert -31 < angles.min() < -28
    assert 28 < angles.max() < 31
    share, _ = np.histogram(angles.numpy(), bins=6, range=(-30, 30))
    np.testing.assert_allclose(share / 3000, np.full(6, 1 / 6), atol=0.035)


# Shift -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["zero", "edge"])
def test_a_shift_is_a_crop_from_a_padded_picture(fill: str) -> None:
    x = pictures(25, 2)
    down, right = (torch.tensor(pair) for pair in zip(*itertools.product(range(-2, 3), repeat=2), strict=True))
    found = shift(x, down, right, fill)
    for row in range(25):
        mode: Any = {"zero": "constant", "edge": "edge"}[fill]
        padded = np.pad(x[row].numpy(), ((0, 0), (2, 2), (2, 2)), mode)
        top, left = 2 - int(down[row]), 2 - int(right[row])
        np.testing.assert_array_equal(found[row].numpy(), padded[:, top : top + 7, left : left + 5])


def test_every_place_is_as_likely_as_the_others() -> None:
    x = torch.zeros(5000, 1, 8, 16)
    x[:, 0, 4, 8] = 1
    places = changed(ShiftMethod(), x).flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=128).view(8, 16) / 5000
    expected = torch.zeros(8, 16)
    expected[3:6, 6:11] = 1 / 15  # one of 8 pixels each way, two of 16
    torch.testing.assert_close(counts, expected, rtol=0, atol=0.02)


def test_a_single_row_of_pixels_stays_where_it_is() -> None:
    found = changed(ShiftMethod(), torch.ones(50, 1, 1, 4))
    assert (found.sum((1, 2, 3)) >= 3).all()


# Brightness ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "kind"), [(0, "Brightness"), (1, "Contrast"), (2, "Color")])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3])
def test_light_contrast_and_colour_are_pillows(place: int, kind: str, factor: float) -> None:
    from PIL import Image, ImageEnhance

    pixels = np.random.default_rng(0).integers(60, 180, (6, 5, 3), dtype=np.uint8)  # nothing is cut off at 0 or 255
    expected = np.asarray(getattr(ImageEnhance, kind)(Image.fromarray(pixels)).enhance(factor), dtype=np.float32)
    factors = [torch.ones(1)] * 3
    factors[place] = torch.tensor([factor])
    x = torch.as_tensor(pixels).permute(2, 0, 1)[None].float() / 255
    found = adjust(x, *factors)[0].permute(1, 2, 0) * 255
    np.testing.assert_allclose(found.numpy(), expected, atol=1.5)  # Pillow rounds to whole numbers on its way


def test_each_picture_gets_factors_of_its_own_between_the_bounds() -> None:
    x = torch.full((4000, 1, 2, 2), 0.5)
    found = changed(BrightnessMethod(light=0.4), x)[:, 0, 0, 0] / 0.5
    assert 0.6 <= found.min() < 0.61
    assert 1.39 < found.max() <= 1.4
    assert found.mean() == pytest.approx(1, abs=0.02)
    off = BrightnessMethod(light=0, contrast=0, saturation=0)
    torch.testing.assert_close(changed(off, pictures(3, 3)), pictures(3, 3))


# Cutout ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 3, 9])
def test_a_square_is_hidden_and_nothing_else(side: int) -> None:
    x = pictures(35, 2)
    rows, columns = (torch.tensor(pair) for pair in zip(*itertools.product(range(7), range(5)), strict=True))
    found = cut_out(x, rows, columns, side, fill=0.25)
    for row in range(35):
        expected = x[row].clone()
        top, left = int(rows[row]) - side // 2, int(columns[row]) - side // 2
        expected[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0.25
        assert torch.equal(found[row], expected)


def test_squares_come_by_their_chance_with_a_middle_anywhere() -> None:
    x = torch.ones(6000, 1, 4, 6)
    found = changed(CutoutMethod(side=0.25, chance=0.5), x)[:, 0]  # a quarter of 4: one pixel
    hidden = (found == 0).sum((1, 2))
    assert hidden.max() == 1
    assert hidden.float().mean() == pytest.approx(0.5, abs=0.025)
    torch.testing.assert_close((found == 0).float().mean(0), torch.full((4, 6), 0.5 / 24), rtol=0, atol=0.01)
    assert (changed(CutoutMethod(), torch.ones(50, 1, 8, 8)) == 0).sum((1, 2, 3)).max() == 16


# What they are held to together ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_they_refuse_what_is_no_picture_in_one_line(method: Method) -> None:
    for inputs, said in (
        (torch.zeros(4, 6), "no pictures"),
        ({"waves": torch.zeros(4, 6)}, "no pictures"),
        (torch.zeros(4, 6, dtype=torch.int64), "no pictures"),
        (torch.zeros(4, 1, 6, 6, dtype=torch.uint8), "pictures of uint8"),
    ):
        with pytest.raises(UserError, match=f"'{method.name}' came upon .*{said}.*; allowed: ") as refused:
            method.batch(Batch(inputs, torch.zeros(4)), step())
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_draw_depends_on_the_step_alone_and_leaves_what_came(method: Method) -> None:
    x = pictures(16, 3)
    before = x.clone()
    torch.manual_seed(1)
    found = changed(method, x, 4)
    torch.manual_seed(2)
    assert torch.equal(found, changed(method, x, 4))
    assert not torch.equal(found, changed(method, x, 5))
    assert torch.equal(x, before)
    beside = method.batch(Batch(x, beside={"unlabelled": x}), step()).beside["unlabelled"]
    assert torch.equal(beside, x), "what comes beside is not theirs"


def test_they_act_in_one_order_and_before_mixup() -> None:
    mixing: list[Method] = [MixupMethod(), LabelSmoothingMethod()]
    for listed in itertools.islice(itertools.permutations([*METHODS, *mixing]), 0, 5040, 101):
        names = [method.name for method in ordered(listed)]
        names.remove("label_smoothing")
        assert names == ["flip", "rotation", "shift", "brightness", "cutout", "mixup"]


def test_views_show_what_training_sees() -> None:
    x = pictures(1)
    shown = views(x[0], METHODS, count=3, seed=0)
    assert shown.shape == (3, 1, 7, 5)
    expected = Batch(x, torch.zeros(1, dtype=torch.int64))
    for method in METHODS:
        expected = method.batch(expected, step(2))
    assert torch.equal(shown[2], expected.inputs[0])


# The contract of a method, on pictures ---------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))


def train(methods: list[Method], *, state: Any = None, size: int = 8, steps: int = 7, **settings: Any) -> Engine:
    x = torch.randn(22, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    turn = Turn(CrossEntropy(), partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    engine = Engine(network(), turn, methods, device="cpu", log_every=1, **settings)
    if state is not None:
        engine.load_state_dict(state)
    return engine.fit(
        TensorBatches(x, x.mean((1, 2, 3)).mul(4).round().clamp(-1, 1).long() + 1, batch_size=size), steps=steps
    )


def weights(engine: Engine) -> list[Tensor]:
    return [weight.detach().clone() for weight in engine.model.parameters()]


TOGETHER = [*METHODS, MixupMethod(classes=3), LabelSmoothingMethod(classes=3), SAMMethod()]
CASES: list[list[Method]] = [*([method] for method in METHODS), TOGETHER]


@pytest.mark.parametrize("methods", CASES, ids=named)
def test_they_change_training_and_micro_batches_do_not(methods: list[Method]) -> None:
    whole = weights(train(methods))
    assert all(torch.isfinite(weight).all() for weight in whole)
    assert any(not torch.equal(one, plain) for one, plain in zip(whole, weights(train([])), strict=True))
    for one, parts in zip(whole, weights(train(methods, accumulate=3)), strict=True):  # 8 as 3, 3, 2; 6 as 2, 2, 2
        torch.testing.assert_close(parts, one, rtol=0, atol=1e-6)
    for one, half in zip(whole, weights(train(methods, precision="bf16")), strict=True):
        torch.testing.assert_close(half, one, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("methods", CASES, ids=named)
def test_a_run_that_was_stopped_goes_on_to_the_bit(methods: list[Method]) -> None:
    kept: dict[str, Any] = {}

    class Kill(Observer):
        name = "kill"
        engine: Engine | None = None

        def start(self, engine: Engine) -> None:
            self.engine = engine

        def watch(self, record: Record) -> Stop | None:
            if record.kind != "step" or record.step != 4 or self.engine is None:
                return None
            kept.update(copy.deepcopy(self.engine.state_dict()))
            return Stop("killed")

    whole = weights(train(methods, seed=3))
    train(methods, seed=3, observers=[Kill()])
    kept["observers"].pop("kill")
    again = weights(train(methods, seed=3, state=kept))
    assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))


def test_all_passes_of_a_step_see_the_same_pictures() -> None:
    seen: list[Tensor] = []
    inner = CrossEntropy()

    def objective(model: nn.Module, batch: Batch) -> Any:
        seen.append(batch.inputs)
        return inner(model, batch)

    x = torch.rand(8, 1, 4, 4)
    turn = Turn(objective, partial(torch.optim.SGD, lr=0.1))
    Engine(network(), turn, TOGETHER, device="cpu").fit(TensorBatches(x, torch.zeros(8).long(), batch_size=8), steps=2)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (FlipMethod, {"chance": 0.0}, "flip.chance is 0.0"),
        (FlipMethod, {"axis": "up"}, "flip.axis is 'up'; allowed: horizontal, vertical, both"),
        (RotationMethod, {"degrees": 181.0}, "rotation.degrees is 181.0"),
        (RotationMethod, {"fill": "white"}, "rotation.fill is 'white'"),
        (ShiftMethod, {"most": 0.6}, "shift.most is 0.6"),
        (BrightnessMethod, {"contrast": 1.1}, "brightness.contrast is 1.1"),
        (CutoutMethod, {"side": 0.0}, "cutout.side is 0.0"),
        (CutoutMethod, {"fill": 2.0}, "cutout.fill is 2.0"),
    ],
)
def test_settings_out_of_range_are_refused(kind: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind(**settings)
