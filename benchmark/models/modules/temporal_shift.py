"""Temporal shift (Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019).

One eighth of the channels is read from the next frame and one eighth from the previous one, at no multiplication. The
shift stands at the input of a block's residual branch only ("blockres"), so the shortcut still carries the present.

Every residual block shifts, at every depth: TSM's own code shifts every second block once res4 has 23 blocks
(ResNet-101), BQN's code every block, and the tables here are BQN's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FOLD_DIV = 8


def temporal_shift(x: Tensor, frames: int, fold_div: int = FOLD_DIV) -> Tensor:
    """Shift channels along time.

    Args:
        x: Feature maps of B clips, (B * frames, C, H, W), the frames of a clip consecutive.
        frames: Frames of a clip, T.
        fold_div: The first C // fold_div channels take their value from frame t + 1, the next C // fold_div from t - 1.

    Returns:
        A new tensor of the shape of `x`; with fewer than `fold_div` channels, `x` itself.

    Raises:
        ValueError: The number of maps is no multiple of `frames`.
    """
    if x.shape[0] % frames:
        raise ValueError(f"{x.shape[0]} feature maps are not clips of {frames} frames")
    fold = x.shape[1] // fold_div
    if fold == 0:
        return x
    # Rolled over the whole batch and masked at the clip ends: of the equivalent forms the fastest, forward and
    # backward, and the one that keeps channels-last maps channels-last.
    # Clip ends read zeros, as in TSM.
    t = torch.arange(x.shape[0], device=x.device).view(-1, 1, 1, 1) % frames
    from_next = x[:, :fold].roll(-1, 0) * (t < frames - 1).to(x.dtype)
    from_previous = x[:, fold : 2 * fold].roll(1, 0) * (t > 0).to(x.dtype)
    return torch.cat([from_next, from_previous, x[:, 2 * fold :]], dim=1)


class TemporalShift(nn.Module):
    """`temporal_shift` as a module without parameters: (B * T, C, H, W) and T to (B * T, C, H, W)."""

    def __init__(self, fold_div: int = FOLD_DIV) -> None:
        super().__init__()
        self.fold_div = fold_div

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """See `temporal_shift`."""
        return temporal_shift(x, frames, self.fold_div)

    def extra_repr(self) -> str:
        """The fold, for printing."""
        return f"fold_div={self.fold_div}"
