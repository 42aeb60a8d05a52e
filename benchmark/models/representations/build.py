"""From a config to its representation.

Every representation maps the frames of segments, (N, T, C, H, W) normalised, to images, (N * images, channels, H, W):
T, images and channels are those of its config, and the images of a segment are consecutive.
"""

from __future__ import annotations

from torch import nn

from benchmark.config.representations import RepresentationFields
from benchmark.config.run import DataConfig
from benchmark.models.construct import construct


def build_representation(config: RepresentationFields, width: float, data: DataConfig) -> nn.Module:
    """The representation of a single-path network, which may ask for the network's width and for the data."""
    return construct(config.representation_config, width=width, data=data)
