"""One's own pictures: files of every kind, folders laid out well and badly, copies, damage; every decision said."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from locution.data.augmentation.image.flip import FlipMethod
from locution.data.own.decode import Damaged, decode, eight_bits, look, open_picture
from locution.data.own.image_reader import ImageReader
from locution.data.own.images import ByteBatches, ImagesData, choose_size, kept
from locution.data.own.parts import into_parts, part_named, without_copies
from locution.data.own.picture_files import find_pictures
from locution.engine.batch import Batch
from locution.engine.batches import TensorBatches
from locution.engine.method import Plan, Step
from locution.errors import LocutionError, UserError

RED, GREEN = (200, 30, 40), (20, 180, 60)


def noise(seed: int, height: int = 12, width: int = 12, channels: int = 3) -> Any:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: Any, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def folder(root: Path, classes: int = 2, count: int = 10, **settings: Any) -> Path:
    for number in range(classes):
        for index in range(count):
            save(root / f"class_{number}" / f"{index}.png", noise(1000 * number + index, **settings))
    return root


def loaded(path: Path, **settings: Any) -> Any:
    return ImagesData(path=str(path), **settings).load(seed=0)


def said(data: Any) -> str:
    return "\n".join(data.notes)


# One file --------------------------------------------------------------------------------------------------


def test_pixels_come_through_as_they_are(tmp_path: Path) -> None:
    pixels = noise(0)
    for suffix in ("png", "bmp", "tiff", "ppm"):
        found = decode(save(tmp_path / f"a.{suffix}", pixels), 12, colour=True)
        np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1))
    grey = noise(1, channels=1)
    np.testing.assert_array_equal(decode(save(tmp_path / "g.png", grey), 12, colour=False)[0], grey)
    np.testing.assert_array_equal(decode(tmp_path / "g.png", 12, colour=True), np.stack([grey] * 3))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = (noise(2, channels=1).astype(np.uint16) * 257).copy()
    file = save(tmp_path / "deep.png", deep)
    assert look(file) == (12, 12, True, False)
    np.testing.assert_array_equal(decode(file, 12, colour=False)[0], noise(2, channels=1))
    Image.fromarray(np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)).save(tmp_path / "f.tiff")
    np.testing.assert_allclose(
        decode(tmp_path / "f.tiff", 12, colour=False).ravel(), np.linspace(0, 255, 144), atol=0.51
    )
    assert eight_bits(np.array([np.nan, np.inf, -np.inf, 300.0])).tolist() == [0, 0, 0, 255]
    dark = np.array([100, 250])
    assert [eight_bits(dark.astype(kind)).tolist() for kind in ("<u2", ">u2", "i4", "u1")] == [[0, 1]] * 2 + [
        [100, 250]
    ] * 2


def test_what_is_transparent_is_white_and_palettes_are_read(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:, :4] = (*RED, 255)
    found = decode(save(tmp_path / "clear.png", clear), 8, colour=True)
    assert found[:, 0, 0].tolist() == list(RED)
    assert found[:, 0, 7].tolist() == [255, 255, 255]
    listed = Image.fromarray(clear[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
    listed.save(tmp_path / "palette.gif")
    assert decode(tmp_path / "palette.gif", 8, colour=True)[:, 0, 0].tolist() == list(RED)
    Image.fromarray(clear[..., :3]).convert("CMYK").save(tmp_path / "print.tiff")
    np.testing.assert_allclose(decode(tmp_path / "print.tiff", 8, colour=True)[:, 0, 0], RED, atol=2)


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    upright = noise(4, 10, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    lying = np.ascontiguousarray(np.rot90(upright))
    file = save(tmp_path / "turned.png", lying, exif=exif)
    found = decode(file, 10, colour=True, fit="pad")  # 6 wide, two black columns on each side
    np.testing.assert_array_equal(found[:, :, 2:8], upright.transpose(2, 0, 1))
    assert not found[:, :, :2].any()


def test_pictures_become_square_as_asked(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = RED
    wide[:, :4] = GREEN
    file = save(tmp_path / "wide.png", wide)
    assert decode(file, 8, True, "crop")[0].min() == RED[0]
    assert decode(file, 8, True, "pad")[:, 0].max() == 0
    squashed = decode(file, 8, True, "squash")
    assert squashed[:, 4, 0].tolist() == list(GREEN)
    assert squashed[:, 4, 7].tolist() == [0, 0, 0]
    large = np.kron(noise(5, 8, 8), np.ones((5, 5, 1), np.uint8))
    small = decode(save(tmp_path / "large.png", large), 8, True)
    assert np.corrcoef(small.ravel(), noise(5, 8, 8).transpose(2, 0, 1).ravel())[0, 1] > 0.95  # averaged, not picked


def test_what_is_no_picture_is_said_in_a_few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.png", b""), ("b.jpg", b"no picture at all"), ("c.png", b"\x89PNG\r\n\x1a\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Damaged, match="no picture of a known kind"):
            open_picture(tmp_path / name)
    monkeypatch.setattr("locution.data.own.decode.MOST_PIXELS", 100)
    with pytest.raises(Damaged, match="12 x 12 pixels, more than 100"):
        look(save(tmp_path / "huge.png", noise(0)))


def test_a_decompression_bomb_is_left_out_and_said(tmp_path: Path) -> None:
    folder(tmp_path)
    content = bytearray((tmp_path / "class_0" / "0.png").read_bytes())
    for side, name in ((11_000, "large"), (60_000, "bomb")):  # a small file that says it is so many pixels wide
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        (tmp_path / "class_0" / f"{name}.png").write_bytes(content)
    line = next(line for line in loaded(tmp_path).notes if "could not be read" in line)
    assert line.startswith(
        "2 files could not be read and left out: bomb.png (more pixels than a picture has), large.png"
    )
    assert "11,000 x 11,000 pixels, more than 100,000,000" in line


@pytest.mark.parametrize("error", [SyntaxError("broken\nchunk"), struct.error(), IndexError("out"), MemoryError()])
@pytest.mark.parametrize("where", ["PIL.Image.open", "locution.data.own.decode.upright"])
def test_whatever_a_decoder_raises_is_a_damaged_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    file = save(tmp_path / "a.png", noise(0))

    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(where, broken)
    with pytest.raises(Damaged) as refused:
        decode(file, 8, colour=True)
    assert str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_hundred_damaged_files_give_a_picture_or_a_line(tmp_path: Path) -> None:
    chance, results = random.Random(0), set()
    sound = [
        save(tmp_path / "a.png", noise(0)).read_bytes(),
        save(tmp_path / "a.jpg", noise(0)).read_bytes(),
        save(tmp_path / "a.gif", noise(0, channels=1)).read_bytes(),
        save(tmp_path / "a.tiff", noise(0), compression="tiff_lzw").read_bytes(),
        save(tmp_path / "a.webp", noise(0)).read_bytes(),
        save(tmp_path / "a.bmp", noise(0)).read_bytes(),
    ]
    file = tmp_path / "damaged"
    for number in range(200):
        content = bytearray(sound[number % len(sound)])
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        file.write_bytes(content)
        try:
            look(file)
            pixels = decode(file, 16, colour=bool(number % 2))
            assert pixels.shape == ((3 if number % 2 else 1), 16, 16)
            results.add("picture")
        except Damaged as error:
            results.add(str(error))
    assert "picture" in results
    assert len(results) > 3
    assert all(line and "\n" not in line for line in results)


# Folders and tables ----------------------------------------------------------------------------------------


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    data = loaded(folder(tmp_path, classes=3, count=20))
    assert data.labels == ("class_0", "class_1", "class_2")
    assert (
        data.describe()
        == f"{tmp_path.name}: 42 to learn from, 9 to tune on, 9 to be judged by; each (3, 12, 12) -> 3 classes"
    )
    assert torch.bincount(data.test.targets).tolist() == [3, 3, 3]
    assert data.train.inputs.max() <= 1
    assert data.train.inputs.dtype == torch.float32
    row = data.train.inputs[0].mul(255).round().byte()
    there = [noise(1000 * int(data.train.targets[0]) + index).transpose(2, 0, 1) for index in range(20)]
    assert any(np.array_equal(row.numpy(), one) for one in there), "a picture of its class, to the last bit"
    assert data.notes[0] == "All pictures are 12 x 12 pixels."
    assert data.warnings == ()
    again = loaded(tmp_path)
    assert torch.equal(data.test.inputs, again.test.inputs)


def test_parts_that_are_given_stay(tmp_path: Path) -> None:
    folder(tmp_path / "Train", count=8)
    folder(tmp_path / "val", count=3)
    for file in (tmp_path / "val").rglob("*.png"):
        Image.open(file).rotate(90).save(file)
    folder(tmp_path / "test", count=4)
    for file in (tmp_path / "test").rglob("*.png"):
        Image.open(file).rotate(180).save(file)
    (tmp_path / "old").mkdir()
    data = loaded(tmp_path)
    assert [len(part) for part in (data.train, data.development, data.test)] == [16, 6, 8]
    assert "as the data say" in said(data)
    assert "old is neither train, valid nor test" in said(data)
    save(tmp_path / "test" / "zebra" / "1.png", noise(77))
    with pytest.raises(UserError, match="zebra: not in train, but in another part"):
        loaded(tmp_path)


def test_a_table_names_files_classes_and_parts(tmp_path: Path) -> None:
    folder(tmp_path / "pictures", count=6)
    lines = ["File;Label;split"]
    for index in range(6):
        part = ["train", "train", "train", "train", "valid", "test"][index]
        lines += [f"pictures/class_{number}/{index}.png;{'ab'[number]};{part}" for number in (0, 1)]
    table = tmp_path / "list.csv"
    table.write_text("\n".join([*lines, "pictures/gone.png;a;train", ";b;train"]))
    data = loaded(table)
    assert data.labels == ("a", "b")
    assert [len(part) for part in (data.train, data.development, data.test)] == [8, 2, 2]
    assert "1 file of list.csv not there and left out: pictures/gone.png." in said(data)
    assert "1 row of list.csv without a file or a label left out." in said(data)
    table.write_text("file,label,split\npictures/class_0/0.png,a,sometimes\n")
    with pytest.raises(UserError, match=r"list\.csv: the split 'sometimes' is none; allowed: train, valid, test"):
        loaded(table)
    table.write_text("picture name,label\nx,a\n")
    with pytest.raises(UserError, match=r"list\.csv has no column 'file': .* It has: picture name, label"):
        loaded(table)


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    folder(tmp_path, count=12)
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "class_0" / "notes.md").write_text("x")
    save(tmp_path / "loose.png", noise(5))
    (tmp_path / "class_1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    half = (tmp_path / "class_1" / "0.png").read_bytes()
    (tmp_path / "class_1" / "half.png").write_bytes(half[: len(half) // 2])
    data = loaded(tmp_path)
    assert "nothing: no pictures, no class." in said(data)
    assert "1 file of other kinds passed over." in said(data)
    assert "1 picture in no class's folder passed over: loose.png." in said(data)
    assert "1 file could not be read and left out: broken.jpg (" in said(data)
    assert "1 picture damaged and left out: half.png (" in said(data)
    assert len(data.train) + len(data.development) + len(data.test) == 24


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda root: None, "holds no pictures; allowed: a folder for each class"),
        (lambda root: save(root / "1.png", noise(0)), "holds no pictures; allowed: a folder for each class"),
        (lambda root: folder(root, classes=1), "holds one class, 'class_0'; allowed: two or more"),
        (
            lambda root: [(root / name).mkdir() or (root / name / "a.png").write_text("") for name in "ab"],
            "can be read",
        ),
        (lambda root: [save(root / name / "a.png", noise(0)) for name in "ab"], "leaves 0 classes to learn"),
    ],
)
def test_a_folder_that_cannot_be_learnt_from_is_one_line(tmp_path: Path, make: Any, line: str) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=line) as refused:
        loaded(tmp_path)
    assert "\n" not in str(refused.value)


def test_paths_that_are_none_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("x")
    for path, line in (("", "data.path is missing"), ("no/such", "is not there"), (tmp_path / "a.doc", "is no table")):
        with pytest.raises(UserError, match=line):
            ImagesData(path=str(path)).load(0)


# Size and colour -------------------------------------------------------------------------------------------


def test_one_size_for_all_is_chosen_by_the_usual_one() -> None:
    assert choose_size([(100, 50), (60, 40), (30, 90)], 0, "crop") == (
        40,
        "Pictures of sides from 30 to 100 pixels are brought to 40 x 40, cropped to their middle: for half of them "
        "have sides of 40 or more; data.size=N asks for another.",
    )
    assert choose_size([(900, 900)] * 3, 0, "squash")[0] == 64
    assert choose_size([(5, 5)] * 3, 0, "squash")[0] == 8
    assert choose_size([(28, 28)] * 3, 20, "squash")[0] == 20
    assert choose_size([(28, 20)] * 3, 0, "squash")[0] == 16


def test_grey_pictures_have_one_channel_however_they_are_kept(tmp_path: Path) -> None:
    folder(tmp_path / "grey", channels=1)
    assert loaded(tmp_path / "grey").inputs == (1, 12, 12)
    for number in range(2):
        for index in range(6):
            grey = noise(100 * number + index, channels=1)
            save(tmp_path / "rgb" / str(number) / f"{index}.png", np.stack([grey] * 3, 2))
    data = loaded(tmp_path / "rgb")
    assert data.inputs == (1, 12, 12)
    assert data.reader == ImageReader(12, False, "squash", ("0", "1"))
    assert "All pictures are grey: one channel." in said(data)
    assert loaded(tmp_path / "rgb", channels="colour").inputs == (3, 12, 12)


# Copies ----------------------------------------------------------------------------------------------------


def test_copies_are_taken_out_and_contradictions_too(tmp_path: Path) -> None:
    folder(tmp_path, count=12)
    for name in ("x", "y"):
        save(tmp_path / "class_0" / f"{name}.png", noise(3))  # as class_0/3.png
    save(tmp_path / "class_0" / "both.png", noise(500))
    save(tmp_path / "class_1" / "both.png", noise(500))
    data = loaded(tmp_path)
    assert "2 pictures are exact copies of others and were left out." in said(data)
    assert "2 pictures have copies with other targets, which contradict each other: left out." in said(data)
    assert len(data.train) + len(data.development) + len(data.test) == 24


def test_of_copies_in_two_parts_the_one_to_be_judged_by_stays(tmp_path: Path) -> None:
    folder(tmp_path / "train", count=10)
    for number in range(2):
        save(tmp_path / "test" / f"class_{number}" / "a.png", noise(1000 * number + 4))
        save(tmp_path / "test" / f"class_{number}" / "b.png", noise(1000 * number + 99))
    data = loaded(tmp_path, development=0.0)
    assert len(data.test) == 4
    assert len(data.train) == 18
    assert "2 pictures stood in more than one part; only the one to be judged by stayed." in said(data)
    rows, lines = without_copies("aabbc", [0, 0, 1, 1, 1], ["train", "test", "development", "train", None], "text")
    assert rows == [1, 2, 4]
    assert len(lines) == 2


def test_near_copies_across_parts_are_a_warning_or_refused(tmp_path: Path) -> None:
    folder(tmp_path / "train", count=30)
    folder(tmp_path / "test", count=4)
    for file in (tmp_path / "test").rglob("*.png"):
        seed = int(file.stem) + 500 + 1000 * int(file.parent.name[-1])
        pixels = noise(seed)
        if file.stem == "0":  # a little paler than one to learn from
            pixels = (noise(1000 * int(file.parent.name[-1]) + 7) * 0.9 + 10).astype(np.uint8)
        save(file, pixels)
    (warning,) = loaded(tmp_path).warnings
    assert warning.startswith(
        "2 pictures to be judged by are near copies of some to learn from, so that figures flatter"
    )
    assert "0.png of 7.png" in warning
    assert loaded(tmp_path, leaks="off").warnings == ()
    with pytest.raises(LocutionError, match=r"near copies .* Take them out, or say data\.leaks=warn"):
        loaded(tmp_path, leaks="refuse")


# Parts -----------------------------------------------------------------------------------------------------


def test_parts_that_are_missing_are_drawn_from_those_to_learn_from() -> None:
    given: list[str | None] = ["train"] * 20 + ["test"] * 5
    parts, (line,) = into_parts(torch.arange(25) % 2, given, (0.2, 0.5), seed=0)
    assert [len(rows) for rows in parts.values()] == [16, 4, 5]
    assert parts["test"].tolist() == [20, 21, 22, 23, 24]
    assert line.endswith("as the data say; development drawn from those to learn from.")
    rare = (torch.arange(100) % 10 == 3).long()
    drawn, _ = into_parts(rare, [None] * 100, (0.2, 0.3), seed=0)
    assert [int(rare[rows].sum()) for rows in drawn.values()] == [5, 2, 3], "each class by the same share"
    with pytest.raises(UserError, match="none to learn from"):
        into_parts(torch.zeros(3).long(), ["test"] * 3, (0.1, 0.1), seed=0)
    assert [part_named(name) for name in ("VAL", " Testing ", "tests")] == ["development", "test", None]


def test_tiny_classes_are_said(tmp_path: Path) -> None:
    folder(tmp_path, count=20)
    save(tmp_path / "rare" / "1.png", noise(55))
    data = loaded(tmp_path)
    assert "3 classes of 1 to 20 pictures." in said(data)
    assert "rare: 1 picture, too few to learn or to be judged by" in said(data)
    assert 2 in data.train.targets.tolist(), "it is learnt from"


# Many pictures, and new ones -------------------------------------------------------------------------------


def test_many_pictures_stay_bytes_and_train_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = loaded(folder(tmp_path, count=20))
    monkeypatch.setattr("locution.data.own.images.AS_NUMBERS", 1000)
    kept.cache_clear()
    many = loaded(tmp_path)
    assert isinstance(many.train, ByteBatches)
    assert many.train.inner.inputs.dtype == torch.uint8
    assert many.train.steps() == few.train.steps()
    assert "kept as bytes" in said(many)
    assert many.describe() == few.describe()
    for one, other in zip(few.train.epoch(3, 5, 0), many.train.epoch(3, 5, 0), strict=True):
        torch.testing.assert_close(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
        FlipMethod().batch(Batch(other.inputs), Step(0, 0, Plan(), torch.nn.Identity()))
    assert isinstance(few.train, TensorBatches)


def test_pictures_are_read_once_until_one_changes(tmp_path: Path) -> None:
    data = loaded(folder(tmp_path, count=6))
    assert loaded(tmp_path) is data
    assert loaded(tmp_path, size=8).inputs == (3, 8, 8)
    data = loaded(tmp_path)
    file = save(tmp_path / "class_0" / "0.png", noise(321))
    os.utime(file, (1, 1))
    assert loaded(tmp_path) is not data


def test_new_pictures_are_read_as_those_learnt_from(tmp_path: Path) -> None:
    data = loaded(folder(tmp_path, count=6))
    reader = ImageReader.from_json(data.reader.as_json())
    assert reader == data.reader
    names, read = reader.read([str(tmp_path / "class_0" / "3.png"), str(tmp_path / "class_1")])
    assert names[:2] == ["", "0.png"]
    assert read.shape == (7, 3, 12, 12)
    np.testing.assert_array_equal(read[0].mul(255).round().numpy(), noise(3).transpose(2, 0, 1))
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "none").mkdir()
    for word, line in (("bad.png", "cannot be read"), ("gone.png", "there is no file"), ("none", "holds no pictures")):
        with pytest.raises(UserError, match=line):
            reader.read([str(tmp_path / word)])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"size": 3}, r"data\.size is 3"),
        ({"fit": "stretch"}, r"data\.fit is 'stretch'; allowed: squash, crop, pad"),
        ({"test": 1.0}, r"data\.test is 1\.0"),
        ({"test": 0.6, "development": 0.5}, r"data\.development \+ data\.test is 1\.1"),
        ({"batch_size": 0}, r"data\.batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        ImagesData(**settings)


def test_links_round_and_names_that_no_file_can_have_harm_nobody(tmp_path: Path) -> None:
    folder(tmp_path / "pictures", count=5)
    (tmp_path / "pictures" / "class_0" / "round").symlink_to(tmp_path / "pictures", target_is_directory=True)
    assert len(find_pictures(tmp_path / "pictures")[0]) == 10
    (tmp_path / "list.csv").write_text(f"file,label\n{'x' * 5000}.png,a\n")
    with pytest.raises(UserError, match="holds no pictures"):
        loaded(tmp_path / "list.csv")
