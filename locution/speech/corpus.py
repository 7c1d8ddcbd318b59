"""A speech corpus made by synthesis: real sound files with a manifest, the same ones every time."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from locution.engine.durable import disk_errors
from locution.errors import require, unknown
from locution.speech.audio import write_flac
from locution.speech.cache import cache_folder
from locution.speech.extra_sets import EVERYDAY, everyday_sentences, roughened, write_everyday, write_silences
from locution.speech.kept import aside, publish, use
from locution.speech.kinds import check_kinds
from locution.speech.manifest import MANIFEST, Clip, read_manifest, write_manifest
from locution.speech.sentences import KINDS, SPLITS, sentence
from locution.speech.synthesis import SAMPLE_RATE, Utterance, draw_utterance, speak

FORMAT = 4  # raised whenever the same settings give other files
GROUPS = {"everyday": "everyday grammar"}  # "everyday" alone names the sentences written by hand
MARKER, DESCRIBED = "corpus.json", "settings.json"
SHARD = 200  # utterances a process: fixed, because it is what makes the samples repeatable


@dataclass(frozen=True)
class CorpusSettings:
    """What a corpus holds: how many utterances to train, to develop and to test on; of which kinds; the seed.

    `kind` is what is said; `kinds` mixes several by their shares instead. `everyday` counts the sentences written by
    hand for testing, each there clean and with noise; `silence` is the share of training clips of mere noise; `rough`
    that of the other training clips which begin and end in silence, and that of those which have noise under them.

    >>> CorpusSettings(test=0)
    Traceback (most recent call last):
    locution.errors.UserError: test is 0; allowed: a whole number from 1.
    >>> CorpusSettings(kinds={"commands": 3, "everyday": 1}).shares()
    {'commands': 0.75, 'everyday': 0.25}
    """

    train: int = 3500
    dev: int = 300
    test: int = 600
    kind: str = "commands"
    seed: int = 0
    kinds: dict[str, float] | None = None
    everyday: int = EVERYDAY
    silence: float = 0.02
    rough: float = 0.4

    def __post_init__(self) -> None:
        for split in SPLITS:
            require(getattr(self, split) >= 1, split, getattr(self, split), "a whole number from 1")
        require(0 <= self.everyday <= EVERYDAY, "everyday", self.everyday, f"a whole number from 0 to {EVERYDAY}")
        require(0 <= self.silence < 1, "silence", self.silence, "a share from 0 to below 1, usually 0.02")
        require(0 <= self.rough <= 1, "rough", self.rough, "a share from 0 to 1, usually 0.4")
        if self.kind not in KINDS:
            raise unknown("kind of sentence", self.kind, KINDS)
        check_kinds(self.kinds or {self.kind: 1}, "kinds")

    def shares(self) -> dict[str, float]:
        """Say which share of the sentences is of which kind."""
        kinds = self.kinds or {self.kind: 1.0}
        return {kind: share / sum(kinds.values()) for kind, share in sorted(kinds.items()) if share}

    def silences(self) -> int:
        """Count the training clips of mere noise: `silence` of all training clips, rounded."""
        return round(self.train * self.silence / (1 - self.silence))

    def key(self) -> str:
        """Name the corpus by what it holds."""
        held = asdict(self) | {"kind": "", "kinds": self.shares()}
        described = json.dumps([FORMAT, SHARD, held], sort_keys=True)
        return hashlib.blake2b(described.encode(), digest_size=8).hexdigest()


def requests(settings: CorpusSettings, split: str) -> list[tuple[Utterance, str]]:
    """Write the utterances of a split and say of which kind each is: no sentence twice, voices of that split.

    Sentences that are written by hand for testing are left to that.

    >>> few = requests(CorpusSettings(test=3), "test")
    >>> len({utterance.text for utterance, _ in few}), {kind for _, kind in few}
    (3, {'commands'})
    """
    wanted, index = getattr(settings, split), 0
    shares, by_hand = settings.shares(), set(everyday_sentences())
    barren = dict.fromkeys(shares, 0)  # draws of each kind since it last gave anything new
    found: dict[str, tuple[int, str]] = {}
    while len(found) < wanted:
        draw = random.Random(f"kind/{settings.seed}/{split}/{index}")
        kind = draw.choices(list(shares), list(shares.values()))[0]
        text = sentence(settings.seed, split, index, kind)
        new = text not in by_hand and found.setdefault(text, (index, kind)) == (index, kind)
        barren[kind] = 0 if new else barren[kind] + 1
        require(barren[kind] < 500, split, wanted, f"fewer utterances of {kind!r}")
        index += 1
    ranked = sorted(found.items(), key=lambda one: KINDS.index(one[1][1]))  # commands first: the headline figure
    return [(draw_utterance(text, split, settings.seed, at), kind) for text, (at, kind) in ranked]


def synthesise_corpus(
    settings: CorpusSettings | None = None,
    folder: str | Path | None = None,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """A synthetic speech corpus is sound files spoken by a program, with a manifest of who says what in each.

    16 kHz FLAC files, a folder a split, and `manifest.jsonl` with text, speaker, seconds, split and group. Of the
    split "test" are the groups "commands" (or what `kinds` says; sentences of the everyday grammar are "everyday
    grammar") and "everyday", "everyday 20 dB", "everyday 10 dB": sentences written by hand, clean and with noise.
    Of the split "train", group "silence", are clips of mere noise with no text.

    `folder`: where to; under the user's cache, named by its settings, if it is not given. A corpus that is
    complete is used as it is; a new one is written aside and renamed, so that it is there whole or not at
    all. `progress` is told (utterances done, of how many). Raises UserError without espeak-ng,
    LocutionError on a full disk.

    Returns the folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = synthesise_corpus(CorpusSettings(train=1, dev=1, test=1, everyday=0), f"{home}/corpus")
    ...     [clip.path.name for clip in read_manifest(folder)]
    ['00000.flac', '00000.flac', '00000.flac']

    Reference: Rossenbach et al., 2020, "Generating synthetic audio data for attention-based speech
    recognition systems", section 3.
    """
    settings = settings or CorpusSettings()
    home = Path(folder) if folder is not None else cache_folder() / "corpus" / settings.key()
    if complete(home, settings) and use(home):
        return home
    with disk_errors(home), aside(home) as place:
        for split in SPLITS:
            (place / split).mkdir(parents=True)
        clips = speak_all(settings, place, workers, progress)
        write_manifest(place / MANIFEST, clips)
        (place / MARKER).write_text(settings.key())
        (place / DESCRIBED).write_text(json.dumps(asdict(settings)))
        publish(place, home)  # or another process was faster, and its work is as good as ours
    use(home)
    return home


def complete(folder: Path, settings: CorpusSettings) -> bool:
    """Say whether a folder holds this corpus with all its files; anything else that is there is refused."""
    marker = folder / MARKER
    if not folder.exists():
        return False
    ours = marker.is_file() and marker.read_text() == settings.key()
    require(ours, "corpus folder", str(folder), "an empty place, or a corpus of the same settings")
    read_manifest(folder)
    return True


def speak_all(
    settings: CorpusSettings, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> list[Clip]:
    """Speak and write every split and every extra set, shard by shard, each shard in a process of its own."""
    jobs: list[Callable[[], list[Clip]]] = []
    for split in SPLITS:
        wanted = requests(settings, split)
        for start in range(0, len(wanted), SHARD):
            rough = settings.rough if split == "train" else 0.0
            jobs.append(partial(write_shard, folder, split, start, wanted[start : start + SHARD], rough, settings.seed))
    for start in range(0, settings.everyday, SHARD):
        rows = range(start, min(start + SHARD, settings.everyday))
        jobs.append(partial(write_everyday, folder, rows, settings.seed))
    if settings.silences():
        jobs.append(partial(write_silences, folder, settings.silences(), settings.seed))
    total = sum(getattr(settings, split) for split in SPLITS) + 3 * settings.everyday + settings.silences()
    clips: list[Clip] = []
    with ThreadPoolExecutor(workers) as pool:  # the threads wait for their processes, and write the files
        for part in pool.map(lambda job: job(), jobs):
            clips += part
            if progress is not None:
                progress(len(clips), total)
    return clips


def write_shard(
    folder: Path, split: str, start: int, wanted: list[tuple[Utterance, str]], rough: float = 0.0, seed: int = 0
) -> list[Clip]:
    """Speak one shard and write its sound files, a share of them as a room would have it."""
    clips = []
    waveforms = speak([utterance for utterance, _ in wanted])
    for number, ((utterance, kind), wave) in enumerate(zip(wanted, waveforms, strict=True), start):
        path = folder / split / f"{number:05d}.flac"
        samples = roughened((wave / 32768).astype(np.float32), rough, number, seed)
        write_flac(path, samples)
        seconds = round(len(samples) / SAMPLE_RATE, 3)
        group = GROUPS.get(kind, kind)
        clips.append(Clip(path, utterance.text, utterance.voice, seconds, split, group))
    return clips
