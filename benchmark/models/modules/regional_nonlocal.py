"""Region-based Non-local block (RNL; thesis 4.2.3 and 4.2.4, Eq. 4.2 to 4.9).

Two positions are compared by the regions around them, where a non-local block compares the positions alone:

    v = theta(x),    r = F_theta(v),    y_i = sum_j f(r_i, r_j) v_j / C,    z = x + BN(W y)

theta and W are 1 x 1 x 1 convolutions with biases (Eq. 4.9 has one W_g for values and regions); F_theta aggregates a
region channel by channel, see `regions`. f is one of

    gaussian  exp(r_i . r_j)             C = sum_j f    (Eq. 4.5)
    dot       r_i . r_j                  C = N          (Eq. 4.6)
    dot_relu  relu(r_i . r_j)            C = N          (the released code's form of Eq. 4.6)
    cosine    relu(cos(r_i, r_j))        C = N          (Eq. 4.7)

with N = T H W. How these sums are computed is told in `attention`. What the thesis leaves silent is taken from its
released code where that shows it.
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
from benchmark.models.modules.nonlocal_block import ResidualOutput, pointwise
from benchmark.models.modules.regions import Aggregator, Form, Kernel, build_region
from benchmark.models.precision import at_least_float32

RegionSimilarity = Literal["gaussian", "dot", "dot_relu", "cosine"]

SIMILARITIES: dict[RegionSimilarity, Similarity] = {
    **{"gaussian": "gaussian", "dot": "dot"},
    **{"dot_relu": "rectified", "cosine": "rectified"},
}

# Vectors shorter than this are divided by it, so that the gradient at zero stays small.
SHORTEST = 1e-4
"""Norm below which the cosine takes a vector to be shorter than a unit vector."""


class RegionalNonLocal(nn.Module):
    """Region-based Non-local block.

    Args:
        channels: C; the inner width is C' = C / 2, at least 1.
        similarity: The form of f, see above.
        aggregator: F_theta.
        kernel_size: Extents (t, h, w) of a region, odd; k is their product.
        form: How a channel-wise convolution is computed; pooling does not ask.

    Parameters: 2 C C' + C' + 3 C, and for a convolution C' k (`depthwise`) or 64 C' k (`refactorised`; 2 C'^2 k where
    C' < 32), half of these frozen. MACs: 2 N C C' for the 1 x 1 x 1 convolutions, N C' k or 32 N C' k for F_theta, and
    2 N^2 C' (gaussian, dot_relu, cosine) or 2 N C'^2 (dot, N > C') for attention.

    Raises:
        ValueError: An argument that is none of its choices, an even kernel, no channels, or more than 32 inner channels
            that groups of 32 do not divide (`refactorised`).
    """

    def __init__(
        self,
        channels: int,
        similarity: RegionSimilarity = "gaussian",
        aggregator: Aggregator = "conv",
        kernel_size: Kernel = (3, 7, 7),
        form: Form = "depthwise",
    ) -> None:
        super().__init__()
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity {similarity!r} is none of {', '.join(get_args(RegionSimilarity))}")
        if channels < 1:
            raise ValueError(f"a non-local block needs channels, got {channels}")
        self.channels, self.similarity, self.aggregator = channels, similarity, aggregator
        self.kernel_size, self.form = kernel_size, form
        inner = max(1, channels // 2)
        self.theta = nn.Conv3d(channels, inner, 1)
        self.region = build_region(aggregator, inner, kernel_size, form)
        self.output = ResidualOutput(inner, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Let every position of a clip see all others.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip, T.

        Returns:
            A tensor of the shape and memory format of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        regions, values = self._regions_and_values(x, frames)
        return self.output(x, to_maps(attention(regions, regions, values, SIMILARITIES[self.similarity]), x))

    @torch.no_grad()
    def attention_map(self, x: Tensor, frames: int, queries: Sequence[Position]) -> Tensor:
        """Weights f / C of some positions over all others (Figures 4.8 to 4.10).

        Args:
            x: (B * frames, C, H, W).
            frames: T.
            queries: Q positions (frame, row, column), the same ones in every clip.

        Returns:
            (B, Q, T, H, W), at least float32.

        Raises:
            ValueError: As `forward`, or a position outside the clip.
        """
        regions, _ = self._regions_and_values(x, frames)
        size = (frames, x.shape[2], x.shape[3])
        return weights_of_queries(regions, regions, SIMILARITIES[self.similarity], queries, size, size)

    def _regions_and_values(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """r, of unit length for the cosine, and v: both (B, N, C')."""
        check_clips(x, frames)
        values = pointwise(self.theta, x)
        regions = to_positions(self.region(values, frames), frames)
        if self.similarity == "cosine":
            # The released code has this normalisation, and a ReLU divided by N, as two switches: together, Eq. 4.7.
            regions = F.normalize(at_least_float32(regions), dim=-1, eps=SHORTEST).to(values.dtype)
        return regions, to_positions(values, frames)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return (
            f"{self.channels}, similarity={self.similarity}, aggregator={self.aggregator},"
            f" kernel_size={self.kernel_size}, form={self.form}"
        )


def build(
    channels: int,
    place: str,
    similarity: RegionSimilarity,
    aggregator: Aggregator,
    kernel_size: Kernel,
    kernel_size_res4: Kernel | None,
    form: Form,
) -> RegionalNonLocal:
    """The block of a place such as res4.0: from res4 on maps are small, and so is the region unless it is None."""
    if kernel_size_res4 is not None and place.startswith(("res4", "res5")):
        kernel_size = kernel_size_res4
    return RegionalNonLocal(channels, similarity, aggregator, kernel_size, form)
