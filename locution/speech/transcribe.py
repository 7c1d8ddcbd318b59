"""Transcription: sound files in, text out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locution.errors import LocutionError, UserError
from locution.speech import decode_av
from locution.speech.audio import SAMPLE_RATE, Audio, Samples, read_audio
from locution.speech.encode import encode_clips
from locution.speech.generate import write_all
from locution.speech.recogniser import Recogniser

ENDINGS = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64", ".rf64"),
    *decode_av.ENDINGS,
)
LONGEST = 20.0  # seconds that are written down at a time
BRIEFEST = 0.1  # seconds; nothing can be said in less


@dataclass(frozen=True)
class Transcript:
    """What was said in one file: its text, its length in seconds, a note where something was odd, or an
    error.

    >>> print(Transcript("a.wav", "turn it off", 1.5))
    a.wav: turn it off
    """

    path: str
    text: str = ""
    seconds: float = 0.0
    note: str = ""
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return f"error: {self.error}"
        return f"{self.path}: {self.text}" + (f"  ({self.note})" if self.note else "")


def sound_files(paths: Iterable[str | Path]) -> list[Path]:
    """List the files that are meant: files as they are named, and of each folder all sound files in it.

    Raises UserError for a folder without one.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        if not inside:
            raise UserError(f"{path}: holds no sound file; allowed: {', '.join(ENDINGS)}.")
        found += inside
    return found


def pieces(samples: Samples, longest: float = LONGEST) -> list[Samples]:
    """Cut a long recording into pieces of at most `longest` seconds, each cut at the quietest place near its
    end.

    >>> [len(piece) / 16000 for piece in pieces(np.ones(16000 * 25, np.float32), longest=20.0)]
    [14.05, 10.95]
    """
    size, window, cuts = int(longest * SAMPLE_RATE), SAMPLE_RATE // 10, [0]
    while len(samples) - cuts[-1] > size:
        start = cuts[-1] + int(0.7 * size)
        tail = samples[start : cuts[-1] + size]
        loudness = np.square(tail[: len(tail) // window * window], dtype=np.float64).reshape(-1, window).sum(1)
        cuts.append(start + int(loudness.argmin()) * window + window // 2)
    return [samples[a:b] for a, b in zip(cuts, [*cuts[1:], len(samples)], strict=True)]


def transcribe(recogniser: Recogniser, paths: Sequence[str | Path], *, batch_size: int = 32) -> list[Transcript]:
    """Transcription writes down what is said in sound files of any format, rate and length.

    `paths` name files or folders. A file that cannot be heard gets its error and the others are still
    written; silence is nothing, with a note. The answers come in the files' order.

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section
    4.5 (long recordings in pieces).
    """
    return transcripts(paths, lambda audios: write_audio(recogniser, audios, batch_size=batch_size))


def transcripts(
    paths: Sequence[str | Path], write: Callable[[Sequence[Audio]], list[tuple[str, str]]]
) -> list[Transcript]:
    """Read sound files, let `write` put down those that hold something, and name those that cannot be heard.

    write(recordings) gives for each its text and a note.
    """
    files, answers = sound_files(paths), {}
    heard: list[tuple[int, Audio]] = []
    for number, path in enumerate(files):
        try:
            audio = read_audio(path)
        except LocutionError as error:
            answers[number] = Transcript(str(path), error=str(error))
            continue
        note = "silence" if audio.silent else "too short to say anything" if audio.seconds < BRIEFEST else ""
        answers[number] = Transcript(str(path), "", audio.seconds, note)
        if not note:
            heard.append((number, audio))
    texts = write([audio for _, audio in heard])
    for (number, audio), (text, note) in zip(heard, texts, strict=True):
        answers[number] = Transcript(str(files[number]), text, audio.seconds, note)
    return [answers[number] for number in range(len(files))]


def spell_audio(encoder: Any, audios: Sequence[Audio]) -> list[tuple[str, str]]:
    """Write down recordings with an encoder alone, by its own CTC head: for each its text, and no note."""
    from locution.speech.judge import encoder_alone

    parts = [(row, piece) for row, audio in enumerate(audios) for piece in pieces(audio.samples)]
    frames = dict(encode_clips(encoder, lambda i: parts[i][1], [len(piece) / SAMPLE_RATE for _, piece in parts]))
    spelt = encoder_alone(encoder, [frames[i].float() for i in range(len(parts))]) or []
    texts: list[list[str]] = [[] for _ in audios]
    for (row, _), text in zip(parts, spelt, strict=True):
        texts[row].append(text)
    return [(" ".join(filter(None, text)), "") for text in texts]


def show(answers: Sequence[Transcript], *, as_json: bool = False) -> int:
    """Print transcripts, those that failed to standard error; returns the exit code, 1 if one failed.

    >>> show([Transcript("a.wav", "turn it off", 1.5)])
    a.wav: turn it off
    0
    """
    for one in answers:
        if as_json:
            print(json.dumps(vars(one), ensure_ascii=False))
        else:
            print(one, file=sys.stderr if one.error else sys.stdout)
    return int(any(one.error for one in answers))


def write_audio(recogniser: Recogniser, audios: Sequence[Audio], *, batch_size: int = 32) -> list[tuple[str, str]]:
    """Write down recordings: for each its text, and a note where the language model had to be stopped."""
    parts = [(row, piece) for row, audio in enumerate(audios) for piece in pieces(audio.samples)]
    parts = [(row, piece) for row, piece in parts if not Audio(piece).silent]
    seconds = [len(piece) / SAMPLE_RATE for _, piece in parts]
    encoder: Any = recogniser.encoder
    frames = dict(encode_clips(encoder, lambda i: parts[i][1], seconds))
    written = write_all(recogniser, [frames[i].float() for i in range(len(parts))], batch_size=batch_size)
    texts: list[list[str]] = [[] for _ in audios]
    stopped: list[set[str]] = [set() for _ in audios]
    for (row, _), one in zip(parts, written, strict=True):
        texts[row].append(one.text)
        stopped[row].add(one.stopped)
    notes = {
        "loop": "it began to repeat itself and was stopped",
        "limit": "it wrote too much and was stopped",
    }
    return [
        (" ".join(filter(None, text)), "; ".join(notes[why] for why in sorted(whys - {"end"})))
        for text, whys in zip(texts, stopped, strict=True)
    ]
