"""TSM-ResNet on one representation of the clip (TSM, ICCV 2019; BQN, WACV 2022, Table 3a and Figure 3).

Representation, ResNet with temporal shift, global average pooling, dropout and a linear classifier per segment, then
the mean of the logits over the segments (TSN's average consensus). RGB reads one frame per segment; MBPM reads three
consecutive ones and gives one map of three channels, which takes the frame's place.

Choices: the classifier starts from N(0, 0.001^2) with zero bias, as TSN, TSM and the released BQN code do. No softmax
before the consensus.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.models.backbones.resnet import ResNet, pooled
from benchmark.models.modules.mbpm import Mbpm
from benchmark.spec.config import DataConfig
from benchmark.spec.models import TsmResNetConfig

CLASSIFIER_STD = 0.001


def build_classifier(in_features: int, num_classes: int) -> nn.Linear:
    """A linear classifier with weights from N(0, 0.001^2) and zero bias."""
    fc = nn.Linear(in_features, num_classes)
    nn.init.normal_(fc.weight, std=CLASSIFIER_STD)
    nn.init.zeros_(fc.bias)
    return fc


class TsmResNet(nn.Module):
    """TSM-ResNet; `temporal_shift: false` in the config makes it TSN.

    Args:
        config: The network.
        data: `segments` (N) and `num_classes` are read.

    Attributes:
        stem_mbpm: The MBPM in front of the backbone, or None for RGB.
        backbone: The ResNet.
        fc: The classifier.
    """

    def __init__(self, config: TsmResNetConfig, data: DataConfig) -> None:
        super().__init__()
        self.segments = data.segments
        self.frames = data.segments * config.frames_per_segment
        self.stem_mbpm: Mbpm | None = None
        if config.representation == "mbpm":
            m = config.mbpm
            self.stem_mbpm = Mbpm(3, m.kernel_size, m.sigma, stride=3, trainable=m.trainable)
        self.backbone = ResNet(config.depth, config.width, config.temporal_shift, config.pretrained)
        self.dropout = nn.Dropout(config.dropout)
        self.fc = build_classifier(self.backbone.out_channels, data.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of clips.

        Args:
            x: (B, T, 3, H, W), normalised RGB; T is `segments` times the representation's frames per segment, frames of
                a segment consecutive.

        Returns:
            (B, num_classes).

        Raises:
            ValueError: Another number of frames.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected clips of {self.frames} frames, got {x.shape[1]}")
        x = x.flatten(0, 1)
        if self.stem_mbpm is not None:
            x = self.stem_mbpm(x, self.frames)
        x = self.dropout(pooled(self.backbone(x, self.segments)))
        return self.fc(x).unflatten(0, (-1, self.segments)).mean(1)
