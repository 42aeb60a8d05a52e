"""Temporal Interaction Module (TIM; Liu et al., "TEINet", AAAI 2020), the temporal modelling of CMR's baseline.

A convolution over the frames, one kernel of three weights per channel, at the input of a residual branch:

    y_t[c] = w[c, 0] x_{t-1}[c] + w[c, 1] x_t[c] + w[c, 2] x_{t+1}[c]

CMR (Wu et al., "Learning Comprehensive Motion Representation for Action Recognition", AAAI 2021) puts it in front of
the first convolution of every block of ResNet-50 and calls that the baseline: 39,360 parameters and 0.135 GMACs more
than ResNet-50 at 8 x 224 x 224.

What CMR leaves silent is from a third-party implementation (TEINet's own code was not at hand): the kernels start as
the shift of TSM, so that at first the module is `temporal_shift`, and have no bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import check_clips
from benchmark.models.modules.temporal_shift import FOLD_DIV


def shift_kernels(channels: int, fold_div: int = FOLD_DIV) -> Tensor:
    """Kernels over (t - 1, t, t + 1) that shift as TSM does: (channels, 3), one weight of each row 1, the others 0."""
    fold = channels // fold_div
    kernels = torch.zeros(channels, 3)
    kernels[:fold, 2] = 1
    kernels[fold : 2 * fold, 0] = 1
    kernels[2 * fold :, 1] = 1
    return kernels


class TemporalInteraction(nn.Module):
    """A depthwise convolution over three frames that starts as the temporal shift.

    Args:
        channels: C.

    Parameters: 3 * C. MACs of a clip: 3 * C * T * H * W.

    Raises:
        ValueError: No channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be positive, got {channels}")
        self.channels = channels
        # A parameter rather than a Conv2d, so that no network's own initialisation of convolutions overwrites it.
        self.weight = nn.Parameter(shift_kernels(channels).view(channels, 1, 3, 1))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Mix neighbouring frames.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip.

        Returns:
            The shape of x, channels-last.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        check_clips(x, frames)
        maps, channels, height, width = x.shape
        # The frames and positions of a channels-last clip are an image T high and H W wide that is channels-last too,
        # so this is a depthwise convolution of 3 x 1 and nothing is copied. On a CPU it is 1.6 to 12 times faster,
        # forward and backward, than the next best of four others (three sizes, float32 and bfloat16, one thread of a
        # busy machine). At 16 x 256 x 56 x 56 in float32 it takes 174 ms; a 3-D convolution 1,150, a 1-D convolution
        # over positions 1,430, two sums of shifted and scaled maps 1,730 and 1,390, and the untrained shift 509.
        over_time = x.permute(0, 2, 3, 1).reshape(-1, frames, height * width, channels).permute(0, 3, 1, 2)
        mixed = F.conv2d(over_time, self.weight, padding=(1, 0), groups=self.channels)
        return mixed.permute(0, 2, 3, 1).reshape(maps, height, width, channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """The channels, for printing."""
        return str(self.channels)
