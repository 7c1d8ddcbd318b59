"""How the threshold of the no-speech gate trades noise that passes against speech that is lost.

`python -m benchmarks.no_speech_gate` asks the embedded encoder about noises, the everyday sentences in test voices
(clean, at 20 and at 10 dB) and single words of one syllable.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from locution.speech.audio import SAMPLE_RATE, Samples
from locution.speech.encode import encode_clips
from locution.speech.extra_sets import everyday_sentences
from locution.speech.frozen import load_encoder, weights_digest
from locution.speech.no_speech import SPEAKS, clearness, letters
from locution.speech.noise import noise_clip, noisy
from locution.speech.synthesis import draw_utterance, speak

THRESHOLDS = (0.5, SPEAKS, 0.75)
NOISES = 450
WORDS = "yes no stop go on off left right up down light red blue one two three four five six eight nine ten home play"


def spoken(texts: Sequence[str]) -> list[Samples]:
    """Speak texts in test voices."""
    waves = speak([draw_utterance(text, "test", 0, -1 - row) for row, text in enumerate(texts)])
    return [(wave / 32768).astype(np.float32) for wave in waves]


def sounds() -> dict[str, list[Samples]]:
    """Make every set that the gate is asked about; noise comes first, all others are speech."""
    sentences, words = spoken(everyday_sentences()), spoken(WORDS.split() * 4)
    return {
        "noise": [noise_clip(index, 1) for index in range(NOISES)],
        "sentences": sentences,
        "sentences at 20 dB": [noisy(one, 20, row, 7) for row, one in enumerate(sentences)],
        "sentences at 10 dB": [noisy(one, 10, row, 7) for row, one in enumerate(sentences)],
        "single words": words,
        "single words at 10 dB": [noisy(one, 10, row, 7) for row, one in enumerate(words)],
    }


def main() -> None:
    """Print, for each threshold, the share of each set that passes."""
    encoder = load_encoder()
    print(f"embedded encoder {weights_digest(encoder)[:12]}; share that passes the gate\n")
    print("| what is heard | clips | " + " | ".join(f"at {threshold}" for threshold in THRESHOLDS) + " |")
    print("|---|---:|" + "---:|" * len(THRESHOLDS))
    for name, clips in sounds().items():
        heard = encode_clips(encoder, clips.__getitem__, [len(clip) / SAMPLE_RATE for clip in clips])
        scores = [letters(encoder, frames.float()) for _, frames in heard]
        clear = np.array([clearness(one) for one in scores if one is not None])
        shares = " | ".join(f"{float((clear >= threshold).mean()):.3f}" for threshold in THRESHOLDS)
        print(f"| {name} | {len(clear)} | {shares} |")


if __name__ == "__main__":
    main()
