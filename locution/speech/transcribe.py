"""Transcription: sound files in, text out, piece by piece in bounded memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from locution.errors import LocutionError, UserError, require
from locution.speech import decode_av
from locution.speech.audio import SAMPLE_RATE, SILENT_PEAK, Audio, Samples, audio_blocks
from locution.speech.hear import Heard, cutting_for, spell_audio, write_audio
from locution.speech.recogniser import Recogniser
from locution.speech.subtitles import FORMATS
from locution.speech.token_by_token import Bias
from locution.speech.transcript import Segment, Transcript
from locution.speech.voice_activity import Cutting, Piece, cut_blocks
from locution.speech.word_times import Word

__all__ = ["ENDINGS", "Transcript", "show", "sound_files", "spell_audio", "transcribe", "transcribing", "transcripts"]

ENDINGS = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64", ".rf64"),
    *decode_av.ENDINGS,
)
BRIEFEST = 0.1  # seconds; nothing can be said in less
TOGETHER = 120.0  # seconds of sound that wait to be written down together: 8 MB

Write = Callable[[Sequence[Samples]], list[Heard]]  # pieces of sound to what is said in each


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


def transcribe(recogniser: Recogniser, paths: Sequence[str | Path], *, batch_size: int = 32) -> list[Transcript]:
    """Transcription writes down what is said in sound files of any format, rate and length.

    `paths` name files or folders. A file that cannot be heard gets its error and the others are still
    written; silence is nothing, with a note. The answers come in the files' order.

    >>> from tempfile import TemporaryDirectory
    >>> from locution.speech.audio import write_flac
    >>> from locution.speech.decoder import DecoderConfig, build_decoder
    >>> from locution.speech.projectors import build_projector
    >>> from locution.speech.tokenizer import train_tokenizer
    >>> model = build_decoder(DecoderConfig(width=8, layers=1, heads=1, inner=16))
    >>> recogniser = Recogniser(build_projector("mlp", 6, 8, gain=0.02), model, train_tokenizer())
    >>> with TemporaryDirectory() as folder:
    ...     write_flac(Path(folder) / "a.flac", np.zeros(24000, np.float32))
    ...     for one in transcribe(recogniser, [folder, "none.wav"]):
    ...         print(one.seconds, one.note, one.error)
    1.5 silence
    0.0  none.wav...

    Reference: A. Radford et al., 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", section
    4.5 (long recordings in pieces).
    """
    return list(transcribing(recogniser, paths, batch_size=batch_size))


def transcribing(
    recogniser: Recogniser,
    paths: Sequence[str | Path],
    *,
    batch_size: int = 32,
    bias: Bias | None = None,
    cutting: Cutting | None = None,
) -> Iterator[Transcript]:
    """Transcribe files one after another, each answer as soon as it is there; memory does not grow with their length.

    `bias` draws hotwords; `cutting` says how long recordings are cut, if not as the recogniser was trained.
    """
    require(batch_size >= 1, "batch_size", batch_size, "a whole number from 1")

    def write(pieces: Sequence[Samples]) -> list[Heard]:
        return write_audio(recogniser, pieces, batch_size=batch_size, bias=bias)

    return stream(paths, write, cutting or cutting_for(recogniser.encoder))


def transcripts(paths: Sequence[str | Path], write: Write, cutting: Cutting | None = None) -> list[Transcript]:
    """Read sound files, let `write` put down what is said in their pieces, and name those that cannot be heard."""
    return list(stream(paths, write, cutting or Cutting()))


def worth_writing(piece: Piece) -> bool:
    """Say whether a piece is long and loud enough that anything could be said in it."""
    return piece.seconds >= BRIEFEST and not Audio(piece.samples).silent


@dataclass
class Draft:
    """A file that is being written down: what is there of it, how many pieces are out, whether it has been read."""

    path: str
    seconds: float = 0.0
    peak: float = 0.0
    error: str = ""
    waiting: int = 0
    read: bool = False
    segments: list[Segment] = field(default_factory=list)

    def blocks(self) -> Iterator[Samples]:
        """Read the file, and keep in mind how long and how loud it was."""
        for block in audio_blocks(self.path):
            self.seconds += len(block) / SAMPLE_RATE
            middle = float(block.mean(dtype=np.float64))
            self.peak = max(self.peak, float(block.max()) - middle, middle - float(block.min()))
            yield block

    def finished(self) -> Transcript:
        """Put it all together."""
        said = [segment for segment in self.segments if segment.text]
        notes = dict.fromkeys(segment.note for segment in self.segments if segment.note)
        if not said and not notes and not self.error:
            short = self.seconds < BRIEFEST
            notes = {
                "silence"
                if self.peak < SILENT_PEAK
                else "too short to say anything"
                if short
                else "nobody speaks": None
            }
        weights = [len(segment.text) for segment in said]
        sure = sum(w * s.confidence for w, s in zip(weights, said, strict=True)) / max(1, sum(weights))
        text = " ".join(segment.text for segment in said)
        seconds = round(self.seconds, 3)
        return Transcript(self.path, text, seconds, "; ".join(notes), self.error, round(sure, 4), tuple(said))


def stream(
    paths: Sequence[str | Path], write: Write, cutting: Cutting, together: float = TOGETHER
) -> Iterator[Transcript]:
    """Read, cut and write down files; pieces of several files are written together, `together` seconds at a time."""
    drafts: list[Draft] = []
    pool: list[tuple[Draft, Piece]] = []
    for path in sound_files(paths):
        draft = Draft(str(path))
        drafts.append(draft)
        try:
            for piece in cut_blocks(draft.blocks(), cutting):
                if not worth_writing(piece):
                    continue
                pool.append((draft, piece))
                draft.waiting += 1
                if sum(one.seconds for _, one in pool) >= together:
                    put_down(pool, write)
        except LocutionError as error:
            draft.error = str(error)
        draft.read = True
        while drafts and drafts[0].read and not drafts[0].waiting:
            yield drafts.pop(0).finished()
    put_down(pool, write)
    yield from (draft.finished() for draft in drafts)


def put_down(pool: list[tuple[Draft, Piece]], write: Write) -> None:
    """Write down all pieces that wait, each into its file's draft with times from the file's beginning."""
    found = write([piece.samples for _, piece in pool]) if pool else []
    for (draft, piece), heard in zip(pool, found, strict=True):
        start, end = round(piece.start, 3), round(piece.start + piece.seconds, 3)
        words = tuple(
            Word(word.text, round(word.start + piece.start, 3), round(word.end + piece.start, 3), word.confidence)
            for word in heard.words
        )
        draft.segments.append(Segment(start, end, heard.text, round(heard.confidence, 4), words, heard.note))
        draft.waiting -= 1
    pool.clear()


def show(answers: Iterable[Transcript], *, as_json: bool = False, form: str = "") -> int:
    """Print transcripts as they come, those that failed to standard error; returns the exit code, 1 if one failed.

    >>> show([Transcript("a.wav", "turn it off", 1.5)])
    a.wav: turn it off
    0
    """
    failed: list[str] = []
    for one in answers:
        if one.error:
            failed.append(one.path)
        if as_json or form == "json":
            print(FORMATS["json"](one), flush=True)
        elif form and not (one.error and not one.segments):
            print(FORMATS[form](one), end="", flush=True)
        if (one.error or not form) and not as_json and form != "json":
            print(one, file=sys.stderr if one.error else sys.stdout, flush=True)
    if len(failed) > 1:
        names = ", ".join(islice(failed, 20)) + (" and more" if len(failed) > 20 else "")
        print(f"{len(failed)} files could not be heard: {names}", file=sys.stderr)
    return int(bool(failed))
