"""What channel gates share: one value per channel, of a clip or of a frame, for all positions of a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import check_clips
from benchmark.models.precision import without_autocast

Norm = Literal["none", "batch", "layer"]

NORM_MOMENTUM = 0.01
"""Of batch normalisation over vectors, of which a batch has few (released code of the thesis)."""

NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": lambda width: nn.BatchNorm1d(width, momentum=NORM_MOMENTUM),
    "layer": nn.LayerNorm,
}


def frame_mean(x: Tensor) -> Tensor:
    """The mean of every map, at least float32: (N, C, H, W) to (N, C)."""
    # Under autocast, too: vectors cost nothing beside the map. Only the product with the map is in its precision.
    return x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))


def means_of_clips(x: Tensor, frames: int) -> Tensor:
    """The mean of every map, clip by clip, at least float32: (B * frames, C, H, W) to (B, frames, C)."""
    return frame_mean(x).unflatten(0, (-1, frames))


def clip_mean(x: Tensor, frames: int) -> Tensor:
    """The mean over T, H and W (thesis Eq. 4.12), at least float32: (B * frames, C, H, W) to (B, C)."""
    return means_of_clips(x, frames).mean(1)


def inner_width(channels: int, reduction: int) -> int:
    """C / r, rounded down and at least 1. Raises ValueError where one of them is not positive."""
    if channels < 1 or reduction < 1:
        raise ValueError(f"channels and reduction must be positive, got {channels} and {reduction}")
    return max(1, channels // reduction)


def over_maps(vectors: Tensor, x: Tensor, frames: int) -> Tensor:
    """One vector per clip or per map, (B, C) or (B * frames, C), as (B * frames, C, 1, 1) in the precision of x."""
    if vectors.shape[0] != x.shape[0]:
        vectors = vectors.unsqueeze(1).expand(-1, frames, -1).flatten(0, 1)
    return vectors.to(x.dtype)[:, :, None, None]


class ChannelGate(nn.Module):
    """Base of modules that multiply every channel by its gate, or add it.

    Attributes:
        additive: Add the gate in place of multiplying by it.
    """

    additive = False

    def gate(self, x: Tensor, frames: int) -> Tensor:
        """The gates: (B * frames, C, H, W) to (B, C), or (B * frames, C) of single frames; at least float32."""
        raise NotImplementedError

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Apply the gates.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive.
            frames: Frames of a clip.

        Returns:
            The shape and precision of x.

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or a gate compares frames and a clip has one.
        """
        check_clips(x, frames)
        gates = over_maps(self.gate(x, frames), x, frames)
        return x + gates if self.additive else x * gates


class ChannelMlp(nn.Module):
    """W_2 ReLU(norm(W_1 s)), the two layers of a channel attention: (N, C) to the same shape.

    Args:
        channels: C.
        reduction: r; the inner width is C / r rounded down, and at least 1.
        norm: Normalisation of the inner layer: none, batch or layer.
        bias: Biases in both layers.
        zero: W_2 and its bias start at zero.

    Parameters: 2 * C * h for an inner width h, + h + C with biases, + 2 * h with a normalisation.

    Raises:
        ValueError: Sizes that are not positive, or an unknown normalisation.
    """

    def __init__(self, channels: int, reduction: int, norm: Norm, bias: bool, zero: bool) -> None:
        super().__init__()
        hidden = inner_width(channels, reduction)
        if norm not in NORMS:
            raise ValueError(f"unknown normalisation '{norm}', choose from {', '.join(NORMS)}")
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.norm = NORMS[norm](hidden)
        self.expand = nn.Linear(hidden, channels, bias=bias)
        if zero:
            for parameter in self.expand.parameters():
                nn.init.zeros_(parameter)

    def forward(self, s: Tensor) -> Tensor:
        """(N, C) to the same shape, in the precision of the weights."""
        with without_autocast(s):
            return self.expand(F.relu(self._normalise(self.reduce(s))))

    def _normalise(self, h: Tensor) -> Tensor:
        norm = self.norm
        # A lone clip has no statistics of its own.
        if isinstance(norm, nn.BatchNorm1d) and norm.training and h.shape[0] == 1:
            return F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return norm(h)
