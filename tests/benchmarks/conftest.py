"""A tiny Whisper and a tiny SmolLM3 as folders, for the comparisons of speech."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arithmetic import EncoderShape, Pair, WriterShape
from benchmarks.speech_models import save_whisper, save_writer

TINY = Pair("tiny", EncoderShape(32, 1, 64, 2, mels=80), WriterShape(48, 2, 96, 4, 2, 2000))


@pytest.fixture(scope="session")
def tiny_pair() -> Pair:
    return TINY


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("halves")
    save_whisper(home / "whisper", TINY)
    save_writer(home / "writer", TINY)
    return home
