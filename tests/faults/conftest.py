"""One process that forks off those that the tests kill."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests
from zygote import Zygote


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Start the process that has imported everything."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()
