"""Frames as they are, and flow fields from disk: channels one behind the other."""

from __future__ import annotations

from torch import Tensor, nn


class Stacked(nn.Module):
    """T frames of C channels as T * C channels. No parameters."""

    def __init__(self, **settings: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C, H, W) to (N, T * C, H, W)."""
        return x.flatten(1, 2)
