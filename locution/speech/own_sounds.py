"""One's own recordings as sound: whatever files there are, parted so that no recording stands in two parts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from locution.data.own.parts import NAMES, into_parts, part_named, plural, without_copies
from locution.errors import LocutionError, UserError
from locution.speech.audio import read_audio
from locution.speech.mu_law import mu_law
from locution.speech.sources.folder import split_above
from locution.speech.sources.found import SOUND, listed, sound_files

RATE = 8000  # samples a second: what a telephone carries
FEWEST = 3  # recordings that can be parted whole, one for each part


def sound_of(text: str | Path) -> Tensor:
    """Read a sound file as mu-law numbers at 8 kHz: (T,)."""
    return mu_law(torch.from_numpy(read_audio(text, rate=RATE).samples))


def own_sounds(path: str, shares: tuple[float, float], seed: int) -> tuple[dict[str, list[Tensor]], list[str]]:
    """Read all recordings of a folder, or one file, as mu-law numbers, and part them: train, development, test.

    Folders named train, dev or test give the parts; what is not given is drawn by `shares` (of development and test),
    recording by recording. Of one or two recordings each is parted in time instead, what is judged by last. Exact
    copies, and files that cannot be heard, are left out and named.

    Returns the sounds of each part, (T_i,) each, and what was decided, a line each. Raises UserError where there is
    nothing to hear.

    >>> own_sounds("no/such/folder", (0.15, 0.15), seed=0)
    Traceback (most recent call last):
    locution.errors.UserError: no/such/folder: no such file or folder; allowed: sound files (.wav, .flac, .mp3, .ogg ...
    """
    place = Path(path).expanduser()
    heard, said = recordings(place)
    given = [part_named(split_above(file, place)) if place.is_dir() else None for file, _ in heard]
    keys = [codes.to(torch.uint8).numpy().tobytes() for _, codes in heard]
    rows, copies = without_copies(keys, [0] * len(keys), given, "recording")
    sounds, known = [heard[row][1] for row in rows], [given[row] for row in rows]
    said += copies
    if len(sounds) < FEWEST and not any(known):
        said.append(f"{plural(len(sounds), 'recording')}, each parted in time: its last part is judged by.")
        return in_time(sounds, shares), said
    places, drawn = into_parts(torch.zeros(len(sounds)).long(), known, shares, seed, sorted_out=False)
    return {part: [sounds[row] for row in places[part].tolist()] for part in NAMES}, [*said, *drawn]


def recordings(place: Path) -> tuple[list[tuple[Path, Tensor]], list[str]]:
    """Read what can be heard at a place, and say of what cannot how much it is."""
    kinds = f"sound files ({', '.join(SOUND[:4])} and the like), or a folder of them"
    if not place.exists():
        raise UserError(f"{place}: no such file or folder; allowed: {kinds}.")
    files = sound_files(place) if place.is_dir() else [place]
    heard, wrong = [], []
    for file in files:
        try:
            heard.append((file, sound_of(file)))
        except LocutionError as error:
            wrong.append(str(error))
    if not heard:
        why = f": {wrong[0]}" if wrong else ""
        raise UserError(f"{place}: holds no sound that can be read{why}; allowed: {kinds}.")
    if wrong:
        return heard, [f"{plural(len(wrong), 'file')} could not be heard and left out: {listed(wrong, 2)}"]
    return heard, []


def in_time(sounds: list[Tensor], shares: tuple[float, float]) -> dict[str, list[Tensor]]:
    """Cut each sound in three, one after another: to learn from, to tune on, to be judged by.

    >>> in_time([torch.arange(10)], (0.2, 0.3))
    {'train': [tensor([0, 1, 2, 3, 4])], 'development': [tensor([5, 6])], 'test': [tensor([7, 8, 9])]}
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in NAMES}
    for sound in sounds:
        ends = [round(len(sound) * share) for share in (1 - shares[0] - shares[1], 1 - shares[1])]
        for name, piece in zip(NAMES, sound.tensor_split(ends), strict=True):
            parts[name].append(piece)
    return parts
