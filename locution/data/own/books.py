"""One's own texts for a language model: files of running text, each whole or, where it is long, in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from locution.data.own.parts import part_named, plural
from locution.data.own.picture_files import folders, walk
from locution.data.own.records import read_records
from locution.data.own.text_files import text_column
from locution.data.own.words import TABLES, read_text
from locution.errors import UserError

SUFFIXES = (".txt", ".text", ".md", ".rst")
LAID_OUT = "a text file, a folder of .txt, .md or .rst files, or a table with a column of texts"
PIECES, LEAST = 50, 1000  # a text of more than so many letters, and more than a fiftieth of all, is cut into pieces
BORDERS = ("\n\n", "\n", ". ", " ")  # where a text is best cut


@dataclass(frozen=True)
class Books:
    """Running texts by name, and the part of the data that each was given to, if it was; `said` tells what was done."""

    texts: dict[str, str]
    parts: dict[str, str]
    said: tuple[str, ...] = ()


def find_books(path: Path) -> Books:
    """Read the text files of a folder, one file, or the texts of a table; raises UserError where there are none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("To be or not to be.")
    ...     find_books(Path(folder)).texts
    {'a.txt': 'To be or not to be.'}
    """
    if not path.exists():
        raise UserError(f"data.path is '{path}', which is not there; allowed: {LAID_OUT}.")
    texts, parts, said = of_folder(path) if path.is_dir() else of_file(path)
    texts = {name: text for name, text in texts.items() if text.strip()}
    if not texts:
        raise UserError(f"'{path}' holds no text; allowed: {LAID_OUT}.")
    size = max(LEAST, sum(map(len, texts.values())) // PIECES)
    cut: dict[str, str] = {}
    given: dict[str, str] = {}
    for name, text in texts.items():
        several = pieces(text, size)
        for number, piece in enumerate(several, 1):
            title = name if len(several) == 1 else f"{name}, piece {number}"
            cut[title] = piece
            given |= {title: parts[name]} if name in parts else {}
    letters = f"{plural(len(texts), 'text')} of {sum(map(len, texts.values())):,} letters in all"
    many = f"; the longer ones are cut into {size:,} letters each, about, {len(cut):,} pieces" * (len(cut) > len(texts))
    return Books(cut, given, (*said, f"{letters}{many}."))


def of_folder(path: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Read the text files under a folder; those under train, valid and test are of these parts."""
    named = {folder: part_named(folder.name) for folder in folders(path)}
    given = "train" in named.values()
    places = [(folder, part) for folder, part in named.items() if part] if given else [(path, None)]
    texts: dict[str, str] = {}
    parts: dict[str, str] = {}
    others = 0
    for place, part in places:
        for file in walk(place):
            if file.suffix.lower() not in SUFFIXES:
                others += 1
                continue
            name = file.relative_to(path).as_posix()
            texts[name] = read_text(file)
            parts |= {name: part} if part else {}
    return texts, parts, [f"{plural(others, 'file')} of other kinds passed over."] if others else []


def of_file(path: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Read one text file, or the texts of a table."""
    if path.suffix.lower() not in TABLES:
        return {path.name: read_text(path)}, {}, []
    records = read_records(path)
    told = text_column(records, "", "")
    texts = {f"row {row}": text for row, text in enumerate(records.columns[told], 1)}
    return texts, {}, [*records.said, f"text is the column '{told}'."]


def pieces(text: str, size: int) -> list[str]:
    """Cut a text into pieces of a size at most, behind a paragraph if one ends in the second half of a piece, else
    behind a line, a sentence or a word.

    >>> pieces("One. Two and\\n\\nthree", 14), pieces("abcdef", 4)
    (['One. Two and\\n\\n', 'three'], ['abcd', 'ef'])
    """
    found, at = [], 0
    while len(text) - at > size:
        half = at + size // 2
        ends = (text.rfind(border, half, at + size) + len(border) for border in BORDERS)
        end = next((one for one in ends if one > half), at + size)
        found.append(text[at:end])
        at = end
    return [*found, text[at:]]
