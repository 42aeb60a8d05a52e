"""Busy-Quiet Net (Huang and Bors, "Busy-Quiet Video Disentangling for Video Classification", WACV 2022, Section 4).

Two TSM-ResNets with weights of their own. Busy sees the MBPM of every triple of frames, at full resolution; Quiet
sees the triple itself, at a lower one. Lateral connections join them after residual blocks, and their predictions are
fused. The comments say what was chosen where the paper's text and its released code differ or are silent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.config.models import BqnConfig
from benchmark.config.run import DataConfig
from benchmark.models.backbones.resnet import ResNet, pooled
from benchmark.models.modules.lateral import LateralConnection
from benchmark.models.single_path import build_classifier
from benchmark.models.two_pathways import TwoPathways


def subsampled_segments(segments: int, kept: int) -> list[int]:
    """Indices, from 0, of the segments in which the centres of `kept` equal parts of the clip lie.

    8 to 4 keeps 1, 3, 5, 7; 8 to 6 keeps 0, 2, 3, 4, 6, 7. The paper does not say which segments Quiet sees.
    """
    return [(2 * i + 1) * segments // (2 * kept) for i in range(kept)]


class Bqn(TwoPathways[ResNet]):
    """Busy-Quiet Net on two ResNets.

    Args:
        config: The network.
        data: `segments` (N), `size` and `num_classes` are read.

    Attributes:
        fc: The classifier.
    """

    def __init__(self, config: BqnConfig, data: DataConfig) -> None:
        super().__init__(
            config, data, lambda: ResNet(config.depth, config.width, config.temporal_shift, config.pretrained)
        )
        self.quiet_input = config.quiet_input
        self.fusion = config.fusion
        wanted = config.connected_blocks()
        blocks = enumerate(self.busy.blocks(), start=1)
        connected = {number for number, (stage, index, _) in blocks if (stage, index) in wanted}
        self.connect(config, connected, LateralConnection)
        # Dropout belongs to the classifier: a fusion before it has one mask, and a fusion after it one for each
        # pathway. As the classifier is affine, that is all that sets the two averages apart.
        self.dropout = nn.Dropout(config.dropout)
        features = self.busy.out_channels * (2 if config.fusion == "concat_before_fc" else 1)
        self.fc = build_classifier(features, data.num_classes)

    def run_stem(self, pathway: ResNet, images: Tensor, frames: int) -> Tensor:
        """(B * frames, 3, h, w) to (B * frames, C, h / 4, w / 4)."""
        return pathway.stem(images)

    def run_block(self, block: nn.Module, maps: Tensor, frames: int) -> Tensor:
        """One residual block, on maps (B * frames, C, h, w)."""
        return block(maps, frames)

    def exchange(self, lateral: nn.Module, busy: Tensor, quiet: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of both pathways after a lateral connection."""
        return lateral(busy, quiet, self.segments, self.quiet_segments)

    def predict(self, busy: Tensor, quiet: Tensor) -> Tensor:
        """Logits (B, num_classes) from the last maps of both pathways."""
        return self.fuse(self._features(busy, self.segments), self._features(quiet, self.quiet_segments))

    def quiet_images(self, triples: Tensor, busy: Tensor) -> Tensor:
        """Quiet's images before their resize: (B, quiet_segments, 3, H, W)."""
        if self.quiet_input == "first_frame":
            # The released code's. The paper's Eq. 4 is `complement`.
            quiet = super().quiet_images(triples, busy)
        else:
            quiet = triples.mean(2)
            if self.quiet_input == "complement":
                # The MBPM's kernel sums to 1, so its values are a hundred times the image's, and this is little else
                # than the negative MBPM. Its gradient also reaches the MBPM.
                quiet = quiet - busy
        if self.quiet_segments != self.segments:
            quiet = quiet[:, subsampled_segments(self.segments, self.quiet_segments)]
        return quiet

    def fuse(self, busy: Tensor, quiet: Tensor) -> Tensor:
        """Logits (B, num_classes) from features per segment, (B, N, C) and (B, quiet_segments, C).

        All fusions but the default need as many Quiet segments as Busy ones.
        """
        if self.fusion == "average_after_fc":
            return (self._logits(busy).mean(1) + self._logits(quiet).mean(1)) / 2
        if self.fusion == "max_after_fc":
            # In each segment, before the consensus.
            return torch.maximum(self._logits(busy), self._logits(quiet)).mean(1)
        if self.fusion == "average_before_fc":
            return self._logits((busy + quiet) / 2).mean(1)
        return self._logits(torch.cat([busy, quiet], dim=2)).mean(1)

    def _logits(self, features: Tensor) -> Tensor:
        return self.fc(self.dropout(features))

    def _features(self, maps: Tensor, frames: int) -> Tensor:
        return pooled(maps).unflatten(0, (-1, frames))
