"""Charts: every point stands where its value says, no peak is lost, PNGs are read back the same."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pytest

from locution.reporting import heat_maps
from locution.reporting.audio_pictures import mel, spectrogram
from locution.reporting.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Line,
    interval_chart,
    line_chart,
    log_ticks,
    scale,
    ticks,
)
from locution.reporting.curves import Curve, curves, grid, lowest, smooth, thin
from locution.reporting.pixels import INK, MAGMA, VIRIDIS, levels, palette, png
from locution.reporting.results import Hearing, Metric, Utterance

Image = pytest.importorskip("PIL.Image")


def path(drawing: str) -> np.ndarray:
    """Read the points of the first path of a drawing."""
    found = re.search(r'<path d="M([^"]+)"', drawing)
    assert found is not None
    return np.array([[float(n) for n in point.split()] for point in found.group(1).split("L")])


def axis(drawing: str) -> dict[float, float]:
    """Read the numbers at the left axis and how far down each stands."""
    found = re.findall(r'<text x="43.0" y="([\d.]+)" class="tick" text-anchor="end">([^<]+)</text>', drawing)
    return {float(label): float(y) - 3.5 for y, label in found}


@pytest.mark.parametrize("log", [False, True])
def test_a_point_stands_where_its_value_says(log: bool) -> None:
    values = [0.01, 0.5, 8.0, 2.0, 0.02]
    drawing = line_chart([Line("loss", Curve([0, 25, 50, 75, 100], values))], alt="loss", log=log)
    points, marks = path(drawing), sorted(axis(drawing).items())
    assert np.allclose(points[:, 0], np.linspace(LEFT, WIDTH - RIGHT, 5), atol=0.06)
    (one, y1), (other, y2) = marks[0] if not log or marks[0][0] > 0 else marks[1], marks[-1]
    turn = math.log10 if log else float
    slope = (y2 - y1) / (turn(other) - turn(one))
    expected = [y1 + slope * (turn(value) - turn(one)) for value in values]
    assert np.allclose(points[:, 1], expected, atol=0.4)
    assert points[:, 1].min() >= TOP
    assert points[:, 1].max() <= HEIGHT - BOTTOM


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (1e-9, 3e-9), (0, 12345), (5, 5), (-1e6, 1e6)])
def test_ticks_are_few_round_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    assert len(found) <= 11
    if high > low:
        assert len(found) >= 3
        steps = np.diff(found)
        assert np.allclose(steps, steps[0])


@pytest.mark.parametrize(("low", "high"), [(1e-30, 1e30), (1e-30, 2e-30), (0.5, 0.9), (1e-8, 1e3)])
def test_ticks_of_powers_are_few_and_within(low: float, high: float) -> None:
    found = log_ticks(low, high)
    assert 1 <= len(found) <= 9
    assert all(low * (1 - 1e-9) <= tick <= high * (1 + 1e-9) for tick in found)


def test_scale_takes_ends_to_ends() -> None:
    place = scale(1.0, 100.0, 0.0, 200.0, log=True)
    assert [round(place(value), 9) for value in (1.0, 10.0, 100.0)] == [0.0, 100.0, 200.0]
    assert scale(5.0, 5.0, 1.0, 2.0)(5.0) == 1.0


def test_thinning_keeps_every_peak_and_both_ends() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=10_000)
    values[1234], values[8765] = 50.0, -50.0
    whole = Curve(list(range(10_000)), values.tolist())
    thinned = thin(whole, 300)
    assert len(thinned) <= 302
    assert {1234, 8765, 0, 9999} <= set(thinned.steps)
    assert all(whole.values[int(step)] == value for step, value in zip(thinned.steps, thinned.values, strict=True))
    assert thinned.steps == sorted(thinned.steps)


def test_smoothing_is_a_moving_mean_over_what_is_there() -> None:
    values = np.random.default_rng(1).normal(size=400)
    reach = 400 // 80
    expected = [values[max(0, i - reach) : i + reach + 1].mean() for i in range(400)]
    assert np.allclose(smooth(Curve(list(range(400)), values.tolist())).values, expected)


def test_curves_take_steps_and_epochs_apart_and_the_last_word_counts() -> None:
    found = curves(
        [
            {"kind": "step", "step": 1, "loss": 3.0, "gradient_norm/a": 1.0, "kind_of": "text"},
            {"kind": "step", "step": 1, "loss": 2.0},
            {"kind": "epoch", "step": 1, "loss": 2.5, "development_loss": float("nan")},
            {"kind": "end", "step": 1, "loss": 9.0},
        ]
    )
    assert found["loss"].values == [2.0]
    assert found["epoch_loss"].values == [2.5]
    assert set(found) == {"loss", "epoch_loss", "gradient_norm/a"}
    assert lowest(Curve([1, 2, 3], [2.0, 1.0, 3.0])) == 1


def test_the_grid_holds_the_largest_of_each_cell() -> None:
    cells, first, last = grid([Curve([0, 1, 9], [5.0, 7.0, 1.0]), Curve([0], [2.0])], columns=2)
    assert (first, last) == (0, 9)
    assert cells[0].tolist() == [7.0, 1.0]
    assert cells[1, 0] == 2.0
    assert math.isnan(cells[1, 1])


@pytest.mark.parametrize("colours", [INK, MAGMA, VIRIDIS])
def test_a_png_is_read_back_the_same(colours: tuple[tuple[int, int, int], ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 13)).astype(np.uint8)
    picture = Image.open(io.BytesIO(png(pixels, colours))).convert("RGB")
    assert np.array_equal(np.asarray(picture), palette(colours)[pixels])


@pytest.mark.parametrize("colours", [MAGMA, VIRIDIS])
def test_the_colours_grow_lighter_all_the_way(colours: tuple[tuple[int, int, int], ...]) -> None:
    light = palette(colours).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) >= -0.51).all()


def test_levels_hold_what_lies_outside() -> None:
    assert levels(np.array([np.nan, -np.inf, np.inf, 0.5]), 0.0, 1.0).tolist() == [0, 0, 255, 128]


def embedded(drawing: str) -> list[np.ndarray]:
    found = re.findall(r'href="data:image/png;base64,([^"]+)"', drawing)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_the_heat_map_puts_layers_in_rows_and_powers_of_ten_on_the_scale() -> None:
    rows = {"a": Curve([1, 2, 3], [1e-4, 1e-3, 1e-2]), "b": Curve([1, 2, 3], [1e-2, 1e-1, 1.0])}
    cells = embedded(heat_maps.heat_map(rows, alt="gradients"))[0]
    assert np.allclose(cells, np.array([[0, 0.25, 0.5], [0.5, 0.75, 1.0]]) * 255, atol=1)


def test_a_model_of_many_layers_is_shown_in_part() -> None:
    rows = {f"layers.{n}": Curve([1.0], [1.0]) for n in range(200)}
    drawing = heat_maps.heat_map(rows, alt="gradients")
    assert drawing.count("<title>") == heat_maps.MOST
    assert "layers.0:" in drawing
    assert "layers.199:" in drawing


def test_neighbours_share_a_row_which_shows_the_largest_so_that_kinds_of_layers_make_no_bands() -> None:
    kinds = [1.0, 1e-4, 1e-2, 1e-3]  # convolutions and norms in turns, as in a deep residual network
    rows = {f"layers.{n}": Curve([1.0], [kinds[n % 4]]) for n in range(200)}
    drawing = heat_maps.heat_map(rows, alt="gradients")
    cells = embedded(drawing)[0]  # (48, 1)
    assert cells.shape == (heat_maps.MOST, 1)
    assert len(set(cells.flatten().tolist())) == 1
    assert ">layers.0 +4" in drawing.replace("</title>", ">")


def test_a_norm_stands_until_the_next_is_measured() -> None:
    # measured at steps 1, 51, ..., 201 and once more at the end, 240: of six columns the fifth has no measurement
    curve = Curve([1, 51, 101, 151, 201, 240], [1.0, 1.0, 1.0, 1.0, 1.0, 1e-3])
    cells = embedded(heat_maps.heat_map({"a": curve, "b": Curve(curve.steps, [1e-6] * 6)}, alt="gradients"))[0]
    assert cells[0].tolist() == [255] * 6
    assert cells[1].tolist() == [0] * 6


def test_remarks_speak_of_explosions_and_of_early_layers_only() -> None:
    fine = {f"layers.{n}": Curve([1.0], [1.0]) for n in range(6)}
    assert heat_maps.remarks(fine) == ([], [])
    late = {**fine, "layers.5": Curve([1.0], [1e-9])}
    assert heat_maps.remarks(late) == ([], [])
    warnings, notes = heat_maps.remarks({**fine, "layers.0": Curve([1.0, 2.0], [101.0, 1e-9])})
    assert len(warnings) == len(notes) == 1


def test_the_spectrogram_stands_the_right_way_up() -> None:
    values = np.zeros((8, 5))
    values[0, 0], values[7, 4] = 1.0, 0.5  # low and early is loud, high and late less so
    picture = embedded(spectrogram(Hearing(Utterance("u", "a", "a"), values, 0.5), alt="a word"))[0]
    assert picture.shape == (8, 5)
    assert picture[-1, 0] == 255
    assert picture[0, 4] > picture[3, 2] == picture.min()


def test_the_mel_scale_is_straight_below_a_kilohertz_and_meets_itself_there() -> None:
    assert mel(500.0) == pytest.approx(7.5)
    assert mel(999.999) == pytest.approx(mel(1000.0), abs=1e-4)
    librosa = [(2000.0, 25.081881), (8000.0, 45.245646)]  # 15 + 27 ln(f / 1000) / ln 6.4
    for hertz, expected in librosa:
        assert mel(hertz) == pytest.approx(expected, abs=1e-5)


def test_intervals_are_drawn_to_scale() -> None:
    drawing = interval_chart([Metric("a", 0.5, 0.25, 0.75), Metric("b", 1.0)], alt="two")
    bands = re.findall(r'<line x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" class="between c1">', drawing)
    marks = re.findall(r'<line x1="([\d.]+)" y1="[\d.]+" x2="[\d.]+" y2="[\d.]+" class="value', drawing)
    [(low, high)] = [(float(a), float(b)) for a, b in bands]
    middle, end = (float(mark) for mark in marks)
    assert middle == pytest.approx((low + high) / 2, abs=0.11)
    assert end - 8.0 == pytest.approx(2 * (middle - 8.0), abs=0.2)
