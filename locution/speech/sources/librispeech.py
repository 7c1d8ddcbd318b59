"""The layout of LibriSpeech: a folder a speaker, a folder a chapter, one list of transcripts in each."""

from __future__ import annotations

from pathlib import Path

from locution.speech.manifest import Clip
from locution.speech.sources.found import SOUND, Found, read_text, split_named

ENDING = ".trans.txt"


def read_librispeech(folder: Path) -> Found:
    """LibriSpeech keeps read books as SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac and lists what they say.

    Beside the sound of a chapter lies SPEAKER-CHAPTER.trans.txt: in each line a name without ending, then the words.
    The names of the folders above give the splits (train-clean-100, dev-other, test-clean) and, in full, the groups.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     chapter = Path(home, "test-clean", "61", "70968")
    ...     chapter.mkdir(parents=True)
    ...     _ = (chapter / "61-70968.trans.txt").write_text("61-70968-0000 HE BEGAN A CONFUSED COMPLAINT\\n")
    ...     clip = read_librispeech(Path(home)).clips[0]
    >>> clip.path.name, clip.text, clip.speaker, clip.split, clip.group
    ('61-70968-0000.flac', 'HE BEGAN A CONFUSED COMPLAINT', '61', 'test', 'test-clean')

    Reference: V. Panayotov et al., 2015, "LibriSpeech: an ASR corpus based on public domain audio books", section 3.
    """
    clips, wrong = [], []
    for transcripts in sorted(folder.rglob(f"*{ENDING}")):
        above = (transcripts.parent.resolve() / "x").relative_to(folder.resolve().parent).parts[:-1]
        named = next((name for name in reversed(above) if split_named(name)), "")
        there = {path.stem: path for path in transcripts.parent.iterdir() if path.suffix.lower() in SOUND}
        listed = set()
        for number, line in enumerate(read_text(transcripts).splitlines(), 1):
            name, _, text = line.strip().partition(" ")
            if not name:
                continue
            if name in listed:
                wrong.append(f"{transcripts.name}, line {number}: names {name} again; allowed: once")
                continue
            listed.add(name)
            path = there.get(name, transcripts.parent / f"{name}.flac")
            clips.append(Clip(path, text.strip(), name.split("-")[0], 0.0, split_named(named), named))
        unsaid = [there[stem] for stem in sorted(set(there) - listed)]
        clips += [Clip(path, "", path.stem.split("-")[0], 0.0, split_named(named), named) for path in unsaid]
    return Found(tuple(clips), "LibriSpeech layout", tuple(wrong))
