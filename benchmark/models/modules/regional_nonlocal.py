"""Region-based Non-local block (RNL; thesis 4.2.3 and 4.2.4, Eq. 4.2 to 4.9).

Two positions are compared by the regions around them, where a non-local block compares the positions alone:

    v = theta(x),    r = F_theta(v),    y_i = sum_j f(r_i, r_j) v_j / C,    z = x + BN(W y)

theta and W are 1 x 1 x 1 convolutions (Eq. 4.9 has one W_g for values and regions); F_theta aggregates a region channel
by channel: a channel-wise convolution, or average or max pooling. f is one of

    gaussian  exp(r_i . r_j)             C = sum_j f    (Eq. 4.5)
    dot       r_i . r_j                  C = N          (Eq. 4.6)
    cosine    relu(cos(r_i, r_j))        C = N          (Eq. 4.7)

with N = T H W. gamma and beta of BN start at zero, so that the block is the identity until it has been trained. How
these sums are computed without a matrix of N x N weights is told in `nonlocal_block`; the fused attention and bfloat16
are treated there too.

Choices that the thesis leaves silent, taken from its released code where that shows them:

* theta and W have biases, F_theta none; exponents are not divided by sqrt(d).
* F_theta pads with zeros, by half the kernel, and the average counts those zeros (PyTorch's default; Section 4.6.1 has
  "padding half of the kernel size" and no more); maxima ignore the padding.
* F_theta starts from U(-b, b), b = sqrt(6 / ((32 + C') k)) with k the kernel's volume, which is what is left on the
  diagonal of the released code's dense kernels; other convolutions start as PyTorch's do.
* Cosine: the code has L2 normalisation and a ReLU divided by N as separate switches, which together are Eq. 4.7. A
  vector shorter than `SHORTEST` is divided by `SHORTEST`, so that the gradient at zero stays small. The dot product has
  no ReLU, as in Eq. 4.6.

Forms of the channel-wise convolution:

* `depthwise`: C' k weights. On a CPU, depthwise convolutions of volumes are slow, so every frame of the kernel is a
  depthwise convolution of images and their sum is shifted in time, forward and backward in 375 ms instead of 796 at
  2 x 8 x 28 x 28 x 256, kernel 3 x 7 x 7, and 29 instead of 72 at 14 x 14 x 512, 3 x 3 x 3 (measured, one core of an
  EPYC). It multiplies as often: N C' k.
* `refactorised`: the released code's, groups of 32 channels with a dense 32 to 32 kernel each, times a fixed mask that
  keeps the diagonal. The same function with 64 times the parameters, since dense weights and mask are both parameters
  there, and 32 times the multiplications. This is what the printed 2.67 M parameters of Table 4.3 count; its printed
  1.65 GFLOPs, the same for convolution and pooling, have neither F_theta nor the products of attention in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import check_clips, to_frames, to_volumes
from benchmark.models.modules.nonlocal_block import (
    Position,
    ResidualOutput,
    Similarity,
    attention,
    pointwise,
    to_maps,
    to_positions,
    weights_of_queries,
)
from benchmark.models.precision import at_least_float32

RegionSimilarity = Literal["gaussian", "dot", "cosine"]
Aggregator = Literal["conv", "average", "max"]
Form = Literal["depthwise", "refactorised"]
Kernel = tuple[int, int, int]
"""Frames, rows and columns."""

SIMILARITIES: dict[RegionSimilarity, Similarity] = {"gaussian": "gaussian", "dot": "dot", "cosine": "rectified"}

GROUP = 32
"""Channels that share a dense kernel in the refactorised form; all of them where there are fewer."""

SHORTEST = 1e-4
"""Norm below which the cosine takes a vector to be shorter than a unit vector."""


def _group(channels: int) -> int:
    return min(GROUP, channels)


def _bound(channels: int, kernel_size: Kernel) -> float:
    return math.sqrt(6 / ((_group(channels) + channels) * math.prod(kernel_size)))


def _sum_over_time(part: Callable[[int], Tensor], extent: int, frames: int) -> Tensor:
    """sum_d part(d)[t + d - extent // 2], frames outside the clip left out; parts and sum are (B * T, C, H, W)."""
    middle = extent // 2
    total = part(middle).unflatten(0, (-1, frames))
    for index in range(extent):
        shift = index - middle
        if shift == 0 or abs(shift) >= frames:
            continue
        moved = part(index).unflatten(0, (-1, frames))
        if shift > 0:
            total[:, :-shift].add_(moved[:, shift:])
        else:
            total[:, -shift:].add_(moved[:, :shift])
    return total.flatten(0, 1)


class DepthwiseRegion(nn.Module):
    """Channel-wise convolution with zero padding, without bias: (B * T, C, H, W) to the same shape."""

    def __init__(self, channels: int, kernel_size: Kernel) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, *kernel_size))
        bound = _bound(channels, kernel_size)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Filter clips of `frames` maps."""
        channels, _, extent, height, width = self.weight.shape

        def part(index: int) -> Tensor:
            kernel = self.weight[:, :, index]
            return F.conv2d(x, kernel, padding=(height // 2, width // 2), groups=channels)

        return _sum_over_time(part, extent, frames)


class RefactorisedRegion(nn.Module):
    """The same function as `DepthwiseRegion`, by dense kernels within groups of channels times a mask.

    Weight and mask are (C, g, t, h, w) with g channels in a group; the weight of channel c is [c, c % g].

    Raises:
        ValueError: Groups do not divide the channels.
    """

    def __init__(self, channels: int, kernel_size: Kernel) -> None:
        super().__init__()
        group = _group(channels)
        if channels % group:
            raise ValueError(f"groups of {group} channels do not divide {channels}")
        self.groups, self.padding = channels // group, tuple(extent // 2 for extent in kernel_size)
        self.weight = nn.Parameter(torch.empty(channels, group, *kernel_size))
        bound = _bound(channels, kernel_size)
        nn.init.uniform_(self.weight, -bound, bound)
        diagonal = torch.eye(group).repeat(self.groups, 1).view(channels, group, 1, 1, 1)
        self.mask = nn.Parameter(diagonal.expand_as(self.weight).contiguous(), requires_grad=False)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Filter clips of `frames` maps."""
        weight = self.weight * self.mask
        volumes = F.conv3d(to_volumes(x, frames), weight, padding=self.padding, groups=self.groups)
        return to_frames(volumes)


class AverageRegion(nn.Module):
    """Mean over a window, zeros outside the clip counted: (B * T, C, H, W) to the same shape."""

    def __init__(self, kernel_size: Kernel) -> None:
        super().__init__()
        self.extent = kernel_size[0]
        # Its counterpart for volumes is slow on channels-last maps.
        self.pool = nn.AvgPool2d(kernel_size[1:], 1, (kernel_size[1] // 2, kernel_size[2] // 2))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Average over clips of `frames` maps."""
        mean = self.pool(x) / self.extent
        # The sum is built in place, so it must not be what the other frames are read from.
        return _sum_over_time(lambda index: mean.clone() if index == self.extent // 2 else mean, self.extent, frames)


class MaxRegion(nn.Module):
    """Maximum over a window, cut off at the ends of the clip: (B * T, C, H, W) to the same shape."""

    def __init__(self, kernel_size: Kernel) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d(kernel_size, 1, tuple(extent // 2 for extent in kernel_size))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Maxima of clips of `frames` maps."""
        return to_frames(self.pool(to_volumes(x, frames)))


def build_region(aggregator: Aggregator, channels: int, kernel_size: Kernel, form: Form) -> nn.Module:
    """F_theta, (B * T, C, H, W) and T to the same shape.

    Raises:
        ValueError: An unknown aggregator or form, or a kernel that is not three odd extents.
    """
    if aggregator not in get_args(Aggregator):
        raise ValueError(f"aggregator {aggregator!r} is none of {', '.join(get_args(Aggregator))}")
    if form not in get_args(Form):
        raise ValueError(f"form {form!r} is none of {', '.join(get_args(Form))}")
    if len(kernel_size) != 3 or any(extent < 1 or extent % 2 == 0 for extent in kernel_size):
        raise ValueError(f"a region is odd in time, height and width, got {tuple(kernel_size)}")
    if aggregator == "average":
        return AverageRegion(kernel_size)
    if aggregator == "max":
        return MaxRegion(kernel_size)
    return (DepthwiseRegion if form == "depthwise" else RefactorisedRegion)(channels, kernel_size)


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
    2 N^2 C' (gaussian, cosine) or 2 N C'^2 (dot, N > C') for attention.

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
