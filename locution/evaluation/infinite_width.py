"""Networks of infinite width: their kernel in closed form, and what they will have learnt."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from locution.errors import UserError, require
from locution.models.tangent import check_variances


def bent(kernel: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """An arc-cosine kernel says how alike a wide layer of ReLUs answers for two inputs, from how alike they came in.

    kernel: covariance of two Gaussian numbers (N, M). one (N, 1), other (1, M): their variances. Returns the mean of
    relu(u) relu(v) and of the product of the slopes, each (N, M).

    >>> half, quarter = bent(torch.tensor([[0.0]]), torch.tensor([[1.0]]), torch.tensor([[1.0]]))  # independent
    >>> round(half.item() * 2 * math.pi, 4), quarter.item()
    (1.0, 0.25)

    Reference: Y. Cho, L. Saul, 2009, "Kernel methods for deep learning", eqs. 3 to 6 (half of J1 and of J0 over pi).
    """
    scale = (one * other).sqrt()  # (N, M)
    cosine = (kernel / scale.clamp(min=1e-300)).clamp(-1, 1)
    angle = cosine.acos()
    flat = (1 - cosine.square()).clamp(min=0).sqrt()
    return scale * (flat + (math.pi - angle) * cosine) / (2 * math.pi), (math.pi - angle) / (2 * math.pi)


def infinite_width_kernel(
    inputs: Tensor,
    others: Tensor | None = None,
    depth: int = 1,
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> Tensor:
    """The infinite-width kernel is the tangent kernel of a ReLU network whose hidden layers have no end of units.

    Nothing in it is left to chance, and training does not change it: it follows from the inputs alone, layer by layer.

    Parameters
    ----------
    inputs: (N, ...), others: (M, ...), flattened; inputs again where None. depth: hidden layers. weight_variance,
    bias_variance: those of `TangentLayer`.

    Returns (N, M), in double precision, the same for each output and zero between outputs.

    >>> infinite_width_kernel(torch.eye(2))  # at right angles: 1 / pi
    tensor([[2.0000, 0.3183],
            [0.3183, 2.0000]], dtype=torch.float64)

    Reference: A. Jacot, F. Gabriel, C. Hongler, 2018, "Neural tangent kernel: convergence and generalization in neural
    networks", theorem 1.
    """
    require(depth >= 0, "depth", depth, "a whole number of hidden layers from 0")
    check_variances(weight_variance, bias_variance)
    one = inputs.flatten(1).double()  # (N, F)
    other = one if others is None else others.flatten(1).double()  # (M, F)
    if one.shape[1] != other.shape[1]:
        came = f"examples of {one.shape[1]} and of {other.shape[1]} numbers"
        raise UserError(f"the infinite-width kernel came upon {came}; allowed: of the same number.")
    scale = weight_variance / one.shape[1]
    forward = scale * one @ other.T + bias_variance  # (N, M), the covariance of what goes out
    first = scale * one.square().sum(1, keepdim=True) + bias_variance  # (N, 1), its variance
    second = scale * other.square().sum(1)[None] + bias_variance  # (1, M)
    tangent = forward
    for _ in range(depth):
        mean, slope = bent(forward, first, second)
        forward = weight_variance * mean + bias_variance
        tangent = forward + weight_variance * slope * tangent
        first, second = (weight_variance * side / 2 + bias_variance for side in (first, second))
    return tangent


def kernel_prediction(
    train: Tensor, across: Tensor, apart: Tensor, start: Tensor | float = 0.0, time: float = math.inf
) -> Tensor:
    """Kernel prediction says what a very wide network will answer once it has been trained, without training it.

    Gradient descent in small steps on half the squared error, summed over examples, moves a wide network's answers by
    its kernel, and the kernel stays: so where they end is known.

    Parameters
    ----------
    train: the kernel among the N examples learnt from (N, N). across: of the M others with them (M, N). apart: how far
    the first answers for the N are from the targets, targets - answers (N, O). start: the first answers for the M (M,
    O). time: steps times learning rate; without end by default.

    Returns the answers for the M, (M, O).

    >>> train = torch.tensor([[2.0]], dtype=torch.float64)
    >>> kernel_prediction(train, torch.tensor([[1.0]]), torch.tensor([[3.0]])).item()  # half as like: half as far
    1.5
    >>> now = kernel_prediction(train, train, torch.tensor([[3.0]]), time=math.log(2) / 2)  # half of it is left
    >>> round(now.item(), 4)
    1.5

    Reference: J. Lee, L. Xiao, S. Schoenholz, Y. Bahri, R. Novak, J. Sohl-Dickstein, J. Pennington, 2019, "Wide neural
    networks of any depth evolve as linear models under gradient descent", eqs. 10 and 11.
    """
    sizes, ways = torch.linalg.eigh(train.double())  # (N,), (N, N)
    least = float(sizes.max()) * len(sizes) * 1e-15
    done = torch.ones_like(sizes) if math.isinf(time) else -torch.expm1(-sizes * time)
    share = torch.where(sizes > least, done / sizes.clamp(min=least), 0.0)  # directions that cannot move do not
    moved = across.double() @ (ways * share) @ (ways.T @ apart.double())
    predicted: Tensor = moved + start
    return predicted
