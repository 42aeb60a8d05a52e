"""Joint training of a representation's residual loss and of recognition (Dynamic Appearance, Sections 3.4, 3.5, D).

L1(Theta1) is the residual loss, of the representation's parameters alone; L2(Theta1, Theta2) is the recognition loss.

* `constant` and `scheduler` minimise alpha L1 + (1 - alpha) L2 over all parameters (Eq. 9), alpha fixed or from Eq. 13.
* `mgda`: alpha makes the combined gradient of Theta1 the shortest (Eq. 11, 12). Theta1 gets alpha g1 + (1 - alpha) g2,
  Theta2 its own gradient of L2, unscaled (Algorithm 1, line 6, which differs from Eq. 9).
* `separate`: Theta1 gets the gradient of L1 only, Theta2 that of L2 only. The paper says no more than "separate
  training": that both happen in one run rather than one after the other is our inference.

Eq. 13 is garbled in print; `scheduler_alpha` says what was made of it. MGDA's gradients are those of the losses, all of
Theta1 as one vector, before weight decay, momentum and clipping, on which the paper is silent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Strategy = Literal["separate", "constant", "scheduler", "mgda"]


def scheduler_alpha(step: int, total: int, gamma: float, lam: float) -> float:
    """The weight of L1 by the scale scheduler (DA Eq. 13, thesis Eq. 3.19), corrected.

    From 1 at step 1 down to lambda at step gamma M, then down to 0 at step M, both along a cosine of log(step). With
    a = arccos(2 lambda - 1):

        m < gamma M:   1/2 (1 + cos(a log m / log(gamma M)))
        m >= gamma M:  lambda/2 (1 + cos(pi log(m - gamma M + 1) / log((1 - gamma) M + 1)))

    The first branch is Eq. 3.19's (the base of its logarithm is (gamma M)^(pi / a)). The second as printed, with log m
    over log((1 - gamma) M), jumps at gamma M and is past its minimum before M; steps are counted from gamma M here.

    Args:
        step: m, from 1 to M.
        total: M, iterations of the training.
        gamma: Fraction of the training at which alpha is lambda ("gamma >= 1" in print, where .1, .2 and .5 are used).
        lam: lambda, from 0 to 1.

    Raises:
        ValueError: A value out of its range.
    """
    if not 1 <= step <= total:
        raise ValueError(f"step must be from 1 to {total}, got {step}")
    if not 0 < gamma < 1 or not 0 <= lam <= 1:
        raise ValueError(f"gamma must be between 0 and 1 and lam from 0 to 1, got {gamma} and {lam}")
    turn = gamma * total
    if step < turn:
        return 0.5 * (1 + math.cos(math.acos(2 * lam - 1) * math.log(step) / math.log(turn)))
    return 0.5 * lam * (1 + math.cos(math.pi * math.log(step - turn + 1) / math.log(total - turn + 1)))


def mgda_alpha(g1: Sequence[Tensor], g2: Sequence[Tensor]) -> float:
    """The alpha in [0, 1] that minimises |alpha g1 + (1 - alpha) g2| (DA Eq. 12).

    Args:
        g1: The gradient of L1, one tensor per parameter, taken together as one vector.
        g2: That of L2, of the same shapes.

    Returns:
        alpha; 0.5 where the gradients are identical, when every alpha gives the same.
    """
    # In float64: where the gradients almost agree, both sums are small differences.
    pairs = [(a.double(), b.double()) for a, b in zip(g1, g2, strict=True)]
    squared = sum(float((a - b).square().sum()) for a, b in pairs)
    if squared == 0:
        return 0.5
    along = sum(float(((b - a) * b).sum()) for a, b in pairs)
    return min(max(along / squared, 0.0), 1.0)


def backward(
    residual_loss: Tensor,
    recognition_loss: Tensor,
    representation_parameters: Iterable[Tensor],
    other_parameters: Iterable[Tensor],
    strategy: str,
    *,
    alpha: float = 0.5,
    gamma: float = 0.2,
    lam: float = 0.1,
    step: int = 1,
    total: int = 1,
) -> float:
    """Add the gradient of a strategy to `.grad` of every parameter, in place of `loss.backward()`.

    Gradients are added as `backward` does, so they are to be cleared before. A parameter that neither loss depends on
    keeps its `.grad`. Parameters that do not require a gradient are left out. `separate` and `mgda` go through the
    representation once and twice, and ask `torch.autograd.grad`, past hooks of DistributedDataParallel.

    Args:
        residual_loss: L1, scalar.
        recognition_loss: L2, scalar.
        representation_parameters: Theta1.
        other_parameters: Theta2.
        strategy: One of `Strategy`.
        alpha: For `constant`, from 0 to 1.
        gamma: For `scheduler`.
        lam: For `scheduler`.
        step: For `scheduler`, the iteration, from 1.
        total: For `scheduler`, iterations of the training.

    Returns:
        The weight of L1 in the gradient of Theta1: 1 for `separate`.

    Raises:
        ValueError: The strategy is unknown, or a value is out of its range.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy {strategy!r} is none of {', '.join(get_args(Strategy))}")
    theta1 = [p for p in representation_parameters if p.requires_grad]
    theta2 = [p for p in other_parameters if p.requires_grad]
    if strategy in ("constant", "scheduler"):
        weight = alpha if strategy == "constant" else scheduler_alpha(step, total, gamma, lam)
        if not 0 <= weight <= 1:
            raise ValueError(f"alpha must be from 0 to 1, got {weight}")
        (weight * residual_loss + (1 - weight) * recognition_loss).backward()
        return weight
    if strategy == "separate":
        # The residual loss first: its part of the graph is kept for the other loss, which may share it.
        _add(theta1, _gradients(residual_loss, theta1, keep=True))
        _add(theta2, _gradients(recognition_loss, theta2))
        return 1.0
    g1 = _gradients(residual_loss, theta1, keep=True)
    g2 = _gradients(recognition_loss, [*theta1, *theta2])
    shared = list(zip(theta1, g1, g2, strict=False))
    weight = mgda_alpha(
        [torch.zeros_like(p) if a is None else a for p, a, _ in shared],
        [torch.zeros_like(p) if b is None else b for p, _, b in shared],
    )
    _add(theta1, [_combined(a, b, weight) for _, a, b in shared])
    _add(theta2, g2[len(theta1) :])
    return weight


def _gradients(loss: Tensor, parameters: list[Tensor], keep: bool = False) -> list[Tensor | None]:
    if not parameters:
        return []
    return list(torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True))


def _combined(a: Tensor | None, b: Tensor | None, alpha: float) -> Tensor | None:
    """Alpha times one gradient plus the rest of the other, where nothing stands for zero."""
    if a is None or b is None:
        present, scale = (b, 1 - alpha) if a is None else (a, alpha)
        return None if present is None else present * scale
    return a * alpha + b * (1 - alpha)


def _add(parameters: list[Tensor], gradients: list[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
