"""Orthogonal projection over time on the columns of a matrix (thesis Eq. 3.4; Dynamic Appearance Eq. 1 and 5).

A vector x of T values has, in the column space of A (T, D), the coefficients y = (A^T A)^-1 A^T x; the projection is
A y, the residual p = x - A y. Temporal Squeeze Pooling has one A per clip and keeps y; Pixel-Wise Temporal Projection
has one A per pixel and keeps p.

Both texts print the inverse, and say that the columns are independent. Here the inverse is never formed: columns are
made orthogonal one after the other (modified Gram-Schmidt), then x is projected on each. In float32 the error then
grows with the condition number of A and not with its square.

What is left of a column counts as zero by a relative ridge: b / (|v|^2 + `ridge` |a|^2) in place of b / |v|^2, where v
is the column a less its projection on those before. A column that depends on the others, or is zero, then adds nothing
and has finite gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmark.models.precision import at_least_float32, without_autocast

SMALLEST = 1e-20
"""Squared norm, of a column, below which the column counts as zero."""


def ridge_of(dtype: torch.dtype) -> float:
    """The relative ridge of a floating-point type."""
    # 1e-8 in float32: a column at right angles to the others feels it below rounding error, and one at an angle of 1
    # degree by 4e-5.
    return torch.finfo(dtype).eps / 10


def orthogonalise(columns: Sequence[Tensor], dim: int) -> tuple[list[Tensor], list[Tensor], list[list[Tensor]]]:
    """Modified Gram-Schmidt without normalisation: A = V U, U upper triangular with a unit diagonal.

    Args:
        columns: D tensors of one shape, at least float32, which hold T values along `dim`.
        dim: The dimension of the T values.

    Returns:
        v, D tensors like the columns, orthogonal along `dim`; the constants to be added to |v|^2, D tensors of length 1
        along `dim`; and u with u[d][j] for j < d, of length 1 along `dim`: columns[d] = v[d] + sum_j u[d][j] v[j].
    """
    # Elementwise: batched solvers of LAPACK take microseconds per matrix, and there is one matrix per pixel.
    ridge = ridge_of(columns[0].dtype)
    v: list[Tensor] = []
    floors: list[Tensor] = []
    u: list[list[Tensor]] = []
    sizes: list[Tensor] = []
    for column in columns:
        # The ridge is a constant to the gradient.
        with torch.no_grad():
            floors.append((column * column).sum(dim, keepdim=True) * ridge + SMALLEST)
        left, factors = column, []
        for other, size in zip(v, sizes, strict=True):
            factors.append((other * left).sum(dim, keepdim=True) / size)
            left = left - other * factors[-1]
        v.append(left)
        u.append(factors)
        if len(v) < len(columns):
            sizes.append((left * left).sum(dim, keepdim=True) + floors[-1])
    return v, floors, u


def project(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients and residual of the projection on the columns of A.

    Args:
        x: (..., T, C), C vectors of T values.
        a: (..., T, D), the same leading dimensions.

    Returns:
        y (..., D, C) and p = x - A y (..., T, C), at least float32. Of columns that depend on each other, y has some
        finite value; p does not depend on it. A zero column has coefficient 0 and gradient 0.
    """
    with without_autocast(x):
        x, a = at_least_float32(x), at_least_float32(a)
        squared = a.square().sum(-2, keepdim=True)
        present = squared > SMALLEST
        # Masked twice: the gradient of a column that counts as zero is zero, and not infinity times zero.
        inverse_norm = torch.where(present, torch.where(present, squared, 1.0).rsqrt(), 0.0)
        columns, floors, u = orthogonalise((a * inverse_norm).unbind(-1), dim=-1)
        v = torch.stack(columns, dim=-1)
        sizes = v.square().sum(-2) + torch.cat(floors, dim=-1)
        y_of_v = (v.transpose(-1, -2) @ x) / sizes.unsqueeze(-1)
        residual = x - v @ y_of_v
        y = list(y_of_v.unbind(-2))
        for d in reversed(range(len(y))):
            for j in range(d):
                y[j] = y[j] - u[d][j] * y[d]
        return torch.stack(y, dim=-2) * inverse_norm.transpose(-1, -2), residual


def mean_residual(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Temporal mean of the residual, and its size, with a matrix per pixel (DA Eq. 5, 6 and 7).

    Neither the projection nor the residual is stored. With orthogonal columns v_d, s_d = |v_d|^2, b_d = v_d . x,
    the mean is mean(x) - sum_d mean(v_d) b_d / s_d, and |p|^2 = |x|^2 - sum_d b_d^2 / s_d.

    Args:
        x: (N, T, C, H, W).
        a: (N, T, D, H, W), both at least float32.

    Returns:
        (N, C, H, W), and the scalar mean over N, C, H, W of |p|^2, the squared norm over T.
    """
    if a.shape[2] == 1:
        v, floors = a, a.new_full((), SMALLEST)
    else:
        columns, all_floors, _ = orthogonalise(a.unbind(2), dim=1)
        v, floors = torch.stack(columns, dim=2), torch.cat(all_floors, dim=1)
    if torch.is_grad_enabled() and (x.requires_grad or v.requires_grad):
        mean, energy = _MeanResidual.apply(x, v, floors)
        return mean, energy
    return _contract(x, v, floors)[:2]


def residual_frames(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The residual of every frame, with a matrix per pixel, and its size: `mean_residual` before the mean.

    Returns:
        p (N, T, C, H, W), and the scalar mean over N, C, H, W of its squared norm over T.
    """
    columns, floors, _ = orthogonalise(a.unbind(2), dim=1)
    p = x
    for column, floor in zip(columns, floors, strict=True):
        size = (column * column).sum(1, keepdim=True) + floor
        v = column.unsqueeze(2)
        y = (v * x).sum(1, keepdim=True) / size.unsqueeze(2)
        p = p - v * y
    return p, p.square().sum(1).mean()


def _over_time(x: Tensor, v: Tensor) -> Tensor:
    """Sum over T of the product, (N, T, C, H, W) and (N, T, 1 or C, H, W) to (N, C, H, W), frame by frame in cache."""
    total = x[:, 0] * v[:, 0]
    for t in range(1, x.shape[1]):
        total.addcmul_(x[:, t], v[:, t])
    return total


def _contract(x: Tensor, v: Tensor, floors: Tensor) -> tuple[Tensor, Tensor, list[Tensor], Tensor, Tensor]:
    """What `mean_residual` needs of every pixel: mean (N, C, H, W), energy, D times y, s and mean(v) (N, D, H, W).

    The norm of x is taken row by row, since one long float32 sum is off by 1e-4.
    """
    sizes = _over_time(v, v) + floors
    v_mean = v.mean(1)
    mean = x.mean(1)
    energy = torch.linalg.vector_norm(x, dim=-1).square().sum()
    coefficients = []
    for d in range(v.shape[2]):
        b = _over_time(x, v[:, :, d : d + 1])
        y = b / sizes[:, d : d + 1]
        mean = torch.addcmul(mean, v_mean[:, d : d + 1], y, value=-1)
        energy = energy - (b * y).sum()
        coefficients.append(y)
    return mean, energy / mean.numel(), coefficients, sizes, v_mean


class _MeanResidual(torch.autograd.Function):
    """`_contract`, with its gradient in as few passes over the T frames as there are channels.

    With g the gradient of the mean, r that of the energy over the number of values, and m_d = mean(v_d):
    w_d = -g m_d / s_d - 2 r y_d for every channel, and

        dL/dv_d[t] = sum_c w_d x[t] + v_d[t] (m_d / s_d sum_c g y_d - sum_c w_d y_d) - sum_c g y_d / T
        dL/dx[t] = g / T + 2 r x[t] + sum_d v_d[t] w_d
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, floors: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the energy."""
        mean, energy, y, sizes, v_mean = _contract(x, v, floors)
        ctx.save_for_backward(x, v, sizes, v_mean, *y)
        return mean, energy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, r: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients of x and v; the floors are constants."""
        x, v, sizes, v_mean, *y = ctx.saved_tensors
        frames = x.shape[1]
        twice = 2 * r / g.numel()
        slopes = v_mean / sizes
        grad_x = torch.addcmul((g / frames).unsqueeze(1), twice, x) if ctx.needs_input_grad[0] else None
        grad_v = torch.empty_like(v) if ctx.needs_input_grad[1] else None
        for d, y_d in enumerate(y):
            slope, v_d = slopes[:, d : d + 1], v[:, :, d]
            w = torch.addcmul(y_d * twice, g, slope).neg_()
            if grad_x is not None:
                grad_x.addcmul_(v_d.unsqueeze(2), w.unsqueeze(1))
            if grad_v is not None:
                along, grad = (g * y_d).sum(1, keepdim=True), grad_v[:, :, d]
                torch.addcmul(along / -frames, along * slope - (w * y_d).sum(1, keepdim=True), v_d, out=grad)
                for c in range(x.shape[2]):
                    grad.addcmul_(w[:, c : c + 1], x[:, :, c])
        return grad_x, grad_v, None
