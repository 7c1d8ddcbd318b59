"""Datasets of the Hugging Face library `datasets`: saved to disk, or streamed by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from locution.errors import UserError
from locution.speech.manifest import MANIFEST, Clip, read_manifest, write_manifest
from locution.speech.sources.found import SOUND, Found, listed, split_named
from locution.speech.sources.table import columns

HUB = "hf:"
FORMAT = 1
DATASET, DATASETS = "state.json", "dataset_dict.json"


def library() -> Any:
    """Import `datasets`, or say how to install it."""
    try:
        import datasets
    except ImportError as error:
        raise UserError("datasets of Hugging Face need an extra: pip install 'locution[datasets]'.") from error
    return datasets


def saved(folder: Path) -> bool:
    """Say whether a folder is what `save_to_disk` writes."""
    return (folder / DATASETS).is_file() or (folder / DATASET).is_file()


def content_key(folder: Path) -> str:
    """Name a saved dataset by its state and by the sizes and times of its files."""
    whole = hashlib.blake2b(str(FORMAT).encode(), digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            facts = path.stat()
            whole.update(f"{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def read_saved(folder: Path, told: Callable[[int, int], None] | None = None) -> Found:
    """A saved dataset keeps examples in column files that are mapped into memory; here its sound becomes files.

    What `datasets.load_from_disk` reads: one dataset, or several whose names give the splits. The sound is written
    once into the user's cache, undecoded, and used from there. Raises UserError for columns that are not there.

    Reference: Q. Lhoest et al., 2021, "Datasets: a community library for natural language processing", section 3.
    """
    datasets = library()
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # its own, pyarrow's and json's kinds
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder}: cannot be read as a saved dataset ({why}); allowed: what save_to_disk wrote."
        ) from error
    parts = dict(loaded) if isinstance(loaded, Mapping) else {"": loaded}
    total = sum(len(part) for part in parts.values())
    examples = ((split, row) for split, part in parts.items() for row in undecoded(part, str(folder)))
    return Found(tuple(imported(content_key(folder), examples, total, told)), "Hugging Face dataset saved to disk")


def undecoded(dataset: Any, where: str) -> Iterator[dict[str, Any]]:
    """Go through a dataset's examples as path, text, speaker and so on; sound as the bytes of its file."""
    datasets = library()
    features = dataset.features or {}
    names = columns(features, where) if features else {}
    sound = names.get("path")
    if sound is not None and isinstance(features[sound], datasets.Audio):
        dataset = dataset.cast_column(sound, datasets.Audio(decode=False))
    if names:
        dataset = dataset.select_columns(list(names.values()))
    for row in dataset:
        names = names or columns(row, where)
        yield {kind: row.get(name) for kind, name in names.items()}


def imported(
    key: str, examples: Iterator[tuple[str, dict[str, Any]]], total: int, told: Callable[[int, int], None] | None
) -> list[Clip]:
    """Write examples as sound files with a manifest into the cache, under a key, or take them from there."""
    from locution.speech.cache import cache_folder
    from locution.speech.kept import keep_folder

    def make(folder: Path) -> None:
        clips = []
        for number, (split, example) in enumerate(examples):
            clips.append(write_example(folder, number, split, example))
            if told is not None:
                told(number + 1, total)
        write_manifest(folder / MANIFEST, clips)

    return read_manifest(keep_folder(cache_folder() / "imported" / key, make), allow_missing=True)


def held_out_examples(where: str, counts: Mapping[str, int], told: Callable[[int, int], None] | None = None) -> Found:
    """Take the first so many examples of a stream's dev and test splits as clips, kept in the cache.

    Where the dataset has no such split they are the first of its training split, which training then leaves out
    (`borrowed`). A dataset that changes under its name is not noticed: clear the cache then.
    """
    parts = open_stream(where)

    def examples() -> Iterator[tuple[str, dict[str, Any]]]:
        begun = 0
        for split, count in counts.items():
            own = [name for name in parts if split_named(name) == split]
            for name in own:
                taken = parts[name].take(-(-count // len(own)))
                yield from ((name, row | {"split": split}) for row in undecoded(taken, where))
            if not own:
                first = next(name for name in parts if split_named(name) == "train")
                taken = parts[first].skip(begun).take(count)
                begun += count
                yield from ((split, row | {"split": split, "group": ""}) for row in undecoded(taken, where))

    described = json.dumps([FORMAT, where, dict(counts)], sort_keys=True)
    key = hashlib.blake2b(described.encode(), digest_size=8).hexdigest()
    return Found(tuple(imported(key, examples(), sum(counts.values()), told)), "streamed Hugging Face dataset")


def borrowed(where: str, counts: Mapping[str, int]) -> int:
    """Count the examples at the beginning of the training split that serve as other splits."""
    parts = open_stream(where)
    return sum(count for split, count in counts.items() if not any(split_named(name) == split for name in parts))


def write_example(folder: Path, number: int, split: str, example: Mapping[str, Any]) -> Clip:
    """Write the sound of one example, undecoded; one that lies in a file of its own stays there."""
    sound = example["path"]
    sound = sound if isinstance(sound, Mapping) else {"path": sound}
    name, held = str(sound.get("path") or ""), sound.get("bytes")
    path = Path(name)
    if held is not None:
        ending = path.suffix.lower() if path.suffix.lower() in SOUND else ".wav"
        path = folder / f"{number:07d}{ending}"
        path.write_bytes(held)
    own = str(example.get("split") or "")
    said = example.get("text")
    return Clip(
        path,
        said if isinstance(said, str) else "",
        str(example.get("speaker") if example.get("speaker") is not None else ""),
        0.0,
        split_named(own) or own or split_named(split),
        str(example.get("group") or split),
    )


def hub_name(where: str) -> tuple[str, str | None]:
    """Take a name apart: hf:OWNER/NAME, or hf:OWNER/NAME:CONFIGURATION.

    >>> hub_name("hf:openslr/librispeech_asr:clean"), hub_name("hf:mine")
    (('openslr/librispeech_asr', 'clean'), ('mine', None))
    """
    name, _, configuration = where.removeprefix(HUB).partition(":")
    if not name:
        raise UserError(f"'{where}' names no dataset; allowed: {HUB}OWNER/NAME, or {HUB}OWNER/NAME:CONFIGURATION.")
    return name, configuration or None


def open_stream(where: str) -> dict[str, Any]:
    """Open a dataset by its name for streaming: nothing is downloaded but what is gone through."""
    datasets = library()
    name, configuration = hub_name(where)
    try:
        opened = datasets.load_dataset(name, configuration, streaming=True)
    except Exception as error:  # of many kinds: the network's, the hub's, its own
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{where} cannot be opened ({why}); allowed: the name of a dataset on the hub.") from error
    parts = dict(opened) if isinstance(opened, Mapping) else {"train": opened}
    if not any(split_named(split) == "train" for split in parts):
        raise UserError(f"{where} has the splits {listed(parts)}; allowed: one whose name begins with train.")
    return parts
