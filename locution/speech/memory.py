"""How much memory training will take, said before it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from locution.inference.memory import peak_memory
from locution.reporting.units import memory
from locution.speech.recogniser import Recogniser, attention

PROBES = (16, 32, 48)  # places; three, for plain attention grows with their square
WIDE = 8  # times as many frames as places: projectors stack and stride
HELD = 12  # bytes a logit beside itself: its log-probability, the gradient of that, and its own, all in fp32


@dataclass(frozen=True)
class Forecast:
    """A memory forecast adds up, before training begins, what will be in memory at its height.

    In bytes: `weights` of all that is loaded; the `optimizer`'s state; `activations` that wait for the backward pass;
    `logits` and what their loss makes of them; `gradients` of what trains, which with one micro-batch a step come only
    when the activations go; `projector`, the height of its own backward pass, when the language model's is done.

    >>> Forecast(weights=6e9, optimizer=2e8, activations=1.3e9, logits=3e8, gradients=1e8).line(24e9)
    'forecast: 7.26 GiB of 22.35 GiB (weights 5.59 GiB, optimizer 191 MiB, activations 1.21 GiB, logits 286 MiB)'

    Reference: S. Rajbhandari et al., 2020, "ZeRO: memory optimizations toward training trillion parameter models",
    section 3 (model states and residual states).
    """

    weights: float
    optimizer: float
    activations: float
    logits: float
    gradients: float = 0.0
    projector: float = 0.0
    accumulate: int = 1

    @property
    def step(self) -> float:
        """What a step adds at its height to what is always there, in bytes."""
        waiting = self.gradients if self.accumulate > 1 else 0.0
        return max(self.activations + self.logits + waiting, self.projector + waiting, self.gradients)

    @property
    def total(self) -> float:
        """What will be in memory at the height of a step, in bytes."""
        return self.weights + self.optimizer + self.step

    def line(self, available: float | None = None) -> str:
        """Say it in one line, beside what the device has."""
        of = f" of {memory(available)}" if available else ""
        parts = {
            "weights": self.weights,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
        }
        listed = ", ".join(f"{name} {memory(size)}" for name, size in parts.items())
        return f"forecast: {memory(self.total)}{of} ({listed})"


def saved_bytes(function: Callable[[], Any], known: Sequence[Tensor]) -> int:
    """Count the bytes of the tensors that a forward pass keeps for its backward pass, those of `known` left out.

    >>> x = torch.ones(1000, requires_grad=True)
    >>> saved_bytes(lambda: x.exp().sin(), [x])  # the results of exp, for itself and for sin
    4000
    """
    left_out = {tensor.untyped_storage().data_ptr() for tensor in known}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in left_out:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer = function()  # holds what was kept, so that no address is used twice
    del answer
    return sum(found.values())


def growth(sizes: Sequence[int], measured: Sequence[float]) -> tuple[float, float, float]:
    """Find a + b n + c n^2 through three measurements.

    >>> growth([1, 2, 3], [6.0, 11.0, 18.0])
    (3.0, 2.0, 1.0)
    """
    powers = torch.tensor([[1.0, n, float(n) ** 2] for n in sizes], dtype=torch.float64)
    a, b, c = torch.linalg.solve(powers, torch.tensor(measured, dtype=torch.float64)).tolist()
    return a, b, c


def forecast(
    recogniser: Recogniser,
    *,
    batch: int,
    frames: int,
    tokens: int,
    accumulate: int = 1,
    states: int = 2,
    autocast: Any = None,
) -> Forecast:
    """Forecast the memory of training a recogniser on cached frames.

    batch: utterances a step; frames, tokens: of the longest one. accumulate: micro-batches a step. states: numbers
    that the optimizer keeps for each that trains, 2 for Adam's. autocast: the context of a forward pass in bf16. What a
    pass keeps is measured on three small inputs, so that any projector, language model and attention kernel is met.
    """
    everything = [*recogniser.parameters(), *recogniser.buffers()]
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in everything}
    learns = [parameter for parameter in recogniser.parameters() if parameter.requires_grad]
    trained = sum(parameter.numel() * parameter.element_size() for parameter in learns)
    rows, device = -(-batch // accumulate), recogniser.before.device
    encoder: Any = recogniser.encoder
    context = autocast if autocast is not None else torch.enable_grad()
    model, width = recogniser.language_model, int(recogniser.embed(recogniser.before.new_zeros(1)).shape[-1])
    depth, kind = int(encoder.config.width), next(iter(model.parameters())).dtype

    def heard(count: int) -> Tensor:
        with context:
            return recogniser.audio(
                torch.zeros([1, count, depth], device=device), torch.tensor([count], device=device)
            )[0]

    def written(count: int) -> Tensor:
        x = torch.zeros([1, count, width], dtype=kind, device=device, requires_grad=True)
        mask = torch.arange(count, device=device)[None] > 0  # padded, as most batches are
        with context:
            logits: Tensor = model(inputs_embeds=x, **attention(mask), use_cache=False, logits_to_keep=1).logits
        return logits

    def backward(count: int) -> None:
        torch.autograd.grad(heard(count).sum(), list(recogniser.projector.parameters()), allow_unused=True)

    def grown(measure: Callable[[int], float], size: int, scale: int) -> float:
        a, b, c = growth([scale * n for n in PROBES], [measure(scale * n) for n in PROBES])
        return a + rows * (b * size + c * size**2)

    places = len(recogniser.before) + heard(frames).shape[1] + len(recogniser.after) + tokens
    kept = grown(lambda n: float(saved_bytes(lambda: heard(n), everything)), frames, WIDE)
    kept += grown(lambda n: float(saved_bytes(lambda: written(n), everything)), places, 1)
    own = grown(lambda n: float(peak_memory(lambda: backward(n))), frames, WIDE)
    with torch.no_grad():
        last = written(1)
    logits = float(rows * (tokens + 1) * last.shape[-1] * (last.element_size() + HELD))
    return Forecast(float(sum(sizes.values())), float(states * trained), kept, logits, trained, own, accumulate)
