"""Matrix products on AMD's processors, where the library that torch asks by default uses half of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LARGE = 256 * 256  # weights: below this, a layer of this file's costs more than it gains
ROWS = 16


@cache
def applies() -> bool:
    """Say whether oneDNN multiplies faster here: AVX-512 on a processor of AMD, where MKL stops at AVX2."""
    info = Path("/proc/cpuinfo")
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    amd = info.is_file() and "AuthenticAMD" in info.read_text(encoding="utf-8", errors="replace")[:4096]
    return amd and onednn and torch.backends.cpu.get_cpu_capability() == "AVX512"


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply (N, I) by the transpose of (O, I) with oneDNN: (N, O)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class Product(torch.autograd.Function):
    """A linear layer's product, and its gradients, all with oneDNN."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.biased = bias is not None
        return multiply(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        again = torch.is_grad_enabled()  # a gradient of this gradient is wanted: torch's own products have one
        to_rows = to_weight = None
        if ctx.needs_input_grad[0]:
            to_rows = gradient @ weight if again else multiply(gradient, weight.t())
        if ctx.needs_input_grad[1]:
            to_weight = gradient.t() @ rows if again else multiply(gradient.t(), rows.t())
        return to_rows, to_weight, gradient.sum(0) if ctx.biased else None


class FastLinear(nn.Linear):
    """A linear layer while it trains on a processor of AMD: the same weights, the same answer to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        plain = input.dtype == self.weight.dtype == torch.float32 and torch.is_grad_enabled()
        special = torch.is_autocast_enabled("cpu") or torch._C._are_functorch_transforms_active()
        if not plain or special or input.numel() < ROWS * self.in_features:
            return super().forward(input)
        rows = input.reshape(-1, self.in_features)
        product: Tensor = Product.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return product.view(*input.shape[:-1], self.out_features)


@contextmanager
def fast_linear(model: nn.Module, device: torch.device, *, compiled: bool) -> Iterator[None]:
    """While a model trains, let its large linear layers multiply by the faster library; then change them back."""
    chosen: list[nn.Module] = []
    if device.type == "cpu" and not compiled and applies():
        chosen = [m for m in model.modules() if type(m) is nn.Linear and m.weight.numel() >= LARGE]
    for module in chosen:
        module.__class__ = FastLinear
    try:
        yield
    finally:
        for module in chosen:
            module.__class__ = nn.Linear
