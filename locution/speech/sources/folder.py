"""A folder of recordings: each with its own text beside it, or all in one list."""

from __future__ import annotations

import re
from pathlib import Path

from locution.errors import UserError
from locution.speech.manifest import Clip
from locution.speech.sources.found import SOUND, Found, read_text, resolve, sound_files, split_named

LISTS = ("transcripts.txt", "transcript.txt", "transcription.txt", "transcriptions.txt", "text.txt", "text")
TEXTS = (".txt", ".lab")


def read_pairs(folder: Path) -> Found:
    """A folder of pairs holds a.wav with what is said in a.txt beside it, and so on, in folders of any depth.

    A sound without a text, and a text without a sound, are kept: checking the data lists them. Folders called train,
    dev or test give the splits.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for name, held in (("a.wav", ""), ("a.txt", "hello"), ("b.wav", "")):
    ...         _ = Path(home, name).write_text(held)
    ...     [(clip.path.name, clip.text) for clip in read_pairs(Path(home)).clips]
    [('a.wav', 'hello'), ('b.wav', '')]

    Reference: K. Ito and L. Johnson, 2017, "The LJ Speech Dataset" (a folder of recordings with their texts).
    """
    sounds = sound_files(folder)
    if not sounds:
        kinds = ", ".join(SOUND[:4])
        raise UserError(f"{folder}: holds no recordings; allowed: sound files ({kinds} and the like) with transcripts.")
    clips, said = [], set()
    for path in sounds:
        texts = [text for end in TEXTS if (text := path.with_suffix(end)).is_file()]
        said.update(texts)
        words = " ".join(read_text(texts[0]).split()) if texts else ""
        clips.append(Clip(path, words, "", 0.0, split_above(path, folder)))
    if not said:
        raise UserError(
            f"{folder}: {len(sounds)} recordings ({sounds[0].name} and the like) came without a transcript; "
            "allowed: a.txt beside a.wav, a table with the columns path and text, or transcripts.txt."
        )
    lonely = {
        path for path in folder.rglob("*.txt") if path not in said and not re.match(r"(?i)readme|licen", path.name)
    }
    clips += [
        Clip(path.with_suffix(sounds[0].suffix), " ".join(read_text(path).split()), "", 0.0, split_above(path, folder))
        for path in sorted(lonely)
    ]
    return Found(tuple(clips), "folder of recordings with a text each")


def split_above(path: Path, folder: Path) -> str:
    """Say the split that the folders above a file are named after; nothing if there is none."""
    names = path.relative_to(folder).parts[:-1]
    return next((split for name in names if (split := split_named(name))), "")


def read_list(path: Path) -> Found:
    """Read one list of all transcripts: in each line a file's name, with or without ending, then what is said.

    Name and text are parted by a tab, a bar or a space. Recordings that the list leaves out have no text.
    """
    folder, clips, wrong = path.parent, [], []
    sounds = sound_files(path.parent)
    known = {sound.stem: sound for sound in sounds}
    listed: set[Path] = set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        parts = re.split(r"[\t|]", line.strip()) if re.search(r"[\t|]", line) else line.split(None, 1)
        name, text = parts[0].strip(), parts[-1].strip() if len(parts) > 1 else ""  # the last: numbers spelt out
        sound = resolve(name, folder)
        sound = sound if sound.is_file() else known.get(Path(name).stem, sound)
        if sound in listed:
            wrong.append(f"line {number}: names {name} again; allowed: once")
            continue
        listed.add(sound)
        clips.append(Clip(sound, text, "", 0.0, split_above(sound, folder) if sound.is_file() else ""))
    clips += [Clip(sound, "", "", 0.0, split_above(sound, folder)) for sound in sounds if sound not in listed]
    return Found(tuple(clips), f"folder of recordings with {path.name}", tuple(wrong))
