"""What a user asks of a transcription, and where each wish leads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from locution.errors import LocutionError, UserError, unknown
from locution.speech.audio import Samples
from locution.speech.ctc_head import with_head_of
from locution.speech.hear import cutting_for, write_words
from locution.speech.hotwords import PLACES, expecting, parse
from locution.speech.microphone import microphone, utterances
from locution.speech.recogniser import Recogniser
from locution.speech.subtitles import FORMATS, write_transcripts
from locution.speech.token_by_token import Bias
from locution.speech.transcribe import Draft, show, sound_files, transcribing, worth_writing
from locution.speech.transcript import Transcript
from locution.speech.voice_activity import cut_blocks


@dataclass(frozen=True)
class Wishes:
    """What is asked for beside the text.

    form: text, json, srt, vtt or tsv. output: a folder for one file a recording. stream: print words as they are
    written. microphone: listen until Ctrl-C. hotwords: words to expect, parted by commas. hotwords_in: where they are
    told, both, prompt or bias. ctc_head: a run of `speech/ctc_head`, for word times where the encoder has no letters.
    """

    form: str = ""
    output: str = ""
    stream: bool = False
    microphone: bool = False
    hotwords: str = ""
    hotwords_in: str = "bias"
    ctc_head: str = ""

    def __post_init__(self) -> None:
        if self.form and self.form not in FORMATS:
            raise unknown("format", self.form, FORMATS)
        if self.hotwords_in not in PLACES:
            raise unknown("place for hotwords", self.hotwords_in, PLACES)
        if (self.stream or self.microphone) and (self.form or self.output):
            raise UserError("words that are printed as they come have no format; allowed: --stream alone, or --format.")

    def check(self, files: Sequence[str]) -> None:
        """Refuse a transcription of nothing."""
        if self.microphone and files:
            raise UserError(f"--microphone came with {files[0]}; allowed: the microphone alone, or files.")
        if not files and not self.microphone:
            raise UserError("transcribe came without a file; allowed: sound files, or folders of them.")


def answer(load: Callable[[], Recogniser], files: Sequence[str], wishes: Wishes) -> int:
    """Transcribe as asked; returns the exit code, 1 if a file could not be heard."""
    wishes.check(files)
    blocks = _started(microphone()) if wishes.microphone else iter(())  # without one, say so before loading
    words = parse(wishes.hotwords) if wishes.hotwords else []
    recogniser, bias = expecting(load(), words, wishes.hotwords_in)
    if wishes.ctc_head:
        recogniser = with_head_of(recogniser, wishes.ctc_head)
    if wishes.microphone:
        return listen(recogniser, blocks, bias)
    if wishes.stream:
        return print_words(recogniser, files, bias)
    return deliver(transcribing(recogniser, files, bias=bias), wishes)


def deliver(answers: Iterable[Transcript], wishes: Wishes) -> int:
    """Print transcripts, or write them into the folder that was named."""
    if not wishes.output:
        return show(answers, form=wishes.form)
    there = list(answers)
    for path in write_transcripts(there, wishes.form or "text", wishes.output):
        print(path)
    return show(one for one in there if one.error)


def _started(blocks: Iterator[Samples]) -> Iterator[Samples]:
    return chain([next(blocks)], blocks)


def listen(recogniser: Recogniser, blocks: Iterable[Samples], bias: Bias | None = None) -> int:
    """Write down what comes in, utterance after utterance, each on a line that grows word by word."""
    for piece in utterances(blocks, cutting_for(recogniser.encoder).longest):
        print_line(write_words(recogniser, piece.samples, bias=bias))
    return 0


def print_line(words: Iterable[str]) -> None:
    """Print words on one line as they come; no line where there are none."""
    mark = ""
    for word in words:
        print(mark + word, end="", flush=True)
        mark = " "
    if mark:
        print(flush=True)


def print_words(recogniser: Recogniser, files: Sequence[str], bias: Bias | None = None) -> int:
    """Print the words of files as they are written; a file that cannot be heard is named on standard error."""
    failed = 0
    for path in sound_files(files):
        print(f"{path}:", flush=True)
        try:
            for words in stream_words(recogniser, str(path), bias=bias):
                print_line(words)
        except LocutionError as error:
            failed = 1
            print(f"error: {error}", file=sys.stderr)
    return failed


def stream_words(recogniser: Recogniser, path: str, *, bias: Bias | None = None) -> Iterator[Iterator[str]]:
    """Streaming gives the words of a recording while they are being written: for each piece an iterator of its words.

    Reference: A. Graves, 2012, "Sequence Transduction with Recurrent Neural Networks", section 2.3.
    """
    for piece in cut_blocks(Draft(path).blocks(), cutting_for(recogniser.encoder)):
        if worth_writing(piece):
            yield write_words(recogniser, piece.samples, bias=bias)
