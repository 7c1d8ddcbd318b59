"""A speech corpus made by synthesis: real sound files with a manifest, the same ones every time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from locution.engine.durable import disk_errors
from locution.errors import require, unknown
from locution.speech.audio import write_flac
from locution.speech.cache import cache_folder
from locution.speech.manifest import MANIFEST, Clip, read_manifest, write_manifest
from locution.speech.sentences import KINDS, SPLITS, sentence
from locution.speech.synthesis import SAMPLE_RATE, Utterance, draw_utterance, speak

FORMAT = 2  # raised whenever the same settings give other files
SHARD = 200  # utterances a process: fixed, because it is what makes the samples repeatable


@dataclass(frozen=True)
class CorpusSettings:
    """What a corpus holds: how many utterances to train, to develop and to test on; of which kind; the seed.

    >>> CorpusSettings(test=0)
    Traceback (most recent call last):
    locution.errors.UserError: test is 0; allowed: a whole number from 1.
    """

    train: int = 3500
    dev: int = 300
    test: int = 600
    kind: str = "commands"
    seed: int = 0

    def __post_init__(self) -> None:
        for split in SPLITS:
            require(getattr(self, split) >= 1, split, getattr(self, split), "a whole number from 1")
        if self.kind not in KINDS:
            raise unknown("kind of sentence", self.kind, KINDS)

    def key(self) -> str:
        """Name the corpus by what it holds."""
        described = json.dumps([FORMAT, SHARD, asdict(self)], sort_keys=True)
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()


def requests(settings: CorpusSettings, split: str) -> list[Utterance]:
    """Write the utterances of a split: no sentence twice, each with a voice of that split.

    >>> few = requests(CorpusSettings(test=3), "test")
    >>> len({utterance.text for utterance in few})
    3
    """
    wanted, index, last = getattr(settings, split), 0, 0
    texts: dict[str, int] = {}
    while len(texts) < wanted:
        text = sentence(settings.seed, split, index, settings.kind)
        if texts.setdefault(text, index) == index:
            last = index
        require(index < last + 500, split, wanted, f"fewer utterances of {settings.kind!r}")
        index += 1
    return [draw_utterance(text, split, settings.seed, index) for text, index in texts.items()]


def synthesise_corpus(
    settings: CorpusSettings | None = None,
    folder: str | Path | None = None,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """A synthetic speech corpus is sound files spoken by a program, with a manifest of who says what in each.

    16 kHz FLAC files, a folder a split, and `manifest.jsonl` with text, speaker, seconds and split.

    `folder`: where to; under the user's cache, named by its settings, if it is not given. A corpus that is
    complete is used as it is; a new one is written aside and renamed, so that it is there whole or not at
    all. `progress` is told (utterances done, of how many). Raises UserError without espeak-ng,
    LocutionError on a full disk.

    Returns the folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = synthesise_corpus(CorpusSettings(train=1, dev=1, test=1), f"{home}/corpus")
    ...     [clip.path.name for clip in read_manifest(folder)]
    ['00000.flac', '00000.flac', '00000.flac']

    Reference: Rossenbach et al., 2020, "Generating synthetic audio data for attention-based speech
    recognition systems", section 3.
    """
    settings = settings or CorpusSettings()
    home = Path(folder) if folder is not None else cache_folder() / "corpus" / settings.key()
    if complete(home, settings):
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    aside = home.with_name(f"{home.name}.{os.getpid()}.part")
    try:
        with disk_errors(aside):
            for split in SPLITS:
                (aside / split).mkdir(parents=True)
            clips = speak_all(settings, aside, workers, progress)
            write_manifest(aside / MANIFEST, clips)
            (aside / "corpus.json").write_text(settings.key())
            if not complete(home, settings):  # another process may have been faster
                aside.rename(home)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return home


def complete(folder: Path, settings: CorpusSettings) -> bool:
    """Say whether a folder holds this corpus with all its files; anything else that is there is refused."""
    marker = folder / "corpus.json"
    if not folder.exists():
        return False
    ours = marker.is_file() and marker.read_text() == settings.key()
    require(ours, "corpus folder", str(folder), "an empty place, or a corpus of the same settings")
    read_manifest(folder)
    return True


def speak_all(
    settings: CorpusSettings, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> list[Clip]:
    """Speak and write every split, shard by shard, each shard in a process of its own."""
    wanted = [(split, requests(settings, split)) for split in SPLITS]
    shards = [
        (split, start, utterances[start : start + SHARD])
        for split, utterances in wanted
        for start in range(0, len(utterances), SHARD)
    ]
    total = sum(len(utterances) for _, utterances in wanted)
    clips: list[Clip] = []
    with ThreadPoolExecutor(workers) as pool:  # the threads wait for their processes, and write the files
        for part in pool.map(lambda shard: write_shard(folder, *shard), shards):
            clips += part
            if progress is not None:
                progress(len(clips), total)
    return clips


def write_shard(folder: Path, split: str, start: int, utterances: list[Utterance]) -> list[Clip]:
    """Speak one shard and write its sound files."""
    clips = []
    for number, (utterance, samples) in enumerate(zip(utterances, speak(utterances), strict=True), start):
        path = folder / split / f"{number:05d}.flac"
        write_flac(path, (samples / 32768).astype(np.float32))
        seconds = round(len(samples) / SAMPLE_RATE, 3)
        clips.append(Clip(path, utterance.text, utterance.voice, seconds, split))
    return clips
