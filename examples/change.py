"""The mean change from one frame of a segment to the next, with a gain for each colour."""

import torch
from torch import Tensor, nn


class Change(nn.Module):
    """Segments (N, frames, 3, H, W) to an image each, (N, 3, H, W)."""

    def __init__(self, frames: int = 3) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.diff(dim=1).mean(1) * self.gain
