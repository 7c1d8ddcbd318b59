"""What a log-mel spectrogram costs: locution against transformers' Whisper extractor.

    python -m benchmarks.logmel [--quick]

One thread, CPU time, everyone in turn, on clips of 3 seconds. Whisper's extractor pads every clip to 30 seconds
unless it is told not to; both ways are measured. Exit code 1 when a goal is missed or a value is off by over 1e-4.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.side_by_side import Ratio, compare, finish, interleave, show

RATE, SECONDS, CLIPS = 16_000, 3, 16
UNPADDED, PADDED = "transformers, unpadded", "transformers, as it comes"


def clips() -> list[np.ndarray]:
    """Draw clips that rise and fall like speech, so that quiet and loud frames both count."""
    draw = np.random.default_rng(0)
    time = np.arange(RATE * SECONDS) / RATE
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    tones = [np.sin(2 * np.pi * draw.uniform(90, 3000) * time) for _ in range(CLIPS)]
    return [(swell * (0.3 * tone + 0.02 * draw.standard_normal(len(time)))).astype(np.float32) for tone in tones]


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, same goals")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    from transformers import WhisperFeatureExtractor

    from locution.speech.logmel import log_mel

    extractor, sounds = WhisperFeatureExtractor(feature_size=80), clips()
    tensors = [torch.from_numpy(sound) for sound in sounds]

    def theirs(sound: np.ndarray, padding: str) -> np.ndarray:
        features = extractor(sound, sampling_rate=RATE, padding=padding, return_tensors="np")
        return np.asarray(features["input_features"][0])

    pairs = [(log_mel(t).numpy(), theirs(s, "longest").T) for t, s in zip(tensors, sounds, strict=True)]
    apart = max(float(np.abs(ours - other).max()) for ours, other in pairs)
    print(f"largest difference from Whisper's extractor: {apart:.1e} (goal 1e-04)")
    contestants: dict[str, Callable[[], object]] = {
        "locution": lambda: [log_mel(tensor) for tensor in tensors],
        UNPADDED: lambda: [theirs(sound, "longest") for sound in sounds],
        PADDED: lambda: [theirs(sound, "max_length") for sound in sounds],
    }
    times = interleave(contestants, 9 if chosen.quick else 41)
    table: list[Ratio] = []
    for against, goal in ((UNPADDED, 1.0), (PADDED, 0.1)):
        ratio = compare(times, "locution", against, CLIPS, goal)
        ratio.name = f"locution / {against}"
        table.append(ratio)
    tables = {f"log-mel of a clip of {SECONDS} seconds": table}
    for title, ratios in tables.items():
        show(title, ratios)
    code = finish("logmel", tables, quick=chosen.quick)
    return code if apart <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
