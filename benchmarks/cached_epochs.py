"""What an epoch costs when the encoder's frames are kept: with the cache against without, on the embedded default.

    python -m benchmarks.cached_epochs [--quick] [--device cuda]

Both train the projector of the recipe `speech` on the same synthesised commands, an epoch each in turn, on one thread;
what counts is processor time. With the cache an epoch reads frames that were computed once; without it
(`data.cache=false`) it reads every sound file, makes its spectrogram and hears it again. What filling the cache took
is stated. Beside it stands the arithmetic for Whisper-large-v3-turbo and SmolLM3-3B. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.arithmetic import TRUE, table
from benchmarks.side_by_side import AUDIO, clock_of, compare, finish, interleave, show

PLAIN, CACHED = "every epoch heard anew (data.cache=false)", "frames from the cache"


def corpus(folder: Path, count: int) -> list[Any]:
    """Synthesise commands to train on."""
    from locution.speech.corpus import CorpusSettings, synthesise_corpus
    from locution.speech.manifest import read_manifest

    settings = CorpusSettings(train=count, dev=1, test=1, everyday=0, silence=0.0)
    return [clip for clip in read_manifest(synthesise_corpus(settings, folder / "corpus")) if clip.split == "train"]


def engine_for(device: str) -> tuple[Any, Any]:
    """Build the recogniser and the engine as the recipe `speech` does: the same projector, optimizer and precision."""
    from locution.engine import Engine, Turn
    from locution.recipe import resolve
    from locution.speech.recogniser import transcript_objective

    recipe = resolve("speech")
    torch.manual_seed(0)
    recogniser = recipe.part("model").build()
    turn = Turn(transcript_objective, recipe.part("optimizer").build)
    methods = [method for method in recipe.built_methods() if method.name == "clipping"]
    return recogniser, Engine(recogniser, turn, methods, device=device, precision=recipe.precision)


def contestants(clips: list[Any], folder: Path, device: str, batch: int) -> tuple[dict[str, Callable[[], Any]], float]:
    """Prepare both: an epoch with the cache, an epoch without; and say what filling the cache took."""
    from locution.speech.encode import frames_of_files
    from locution.speech.normalise import normalise
    from locution.speech.utterances import Utterances
    from locution.speech.waves import Waves

    paths, seconds = [clip.path for clip in clips], [clip.seconds for clip in clips]
    texts = [normalise(clip.text) for clip in clips]
    (recogniser, cached), (other, plain), clock = engine_for(device), engine_for(device), clock_of(device)
    recogniser.to(device)
    begun = clock()
    frames = frames_of_files(recogniser.encoder, paths, seconds, precision="bf16", folder=folder / "frames")
    filled = clock() - begun
    waves = Waves(paths, seconds)
    kept = Utterances.of(recogniser, frames, texts, batch_size=batch)
    fresh = Utterances.of(other, waves, texts, batch_size=batch, sound="waves", counts=waves.counts)
    return {PLAIN: lambda: plain.fit(fresh, epochs=1), CACHED: lambda: cached.fit(kept, epochs=1)}, filled


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds, same goals")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    count, rounds = (64, 3) if chosen.quick else (256, 9)
    with tempfile.TemporaryDirectory() as home:
        clips = corpus(Path(home), count)
        audio = sum(clip.seconds for clip in clips)
        both, filled = contestants(clips, Path(home), chosen.device, 32)
        times = interleave(both, rounds, chosen.device)
    ratios = [compare(times, name, PLAIN, audio, goal, AUDIO) for name, goal in ((PLAIN, None), (CACHED, 0.5))]
    title = f"an epoch of {count} commands of {audio / count:.1f} s on average, batches of 32"
    show(title, ratios)
    facts = [f"Filling the cache took {filled:.1f} s once ({audio:.0f} s of audio).", "", *table(TRUE), ""]
    return finish("cached_epochs", {title: ratios}, quick=chosen.quick, facts=facts)


if __name__ == "__main__":
    sys.exit(main())
