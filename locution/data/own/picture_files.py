"""Where one's own pictures are: a folder for each class, folders of parts, or a table that names the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from locution.data.own.parts import given_parts, named, part_named, plural
from locution.data.own.records import column, read_records
from locution.errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
LAID_OUT = (
    "a folder for each class (cats/1.jpg), or those in train/ and test/, or a CSV with the columns file and label"
)


@dataclass(frozen=True)
class Listed:
    """A picture that is there to be read: its file, the name of its class, and its part, if that is given."""

    file: Path
    label: str
    part: str | None = None


def find_pictures(path: Path) -> tuple[list[Listed], list[str]]:
    """Find the pictures of a folder or of a table, and say what was passed over, a line each.

    Raises UserError, in one line, where there is nothing to learn from.
    """
    if not path.exists():
        raise UserError(f"data.path is '{path}', which is not there; allowed: {LAID_OUT}.")
    listed, said = from_folder(path) if path.is_dir() else from_table(path)
    classes = {one.label for one in listed}
    if not listed:
        raise UserError(f"'{path}' holds no pictures; allowed: {LAID_OUT}; {', '.join(sorted(SUFFIXES))}.")
    if len(classes) < 2:
        raise UserError(f"'{path}' holds one class, '{classes.pop()}'; allowed: two or more. Laid out: {LAID_OUT}.")
    return listed, said


def find_unsorted(path: Path) -> tuple[list[Listed], list[str]]:
    """Find all pictures of a folder, in whatever folders inside, or those that a table names: no class is asked for."""
    allowed = "a folder of pictures, or a CSV with the column file"
    if not path.exists():
        raise UserError(f"data.path is '{path}', which is not there; allowed: {allowed}.")
    if not path.is_dir():
        return from_table(path, labelled=False)
    parts = {folder: part_named(folder.name) for folder in folders(path)}
    given = "train" in parts.values()
    places = [(folder, part) for folder, part in parts.items() if part] if given else [(path, None)]
    files = [(file, part) for place, part in places for file in walk(place)]
    listed = [Listed(file, "", part) for file, part in files if file.suffix.lower() in SUFFIXES]
    if not listed:
        raise UserError(f"'{path}' holds no pictures; allowed: {', '.join(sorted(SUFFIXES))}.")
    others = len(files) - len(listed)
    return listed, [f"{plural(others, 'file')} of other kinds passed over."] if others else []


def from_folder(path: Path) -> tuple[list[Listed], list[str]]:
    """Read the folders of a folder: parts that hold classes, or classes themselves."""
    inside = folders(path)
    parts = {folder: part_named(folder.name) for folder in inside}
    if "train" not in parts.values():
        return classes_of(path, None)
    found: list[Listed] = []
    said: list[str] = []
    for folder, part in parts.items():
        if part is None:
            said.append(f"{folder.name} is neither train, valid nor test beside those that are, and was passed over.")
            continue
        listed, more = classes_of(folder, part)
        found += listed
        said += more
    learnt = {one.label for one in found if one.part == "train"}
    strange = sorted({one.label for one in found} - learnt)
    if strange:
        raise UserError(f"{named(strange)}: not in train, but in another part; allowed: classes that can be learnt.")
    return found, said


def classes_of(path: Path, part: str | None) -> tuple[list[Listed], list[str]]:
    """Take each folder as a class, with all pictures under it."""
    found: list[Listed] = []
    said: list[str] = []
    empty: list[str] = []
    others = 0
    for folder in folders(path):
        pictures = []
        for file in walk(folder):
            if file.suffix.lower() in SUFFIXES:
                pictures.append(Listed(file, folder.name, part))
            else:
                others += 1
        found += pictures
        if not pictures:
            empty.append(folder.name)
    where = f"in {path.name}: " if part else ""
    if empty:
        said.append(f"{where}{named(empty)}: no pictures, no class.")
    loose = [file for file in sorted(path.iterdir()) if file.is_file() and file.suffix.lower() in SUFFIXES]
    if loose:
        said.append(f"{where}{plural(len(loose), 'picture')} in no class's folder passed over: {named(names(loose))}.")
    if others:
        said.append(f"{where}{plural(others, 'file')} of other kinds passed over.")
    return found, said


def names(files: list[Path]) -> list[str]:
    """Name files without their folders."""
    return [file.name for file in files]


def folders(path: Path) -> list[Path]:
    """List the folders of a folder, but for hidden ones, in the order of their names."""
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith((".", "__")))


def walk(folder: Path) -> Iterator[Path]:
    """Go through all files under a folder, but for hidden ones; links to folders are not followed round."""
    for root, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


def from_table(path: Path, *, labelled: bool = True) -> tuple[list[Listed], list[str]]:
    """Read a table that names a file and, if labelled, a class in each row, and a part where it has such a column."""
    records = read_records(path)
    files = records.columns[column(records, "", ("file", "path", "filename", "image", "picture"), "file")]
    label = column(records, "", ("label", "class", "target", "category"), "label") if labelled else ""
    labels = records.columns[label] if label else [""] * len(files)
    listed, missing, blank = [], [], 0
    for name, what, part in zip(files, labels, given_parts(records), strict=True):
        where = path.parent / name
        if not name or (labelled and not what):
            blank += 1
        elif not is_there(where):
            missing.append(name)
        else:
            listed.append(Listed(where, what, part))
    said = list(records.said)
    if missing:
        said.append(f"{plural(len(missing), 'file')} of {path.name} not there and left out: {named(missing)}.")
    if blank:
        without = "a file or a label" if labelled else "a file"
        said.append(f"{plural(blank, 'row')} of {path.name} without {without} left out.")
    if not labelled and not listed:
        raise UserError(f"{path.name} names no picture that is there; allowed: files beside it, by their paths.")
    return listed, said


def is_there(file: Path) -> bool:
    """Say whether a file is there; a name that no file can have is not."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def written(file: Path) -> tuple[int, int]:
    """Say when a file was last written and how long it is: a file for which both are the same is the same."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
