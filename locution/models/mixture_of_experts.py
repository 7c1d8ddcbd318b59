"""The mixture of experts: many small networks, of which each input uses only a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from locution.errors import LocutionError, UserError, require
from locution.models.accepted import accept
from locution.models.experts import Experts, transformed
from locution.models.mlp import fully_connected
from locution.models.routing import Routing, biased_gates, router_logits


class MixtureOfExperts(nn.Module):
    """A shared expert works on every input, beside the few of many experts to which a router sends each.

    What all need is learnt there once. This is the layer, a mixture of experts: many small networks side by side. So a
    network can know much and yet compute little: the work grows with the experts that are chosen, not with those
    that there are. y = shared(x) + sum over the chosen of gate_i expert_i(x), each expert W2 GELU(W1 x). The gates are
    the router's largest probabilities over their sum (a single one: as it is). `correction` shifts whom the router
    chooses, never how much they count (see `bias_balancing`).

    Parameters
    ----------
    width: of inputs and outputs. hidden: within an expert. experts: how many to choose from. top: how many are chosen.
    shared: hidden units that work on every input beside the chosen, 0 for none.

    Shapes: (..., width) in and out.

    >>> _ = torch.manual_seed(0)
    >>> layer = MixtureOfExperts(6, hidden=4, experts=8, top=2)
    >>> layer(torch.zeros(5, 7, 6)).shape
    torch.Size([5, 7, 6])
    >>> sum(p.numel() for p in layer.parameters()), active_parameters(layer)  # 8 x 48 + 48; 2 x 48 + 48
    (432, 144)

    Reference: N. Shazeer et al., 2017, "Outrageously large neural networks: the sparsely-gated mixture-of-experts
    layer", section 2; D. Dai et al., 2024, "DeepSeekMoE", eq. 9 (shared experts).
    """

    correction: Tensor

    def __init__(self, width: int, hidden: int, experts: int = 8, top: int = 1, shared: int = 0) -> None:
        super().__init__()
        require(1 <= top <= experts, "top", top, f"a whole number from 1 to {experts}, how many experts there are")
        self.top = top
        self.router = nn.Parameter(0.02 * torch.randn(experts, width))  # (E, D)
        self.experts = Experts(experts, width, hidden, width)
        self.shared = nn.Sequential(nn.Linear(width, shared), nn.GELU(), nn.Linear(shared, width)) if shared else None
        self.register_buffer("correction", torch.zeros(experts))
        self.listened = False  # whether a method wants to hear what the router says
        self.routed: Tensor | None = None  # (M, E), the scores of the pass that is being made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "routed": None}  # a copy has routed nothing yet

    def choose(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose experts by scores (M, E): their gates and their numbers, (M, top) each."""
        return biased_gates(logits, self.top, self.correction)

    def forward(self, x: Tensor) -> Tensor:
        """Send each row to the experts that are chosen for it."""
        rows = x.reshape(-1, x.shape[-1])  # (M, D)
        logits = router_logits(rows, self.router)  # (M, E)
        heard = self.listened and torch.is_grad_enabled() and not transformed()
        self.routed = logits if heard else None
        found: Tensor = self.experts(rows, *self.choose(logits))  # (M, D)
        if self.shared is not None:
            found = found + self.shared(rows)
        return found.view(x.shape)

    def take(self) -> Tensor:
        """Hand out what the router said in the pass that is being made, (M, E), and forget it."""
        routed, self.routed = self.routed, None
        if routed is None:
            raise LocutionError("a mixture of experts was not called in this pass: its load cannot be balanced.")
        return routed

    def dispatch(self, logits: Tensor) -> Tensor:
        """Say where scores (M, E) send each row: 1 for those who got it, over how many they are, (M, E)."""
        _, chosen = self.choose(logits)
        return torch.zeros_like(logits).scatter_(-1, chosen, 1 / self.top)

    @torch.no_grad()
    def routing(self, x: Tensor) -> Routing:
        """Say where the router sends inputs (N, T, width)."""
        logits = router_logits(x, self.router)
        counted = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        sent = self.dispatch(logits.flatten(0, 1)).view(logits.shape)
        return Routing(logits.softmax(-1), sent, counted)


def mixtures(model: nn.Module) -> dict[str, MixtureOfExperts]:
    """List the mixtures of experts within a model, by name.

    >>> list(mixtures(nn.Sequential(nn.Linear(4, 4), MixtureOfExperts(4, 2))))
    ['1']
    """
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, MixtureOfExperts)}


def routings(model: nn.Module, inputs: Tensor) -> dict[str, Routing]:
    """Say for each mixture of a model where it sends inputs (N, ...), as a routing of (N, T, E); T is 1 for vectors.

    >>> _ = torch.manual_seed(0)
    >>> found = routings(nn.Sequential(nn.Linear(4, 4), MixtureOfExperts(4, 2, experts=3)), torch.rand(5, 4))
    >>> found["1"].dispatch.shape, round(float(found["1"].share().sum()), 4)
    (torch.Size([5, 1, 3]), 1.0)
    """
    came: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        return lambda _, args: came.__setitem__(name, args[0])

    layers = mixtures(model)
    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return {name: layers[name].routing(x.reshape(len(inputs), -1, x.shape[-1])) for name, x in came.items()}


def active_parameters(model: nn.Module) -> int:
    """Active parameters are those that one input is computed with: of a mixture's experts only the chosen.

    >>> active_parameters(nn.Linear(3, 2)), active_parameters(MixtureOfExperts(3, 2, experts=4))  # 12 of 48, router 12
    (8, 24)

    Reference: W. Fedus, B. Zoph, N. Shazeer, 2021, "Switch Transformers", section 2.1.
    """
    idle = 0
    for layer in mixtures(model).values():
        count = len(layer.router)
        each = sum(weight.numel() for weight in layer.experts.parameters()) // count
        idle += (count - layer.top) * each
    return sum(weight.numel() for weight in model.parameters()) - idle


class ExpertNet(nn.Module):
    """A network of one or more mixtures of experts, each beside a way around it.

    >>> net = ExpertNet(64, 10, width=16, layers=2, make=lambda: MixtureOfExperts(16, 8))
    >>> net(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, make: Any) -> None:
        super().__init__()
        self.entry, self.head = fully_connected(inputs, width), fully_connected(width, outputs)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers + 1))
        self.layers = nn.ModuleList(make() for _ in range(layers))
        total = sum(weight.numel() for weight in self.parameters())
        self.describe = f"{total:,} parameters, of which an example uses {active_parameters(self):,}"

    def forward(self, inputs: Tensor) -> Tensor:
        """Carry (N, ...) to (N, outputs)."""
        if not inputs.is_floating_point():
            raise UserError(f"whole numbers of shape {tuple(inputs.shape)} came; allowed: fractions.")
        x = self.entry(inputs.flatten(1))
        for norm, layer in zip(self.norms, self.layers, strict=False):
            x = x + layer(norm(x))
        answer: Tensor = self.head(self.norms[-1](x))
        return answer


@dataclass(frozen=True)
class MixtureOfExpertsModel:
    """A mixture of experts as a whole network: each example goes through the few experts that a router finds for it.

    The data say how many numbers an example has, of any shape. `width` is that of the layers, of which there are
    `layers`; `experts`, `top`, `hidden` and `shared` are those of `MixtureOfExperts`. With `dense` each mixture gives
    way to one network of as many parameters as an example uses of the mixture, the router's included: what to compare
    with.

    >>> make = MixtureOfExpertsModel(width=16, hidden=8, shared=8)
    >>> net = make.build(inputs=(64,), outputs=10)
    >>> sum(p.numel() for p in net.parameters()), active_parameters(net)
    (3730, 1938)

    Reference: N. Shazeer et al., 2017, "Outrageously large neural networks: the sparsely-gated mixture-of-experts
    layer", section 2.
    """

    width: int = 64
    layers: int = 1
    experts: int = 8
    top: int = 1
    hidden: int = 16
    shared: int = 16
    dense: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "layers", "experts", "hidden"):
            require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "a whole number from 1")
        fine = 1 <= self.top <= self.experts
        require(fine, "model.top", self.top, f"a whole number from 1 to {self.experts}, how many experts there are")
        require(self.shared >= 0, "model.shared", self.shared, "a whole number from 1, or 0 for none")

    def build(self, inputs: tuple[int, ...], outputs: int) -> ExpertNet:
        """Make the network; its first weights are drawn from torch's own generator."""
        accept("mixture_of_experts", inputs, "numbers of any shape")
        numbers = int(torch.Size(inputs).numel())
        return ExpertNet(numbers, outputs, self.width, self.layers, self.alike if self.dense else self.mixture)

    def mixture(self) -> nn.Module:
        """Make one mixture."""
        return MixtureOfExperts(self.width, self.hidden, self.experts, self.top, self.shared)

    def alike(self) -> nn.Module:
        """Make the network that works on everything with as many parameters as a mixture uses for one example."""
        hidden = dense_twin(self.width, active_parameters(self.mixture()))
        return nn.Sequential(nn.Linear(self.width, hidden), nn.GELU(), nn.Linear(hidden, self.width))


def dense_twin(width: int, parameters: int) -> int:
    """Say how many hidden units give W2 GELU(W1 x + b1) + b2 at least so many parameters.

    >>> hidden = dense_twin(64, 5000)
    >>> hidden, hidden * (2 * 64 + 1) + 64  # one unit less would have 4966 - 129
    (39, 5095)
    """
    return max(1, -(-(parameters - width) // (2 * width + 1)))
