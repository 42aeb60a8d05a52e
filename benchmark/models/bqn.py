"""Busy-Quiet Net (Huang and Bors, "Busy-Quiet Video Disentangling for Video Classification", WACV 2022, Section 4).

Two TSM-ResNets with weights of their own. Busy sees the MBPM of every triple of frames, at full resolution; Quiet
sees the triple itself, at a lower one. Lateral connections join them after residual blocks, and their predictions are
fused.

Choices, where the paper's text and its released code differ or are silent:

* Quiet's input is the first frame of each triple (released code). Eq. 4, the mean of the triple minus its MBPM, is
  `complement`: with the MBPM's kernel normalised to sum 1 it is little else than the negative MBPM, whose values are
  a hundred times the image's. Its gradient also reaches the MBPM. `average` is the mean alone.
* Quiet's input is resized bilinearly, align_corners False, no anti-aliasing, and not at all where the sizes agree. The
  factor is quiet_size / data.size, also for views larger than data.size, so that the pathways keep their ratio.
* `quiet_segments` < N keeps the segments in which the centres of that many equal parts of the clip lie (8 to 4: 1, 3,
  5, 7; 8 to 6: 0, 2, 3, 4, 6, 7, from 0).
* Dropout belongs to the classifier: it acts on what enters `fc`, so a fusion before it has one mask and a fusion
  after it one for each pathway. That is all that sets `average_before_fc` and `average_after_fc` apart, the shared
  classifier being affine. `max_after_fc` is the elementwise maximum in each segment, before the consensus.
  `concat_before_fc` has a classifier of twice the features. All but the default need as many Quiet segments as Busy
  ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.config.models import BqnConfig
from benchmark.config.run import DataConfig
from benchmark.models.backbones.resnet import ResNet, pooled
from benchmark.models.modules.lateral import LateralConnection, flow, resize
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.single_path import build_classifier


def subsampled_segments(segments: int, kept: int) -> list[int]:
    """Indices, from 0, of the segments in which the centres of `kept` equal parts of the clip lie."""
    return [(2 * i + 1) * segments // (2 * kept) for i in range(kept)]


class Bqn(nn.Module):
    """Busy-Quiet Net.

    Args:
        config: The network.
        data: `segments` (N), `size` and `num_classes` are read.

    Attributes:
        stem_mbpm: The MBPM in front of Busy, temporal stride 3.
        busy, quiet: The pathways' ResNets.
        laterals: The lateral connections, by the block that they follow, e.g. "res2_0".
        fc: The classifier.
    """

    def __init__(self, config: BqnConfig, data: DataConfig) -> None:
        super().__init__()
        self.segments = data.segments
        self.quiet_segments = config.quiet_segments or data.segments
        self.quiet_scale = (config.quiet_size or data.size) / data.size
        self.quiet_input = config.quiet_input
        self.fusion = config.fusion
        m = config.mbpm
        self.stem_mbpm = Mbpm(3, m.kernel_size, m.sigma, stride=3, trainable=m.trainable)
        # Quiet first: its stem's normalisation is the one that partial batch normalisation leaves active.
        self.quiet = ResNet(config.depth, config.width, config.temporal_shift, config.pretrained)
        self.busy = ResNet(config.depth, config.width, config.temporal_shift, config.pretrained)
        self.laterals = nn.ModuleDict()
        connected = set(config.connected_blocks())
        for number, (stage, index, _) in enumerate(self.busy.blocks(), start=1):
            if (stage, index) in connected:
                to_busy, to_quiet = flow(config.lateral, len(self.laterals) + 1, number)
                self.laterals[f"{stage}_{index}"] = LateralConnection(
                    self.busy.stage_channels[stage], to_busy, to_quiet, stage, config.lateral
                )
        self.dropout = nn.Dropout(config.dropout)
        features = self.busy.out_channels * (2 if config.fusion == "concat_before_fc" else 1)
        self.fc = build_classifier(features, data.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of clips.

        Args:
            x: (B, 3 * N, 3, H, W), normalised RGB, the frames of a triple consecutive.

        Returns:
            (B, num_classes).

        Raises:
            ValueError: Another number of frames.
        """
        if x.shape[1] != 3 * self.segments:
            raise ValueError(f"expected clips of {3 * self.segments} frames, got {x.shape[1]}")
        busy, quiet = self.inputs(x)
        busy, quiet = self.busy.stem(busy), self.quiet.stem(quiet)
        for (stage, index, busy_block), (_, _, quiet_block) in zip(
            self.busy.blocks(), self.quiet.blocks(), strict=True
        ):
            busy = busy_block(busy, self.segments)
            quiet = quiet_block(quiet, self.quiet_segments)
            key = f"{stage}_{index}"
            if key in self.laterals:
                busy, quiet = self.laterals[key](busy, quiet, self.segments, self.quiet_segments)
        return self.fuse(self._features(busy, self.segments), self._features(quiet, self.quiet_segments))

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the pathways see of (B, 3 * N, 3, H, W): (B * N, 3, H, W) and (B * quiet_segments, 3, h, w)."""
        busy = self.stem_mbpm(x.flatten(0, 1), 3 * self.segments)
        triples = x.unflatten(1, (self.segments, 3))
        if self.quiet_input == "first_frame":
            quiet = triples[:, :, 0]
        else:
            quiet = triples.mean(2)
            if self.quiet_input == "complement":
                quiet = quiet - busy.unflatten(0, (-1, self.segments))
        if self.quiet_segments != self.segments:
            quiet = quiet[:, subsampled_segments(self.segments, self.quiet_segments)]
        height, width = (round(int(side) * self.quiet_scale) for side in x.shape[-2:])
        return busy, resize(quiet.flatten(0, 1), (height, width))

    def fuse(self, busy: Tensor, quiet: Tensor) -> Tensor:
        """Logits (B, num_classes) from features per segment, (B, N, C) and (B, quiet_segments, C)."""
        if self.fusion == "average_after_fc":
            return (self._logits(busy).mean(1) + self._logits(quiet).mean(1)) / 2
        if self.fusion == "max_after_fc":
            return torch.maximum(self._logits(busy), self._logits(quiet)).mean(1)
        if self.fusion == "average_before_fc":
            return self._logits((busy + quiet) / 2).mean(1)
        return self._logits(torch.cat([busy, quiet], dim=2)).mean(1)

    def _logits(self, features: Tensor) -> Tensor:
        return self.fc(self.dropout(features))

    def _features(self, maps: Tensor, frames: int) -> Tensor:
        return pooled(maps).unflatten(0, (-1, frames))
