"""Non-local block (Wang et al., "Non-local Neural Networks", CVPR 2018; thesis 4.2.1, Eq. 4.1).

Every position i of a clip, of N = T H W, receives a sum over all positions j:

    y_i = sum_j f(x_i, x_j) g(x_j) / C(x),    z = x + BN(W y)

    gaussian           f = exp(x_i . x_j)                              C = sum_j f
    embedded_gaussian  f = exp(theta(x_i) . phi(x_j))                  C = sum_j f
    dot_product        f = theta(x_i) . phi(x_j)                       C = N
    concatenation      f = relu(w_q . theta(x_i) + w_k . phi(x_j))     C = N

theta, phi, g and W are 1 x 1 x 1 convolutions with biases that start as PyTorch's do; the inner width is half the
channels. How the sums are computed is told in `attention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import check_clips
from benchmark.models.modules.attention import (
    Position,
    Similarity,
    attention,
    to_maps,
    to_positions,
    weights_of_queries,
)
from benchmark.models.precision import at_least_float32

Instantiation = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]

SIMILARITIES: dict[Instantiation, Similarity] = {
    "gaussian": "gaussian",
    "embedded_gaussian": "gaussian",
    "dot_product": "dot",
    "concatenation": "rectified",
}


def pointwise(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A 1 x 1 x 1 convolution of (M, C, H, W): every map is a clip of one frame, which keeps channels-last maps so."""
    return conv(x.unsqueeze(2)).squeeze(2)


class ResidualOutput(nn.Module):
    """z = x + BN(W y), gamma and beta zero: (M, C, H, W) and (M, C', H, W) to (M, C, H, W)."""

    def __init__(self, inner: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        # The block is the identity until it has been trained. Until gamma moves, nothing in front of it has a gradient.
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
        sub_sample: Max-pool keys and values 1 x 2 x 2 behind their convolutions. TSM's own code does so by default; the
            thesis' copy of the block does not, as its printed 49.38 GFLOPs show.

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
            # The two halves of the thesis' w_f.
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
        # a_i + b_j is the inner product of (a_i, 1) and (1, b_j), in float32, for the two may cancel.
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
