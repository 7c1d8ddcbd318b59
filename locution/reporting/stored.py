"""The utterances of an evaluation, kept beside its results, so that two runs can be compared without decoding again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from locution.engine.durable import write_text
from locution.errors import LocutionError, UserError
from locution.reporting.results import Utterance

FILE = "utterances.jsonl"
NAMES = {field.name for field in fields(Utterance)}


def write_utterances(folder: Path, utterances: Sequence[Utterance]) -> Path:
    """Write utterances as JSON lines into a run's folder, all at once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_utterances(Path(folder), [Utterance("a", "one", "two")])
    ...     [one.hypothesis for one in read_utterances(Path(folder))]
    ['two']
    """
    path = folder / FILE
    write_text(path, "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in utterances))
    return path


def read_utterances(folder: Path) -> list[Utterance]:
    """Read the utterances of a run; raises one line where there are none, or where the file is damaged."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} keeps no utterances; allowed: a run of speech that was trained to its end.")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            one = Utterance(**{name: value for name, value in entry.items() if name in NAMES})
            if not all(isinstance(value, str) for value in (one.name, one.reference, one.hypothesis)):
                raise TypeError("name, reference and hypothesis are strings")
        except (ValueError, TypeError, AttributeError) as error:
            raise LocutionError(f"{path} is damaged in line {number}: {error}") from error
        found.append(one)
    return found
