"""Persistent Appearance (Zhang et al., "PAN: Persistent Appearance Network", ACM MM 2019 / 2020): where edges moved.

One convolution looks at every frame; the distance between its responses to neighbouring frames, position by position,
is one map per pair. Boundaries that move give large distances, and uniform regions give none.

What the paper leaves silent is the released code's unless it is said otherwise. The paper puts the maps of four frames
into the three channels of an ordinary first convolution; here their number is T - 1 and the backbone's first
convolution adapts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INITIAL_STD = 0.001
EPSILON = 1e-6
"""Added to every difference, so that the gradient of the square root exists where two frames agree."""


class PersistentAppearance(nn.Module):
    """Distances between the convolved neighbouring frames.

    Args:
        frames: T, at least 2.
        features: Output channels of the convolution.
        kernel_size: Its side, odd.

    Parameters: features * (3 * kernel_size^2 + 1); 1,184 by default. MACs: those weights at every position of every
    frame, 2.832 G for 48 frames of 224 x 224.

    Raises:
        ValueError: Fewer than two frames, or an even kernel.
    """

    def __init__(self, frames: int, features: int = 8, kernel_size: int = 7) -> None:
        super().__init__()
        if frames < 2:
            raise ValueError(f"a distance needs two frames, got {frames}")
        if kernel_size % 2 == 0:
            raise ValueError(f"the kernel needs an odd side to keep the frame's size, got {kernel_size}")
        self.frames = frames
        # Its bias cancels in the distance. Nothing follows it.
        self.conv = nn.Conv2d(3, features, kernel_size, padding=kernel_size // 2)
        nn.init.normal_(self.conv.weight, std=INITIAL_STD)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and compare.

        Args:
            x: (N, T, 3, H, W).

        Returns:
            (N, T - 1, H, W), the distances of the first pair first; not negative.

        Raises:
            ValueError: Another number of frames than T.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected {self.frames} frames, got {x.shape[1]}")
        maps = self.conv(x.flatten(0, 1)).unflatten(0, (-1, self.frames))
        # In float32 under autocast (ours): this is the difference of nearly equal numbers.
        if maps.dtype != torch.float64:
            maps = maps.float()
        # Over channels, as the paper says. The released code calls `nn.PairwiseDistance` on three dimensions, which
        # reduces the channels in old versions of torch and the positions in new ones.
        return torch.linalg.vector_norm(maps[:, 1:] - maps[:, :-1] + EPSILON, dim=2)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"frames={self.frames}"
