"""Single-path networks: a representation of every segment, a backbone, and one classifier (TSN, TSM, X3D, DA, BQN).

The representation turns the consecutive frames of a segment into an image (RGB keeps the one frame it reads). The
backbone gives pooled features, one vector per image for two-dimensional backbones and one per clip for X3D; dropout and
a linear classifier follow, and the mean of the logits (TSN's average consensus).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from torch import Tensor, nn

from benchmark.config.run import DataConfig
from benchmark.models.backbones.x3d import X3d
from benchmark.models.inserts import branch_inserter, inserter
from benchmark.models.representations.build import build_representation

CLASSIFIER_STD = 0.001


def build_classifier(in_features: int, num_classes: int, init: str = "normal") -> nn.Linear:
    """A linear classifier with zero biases.

    Its weights are from N(0, 0.001^2), as in TSN, TSM and the released BQN code, or from Xavier's uniform distribution
    (`xavier`), as in MotionSqueeze's.
    """
    fc = nn.Linear(in_features, num_classes)
    if init == "xavier":
        nn.init.xavier_uniform_(fc.weight)
    else:
        nn.init.normal_(fc.weight, std=CLASSIFIER_STD)
    nn.init.zeros_(fc.bias)
    return fc


class Backbone(Protocol):
    """From the images of clips to pooled features."""

    out_channels: int

    def features(self, x: Tensor, frames: int) -> Tensor:
        """(B * frames, C_in, H, W) to (B, n, out_channels); n is frames, or 1 for a three-dimensional backbone."""
        ...


def _resnet(config: Any, data: DataConfig) -> nn.Module:
    from benchmark.models.backbones.resnet import ResNet

    return ResNet(
        config.depth,
        config.width,
        config.temporal_shift,
        config.pretrained,
        config.input_channels,
        inserter(config),
        branch_inserter(config),
        config.shift_every,
    )


def _x3d(config: Any, data: DataConfig) -> nn.Module:
    return X3d(config.width, config.variant, config.pretrained, config.input_channels)


def _mobilenet_v2(config: Any, data: DataConfig) -> nn.Module:
    from benchmark.models.backbones.mobilenet_v2 import MobileNetV2

    return MobileNetV2(
        config.width,
        config.temporal_shift,
        config.pretrained,
        config.input_channels,
        config.stem_kernel,
        inserter(config),
    )


def _i3d(config: Any, data: DataConfig) -> nn.Module:
    from benchmark.models.backbones.i3d import I3d

    return I3d(config.width, config.input_channels, inserter(config))


def _vit(config: Any, data: DataConfig) -> nn.Module:
    from benchmark.models.backbones.vit import Vit

    return Vit(
        config.width,
        config.patch_size,
        config.depth,
        data.size,
        data.segments,
        config.pretrained,
        config.input_channels,
    )


def _inception_resnet_v2(config: Any, data: DataConfig) -> nn.Module:
    from benchmark.models.backbones.inception_resnet_v2 import InceptionResNetV2

    return InceptionResNetV2(config.width, config.pretrained, config.input_channels)


BACKBONES: dict[str, Callable[[Any, DataConfig], nn.Module]] = {
    "tsm_resnet": _resnet,
    "mobilenet_v2": _mobilenet_v2,
    "x3d": _x3d,
    "i3d": _i3d,
    "vit": _vit,
    "inception_resnet_v2": _inception_resnet_v2,
}
"""Name of a single-path network -> constructor of its `Backbone`, each of which imports its own: timm takes seconds."""


class SinglePath(nn.Module):
    """One representation, one backbone, one classifier.

    Args:
        config: Of a network with a representation, see `benchmark.config.representations.RepresentationFields`.
        data: `segments` (N), `size` and `num_classes` are read.

    Attributes:
        representation: From segments of frames to images.
        backbone: From images to features.
        fc: The classifier.
    """

    def __init__(self, config: Any, data: DataConfig) -> None:
        super().__init__()
        self.segments, self.frames_per_segment = data.segments, config.frames_per_segment
        self.images = data.segments * config.images_per_segment
        self.average_after_stem = config.averages_after_stem
        self.representation = build_representation(config, config.width, data)
        self.backbone = BACKBONES[config.name](config, data)
        self.dropout = nn.Dropout(config.dropout)
        features = cast(Backbone, self.backbone).out_channels
        self.fc = build_classifier(features, data.num_classes, getattr(config, "classifier_init", "normal"))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of clips.

        Args:
            x: (B, T, C, H, W), normalised RGB or flow; T is `segments` times the representation's frames per segment,
                frames of a segment consecutive.

        Returns:
            (B, num_classes).

        Raises:
            ValueError: Another number of frames.
        """
        expected = self.segments * self.frames_per_segment
        if x.shape[1] != expected:
            raise ValueError(f"expected clips of {expected} frames, got {x.shape[1]}")
        images = self.representation(x.reshape(-1, self.frames_per_segment, *x.shape[2:]))
        if self.average_after_stem:
            assert isinstance(self.backbone, X3d)
            features = self.backbone.features(images, self.images, average=self.frames_per_segment)
        else:
            features = cast(Backbone, self.backbone).features(images, self.images)
        # No softmax before the consensus.
        return self.fc(self.dropout(features)).mean(1)
