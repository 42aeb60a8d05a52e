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


class JointGradient:
    """The gradient of a strategy over a batch, which may come in parts.

    Gradients are added to `.grad` of every parameter as `loss.backward()` does, so they are to be cleared before. A
    parameter that neither loss depends on keeps its `.grad`. Parameters that do not require a gradient are left out.
    MGDA's alpha is that of the whole batch, from both gradients summed over its parts. `separate` and `mgda` go through
    the representation once and twice, and ask `torch.autograd.grad`, past hooks of DistributedDataParallel.
    """

    def __init__(
        self,
        representation_parameters: Iterable[Tensor],
        other_parameters: Iterable[Tensor],
        strategy: str,
        *,
        alpha: float = 0.5,
        gamma: float = 0.2,
        lam: float = 0.1,
        step: int = 1,
        total: int = 1,
    ) -> None:
        """Theta1, Theta2, and one of `Strategy` with its settings.

        Args:
            representation_parameters: Theta1.
            other_parameters: Theta2.
            strategy: One of `Strategy`.
            alpha: For `constant`, from 0 to 1.
            gamma: For `scheduler`.
            lam: For `scheduler`.
            step: For `scheduler`, the iteration, from 1.
            total: For `scheduler`, iterations of the training.

        Raises:
            ValueError: The strategy is unknown, or a value is out of its range.
        """
        if strategy not in get_args(Strategy):
            raise ValueError(f"strategy {strategy!r} is none of {', '.join(get_args(Strategy))}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, got {alpha}")
        self._theta1 = [p for p in representation_parameters if p.requires_grad]
        self._theta2 = [p for p in other_parameters if p.requires_grad]
        self._strategy = strategy
        self._alpha = scheduler_alpha(step, total, gamma, lam) if strategy == "scheduler" else alpha
        self._g1: list[Tensor | None] = [None] * len(self._theta1)
        self._g2 = list(self._g1)

    def add(self, residual_loss: Tensor, recognition_loss: Tensor) -> None:
        """A part of the batch: L1 and L2, scalars, each already multiplied by the part's share of the batch."""
        if self._strategy in ("constant", "scheduler"):
            (self._alpha * residual_loss + (1 - self._alpha) * recognition_loss).backward()
        elif self._strategy == "separate":
            # The residual loss first: its part of the graph is kept for the other loss, which may share it.
            _add(self._theta1, _gradients(residual_loss, self._theta1, keep=True))
            _add(self._theta2, _gradients(recognition_loss, self._theta2))
        else:
            g1 = _gradients(residual_loss, self._theta1, keep=True)
            g2 = _gradients(recognition_loss, [*self._theta1, *self._theta2])
            self._g1 = [_sum(a, b) for a, b in zip(self._g1, g1, strict=True)]
            self._g2 = [_sum(a, b) for a, b in zip(self._g2, g2, strict=False)]
            _add(self._theta2, g2[len(self._theta1) :])

    def finish(self) -> float:
        """After the last part. Returns the weight of L1 in the gradient of Theta1: 1 for `separate`."""
        if self._strategy != "mgda":
            return 1.0 if self._strategy == "separate" else self._alpha
        shared = list(zip(self._theta1, self._g1, self._g2, strict=True))
        weight = mgda_alpha(
            [torch.zeros_like(p) if a is None else a for p, a, _ in shared],
            [torch.zeros_like(p) if b is None else b for p, _, b in shared],
        )
        _add(self._theta1, [_combined(a, b, weight) for _, a, b in shared])
        return weight


def _gradients(loss: Tensor, parameters: list[Tensor], keep: bool = False) -> list[Tensor | None]:
    if not parameters:
        return []
    return list(torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True))


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _combined(a: Tensor | None, b: Tensor | None, alpha: float) -> Tensor | None:
    """Alpha times one gradient plus the rest of the other, where nothing stands for zero."""
    if a is None or b is None:
        present, scale = (b, 1 - alpha) if a is None else (a, alpha)
        return None if present is None else present * scale
    return a * alpha + b * (1 - alpha)


def _add(parameters: list[Tensor], gradients: list[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = _sum(parameter.grad, gradient)
