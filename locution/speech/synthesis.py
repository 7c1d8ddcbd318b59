"""Speech synthesis: text to waveforms by espeak-ng, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from locution.errors import LocutionError, UserError, unknown

SAMPLE_RATE = 16_000
ACCENTS = (
    "en", "en-us", "en-us-nyc", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd",
)  # fmt: skip
# all that espeak-ng 1.52 brings, but for "fast" (a rate) and one name with a space
VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "AnxiousAndy", "Demonic", "Denis", "Diogo", "Gene",
    "Gene2", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Reed",
    "RicishayMax", "RicishayMax2", "RicishayMax3", "Storm", "Tweaky", "UniRobot", "adam", "anika",
    "anikaRobot", "announcer", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "croak",
    "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave",
    "ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4",
    "klatt5", "klatt6", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel",
    "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "robosoft",
    "robosoft2", "robosoft3", "robosoft4", "robosoft5", "robosoft6", "robosoft7", "robosoft8", "sandro",
    "shelby", "steph", "steph2", "steph3", "travis", "victor", "whisper", "whisperf", "zac",
)  # fmt: skip
Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance to be spoken: its text, its voice (accent+variant), words a minute, pitch 0 to 99.

    >>> Utterance("hello", "en-us+f3", 170, 50).voice
    'en-us+f3'
    """

    text: str
    voice: str
    rate: int = 170
    pitch: int = 50


def voices(split: str) -> list[str]:
    """List the voice variants of a split: the timbres that a test speaks with never speak in training.

    >>> [len(voices(split)) for split in ("train", "dev", "test")], set(voices("train")) & set(voices("test"))
    ([77, 8, 17], set())
    """
    wanted = {"train": range(0, 78), "dev": range(78, 86), "test": range(86, 100)}
    if split not in wanted:
        raise unknown("split", split, wanted)
    shares = {name: hashlib.sha256(name.encode()).digest()[0] * 100 // 256 for name in VARIANTS}
    return [name for name in VARIANTS if shares[name] in wanted[split]]


def draw_utterance(text: str, split: str, seed: int, index: int) -> Utterance:
    """Give a text a voice of its split, an accent, a rate and a pitch, drawn from (seed, split, index).

    >>> draw_utterance("hello", "test", 0, 1) == draw_utterance("hello", "test", 0, 1)
    True
    """
    draw = random.Random(f"voice/{seed}/{split}/{index}")
    voice = f"{draw.choice(ACCENTS)}+{draw.choice(voices(split))}"
    return Utterance(text, voice, draw.randint(130, 205), draw.randint(20, 80))


def speak(utterances: Sequence[Utterance]) -> list[Samples]:
    """Speech synthesis turns text into sound that says it: one waveform an utterance, 16 kHz, int16, mono.

    Every call runs one fresh process, so the same list gives the same samples to the bit (espeak-ng carries
    the state of its noise from one utterance to the next). Raises UserError where espeak-ng is not
    installed.

    >>> waveform = speak([Utterance("hello world", "en+f3")])[0]
    >>> waveform.dtype, 0.4 < len(waveform) / SAMPLE_RATE < 2
    (dtype('int16'), True)

    Reference: Klatt, 1980, "Software for a cascade/parallel formant synthesizer", figure 1 (the kind of
    voice).
    """
    done = subprocess.run(
        [sys.executable, "-m", "locution.speech.espeak"],
        input=json.dumps([asdict(utterance) for utterance in utterances]).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode == 3:
        raise UserError("speech synthesis needs espeak-ng: pip install 'locution[speech]'.")
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise LocutionError(f"espeak-ng ended with code {done.returncode}: {' '.join(last)}")
    return unpack(done.stdout)


def pack(waveforms: Sequence[Samples]) -> bytes:
    """Lay waveforms end to end behind their lengths, for a pipe.

    >>> [w.tolist() for w in unpack(pack([np.array([1, 2], np.int16), np.array([], np.int16)]))]
    [[1, 2], []]
    """
    lengths = np.array([len(waveforms), *map(len, waveforms)], "<i8")
    return lengths.tobytes() + b"".join(waveform.astype("<i2").tobytes() for waveform in waveforms)


def unpack(data: bytes) -> list[Samples]:
    """Take waveforms back out of the bytes that `pack` made."""
    count = int(np.frombuffer(data, "<i8", 1)[0])
    lengths = np.frombuffer(data, "<i8", count, offset=8)
    samples: Any = np.frombuffer(data, "<i2", offset=8 * (count + 1))
    if len(samples) != lengths.sum():
        raise LocutionError(f"the speech process sent {len(samples)} samples of {lengths.sum()}.")
    return [part.astype(np.int16) for part in np.split(samples, np.cumsum(lengths)[:-1])] if count else []
