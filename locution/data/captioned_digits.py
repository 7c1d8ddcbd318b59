"""Handwritten digits with a few words about each: what it is, how bold, which way it leans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from locution.data.dataset import Dataset, held_out
from locution.data.digits import DigitsData
from locution.engine.batches import TensorBatches
from locution.engine.random import generator
from locution.errors import UserError, require

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS, LEANS = ("thin", "plain", "bold"), ("left", "upright", "right")
FORMS = (
    "a {ink} {number} {lean}",
    "the digit {number} in {ink} strokes {lean}",
    "a handwritten {number} {ink} {lean}",
    "{number} {lean} {ink}",
)
LEANING = {"left": "leaning left", "upright": "upright", "right": "leaning right"}
WORDS = ("", *sorted({word for form in FORMS for word in form.split() if "{" not in word}
                     | {*NUMBERS, *INKS, "leaning", *LEANS}))  # fmt: skip
LENGTH = 9  # words of the longest caption


def slant(pictures: Tensor) -> Tensor:
    """Measure which way the ink of each picture leans: columns to the right for each row up, (N, 1, H, W) -> (N,).

    >>> slant(torch.eye(3).flip(1)[None, None]), slant(torch.eye(3)[None, None])
    (tensor([1.]), tensor([-1.]))
    """
    ink = pictures[:, 0]  # (N, H, W)
    rows, columns = (torch.arange(size, dtype=ink.dtype) for size in ink.shape[1:])
    total = ink.sum((1, 2)).clamp(min=1e-12)
    down = rows[:, None] - ((ink.sum(2) * rows).sum(1) / total)[:, None, None]  # (N, H, 1)
    right = columns - ((ink.sum(1) * columns).sum(1) / total)[:, None, None]  # (N, 1, W)
    return -(ink * down * right).sum((1, 2)) / (ink * down.square()).sum((1, 2)).clamp(min=1e-12)


def thirds(values: Tensor, bounds: Sequence[float]) -> list[int]:
    """Say of each value whether it lies below both bounds, between them or above: 0, 1 or 2."""
    return torch.bucketize(values, torch.tensor(list(bounds), dtype=values.dtype)).tolist()


def caption(number: int, ink: int, lean: int, form: int) -> str:
    """Write one caption.

    >>> caption(7, 2, 0, form=0)
    'a bold seven leaning left'
    """
    return FORMS[form].format(number=NUMBERS[number], ink=INKS[ink], lean=LEANING[LEANS[lean]])


def encode(texts: Sequence[str]) -> Tensor:
    """Write texts as the numbers of their words, 0 behind their ends: (N, LENGTH).

    >>> encode(["seven"])[0].count_nonzero().item(), [WORDS[word] for word in encode(["a bold seven"])[0][:3]]
    (1, ['a', 'bold', 'seven'])
    """
    rows = torch.zeros(len(texts), LENGTH, dtype=torch.int64)
    for row, text in enumerate(texts):
        words = text.lower().split()
        odd = [word for word in words if word not in WORDS]
        if odd or not 1 <= len(words) <= LENGTH:
            came = f"'{odd[0]}', a word that was never learnt" if odd else f"{len(words)} words"
            raise UserError(f"the text holds {came}; allowed: up to {LENGTH} of {', '.join(WORDS[1:])}.")
        rows[row, : len(words)] = torch.tensor([WORDS.index(word) for word in words])
    return rows


def alike(texts: Tensor) -> Tensor:
    """Number texts (N, T) by what they say, in whatever form: (N,), the same for the same digit, ink and lean.

    >>> alike(encode(["a bold seven leaning left", "seven leaning left bold", "a thin seven leaning left"])).tolist()
    [1, 1, 0]
    """
    telling = torch.tensor([place for place, word in enumerate(WORDS) if word in {*NUMBERS, *INKS, *LEANS}])
    said = (texts[:, :, None] == telling.to(texts.device)).any(1)  # (N, words that tell)
    numbers: Tensor = torch.unique(said.int(), dim=0, return_inverse=True)[1]
    return numbers


@dataclass(frozen=True)
class CaptionedDigitsData:
    """Handwritten digits with captions: scikit-learn's pictures, each with a few words that were written by a rule.

    A caption names the digit, says whether it has little ink, some or much (thirds of the pictures to learn from), and
    whether it leans to the left, stands upright or leans to the right (thirds again), in one of four forms that is
    drawn by `split`. Inputs are a dict of "pictures" (N, 1, 8, 8) and "texts" (N, 9), the numbers of words; targets are
    the digits (N,). `batch_size`, `development`, `test` and `split` are those of `digits`.

    >>> data = CaptionedDigitsData().load(seed=0)
    >>> [WORDS[word] for word in data.train.inputs["texts"][0] if word]
    ['a', 'handwritten', 'zero', 'thin', 'leaning', 'right']

    Reference: A. Radford et al., 2021, "Learning transferable visual models from natural language supervision",
    section 2.2; pictures: E. Alpaydin, C. Kaynak, 1998, "Optical recognition of handwritten digits".
    """

    batch_size: int = 128
    development: float = 0.15
    test: float = 0.15
    split: int = 0

    def __post_init__(self) -> None:
        require(self.batch_size >= 2, "data.batch_size", self.batch_size, "a whole number from 2: pairs are compared")
        self._pictures()

    def _pictures(self) -> DigitsData:
        return DigitsData(self.batch_size, self.development, self.test, split=self.split)

    def load(self, seed: int) -> Dataset:
        """Read the pictures and write the captions; the run's seed has no part in it."""
        data = self._pictures().load(seed)
        parts = {name: getattr(data, name) for name in ("train", "development", "test")}
        shares = torch.tensor([1 / 3, 2 / 3])
        first = parts["train"].inputs
        bounds = [torch.quantile(values, shares).tolist() for values in (first.sum((1, 2, 3)), slant(first))]

        def written(name: str, held: TensorBatches) -> dict[str, Tensor]:
            inks, leans = (
                thirds(values, ends)
                for values, ends in zip((held.inputs.sum((1, 2, 3)), slant(held.inputs)), bounds, strict=True)
            )
            forms = torch.randint(len(FORMS), (len(held),), generator=generator(self.split, f"captions of {name}"))
            about = zip(held.targets.tolist(), inks, leans, forms.tolist(), strict=True)
            return {"pictures": held.inputs, "texts": encode([caption(*each) for each in about])}

        def kept(name: str) -> TensorBatches | None:
            held = parts[name]
            return None if held is None else held_out(written(name, held), held.targets)

        train = written("train", parts["train"])
        return Dataset(
            TensorBatches(train, parts["train"].targets, batch_size=self.batch_size),
            kept("development"),
            kept("test"),
            inputs=data.inputs,
            outputs=data.outputs,
            labels=data.labels,
            source="digits with captions",
            sizes={"words": len(WORDS)},
        )
