"""From a config to its representation.

Every representation maps the frames of segments, (N, T, C, H, W) normalised, to images, (N * images, channels, H, W):
T, images and channels are those of its config, and the images of a segment are consecutive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmark.config.datasets import DATASETS
from benchmark.config.representations import FlowNetConfig, MbpmConfig, RepresentationFields
from benchmark.config.run import DataConfig
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.representations.convolution import Convolution
from benchmark.models.representations.dynamic_appearance import DynamicAppearance
from benchmark.models.representations.dynamic_image import DynamicImage
from benchmark.models.representations.flownet import FlowNet
from benchmark.models.representations.flownet_training import generated_weights
from benchmark.models.representations.persistent_appearance import PersistentAppearance
from benchmark.models.representations.rgb_difference import RgbDifference
from benchmark.models.representations.squeezed_image import SqueezedImage
from benchmark.models.representations.tvnet import Tvnet


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


def _settings(constructor: Callable[..., nn.Module]) -> Callable[[Any, float, DataConfig], nn.Module]:
    """A constructor whose arguments are the config's fields."""

    def build(config: Any, width: float, data: DataConfig) -> nn.Module:
        return constructor(**{name: getattr(config, name) for name in type(config).model_fields})

    return build


def _stacked(config: Any, width: float, data: DataConfig) -> nn.Module:
    return Stacked()


def _mbpm(config: MbpmConfig, width: float, data: DataConfig) -> nn.Module:
    return MbpmOfTriple(3, config.kernel_size, config.sigma, stride=3, trainable=config.trainable)


def _flownet(config: FlowNetConfig, width: float, data: DataConfig) -> nn.Module:
    weights = config.weights or ("generated" if DATASETS[data.dataset].generated else "flying_chairs")
    generated = weights == "generated"
    network = FlowNet(config.variant, config.frames, width, None if generated else weights, config.trainable)
    if generated and not any(parameter.is_meta for parameter in network.parameters()):
        network.load_state_dict(generated_weights(config.variant, width))
    return network


REPRESENTATIONS: dict[str, Callable[[Any, float, DataConfig], nn.Module]] = {
    "rgb": _stacked,
    "mbpm": _mbpm,
    "rgb_difference": _settings(RgbDifference),
    "flow": _stacked,
    "dynamic_image": _settings(DynamicImage),
    "flownet": _flownet,
    "tvnet": _settings(Tvnet),
    "persistent_appearance": _settings(PersistentAppearance),
    "convolution": _settings(Convolution),
    "squeezed_image": _settings(SqueezedImage),
    "dynamic_appearance": _settings(DynamicAppearance),
}
"""Name in a config -> constructor from its settings, the network's width and the data."""


def build_representation(config: RepresentationFields, width: float, data: DataConfig) -> nn.Module:
    """The representation of a single-path network."""
    return REPRESENTATIONS[config.representation](config.representation_config, width, data)
