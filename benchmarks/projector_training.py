"""What it costs to train a projector: locution's way against the plain way with transformers' Trainer.

    python -m benchmarks.projector_training [--quick] [--peers PYTHON] [--device cuda]

Both train the same projector from the same weights between the same small Whisper and SmolLM3 folders (random
weights), on the same clips of LibriSpeech's lengths, with the same AdamW, in one process and on one thread, an epoch
each in turn; what counts is processor time. locution hears every clip once, groups like lengths, and computes logits
for the transcript alone; the plain way is `plain_recogniser.py`. Both losses are kept: they must fall alike.
`--device cuda` does the same at the true sizes, with random weights in bf16. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import arithmetic
from benchmarks.cached_training import BATCH, LR, Ours, rows
from benchmarks.curves import Listed, Trained, alike, any_order
from benchmarks.side_by_side import clock_of, finish, show
from benchmarks.speech_models import (
    SMALL,
    Said,
    clips,
    librispeech_lengths,
    quiet_transformers,
    save_whisper,
    save_writer,
)
from benchmarks.true_sizes import train_both

ROOT = Path(__file__).parents[1]


def recogniser_of(folder: Path, *, unpadded: bool = False) -> tuple[Any, Any]:
    """Load both folders, written if they are missing, and put a projector between; gives the tokenizer too."""
    from locution.speech.checkpoint import build_recogniser
    from locution.speech.frozen import load_encoder, load_language_model

    whisper, writer = folder / "whisper", folder / "writer"
    if not writer.exists():
        save_whisper(whisper)
        save_writer(writer)
    language_model, tokenizer = load_language_model(writer)
    torch.manual_seed(0)
    return build_recogniser(load_encoder(whisper, unpadded=unpadded), language_model, tokenizer), tokenizer


def plain_of(folder: Path, projector: Any, tokenizer: Any, prompt: Any) -> Any:
    """Load the same folders as one does with transformers alone, around a copy of the same projector."""
    from transformers import AutoModelForCausalLM, WhisperModel

    from benchmarks.plain_recogniser import PlainRecogniser
    from locution.speech.prompt import encode

    marks = encode(tokenizer, prompt.before), encode(tokenizer, prompt.after)
    encoder = WhisperModel.from_pretrained(folder / "whisper").encoder
    writer = AutoModelForCausalLM.from_pretrained(folder / "writer")
    return PlainRecogniser(encoder, copy.deepcopy(projector), writer, marks)


def side_by_side(folder: Path, said: list[Said], epochs: int) -> tuple[Trained, Trained]:
    """Train both, an epoch each in turn, inside one process: (ours, the plain way's)."""
    from transformers import WhisperFeatureExtractor

    from benchmarks.plain_recogniser import prepared, trainer

    recogniser, tokenizer = recogniser_of(folder)
    plain, theirs = plain_of(folder, recogniser.projector, tokenizer, recogniser.prompt), Trained()
    ours, clock = Ours(recogniser, said, folder / "frames", "cpu"), clock_of("cpu")
    begun = clock()
    extractor = WhisperFeatureExtractor.from_pretrained(folder / "whisper")
    rows = prepared(said, extractor, tokenizer, recogniser.end[0])
    theirs.heard = clock() - begun
    settings: Any = {"epochs": epochs, "batch": BATCH, "lr": LR}
    listed: Any = {"between": ours.epoch, "seconds": theirs.seconds}
    run = trainer(plain, rows, recogniser.end[0], folder / "trainer", **settings, **listed)
    run.train()
    theirs.seconds[0] += theirs.heard
    theirs.order = run.data_collator.order
    theirs.losses += [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    return ours.found, theirs


def again(folder: Path, said: list[Said], epochs: int, order: list[list[int]]) -> Trained:
    """Train locution's way once more on the frames that are kept, its batches as `order` lists them."""
    recogniser, _ = recogniser_of(folder)
    ours = Ours(recogniser, said, folder / "frames", "cpu")
    ours.hear()
    ours.source = Listed(ours.source, order)
    for _ in range(epochs):
        ours.epoch()
    return ours.found


def unpadded(folder: Path, said: list[Said]) -> float:
    """Measure what hearing costs where the encoder hears each clip, not thirty seconds."""
    recogniser, _ = recogniser_of(folder, unpadded=True)
    ours = Ours(recogniser, said, folder / "unpadded", "cpu")
    begun = ours.clock()
    ours.hear()
    return ours.clock() - begun


def on_processor(*, quick: bool) -> int:
    """Run it with the small folders."""
    count, epochs = (12, 2) if quick else (32, 6)
    said = clips(librispeech_lengths(count))
    audio = sum(clip.seconds for clip in said)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        ours, theirs = side_by_side(folder, said, epochs)
        same = again(folder, said, epochs, theirs.order)
        others = [
            again(folder, said, epochs, any_order(count, BATCH, epochs, seed)) for seed in range(1 if quick else 2)
        ]
        short = unpadded(folder, said)
    tables = {
        f"training a projector, {count} clips of {audio / count:.1f} s on average, batches of {BATCH}": rows(
            ours, theirs, audio
        )
    }
    for title, ratios in tables.items():
        show(title, ratios)
    facts, within = alike(ours, theirs, same, others)
    facts += [
        "",
        f"Of locution's first epoch {ours.heard:.1f} of {ours.seconds[0]:.1f} s are hearing; an encoder that "
        f"hears each clip instead of thirty seconds takes {short:.1f} s for it.",
        "",
    ]
    facts += [*arithmetic.table(SMALL), "", *arithmetic.table(arithmetic.TRUE)]
    code = finish("projector_training", tables, quick=quick, facts=facts)
    return code if within else 1


def main() -> int:
    """Run it, in the peers' environment where accelerate is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips and epochs, same goals")
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers" / "bin" / "python"), help="the peers' python")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="cuda: the true sizes")
    chosen = parser.parse_args()
    if importlib.util.find_spec("accelerate") is None:  # transformers' Trainer needs it
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [chosen.peers, "-m", "benchmarks.projector_training", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode
    quiet_transformers()
    if chosen.device == "cuda":
        return train_both(quick=chosen.quick)
    torch.set_num_threads(1)
    return on_processor(quick=chosen.quick)


if __name__ == "__main__":
    sys.exit(main())
