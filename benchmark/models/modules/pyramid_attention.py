"""Convolution Pyramid Attention (CPA; thesis 4.3, Eq. 4.10 and 4.11; there is no released code).

    y = softmax over T, H, W of (f_1(m) + ... + f_n(m)) * x,    m the mean of x over channels,

with f_i single-channel convolutions of growing kernels: 1 x 1 x 1, 3 x 3 x 3, 3 x 7 x 7 and 3 x 9 x 9 in the model of
Table 4.6 and in the last row of Table 4.5, subsets of them in the other rows.

Two facts about the equations:

* A softmax over the 6,272 positions of res3 averages 1.6e-4, so Eq. 4.10 as it is printed takes the signal away (next
  to nothing passes the shortcuts of later blocks). By default the weights are therefore multiplied by the
  number of positions, which makes their mean 1. `rescale=False` is the equation to the letter.
* Nothing but a sum joins the f_i, so the pyramid is one convolution, of the largest kernel, whose weights are the sums
  of those that overlap. Under plain SGD from zero it is that convolution with gradients counted 4 times at the centre,
  3 times in the 3 x 3 x 3 around it, and so on. What Table 4.5 sees between 73.92 (3 x 9 x 9 alone) and 74.27 (all
  four) is not a larger class of functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.models.clips import check_clips
from benchmark.models.precision import without_autocast

Kernel = tuple[int, int, int]

PYRAMID: tuple[Kernel, ...] = ((1, 1, 1), (3, 3, 3), (3, 7, 7), (3, 9, 9))
"""Time, height and width of the four kernels of Table 4.5."""


def same_padding(kernel: Kernel) -> Kernel:
    """Padding with which a convolution keeps its size.

    Raises:
        ValueError: Not three sides, or one that is even or not positive.
    """
    if len(kernel) != 3 or any(side < 1 or side % 2 == 0 for side in kernel):
        raise ValueError(f"a kernel needs three odd sides, got {kernel}")
    time, height, width = kernel
    return time // 2, height // 2, width // 2


class PyramidAttention(nn.Module):
    """Weigh the positions of a clip.

    Args:
        kernels: Sides of every convolution in time, height and width, odd.
        rescale: Multiply the softmax by the number of positions of a clip, so that weights average 1.

    Parameters: the weights of all kernels, 418 for the four; as many MACs per position of a clip.

    Raises:
        ValueError: No kernel, or one with a side that is even or not positive.
    """

    def __init__(self, kernels: Sequence[Kernel] = PYRAMID, rescale: bool = True) -> None:
        super().__init__()
        if not kernels:
            raise ValueError("the pyramid needs a kernel")
        self.rescale = rescale
        # No bias: a softmax does not change with it. Zero padding, as in the other convolutions of the network.
        self.convs = nn.ModuleList(
            nn.Conv3d(1, 1, kernel, padding=same_padding(kernel), bias=False) for kernel in kernels
        )
        # With `rescale` the block is then exactly the identity, and can be put into a pretrained network. Gradients
        # reach the kernels at once, for the softmax of equal logits is not at a stationary point.
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def attention(self, x: Tensor, frames: int) -> Tensor:
        """The weights of all positions: (B * frames, C, H, W) to (B, frames, H, W), at least float32.

        They sum to 1 over a clip, or to the number of its positions where rescaled.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        check_clips(x, frames)
        mean = x.mean(1, dtype=torch.promote_types(x.dtype, torch.float32))
        clips = mean.view(-1, 1, frames, *x.shape[2:])
        with without_autocast(x):
            logits = torch.stack([conv(clips) for conv in self.convs]).sum(0).squeeze(1)
        # Written out, since exp(0) / mean(exp(0)) is exactly 1, and softmax(0) times the number of positions is not.
        weights = (logits - logits.amax((1, 2, 3), keepdim=True).detach()).exp()
        total = weights.mean if self.rescale else weights.sum
        return weights / total((1, 2, 3), keepdim=True)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Eq. 4.10.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip.

        Returns:
            The shape and precision of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`.
        """
        # No residual sum: Eq. 4.10 has none.
        return x * self.attention(x, frames).view(-1, 1, *x.shape[2:]).to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"rescale={self.rescale}"
