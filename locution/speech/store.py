"""A store of spoken sentences as log-mel powers: made once by synthesis, read for ever from disk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from locution.errors import UserError, require
from locution.speech.kept import aside, publish, use
from locution.speech.logmel import powers
from locution.speech.sentences import sentence
from locution.speech.synthesis import Utterance, draw_utterance, speak

SHARD = 1000  # utterances a process: fixed, because it is what makes the samples repeatable
KIND_SHARES = {"commands": 0.5, "everyday": 0.46, "prose": 0.04}


@dataclass(frozen=True)
class StoreSettings:
    """What a store holds: how many utterances of which split, of which kinds (shares), from which seed.

    `joined` is the share of clips of two to four sentences with pauses between: long clips for short
    memories.

    >>> StoreSettings(utterances=1000, split="test", kinds={"commands": 1.0}).joined
    0.1
    """

    utterances: int = 100_000
    split: str = "train"
    kinds: dict[str, float] | None = None
    joined: float = 0.1
    seed: int = 0
    n_mels: int = 80

    def __post_init__(self) -> None:
        require(self.utterances >= 1, "utterances", self.utterances, "a whole number from 1")
        require(0 <= self.joined <= 1, "joined", self.joined, "a share from 0 to 1")


def request(settings: StoreSettings, index: int) -> tuple[Utterance, str]:
    """Write utterance number `index` of a store: what is spoken (with pauses), and the text that it says.

    >>> spoken, text = request(StoreSettings(joined=1.0), 0)
    >>> spoken.text.replace(".", "") == text, ". " in spoken.text
    (True, True)
    """
    draw = random.Random(f"store/{settings.seed}/{settings.split}/{index}")
    shares = settings.kinds or KIND_SHARES
    kind = draw.choices(list(shares), list(shares.values()))[0]
    count = draw.randint(2, 4) if draw.random() < settings.joined else 1
    parts = [sentence(settings.seed, settings.split, 4 * index + part, kind) for part in range(count)]
    return draw_utterance(". ".join(parts), settings.split, settings.seed, index), " ".join(parts)


def write_shard(settings: StoreSettings, folder: Path, shard: int) -> int:
    """Speak one shard and write its frames (float16), lengths, texts and voices; count its frames."""
    numbers = range(shard * SHARD, min((shard + 1) * SHARD, settings.utterances))
    requests = [request(settings, index) for index in numbers]
    waveforms = speak([spoken for spoken, _ in requests])
    mels = [powers(torch.from_numpy(wave.astype(np.float32) / 32768), settings.n_mels) for wave in waveforms]
    np.save(folder / f"{shard:05d}.npy", torch.cat(mels).to(torch.float16).numpy())
    entries = [
        {"text": text, "speaker": spoken.voice, "frames": len(mel)}
        for (spoken, text), mel in zip(requests, mels, strict=True)
    ]
    (folder / f"{shard:05d}.json").write_text(json.dumps(entries))
    return sum(len(mel) for mel in mels)


def build_store(
    settings: StoreSettings,
    folder: Path,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Synthesise a store into a folder, written aside and renamed; the same store, if there, is kept.

    `progress` is told (utterances done, of how many). Raises UserError where the folder holds another store.
    """
    described = json.dumps(asdict(settings), sort_keys=True)
    marker = folder / "settings.json"
    if marker.exists():
        if marker.read_text() != described:
            raise UserError(f"{folder} holds another store; allowed: an empty folder, or the same settings.")
        if use(folder):
            return folder
    with aside(folder) as place:
        shards = range(-(-settings.utterances // SHARD))
        with ThreadPoolExecutor(workers) as pool:  # the threads only wait: each shard speaks in its own process
            for done, _ in enumerate(pool.map(lambda shard: write_shard(settings, place, shard), shards), 1):
                if progress is not None:
                    progress(min(done * SHARD, settings.utterances), settings.utterances)
        (place / "settings.json").write_text(described)
        publish(place, folder)  # or another process was faster
    use(folder)
    return folder


class Store:
    """A store opened for reading: `mel(i)` gives the log10 powers of clip i, `texts[i]` what it says."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "settings.json").exists():
            raise UserError(f"{folder} is no store of spoken sentences; make one with build_store.")
        self.texts: list[str] = []
        self.speakers: list[str] = []
        self.places: list[tuple[int, int, int]] = []  # (shard, first frame, behind the last frame)
        self.shards = []
        for number, path in enumerate(sorted(folder.glob("?????.npy"))):
            self.shards.append(np.load(path, mmap_mode="r"))
            start = 0
            for entry in json.loads(path.with_suffix(".json").read_text()):
                self.texts.append(entry["text"])
                self.speakers.append(entry["speaker"])
                self.places.append((number, start, start + entry["frames"]))
                start += entry["frames"]
        self.frames = torch.tensor([stop - start for _, start, stop in self.places])

    def __len__(self) -> int:
        return len(self.texts)

    def mel(self, index: int) -> Tensor:
        """Read one clip: (frames, n_mels), log10 powers, float32, not yet scaled."""
        shard, start, stop = self.places[index]
        return torch.from_numpy(self.shards[shard][start:stop].astype(np.float32))
