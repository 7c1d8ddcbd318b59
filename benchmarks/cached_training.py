"""Training a projector locution's way, on frames that are kept, and what the plain way is measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.curves import Trained
from benchmarks.side_by_side import AUDIO, Ratio, clock_of, compare
from benchmarks.speech_models import Said

BATCH, LR = 8, 2e-3


class Ours:
    """locution's way: encode once into the cache, then epochs of cached frames in buckets of like lengths."""

    def __init__(self, recogniser: Any, said: list[Said], folder: Path, device: str, batch: int = BATCH) -> None:
        from locution.engine import Engine, Turn
        from locution.engine.observer import Observer, Record
        from locution.gradients.clipping import ClippingMethod
        from locution.optimizers.basic import AdamW
        from locution.speech.recogniser import transcript_objective

        self.recogniser, self.said, self.folder, self.batch = recogniser, said, folder, batch
        self.found = Trained()
        losses = self.found.losses

        class Losses(Observer):
            def watch(self, record: Record) -> None:
                if record.kind == "step":
                    losses.append(record.loss)

        turn = Turn(transcript_objective, AdamW(lr=LR, beta2=0.95, weight_decay=0.0).build)
        precision = "fp32" if device == "cpu" else "bf16"
        settings: Any = {"device": device, "precision": precision, "log_every": 1}
        self.engine = Engine(recogniser, turn, [ClippingMethod(norm=1.0)], observers=[Losses()], **settings)
        self.clock = clock_of(device)
        self.source: Any = None

    def hear(self) -> None:
        """Encode every clip once and keep its frames."""
        from locution.speech.cache import keep_frames
        from locution.speech.encode import encode_clips
        from locution.speech.utterances import Utterances

        seconds = [clip.seconds for clip in self.said]

        def make() -> Any:
            return encode_clips(self.recogniser.encoder, lambda i: self.said[i].sound, seconds)

        frames = keep_frames("frames", len(self.said), make, self.folder)
        self.source = Utterances.of(self.recogniser, frames, [clip.text for clip in self.said], batch_size=self.batch)

    def epoch(self) -> None:
        """Train for one epoch, and note what it took; the first one hears."""
        begun = self.clock()
        if self.source is None:
            self.hear()
            self.found.heard = self.clock() - begun
        self.engine.fit(self.source, epochs=1)
        self.found.seconds.append(self.clock() - begun)


def rows(ours: Trained, theirs: Trained, audio: float) -> list[Ratio]:
    """Compare the epochs after the first one, the first one, and the whole training; `audio`: seconds an epoch."""
    count = len(ours.seconds)
    later = {"ours": ours.seconds[1:], "plain": theirs.seconds[1:]}
    found = [
        compare(later, "plain", "plain", audio, unit=AUDIO),
        compare(later, "ours", "plain", audio, 1 / 3, unit=AUDIO),
    ]
    found[0].name, found[1].name = "the plain way, a later epoch", "locution, a later epoch"
    wholes = (("the first epoch, encoding included", 1), (f"a whole training of {count} epochs", count))
    for what, epochs in wholes:
        sums = {name: [sum(one.seconds[:epochs])] for name, one in (("ours", ours), ("plain", theirs))}
        one = compare(sums, "ours", "plain", audio * epochs, unit=AUDIO)
        one.name = f"locution, {what}"
        found.append(one)
    return found
