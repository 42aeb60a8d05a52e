"""F_theta of the Region-based Non-local block (thesis 4.2.3): what the region around a position says, by channel.

A channel-wise convolution without bias, or average or max pooling. The convolution has two forms:

* `depthwise`: C' k weights, k the kernel's volume.
* `refactorised`: the released code's, groups of 32 channels with a dense 32 to 32 kernel each, times a fixed mask that
  keeps the diagonal. The same function with 64 times the parameters, since dense weights and mask are both parameters
  there, and 32 times the multiplications. This is what the printed 2.67 M parameters of Table 4.3 count; its printed
  1.65 GFLOPs, the same for convolution and pooling, have neither F_theta nor the products of attention in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import to_frames, to_volumes

Aggregator = Literal["conv", "average", "max"]
Form = Literal["depthwise", "refactorised"]
Kernel = tuple[int, int, int]
"""Frames, rows and columns."""

GROUP = 32
"""Channels that share a dense kernel in the refactorised form; all of them where there are fewer."""


def _group(channels: int) -> int:
    return min(GROUP, channels)


def _bound(channels: int, kernel_size: Kernel) -> float:
    # What is left on the diagonal of the released code's dense kernels.
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

        # Depthwise convolutions of volumes are slow on a CPU. Here every frame of the kernel is one of images: forward
        # and backward in 375 ms in place of 796 at 2 x 8 x 28 x 28 x 256, kernel 3 x 7 x 7 (one core of an EPYC).
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
        # Zeros outside are counted (PyTorch's default): Section 4.6.1 says "padding half of the kernel size", no more.
        # The pooling of volumes is slow on channels-last maps.
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
