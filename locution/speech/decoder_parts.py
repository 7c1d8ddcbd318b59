"""What the recipe `speech/decoder` names: the texts that a language model repeats, and its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from locution.errors import require
from locution.speech.babble import Texts
from locution.speech.decoder import DecoderConfig, build_decoder, load_decoder
from locution.speech.frozen import place
from locution.speech.kinds import check_kinds
from locution.speech.repetition import Noise, Repetitions
from locution.speech.sentences import sentence

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class RepetitionData:
    """Texts to repeat are an endless supply of sentences and made-up words, each damaged before it is read.

    Parameters
    ----------
    tokens: moments and letters in a batch. train: sentences that are written to draw from; kinds: in which
    shares. longest: letters of the longest text; the limit grows to it over the first `ramp` batches.
    batches: how many make an epoch. test: texts of each kind that the model is judged on. seed: of the
    sentences. noise: how badly texts are damaged, as in `repetition`.

    >>> data = RepetitionData(train=9)
    >>> data.counts()
    {'commands': 4, 'everyday': 4, 'prose': 1}

    Reference: M. Lewis et al., 2020, "BART: denoising sequence-to-sequence pre-training for natural language
    generation, translation, and comprehension", section 2.
    """

    tokens: int = 2048
    train: int = 90_000
    kinds: dict[str, Any] = field(default_factory=lambda: {"commands": 4, "everyday": 4, "prose": 1})
    longest: int = 96
    ramp: int = 400
    batches: int = 500
    test: int = 200
    seed: int = 1
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        require(self.tokens >= 1, "data.tokens", self.tokens, "a whole number from 1")
        require(self.longest >= 8, "data.longest", self.longest, "a whole number from 8")
        require(self.batches >= 1, "data.batches", self.batches, "a whole number from 1")
        require(self.test >= 1, "data.test", self.test, "a whole number from 1")
        check_kinds(self.kinds, "data.kinds")
        require(sum(self.counts().values()) >= 1, "data.train", self.train, "a whole number from 1")

    def counts(self) -> dict[str, int]:
        """Count the sentences of each kind."""
        total = sum(self.kinds.values())
        return {kind: int(self.train * share / total) for kind, share in self.kinds.items()}

    def sentences(self) -> Iterator[str]:
        """Write the sentences, one after another."""
        for kind, count in self.counts().items():
            for index in range(count):
                yield sentence(self.seed, "train", index, kind)

    def texts(self, told: Told | None = None) -> Texts:
        """Write all sentences; `told` hears how far it is."""
        total, written = sum(self.counts().values()), []
        for text in self.sentences():
            written.append(text)
            if told is not None and len(written) % 1000 == 0:
                told(len(written), total)
        return Texts(written)

    def repetitions(self, texts: Texts) -> Repetitions:
        """Put texts into batches."""
        limits = {"longest": self.longest, "ramp": self.ramp, "batches": self.batches}
        return Repetitions(texts, self.noise, tokens=self.tokens, **limits)


@dataclass(frozen=True)
class DecoderModel:
    """A small language model writes letter by letter what stands before it; its shape, and what it starts from.

    Parameters
    ----------
    width: of each token's vector. layers, heads: how many. inner: width of the feed-forward layers. theta:
    base of the rotary positions. start: a folder of weights of this shape to go on from, or "embedded"; else it starts
    untrained.

    >>> DecoderModel(width=8, layers=1, heads=1, inner=16).build(seed=0).num_parameters()
    1152

    Reference: Bakouch et al., 2025, "SmolLM3: smol, multilingual, long-context reasoner".
    """

    width: int = 192
    layers: int = 5
    heads: int = 3
    inner: int = 512
    theta: float = 1000.0
    start: str = ""

    def __post_init__(self) -> None:
        require(self.theta > 0, "model.theta", self.theta, "a number above 0, usually 1000")
        self.config()

    def config(self) -> DecoderConfig:
        """Say the shape as the model takes it."""
        return DecoderConfig(**{name: value for name, value in asdict(self).items() if name != "start"})

    def build(self, seed: int) -> Any:
        """Make the model, its first weights drawn by the seed or taken from `start`."""
        model = build_decoder(self.config(), seed)
        if self.start:
            weights = load_decoder(place(self.start, "decoder"))[0].state_dict()
            shapes = [{name: tensor.shape for name, tensor in one.items()} for one in (weights, model.state_dict())]
            require(shapes[0] == shapes[1], "model.start", self.start, f"weights of the shape {self.config()}")
            model.load_state_dict(weights)
        return model
