"""Soft arg-max of correlation scores: how far every position moves (MotionSqueeze, Kwon et al., Eq. 2 to 5).

    d = sum_p softmax(g S / tau) p / k,    g = exp(-|p - p*|^2 / (2 sigma^2))

S are the scores of `correlation` after a ReLU, p* the displacement of the highest one, k = P // 2. What follows a
correlation is bound by memory: no map of P^2 channels is kept but the scores, and the backward pass computes the
softmax again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmark.models.precision import without_autocast

ROWS = 512
"""Positions whose scores are worked on at a time on a CPU: they fit its second-level cache."""


def sharpening(patch: int, temperature: float, sigma: float | None) -> Tensor:
    """Factors of the scores before the softmax, by the best displacement: (P^2, P^2), exp(-|p - p*|^2 / 2 s^2) / tau.

    Without a sigma, 1 / tau everywhere.
    """
    # Eq. 4 lacks the sign, the square and the 2, and has a factor 1 / (sqrt(2 pi) sigma) that would make tau 12 times
    # larger. `soft_argmax`, without g, has the same tau: Eq. 2 has none, but of cosines without tau no displacement
    # would have a weight above e / (e + P^2 - 1), 1.2 %.
    if sigma is None:
        return torch.full((patch**2, patch**2), 1 / temperature)
    offset = torch.arange(patch)
    line = torch.exp(-((offset[:, None] - offset) ** 2) / (2 * sigma**2))
    return torch.kron(line, line) / temperature


def _parts(scores: Tensor) -> list[slice]:
    count = len(scores)
    step = ROWS if scores.device.type == "cpu" else max(1, count)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _best(scores: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The highest scores, where they are, and the softmax."""
    # p* is the first of equal maxima and has no gradient; the confidence is the score there before the Gaussian.
    scores = scores.relu()
    confidence, index = scores.max(1)
    return confidence, index, scores.mul_(factors.index_select(0, index)).softmax(1)


def _displacements(scores: Tensor, factors: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """(M, P^2) to (M, 3), dx, dy and confidence, and the index of the best score, (M,)."""
    found, indices = [], []
    for part in _parts(scores):
        confidence, index, weights = _best(scores[part], factors)
        grid = weights.unflatten(1, (len(offsets), -1))
        # Sums in place of a product with the offsets: counters of matrix products have nothing to see, as in the paper.
        dx, dy = ((grid.sum(axis) * offsets).sum(1) for axis in (1, 2))
        found.append(torch.stack([dx, dy, confidence], dim=1))
        indices.append(index)
    return torch.cat(found), torch.cat(indices)


class _Displacements(torch.autograd.Function):
    """`_displacements`, whose backward pass computes the softmax again, some positions at a time."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
        """(M, P^2) to (M, 3)."""
        found, index = _displacements(scores, factors, offsets)
        ctx.save_for_backward(scores, factors, offsets, found, index)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the scores."""
        scores, factors, offsets, found, index = ctx.saved_tensors
        side = len(offsets)
        positions = torch.stack([offsets.repeat(side), offsets.repeat_interleave(side)])
        grad = torch.empty_like(scores)
        for part in _parts(scores):
            best, positive, towards = index[part], scores[part].relu(), g[part, :2]
            sharp = factors.index_select(0, best)
            weights = torch.mul(positive, sharp).softmax(1)
            mean = (towards * found[part, :2]).sum(1, keepdim=True)
            with without_autocast(scores):
                inner = torch.addmm(mean, towards, positions, beta=-1).mul_(weights).mul_(sharp)
            inner.scatter_add_(1, best.unsqueeze(1), g[part, 2:])
            torch.mul(inner, positive.sign_(), out=grad[part])
        return grad, None, None


def displacements(scores: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Soft arg-max of scores and their maximum (Eq. 2 to 5).

    Args:
        scores: (N, P^2, H, W) of `local_correlation`; negative ones count as zero.
        factors: Of `sharpening`.
        offsets: P steps from -1 to 1.

    Returns:
        (N, 3, H, W): dx and dy in [-1, 1] in units of P // 2 positions, positive where the content moves right and
        down, and the highest score.
    """
    count, _, height, width = scores.shape
    flat = scores.permute(0, 2, 3, 1).flatten(0, 2)
    if torch.is_grad_enabled() and scores.requires_grad:
        found: Tensor = _Displacements.apply(flat, factors, offsets)
    else:
        found = _displacements(flat, factors, offsets)[0]
    return found.view(count, height, width, 3).permute(0, 3, 1, 2)
