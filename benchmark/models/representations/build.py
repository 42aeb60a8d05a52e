"""From a config to its representation.

Every representation maps the frames of segments, (N, T, C, H, W) normalised, to images, (N * images, channels, H, W):
T, images and channels are those of its config, and the images of a segment are consecutive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmark.models.modules.mbpm import Mbpm
from benchmark.spec.representations import MbpmConfig, RepresentationFields


class Stacked(nn.Module):
    """Frames as they are, or n flow fields of 2 channels as 2 n channels: (N, T, C, H, W) to (N, T * C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, C, H, W) to (N, T * C, H, W)."""
        return x.flatten(1, 2)


class MbpmOfTriple(Mbpm):
    """The MBPM of a segment's three frames."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, 3, H, W) to (N, 3, H, W)."""
        return super().forward(x.flatten(0, 1), 3)


def _mbpm(config: MbpmConfig, width: float) -> nn.Module:
    return MbpmOfTriple(3, config.kernel_size, config.sigma, stride=3, trainable=config.trainable)


def _stacked(config: Any, width: float) -> nn.Module:
    return Stacked()


REPRESENTATIONS: dict[str, Callable[[Any, float], nn.Module]] = {
    "rgb": _stacked,
    "mbpm": _mbpm,
    "flow": _stacked,
}
"""Name in a config -> constructor from its settings and the network's width."""


def build_representation(config: RepresentationFields, width: float) -> nn.Module:
    """The representation of a single-path network."""
    return REPRESENTATIONS[config.representation](config.representation_config, width)
