"""What a step of projector training costs by arithmetic: floating-point operations, counted matrix by matrix.

    python -m benchmarks.arithmetic

A multiplication and an addition count as two operations. Counted are the products of matrices, convolutions as such;
norms, softmaxes and activations are left out. Attention counts every pair of places, those that a causal mask hides
included, as `torch.utils.flop_counter` does.
"""

from __future__ import annotations

from dataclasses import dataclass

MEL_FRAMES = 100  # a second
WHISPER_FRAMES = 3000  # 30 s, what Whisper's encoder always computes
PROMPT = 20  # tokens around the audio, ChatML with thinking off
TOKENS_PER_SECOND = 3.3  # what English speech takes of SmolLM3's tokens


@dataclass(frozen=True)
class EncoderShape:
    """Whisper's encoder: width, layers, inner width of its feed-forward layers, heads, mel bands."""

    width: int
    layers: int
    inner: int
    heads: int
    mels: int = 128


@dataclass(frozen=True)
class WriterShape:
    """A language model of SmolLM3's kind: width, layers, inner width, heads, heads of keys and values, vocabulary."""

    width: int
    layers: int
    inner: int
    heads: int
    kv_heads: int
    tokens: int


@dataclass(frozen=True)
class Pair:
    """An encoder and a language model, and the MLP projector between them: frames to an embedding, hidden width."""

    name: str
    encoder: EncoderShape
    writer: WriterShape
    stack: int = 4
    hidden: int = 0

    @property
    def middle(self) -> int:
        return self.hidden or self.writer.width


TRUE = Pair(
    "Whisper-large-v3-turbo, SmolLM3-3B",
    EncoderShape(1280, 32, 5120, 20),
    WriterShape(2048, 36, 11008, 16, 4, 128_256),
)


def encoder_flops(shape: EncoderShape, mel_frames: int) -> int:
    """Count the encoder's forward pass over one clip of so many mel frames.

    With T = ceil(F / 2) frames of width D and inner width I: convolutions 6 F M D + 6 T D^2, and for each layer
    8 T D^2 (query, key, value, output) + 4 T^2 D (attention) + 4 T D I (feed-forward).
    """
    t, d = -(-mel_frames // 2), shape.width
    convolutions = 6 * mel_frames * shape.mels * d + 6 * t * d * d
    return convolutions + shape.layers * (8 * t * d * d + 4 * t * t * d + 4 * t * d * shape.inner)


def writer_linears(shape: WriterShape) -> int:
    """Count the weights of one layer's matrices: 2 H^2 (1 + kv heads / heads) + 3 H I."""
    h = shape.width
    return 2 * h * h + 2 * h * (h * shape.kv_heads // shape.heads) + 3 * h * shape.inner


def writer_flops(shape: WriterShape, places: int, logits: int, *, backward: bool = True) -> int:
    """Count the language model over one sequence of S places, with logits at K of them.

    Forward: for each layer 2 S w + 4 S^2 H, w its weights; logits 2 K H V. Backward through frozen weights: the same
    products once more (towards the input alone), those of attention twice, for both factors want a gradient.
    """
    linears = shape.layers * 2 * places * writer_linears(shape) + 2 * logits * shape.width * shape.tokens
    attention = shape.layers * 4 * places * places * shape.width
    return linears + attention + (linears + 2 * attention if backward else 0)


def projector_flops(pair: Pair, embeddings: int) -> int:
    """Count the MLP projector's forward and backward over T' embeddings: 2 T' (2 k D h + 3 h H).

    The first layer needs the gradient of its weights alone, for nothing before it learns; the second both.
    """
    return 2 * embeddings * pair.middle * (2 * pair.stack * pair.encoder.width + 3 * pair.writer.width)


@dataclass(frozen=True)
class Step:
    """What one clip costs in a training step, in operations: encoder, language model, projector."""

    encoder: int
    writer: int
    projector: int

    @property
    def total(self) -> int:
        return self.encoder + self.writer + self.projector


def places(pair: Pair, seconds: float, tokens: int) -> tuple[int, int]:
    """Count the audio embeddings of a clip, and all the places of its sequence."""
    embeddings = int(seconds * MEL_FRAMES / 2) // pair.stack
    return embeddings, PROMPT + embeddings + tokens


def clip_step(
    pair: Pair, seconds: float, *, padded: bool = True, cached: bool = False, everywhere: bool = False
) -> Step:
    """Count the training step of one clip: encoder at 30 s (`padded`) or as long as the clip, or not at all."""
    tokens = round(seconds * TOKENS_PER_SECOND)
    embeddings, total = places(pair, seconds, tokens)
    heard = 0 if cached else encoder_flops(pair.encoder, WHISPER_FRAMES if padded else int(seconds * MEL_FRAMES))
    written = writer_flops(pair.writer, total, total if everywhere else tokens + 1)
    return Step(heard, written, projector_flops(pair, embeddings))


def encoder_parameters(shape: EncoderShape) -> int:
    """Count the weights of the encoder's matrices and convolutions."""
    layers = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.inner)
    return layers + 3 * shape.width * (shape.mels + shape.width)


def writer_parameters(shape: WriterShape) -> int:
    """Count the weights of the language model's matrices, its embeddings (which are its last layer too) included."""
    return shape.layers * writer_linears(shape) + shape.width * shape.tokens


def kept_for_backward(shape: WriterShape, places: int, number: int = 2) -> int:
    """Count the bytes that one sequence's forward pass keeps for the backward pass, `number` bytes a number.

    Through frozen weights a layer keeps the inputs of its two norms in fp32 (8 H), query, key, value and result of
    its attention, and three tensors of its gated feed-forward layer.
    """
    attention = 2 * shape.width + 2 * shape.width * shape.kv_heads // shape.heads
    return shape.layers * places * (8 * shape.width + number * (attention + 3 * shape.inner))


def memory_forecast(pair: Pair, batch: int, places: int, logits: int, number: int = 2) -> int:
    """Forecast the peak memory of a training step in bytes: a batch of sequences of S places, logits at K of them.

    Frozen weights; the projector's weights, gradients and both averages of Adam in fp32; what the language model
    keeps for the backward pass; the logits, once in their own precision and three times in fp32 (as floats, as
    log-probabilities, as gradient).
    """
    frozen = number * (encoder_parameters(pair.encoder) + writer_parameters(pair.writer))
    projector = 16 * pair.middle * (pair.stack * pair.encoder.width + pair.writer.width)
    kept = batch * kept_for_backward(pair.writer, places, number)
    return frozen + projector + kept + batch * logits * pair.writer.tokens * (number + 12)


def table(pair: Pair, lengths: tuple[float, ...] = (4.0, 12.0)) -> list[str]:
    """Write the costs of clips of some lengths as a Markdown table, in 10^9 operations a clip."""
    size, other = encoder_parameters(pair.encoder), writer_parameters(pair.writer)
    lines = [
        f"{pair.name}: {size / 1e6:,.4g} and {other / 1e6:,.4g} million weights, as 1 to {other / size:.1f}",
        "",
        "| clip | encoder, 30 s | encoder, unpadded | language model | projector | cache saves | of unpadded |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for seconds in lengths:
        full, short, none = (
            clip_step(pair, seconds, padded=padded, cached=cached)
            for padded, cached in ((True, False), (False, False), (True, True))
        )
        figures = [f"{n / 1e9:,.4g}" for n in (full.encoder, short.encoder, none.writer, none.projector)]
        gains = [f"{full.total / none.total:.2f}x", f"{short.total / none.total:.2f}x"]
        lines.append(f"| {seconds:g} s | {' | '.join(figures + gains)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(TRUE)))
