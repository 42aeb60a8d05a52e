"""Motion Band-Pass Module (Huang and Bors, "Busy-Quiet Video Disentangling...", WACV 2022, Section 3).

A Laplacian of Gaussian per channel in space, then the high-pass filter [-1/3, 2/3, -1/3] per channel in time (Eq. 3).
What is left is the motion of edges. Both filters are trained with the network unless `trainable` is False.

What the paper leaves silent is taken from its released code: neither filter has a bias, a normalisation or an
activation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIGH_PASS = (-1 / 3, 2 / 3, -1 / 3)


def laplacian_of_gaussian(kernel_size: int, sigma: float) -> Tensor:
    """The LoG of Eq. 2 on the integer grid, divided by its sum: (kernel_size, kernel_size), float32, summing to 1."""
    radius = (kernel_size - 1) / 2
    offset = torch.arange(kernel_size, dtype=torch.float32) - radius
    squared = (offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * sigma**2)
    # "Normalised to 1". A LoG integrates to zero, so the raw sum is a small negative number: the division turns the
    # sign around and makes the kernel large (the centre of 9 x 9, sigma 1.1 is 278), by an amount that depends strongly
    # on the kernel size and sigma. The sum is taken in float32.
    kernel = -1 / (math.pi * sigma**4) * (1 - squared) * torch.exp(-squared)
    return kernel / kernel.sum()


def reflect_pad(x: Tensor, padding: int) -> Tensor:
    """Pad H and W of (N, C, H, W) by reflection; what a small map cannot reflect repeats the outermost value."""
    # So that maps keep their size. Only the small protocols meet maps with a side of no more than the padding.
    reflected = [min(padding, side - 1) for side in x.shape[-2:]]
    high, wide = reflected
    x = F.pad(x, (wide, wide, high, high), mode="reflect")
    if min(reflected) < padding:
        rest_high, rest_wide = padding - high, padding - wide
        x = F.pad(x, (rest_wide, rest_wide, rest_high, rest_high), mode="replicate")
    return x


class Mbpm(nn.Module):
    """Motion Band-Pass Module, Eq. 3.

    Args:
        channels: C; every channel has filters of its own, all equal at initialisation.
        kernel_size: Side k of the LoG, odd.
        sigma: Scale of the LoG, in pixels of the map that it filters.
        stride: 3 turns each triple of frames into one frame (the stem of Busy); 1 keeps the frames (lateral
            connections).
        trainable: False fixes the filters; the keys of the state dict stay the same.

    Parameters: C * (k^2 + 3); the stem (C 3, k 9) has 252.

    Raises:
        ValueError: A stride other than 1 and 3, or an even kernel.
    """

    def __init__(
        self, channels: int, kernel_size: int = 9, sigma: float = 1.1, stride: int = 3, trainable: bool = True
    ) -> None:
        super().__init__()
        if stride not in (1, 3):
            raise ValueError(f"the temporal stride of an MBPM is 1 or 3, got {stride}")
        if kernel_size % 2 == 0:
            raise ValueError(f"the LoG kernel needs an odd side, got {kernel_size}")
        self.channels, self.kernel_size, self.sigma, self.stride = channels, kernel_size, sigma, stride
        spatial = laplacian_of_gaussian(kernel_size, sigma).repeat(channels, 1, 1, 1)
        temporal = torch.tensor(HIGH_PASS).repeat(channels, 1, 1)
        # Parameters rather than `Conv2d` modules, as in the released code: counters of operators see k^2 + 3 MACs per
        # channel and output position, and counters of modules none.
        self.spatial = nn.Parameter(spatial, requires_grad=trainable)
        self.temporal = nn.Parameter(temporal, requires_grad=trainable)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Filter clips.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip; with stride 3 a multiple of 3.

        Returns:
            (B * frames / stride, C, H, W).

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or `frames` no multiple of the stride.
        """
        if x.shape[0] % frames or frames % self.stride:
            raise ValueError(f"{x.shape[0]} maps in clips of {frames} frames do not fit temporal stride {self.stride}")
        if self.stride == 3:
            # The two filters commute: in time first leaves a third of the spatial work. Evaluation keeps the paper's
            # order, whose cost is counted.
            return self._edges(self._triples(x)) if self.training else self._triples(self._edges(x))
        return self._every_frame(self._edges(x), frames)

    def _edges(self, x: Tensor) -> Tensor:
        """The LoG of every map: (N, C, H, W) to the same shape."""
        # The depthwise kernel is 3 to 5 times faster so.
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(reflect_pad(x, self.kernel_size // 2), self.spatial, groups=self.channels)

    def _triples(self, x: Tensor) -> Tensor:
        """(3 M, C, H, W) to (M, C, H, W): the frames of a triple become the input channels of one group."""
        # No padding: every triple gives one frame. For 3 channels this is ten times faster than a convolution along the
        # frames (measured 4 against 57 ms at 192 x 3 x 56 x 56, one core).
        folded = x.unflatten(0, (-1, 3)).transpose(1, 2).flatten(1, 2)
        return F.conv2d(folded, self.temporal.view(self.channels, 3, 1, 1), groups=self.channels)

    def _every_frame(self, x: Tensor, frames: int) -> Tensor:
        """(B * T, C, H, W) to the same shape: a 3 x 1 convolution over maps of frames by positions."""
        height, width = x.shape[-2:]
        over_time = x.flatten(2).unflatten(0, (-1, frames)).transpose(1, 2)
        # The first and the last frame are repeated once, after the spatial filter.
        over_time = torch.cat([over_time[:, :, :1], over_time, over_time[:, :, -1:]], dim=2)
        filtered = F.conv2d(over_time, self.temporal.view(self.channels, 1, 3, 1), groups=self.channels)
        return filtered.transpose(1, 2).flatten(0, 1).unflatten(2, (height, width))

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.channels}, kernel_size={self.kernel_size}, sigma={self.sigma}, stride={self.stride}"
