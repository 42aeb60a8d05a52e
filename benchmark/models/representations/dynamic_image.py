"""Dynamic image (Bilen et al., "Dynamic Image Networks for Action Recognition", CVPR 2016): a clip as one image.

A linear function that ranks the frames by their time is a summary of the clip; one step of its optimisation from zero
gives it in closed form, as a weighted sum of the frames (approximate rank pooling). Frame i of N has the weight

    w_i = sum over t = i..N of (2 t - N - 1) / t = 2 (N - i + 1) - (N + 1) (H_N - H_{i-1}),

with the harmonic numbers H, which is what ranking the running means of the frames leads to. The weights sum to zero: a
clip without motion is a grey image.

The simpler weights 2 i - N - 1 of the later journal article (ranking frames rather than running means) are not used.
The subtraction of the mean needs no code: as the weights sum to zero, an image subtracted from all frames changes
nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def rank_pooling_weights(frames: int) -> list[float]:
    """The weights w_1 .. w_N of approximate rank pooling, summing to zero for N > 1."""
    terms = [(2 * t - frames - 1) / t for t in range(1, frames + 1)]
    return [math.fsum(terms[i:]) for i in range(frames)]


class DynamicImage(nn.Module):
    """Approximate rank pooling of the frames of a segment. No parameters.

    Args:
        frames: N, at least 2.
        scale: What the pooled image is multiplied by.

    Raises:
        ValueError: Fewer than two frames.
    """

    def __init__(self, frames: int, scale: float = 0.1) -> None:
        super().__init__()
        if frames < 2:
            raise ValueError(f"rank pooling needs two frames, got {frames}")
        self.frames, self.scale = frames, scale
        # Multiplied as in the released layer, without rescaling to the range of pixels. That layer has mean-subtracted
        # frames of 0 to 255; the frames here are divided by their standard deviation as well.
        self.weights = [scale * weight for weight in rank_pooling_weights(frames)]

    def forward(self, x: Tensor) -> Tensor:
        """Pool over time.

        Args:
            x: (N, T, C, H, W).

        Returns:
            (N, C, H, W), of the input's type.

        Raises:
            ValueError: Another number of frames than T.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected {self.frames} frames, got {x.shape[1]}")
        # In bfloat16 the weights would no longer sum to zero.
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        image = precise[:, 0] * self.weights[0]
        for t in range(1, self.frames):
            image = image + precise[:, t] * self.weights[t]
        return image.to(x.dtype)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"frames={self.frames}, scale={self.scale}"
