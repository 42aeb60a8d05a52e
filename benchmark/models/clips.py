"""Clips as frames, (B * T, C, H, W), the frames of a clip consecutive, and as volumes, (B, C, T, H, W)."""

from __future__ import annotations

from torch import Tensor


def check_clips(x: Tensor, frames: int) -> None:
    """Refuse what is not clips of `frames` frames, (B * frames, C, H, W).

    Raises:
        ValueError: Another number of dimensions, no multiple of `frames` maps, or `frames` is not positive.
    """
    if x.dim() != 4 or frames < 1 or x.shape[0] % frames:
        raise ValueError(f"feature maps of shape {tuple(x.shape)} are not clips of {frames} frames")


def to_volumes(x: Tensor, frames: int) -> Tensor:
    """Frames to clips: (B * frames, C, H, W) to (B, C, frames, H, W), a view."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def to_frames(x: Tensor) -> Tensor:
    """Clips to frames: (B, C, T, H, W) to (B * T, C, H, W); a view of channels-last maps."""
    return x.transpose(1, 2).flatten(0, 1)
