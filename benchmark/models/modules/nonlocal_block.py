"""Non-local block (Wang et al., "Non-local Neural Networks", CVPR 2018; thesis 4.2.1, Eq. 4.1), and its attention.

Every position i of a clip, of N = T H W, receives a sum over all positions j:

    y_i = sum_j f(x_i, x_j) g(x_j) / C(x),    z = x + BN(W y)

    gaussian           f = exp(x_i . x_j)                              C = sum_j f
    embedded_gaussian  f = exp(theta(x_i) . phi(x_j))                  C = sum_j f
    dot_product        f = theta(x_i) . phi(x_j)                       C = N
    concatenation      f = relu(w_q . theta(x_i) + w_k . phi(x_j))     C = N

theta, phi, g and W are 1 x 1 x 1 convolutions with biases, the inner width is half the channels. gamma and beta of BN
start at zero, so that the block is the identity until it has been trained; until gamma moves, what is in front of it
receives no gradient.

Choices that the thesis leaves silent:

* Exponents are not divided by sqrt(d): Eq. 4.1 has no scale, nor has the released code.
* `sub_sample` is off, as in the thesis' copy of the block (its printed 49.38 GFLOPs are those without). On, keys and
  values are max-pooled 1 x 2 x 2 behind their convolutions, which is the default of TSM's own code.
* w_q and w_k are the two halves of the thesis' w_f, without bias.
* Convolutions start as PyTorch's do.

The N x N matrix of weights is 157 MB in float32 for one clip in res3 (N = 6,272), and is never formed, neither forward
nor backward, so memory is linear in N:

* Gaussians run through PyTorch's fused attention. On a CPU that kernel wants values as wide as queries and channels
  next to one another in memory, or it silently falls back on the whole matrix; hence the zero padding (exact: it adds
  zeros to the inner products and columns of zeros to the result) and the `contiguous` below. Inputs stay bfloat16 under
  autocast: the kernel keeps exponents and sums in float32, so large unscaled exponents stay finite.
* A dot product is linear in the queries: (Q K^T) V = Q (K^T V), so 2 N d^2 MACs in place of 2 N^2 d, wherever N > d;
  in float32, since it costs so little.
* What a ReLU stands in works on `QUERIES` queries at a time, and computes their weights again in the backward pass.
  For concatenation, a_i + b_j is the inner product of (a_i, 1) and (1, b_j), always in float32, for the two may cancel.

Measured on one core of a busy EPYC, forward and backward, 392 positions of 32 channels, 16 clips: a gaussian takes 24
to 33 ms fused and 54 to 77 with the matrix, a dot product 6 and 42; with a ReLU it takes 67 and 52, the price of
computing weights twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from benchmark.models.clips import check_clips
from benchmark.models.precision import at_least_float32, without_autocast

Similarity = Literal["gaussian", "dot", "rectified"]
"""Weights from scores s_ij = q_i . k_j: softmax over j; s_ij / N; relu(s_ij) / N."""

Instantiation = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]

SIMILARITIES: dict[Instantiation, Similarity] = {
    "gaussian": "gaussian",
    "embedded_gaussian": "gaussian",
    "dot_product": "dot",
    "concatenation": "rectified",
}

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
    width, value_width = q.shape[-1], v.shape[-1]
    if q.device.type == "cpu":
        # Not 1: a single channel keeps the stride that it came with, through `contiguous` too.
        width = value_width = max(width, value_width, 2)
    elif q.device.type == "cuda":
        # Fused kernels read vectors of 16 bytes.
        width, value_width = (-(-n // 8) * 8 for n in (width, value_width))
    y = F.scaled_dot_product_attention(_head(q, width), _head(k, width), _head(v, value_width), scale=1.0)
    return y.squeeze(1)[..., : v.shape[-1]]


def _head(x: Tensor, width: int) -> Tensor:
    """(B, N, d) to (B, 1, N, width), contiguous, with zeros behind."""
    wide = x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
    return wide.contiguous().unsqueeze(1)


def _dot(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    positions, width = k.shape[1:]
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


def pointwise(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A 1 x 1 x 1 convolution of (M, C, H, W): every map is a clip of one frame, which keeps channels-last maps so."""
    return conv(x.unsqueeze(2)).squeeze(2)


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


class ResidualOutput(nn.Module):
    """z = x + BN(W y), gamma and beta zero: (M, C, H, W) and (M, C', H, W) to (M, C, H, W)."""

    def __init__(self, inner: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum, in the memory format of x."""
        return x + self.bn(self.conv(y.unsqueeze(2))).squeeze(2)


class NonLocal(nn.Module):
    """Non-local block.

    Args:
        channels: C; the inner width is C' = C / 2, at least 1.
        instantiation: The form of f, see above.
        sub_sample: Max-pool keys and values 1 x 2 x 2.

    Parameters: 4 C C' + 3 C' + 3 C (embedded_gaussian and dot_product); 2 C' more with concatenation; 2 C C' + C' + 3 C
    with gaussian. MACs of the embedded gaussian: 4 N C C' in convolutions, 2 N^2 C' in products.

    Raises:
        ValueError: Another instantiation, or no channels.
    """

    def __init__(
        self, channels: int, instantiation: Instantiation = "embedded_gaussian", sub_sample: bool = False
    ) -> None:
        super().__init__()
        if instantiation not in SIMILARITIES:
            raise ValueError(f"instantiation {instantiation!r} is none of {', '.join(get_args(Instantiation))}")
        if channels < 1:
            raise ValueError(f"a non-local block needs channels, got {channels}")
        self.channels, self.instantiation, self.sub_sample = channels, instantiation, sub_sample
        inner = max(1, channels // 2)
        embeds = instantiation != "gaussian"
        self.theta = nn.Conv3d(channels, inner, 1) if embeds else None
        self.phi = nn.Conv3d(channels, inner, 1) if embeds else None
        self.g = nn.Conv3d(channels, inner, 1)
        self.query_score: nn.Conv3d | None = None
        self.key_score: nn.Conv3d | None = None
        if instantiation == "concatenation":
            self.query_score = nn.Conv3d(inner, 1, 1, bias=False)
            self.key_score = nn.Conv3d(inner, 1, 1, bias=False)
        self.output = ResidualOutput(inner, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Let every position of a clip see all others.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip, T.

        Returns:
            A tensor of the shape and memory format of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or maps are too small to be sub-sampled.
        """
        q, k = self._queries_and_keys(x, frames)
        v = to_positions(self._sub_sampled(pointwise(self.g, x)), frames)
        return self.output(x, to_maps(attention(q, k, v, SIMILARITIES[self.instantiation]), x))

    @torch.no_grad()
    def attention_map(self, x: Tensor, frames: int, queries: Sequence[Position]) -> Tensor:
        """Weights f / C of some positions over all others.

        Args:
            x: (B * frames, C, H, W).
            frames: T.
            queries: Q positions (frame, row, column), the same ones in every clip.

        Returns:
            (B, Q, T, H, W), or (B, Q, T, H // 2, W // 2) with `sub_sample`; at least float32.

        Raises:
            ValueError: As `forward`, or a position outside the clip.
        """
        q, k = self._queries_and_keys(x, frames)
        height, width = x.shape[2:]
        keys = (frames, height // 2, width // 2) if self.sub_sample else (frames, height, width)
        return weights_of_queries(q, k, SIMILARITIES[self.instantiation], queries, (frames, height, width), keys)

    def _queries_and_keys(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """(B, N, d) and (B, N', d), whose inner products are the scores."""
        check_clips(x, frames)
        theta = x if self.theta is None else pointwise(self.theta, x)
        phi = self._sub_sampled(x if self.phi is None else pointwise(self.phi, x))
        if self.query_score is None or self.key_score is None:
            return to_positions(theta, frames), to_positions(phi, frames)
        a = at_least_float32(to_positions(pointwise(self.query_score, theta), frames))
        b = at_least_float32(to_positions(pointwise(self.key_score, phi), frames))
        return torch.cat([a, torch.ones_like(a)], dim=-1), torch.cat([torch.ones_like(b), b], dim=-1)

    def _sub_sampled(self, x: Tensor) -> Tensor:
        if not self.sub_sample:
            return x
        if min(x.shape[2:]) < 2:
            raise ValueError(f"maps of {x.shape[2]} x {x.shape[3]} are too small to be sub-sampled")
        return F.max_pool2d(x, 2)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.channels}, instantiation={self.instantiation}, sub_sample={self.sub_sample}"
