"""One convolution over the stacked frames of a segment: the "+Conv" control of the DA paper (AAAI 2023, Table 7).

Choices: the paper prints its cost (2.6 K parameters, 1.6 GMACs at 48 frames) and nothing else. A 7 x 7 convolution from
the 18 channels of six frames to one image of three channels has those parameters (2,646) and leaves the backbone as it
is, which the printed "23.8M + 2.6K" asks for. Its cost is 1.39 GMACs at 256 pixels; one from 3 to 18 channels with
stride 2 on every frame would have the printed 1.6, but would need another backbone. No bias, normalisation or
activation; it starts as the mean of the frames plus a little noise, so that a pretrained backbone sees an image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NOISE = 0.01


class Convolution(nn.Module):
    """A convolution from all frames of a segment to one image.

    Args:
        frames: T.
        kernel_size: k, odd.

    Parameters: 9 * T * k^2; MACs: as many per pixel and segment.
    """

    def __init__(self, frames: int, kernel_size: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3 * frames, 3, kernel_size, padding=kernel_size // 2, bias=False)
        nn.init.normal_(self.mix.weight, std=NOISE / kernel_size)
        centre = torch.zeros_like(self.mix.weight)
        for colour in range(3):
            centre[colour, colour::3, kernel_size // 2, kernel_size // 2] = 1 / frames
        with torch.no_grad():
            self.mix.weight += centre

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 3, H, W) to (N, 3, H, W)."""
        return self.mix(x.flatten(1, 2))
