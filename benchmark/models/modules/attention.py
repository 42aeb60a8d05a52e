"""Attention over the positions of clips, in memory linear in their number (see `nonlocal_block`).

The matrix of weights of N = T H W positions is 157 MB in float32 for one clip in res3 (N = 6,272). It is never formed,
neither forward nor backward.

Measured on one core of a busy EPYC, forward and backward, 392 positions of 32 channels, 16 clips: a gaussian takes 24
to 33 ms fused and 54 to 77 with the matrix, a dot product 6 and 42; with a ReLU it takes 67 and 52, the price of
computing weights twice. `tools/attention_memory.py` measures memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from benchmark.models.precision import at_least_float32, without_autocast

Similarity = Literal["gaussian", "dot", "rectified"]
"""Weights from scores s_ij = q_i . k_j: softmax over j; s_ij / N; relu(s_ij) / N."""

QUERIES = 256
"""Queries whose weights are held at a time under a ReLU."""

Position = tuple[int, int, int]
"""Frame, row and column."""


def attention_weights(q: Tensor, k: Tensor, similarity: Similarity) -> Tensor:
    """The matrix of weights, 1 / C included: queries (B, M, d) and keys (B, N, d) to (B, M, N), at least float32."""
    with without_autocast(q):
        scores = at_least_float32(q) @ at_least_float32(k).transpose(1, 2)
    if similarity == "gaussian":
        return scores.softmax(-1)
    return (scores.relu() if similarity == "rectified" else scores) / k.shape[1]


def explicit_attention(q: Tensor, k: Tensor, v: Tensor, similarity: Similarity) -> Tensor:
    """What `attention` computes, by the matrix of weights: the reference, with memory quadratic in positions."""
    with without_autocast(q):
        return attention_weights(q, k, similarity) @ at_least_float32(v)


def attention(q: Tensor, k: Tensor, v: Tensor, similarity: Similarity) -> Tensor:
    """Weighted sums of values, in memory linear in positions.

    Args:
        q: Queries (B, M, d).
        k: Keys (B, N, d).
        v: Values (B, N, d').
        similarity: How weights follow from q_i . k_j.

    Returns:
        (B, M, d').
    """
    if similarity == "gaussian":
        return _gaussian(q, k, v)
    with without_autocast(q):
        if similarity == "dot":
            return _dot(at_least_float32(q), at_least_float32(k), at_least_float32(v)).to(v.dtype)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v)):
            return _Rectified.apply(q, k, v)
        return _rectified(q, k, v)


def _gaussian(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    # Inputs stay bfloat16 under autocast: the fused kernel keeps exponents and sums in float32, so large exponents stay
    # finite.
    width, value_width = q.shape[-1], v.shape[-1]
    if q.device.type == "cpu":
        # The kernel wants values as wide as queries, and channels next to one another in memory, or it silently falls
        # back on the whole matrix. Zeros behind are exact: they add nothing to the inner products.
        # Not 1: a single channel keeps the stride that it came with, through `contiguous` too.
        width = value_width = max(width, value_width, 2)
    elif q.device.type == "cuda":
        # Fused kernels read vectors of 16 bytes.
        width, value_width = (-(-n // 8) * 8 for n in (width, value_width))
    # Eq. 4.1 does not divide exponents by sqrt(d), nor does the released code.
    y = F.scaled_dot_product_attention(_head(q, width), _head(k, width), _head(v, value_width), scale=1.0)
    return y.squeeze(1)[..., : v.shape[-1]]


def _head(x: Tensor, width: int) -> Tensor:
    """(B, N, d) to (B, 1, N, width), contiguous, with zeros behind."""
    wide = x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
    return wide.contiguous().unsqueeze(1)


def _dot(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    positions, width = k.shape[1:]
    # A dot product is linear in the queries: (Q K^T) V = Q (K^T V), with 2 N d^2 MACs in place of 2 N^2 d.
    if positions <= width:
        return (q @ k.transpose(1, 2)) @ (v / positions)
    return q @ (k.transpose(1, 2) @ (v / positions))


def _rectified(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    parts = [(part @ k.transpose(1, 2)).relu().to(v.dtype) @ v for part in q.split(QUERIES, dim=1)]
    return torch.cat(parts, dim=1) / k.shape[1]


class _Rectified(torch.autograd.Function):
    """`_rectified`, whose backward pass computes the weights again, some queries at a time."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, M, d), (B, N, d) and (B, N, d') to (B, M, d')."""
        ctx.save_for_backward(q, k, v)
        return _rectified(q, k, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of q, k and v."""
        q, k, v = ctx.saved_tensors
        grad_q = []
        grad_k, grad_v = (torch.zeros_like(at_least_float32(t)) for t in (k, v))
        with without_autocast(q):
            g = g.to(v.dtype) / k.shape[1]
            for part, g_part in zip(q.split(QUERIES, dim=1), g.split(QUERIES, dim=1), strict=True):
                weights = (part @ k.transpose(1, 2)).relu()
                grad_v += weights.transpose(1, 2).to(v.dtype) @ g_part
                grad_scores = (g_part @ v.transpose(1, 2)).to(q.dtype).masked_fill_(weights == 0, 0)
                grad_q.append(grad_scores @ k)
                grad_k += grad_scores.transpose(1, 2) @ part
        return torch.cat(grad_q, dim=1), grad_k.to(k.dtype), grad_v.to(v.dtype)


def to_positions(x: Tensor, frames: int) -> Tensor:
    """(B * T, C, H, W) to (B, T * H * W, C), contiguous; without a copy where maps are channels-last."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0] // frames, -1, x.shape[1]).contiguous()


def to_maps(y: Tensor, like: Tensor) -> Tensor:
    """(B, T * H * W, C') to (B * T, C', H, W), channels-last, where `like` is (B * T, C, H, W)."""
    return y.reshape(like.shape[0], *like.shape[2:], y.shape[-1]).permute(0, 3, 1, 2)


def weights_of_queries(
    q: Tensor, k: Tensor, similarity: Similarity, queries: Sequence[Position], size: Position, key_size: Position
) -> Tensor:
    """Weights of a few queries over all keys, as maps.

    Args:
        q: (B, T * H * W, d).
        k: (B, N, d).
        similarity: As in `attention`.
        queries: Q positions of q.
        size: T, H and W of q.
        key_size: The same of k.

    Returns:
        (B, Q, *key_size), at least float32.

    Raises:
        ValueError: A position outside the clip.
    """
    index = []
    for query in queries:
        if not all(0 <= i < n for i, n in zip(query, size, strict=True)):
            raise ValueError(f"position {tuple(query)} is outside maps of {size[0]} x {size[1]} x {size[2]}")
        index.append((query[0] * size[1] + query[1]) * size[2] + query[2])
    return attention_weights(q[:, index], k, similarity).unflatten(2, key_size)
