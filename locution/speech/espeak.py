"""The process that drives espeak-ng: utterances as JSON on standard input, waveforms on standard output.

espeak-ng keeps global state and dies when threads share it, so it lives here alone: one driver a process, a
fresh process for every list of utterances. Run as `python -m locution.speech.espeak`; exit code 3 without
espeak-ng.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

import numpy as np

from locution.speech.synthesis import SAMPLE_RATE, Samples, Utterance, pack

SYNCHRONOUS, UTF8, RATE, PITCH = 2, 1, 1, 3  # constants of espeak-ng's speak_lib.h
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Driver:
    """A driver holds the one espeak-ng of this process and collects the samples that it calls back with."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = os.path.dirname(espeakng_loader.get_data_path()).encode()
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, folder, 0)
        if self.rate <= 0:
            raise RuntimeError("espeak-ng did not start")
        self.chunks: list[bytes] = []
        self.callback = CALLBACK(self.collect)  # referenced here, or it is freed while espeak-ng still calls it
        self.library.espeak_SetSynthCallback(self.callback)

    def collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, utterance: Utterance) -> Samples:
        """Speak one utterance at espeak-ng's own rate, 22,050 samples a second."""
        self.chunks.clear()
        if self.library.espeak_SetVoiceByName(utterance.voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {utterance.voice!r}")
        self.library.espeak_SetParameter(RATE, utterance.rate, 0)
        self.library.espeak_SetParameter(PITCH, utterance.pitch, 0)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else breath noise is seeded by the clock
        text = utterance.text.encode() + b"\0"
        self.library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, UTF8, None, None)
        return np.frombuffer(b"".join(self.chunks), np.int16)


def main() -> int:
    try:
        import espeakng_loader  # noqa: F401
        import soxr
    except ImportError:
        return 3
    utterances = [Utterance(**fields) for fields in json.load(sys.stdin)]
    driver = Driver()
    waveforms = [soxr.resample(driver.speak(utterance), driver.rate, SAMPLE_RATE) for utterance in utterances]
    sys.stdout.buffer.write(pack(waveforms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
