"""Which words went wrong, against counts by hand; homophones against espeak-ng; the normaliser against transformers."""

from __future__ import annotations

import json
import random
from collections import Counter
from importlib.resources import files

import pytest

from locution.errors import UserError
from locution.speech import homophones as listed
from locution.speech.confusions import Confusions, NumberErrors
from locution.speech.normalise import normalise
from locution.speech.phonemes import sound_alike, sounds
from locution.speech.wer import error_table, word_error_rate

# substitutions, deletions, insertions as jiwer 4.0.0 counts them
JIWER = [
    ("a b c d", "a x c d e", (1, 0, 1)),
    ("a b c", "", (0, 3, 0)),
    ("a a b", "a b b", (1, 0, 0)),
    ("a b", "b a", (0, 1, 1)),
    ("a b c d e", "b c d e f", (0, 1, 1)),
    ("one two three", "one one two two three three", (0, 0, 3)),
    ("c a c a b a b", "a b c a a b", (2, 1, 0)),
    ("b c b b a c a", "c c a a b", (3, 2, 0)),
    ("a c b", "b a c a c c", (1, 0, 3)),
]


@pytest.mark.parametrize(("said", "written", "expected"), JIWER)
def test_kinds_of_errors_are_jiwers(said: str, written: str, expected: tuple[int, int, int]) -> None:
    assert error_table([said], [written]).tolist() == [[len(said.split()), *expected]]


def test_every_error_is_counted_once() -> None:
    draw = random.Random(0)
    said, written = ([" ".join(draw.choices("abcde", k=draw.randint(0, 12))) for _ in range(300)] for _ in range(2))
    found, counts = Confusions.of(said, written), error_table(said, written).sum(0)
    assert [sum(one.values()) for one in (found.said, found.taken, found.lost, found.made_up)] == counts.tolist()
    assert all(one != other for one, other in found.taken)


def test_numbers_are_counted_apart() -> None:
    said = ["set it to forty", "call me at seven", "page 12 please", "no number", "seven"]
    written = ["set it to fourteen", "call me at", "page 20 please", "no number one", "heaven"]
    found = Confusions.of(said, written)
    assert found.numbers() == NumberErrors(said=4, taken=3, lost=1, made_up=1)
    assert found.numbers().rate == pytest.approx(5 / 4)
    assert found.number_pairs() == {("forty", "fourteen"): 1, ("12", "20"): 1}
    assert NumberErrors(0, 0, 0, 1).rate == 0.0


def test_espeak_says_most_listed_homophones_alike() -> None:
    groups = [group.split() for group in listed._GROUPS.replace("\n", "|").split("|") if group]
    said = sounds(word for group in groups for word in group)
    if not said:
        pytest.skip("espeak-ng is not installed")
    pairs = [(group[0], other) for group in groups for other in group[1:]]
    alike = sum(any(a == b for a, b in zip(said[one], said[other], strict=True)) for one, other in pairs)
    assert alike / len(pairs) > 0.88, "the rest are accents: sure and shore, patients and patience"


def test_what_is_spelt_as_it_sounds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Counter({("nothing", "nuthing"): 2, ("our", "hour"): 1, ("cat", "dog"): 3})
    if not sounds(["a"]):
        pytest.skip("espeak-ng is not installed")
    assert sound_alike(taken) == {("nothing", "nuthing"): 2, ("our", "hour"): 1}
    monkeypatch.setattr("sys.executable", "/nonexistent")
    assert sounds(["cat"]) == {}
    assert sound_alike(taken) == {("our", "hour"): 1}  # without espeak-ng the list is what there is
    assert sound_alike(Counter()) == Counter()


# what the authors' normaliser gives, so that a new release of the package cannot change a measurement unseen
WHISPER = [
    ("He won't, can't and shouldn't.", "he will not can not and should not"),
    ("Mr. Park visited Dr. Brown", "mister park visited doctor brown"),
    ("twenty-five dollars and thirty cents", "$25.30"),
    ("the nineteen sixties were 10 percent [noise] (uh) better", "the 1960s were 10% better"),
    ("Colour, favour, theatre", "color favor theater"),
    ("one hundred and one", "101"),
    ("it's o'clock", "it is 0 clock"),
    ("two point five million", "2500000"),
    ("ünïcödé naïve café", "unicode naive cafe"),
    ("um", ""),
]


@pytest.mark.parametrize(("text", "expected"), WHISPER)
def test_the_whisper_normaliser_writes_what_it_always_wrote(text: str, expected: str) -> None:
    assert normalise(text, "whisper-english-1") == expected


def test_the_whisper_normaliser_is_that_of_transformers() -> None:
    english = pytest.importorskip("transformers.models.whisper.english_normalizer")
    table = (files("whisper_normalizer") / "normalizers" / "english.json").read_text(encoding="utf-8")
    theirs = english.EnglishTextNormalizer(json.loads(table))
    odd = ["1", "20", "3.5", "$5", "7th", "colour", "and a half", "don't", "[noise]", "(uh)", "um", "O'Neil", "café"]
    odd += ["1,000", "mr.", "let's", ".", "-", "%", "€", "£3", "¢", "№", "x", "analyse", "'s", "½", "٣", "日本"]
    words = [*odd, *sorted(theirs.standardize_numbers.words)]
    draw = random.Random(0)
    for _ in range(1500):
        text = " ".join(draw.choices(words, k=draw.randint(0, 9)))
        assert normalise(text, "whisper-english-1") == " ".join(theirs(text).split()), text


def test_the_normaliser_decides_what_is_an_error() -> None:
    said, written = ["I'm twenty-five, Sir!"], ["i am 25 sir"]
    rates = {
        name: word_error_rate(said, written, normaliser=name).value for name in (None, "basic-1", "whisper-english-1")
    }
    assert rates == {None: 4 / 3, "basic-1": 0.75, "whisper-english-1": 0.0}
    with pytest.raises(UserError, match="'whisper' is no normaliser"):
        word_error_rate(said, written, normaliser="whisper")
