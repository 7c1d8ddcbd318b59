"""Speech that is never whole on the disk: batches straight from a stream of examples, steps instead of epochs."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from locution.engine.batch import Batch
from locution.engine.random import generator, stream_key
from locution.errors import LocutionError, UserError, require
from locution.speech.audio import SAMPLE_RATE
from locution.speech.encode import waveform
from locution.speech.findings import LONGEST, PROBLEMS
from locution.speech.labels import RATES, markers
from locution.speech.normalise import normalise
from locution.speech.prompt import encode
from locution.speech.recogniser import Recogniser
from locution.speech.sources.found import split_named
from locution.speech.sources.hugging_face import library, open_stream, undecoded
from locution.speech.utterances import POOL, pad_frames, pad_tokens

BUFFER = 1000  # examples that are shuffled among each other, beside the order of the stream's files


@dataclass(frozen=True)
class Example:
    """One example of a stream: the bytes or the path of its sound, its text, and about how long it is."""

    sound: bytes | str
    text: str
    seconds: float


class StreamedUtterances:
    """Streaming hands over examples as they arrive, so that learning starts at once and nothing fills the disk.

    A source of batches for the engine whose length nobody knows: `steps()` is None. Like lengths go together within
    16 batches. An epoch's order depends on the seed and the epoch alone; `skip` goes through what was learnt from
    without decoding it. Examples that `check-data` would list (no label, markers, over 30 s, impossible rates, sound
    that cannot be read) are left out; `say` hears of the first of each kind, `left_out` counts them.

    Parameters
    ----------
    examples: examples(epoch, seed) begins the stream anew. tokenizer, end: how texts become tokens. batch_size:
    utterances a batch.

    >>> source = StreamedUtterances(lambda epoch, seed: iter([]), None, [2])
    >>> source.steps(), list(source.epoch(0, seed=0))
    (None, [])

    Reference: Q. Lhoest et al., 2021, "Datasets: a community library for natural language processing", section 4.
    """

    def __init__(
        self,
        examples: Callable[[int, int], Iterator[dict[str, Any]]],
        tokenizer: Any,
        end: Sequence[int],
        *,
        batch_size: int = 32,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        require(batch_size >= 1, "data.batch_size", batch_size, "a whole number from 1")
        self.examples, self.tokenizer, self.end = examples, tokenizer, list(end)
        self.batch_size, self.say = batch_size, say
        self.left_out: Counter[str] = Counter()

    @classmethod
    def of(cls, recogniser: Recogniser, where: str, held_out: int = 0, **settings: Any) -> StreamedUtterances:
        """Stream a dataset by its name for a recogniser; `held_out` examples at its beginning are left to testing."""
        return cls(training_stream(where, held_out), recogniser.tokenizer, recogniser.end, **settings)

    def steps(self) -> int | None:
        """Say that nobody knows how many batches an epoch has."""
        return None

    def epoch(self, number: int, seed: int, skip: int = 0) -> Iterator[Batch]:
        """Go through the stream once, pool by pool, leaving out the first `skip` batches."""
        index = 0
        for place, pool in enumerate(self.pools(number, seed)):
            pool.sort(key=lambda example: example.seconds)
            batches = [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
            draw = generator(seed, "data", number, place)
            for chosen in torch.randperm(len(batches), generator=draw).tolist():
                if index >= skip:
                    yield self.batch(batches[chosen])
                index += 1

    def pools(self, number: int, seed: int) -> Iterator[list[Example]]:
        """Gather as many good examples as 16 batches hold, again and again."""
        pool: list[Example] = []
        for entry in self.examples(number, seed):
            example, problem = usable(entry)
            if example is None:
                self.leave_out(problem)
                continue
            pool.append(example)
            if len(pool) == POOL * self.batch_size:
                yield pool
                pool = []
        if pool:
            yield pool

    def leave_out(self, problem: str) -> None:
        """Count an example that is left out, and say so when it is the first of its kind."""
        self.left_out[problem] += 1
        if self.left_out[problem] == 1:
            self.say(f"an example of the stream is left out, as all of its kind will be: {PROBLEMS[problem]}")

    def batch(self, chosen: Sequence[Example]) -> Batch:
        """Decode some examples and put them into one batch, without those whose sound is damaged inside."""
        decoded = [(example.text, samples) for example in chosen if (samples := decode(example)) is not None]
        for _ in range(len(chosen) - len(decoded)):
            self.leave_out("broken")
        if not decoded:
            raise LocutionError(f"none of the {len(chosen)} examples of a batch can be decoded; is the stream damaged?")
        waves, lengths = pad_frames([waveform(samples) for _, samples in decoded])  # (B, N), (B,)
        tokens = [encode(self.tokenizer, normalise(said)) + self.end for said, _ in decoded]
        text, targets, written = pad_tokens(tokens)
        inputs = {"waves": waves, "lengths": lengths, "text": text, "text_lengths": written}
        return Batch(inputs, targets, weights=written.float())


def usable(entry: dict[str, Any]) -> tuple[Example | None, str]:
    """Make an example of an entry, or name the problem that keeps it out.

    >>> usable({"path": {"bytes": None, "path": "a.wav"}, "text": "[noise]"})
    (None, 'marker')
    """
    sound, text = entry.get("path"), entry.get("text")
    sound = sound if isinstance(sound, dict) else {"path": sound}
    held: bytes | str = sound.get("bytes") or str(sound.get("path") or "")
    if not isinstance(text, str) or not text.strip():
        return None, "empty"
    if markers(text):
        return None, "marker"
    label = normalise(text)
    if not label:
        return None, "empty"
    seconds = length(held)
    if seconds <= 0:
        return None, "broken"
    if seconds > LONGEST:
        return None, "long"
    if not RATES[0] <= len(label) / seconds <= RATES[1]:
        return None, "speed"
    return Example(held, text, seconds), ""


def length(sound: bytes | str) -> float:
    """Read from a sound file's header how many seconds it lasts; 0 where it cannot be read."""
    import soundfile

    try:
        return float(soundfile.info(io.BytesIO(sound) if isinstance(sound, bytes) else sound).duration)
    except (soundfile.SoundFileError, TypeError, ValueError, OSError):
        return 0.0


def decode(example: Example) -> Any:
    """Decode the sound of an example to samples (N,) at 16 kHz, one channel; None where it is damaged inside."""
    import soundfile
    import soxr

    source = io.BytesIO(example.sound) if isinstance(example.sound, bytes) else example.sound
    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)  # (N, channels)
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        return None
    mono = samples.mean(axis=1)
    if not len(mono) or not np.isfinite(mono).all():
        return None
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)


def training_stream(where: str, held_out: int = 0) -> Callable[[int, int], Iterator[dict[str, Any]]]:
    """Open the training split of a dataset by name, to be gone through in another order each epoch."""
    parts = [part for split, part in open_stream(where).items() if split_named(split) == "train"]
    whole = parts[0] if len(parts) == 1 else library().concatenate_datasets(parts)

    def examples(number: int, seed: int) -> Iterator[dict[str, Any]]:
        rest = whole.skip(held_out) if held_out else whole
        return undecoded(rest.shuffle(seed=stream_key(seed, "data", number) % 2**32, buffer_size=BUFFER), where)

    return examples


def refuse_epochs(where: str, epochs: int | None) -> None:
    """Refuse a budget of epochs for a stream.

    >>> refuse_epochs("hf:mine/speech", 3)
    Traceback (most recent call last):
    locution.errors.UserError: epochs is 3, but hf:mine/speech is streamed and nobody knows its length; allowed: steps.
    """
    if epochs is not None:
        raise UserError(f"epochs is {epochs}, but {where} is streamed and nobody knows its length; allowed: steps.")
