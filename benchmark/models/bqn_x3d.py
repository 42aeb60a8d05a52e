"""Busy-Quiet Net on two X3D (Huang and Bors, "Busy-Quiet Video Disentangling...", WACV 2022, Section 4, Tables 4-5).

Two X3D with weights of their own. Busy sees the MBPM of every triple of frames at full resolution, Quiet the first
frame of the triple at a lower one. Lateral connections join them after residual blocks, as in `benchmark.models.bqn`,
and the logits of the two are averaged.

Choices. The paper says only that X3D-M takes the place of ResNet; what follows is the released code's unless it is said
otherwise.

* Heads stay apart: each pathway has X3D's two last convolutions, and a classifier of its own, unless
  `shared_classifier`. Each pathway has a dropout mask of its own. Logits are averaged; X3D gives one feature a clip, so
  there is no consensus over segments.
* Connections work on maps with time folded into the batch: two-dimensional normalisation, and MBPMs of 7 x 7 in res2 to
  res4 and 3 x 3 in res5, whose 192 channels are where the released code changes the kernel.
* phi, a 1 x 1 convolution, stands in both directions, where Eq. 5 has it from Busy to Quiet only. In both it follows
  the resize: from Quiet to Busy it runs at Busy's resolution. (In front of the resize it would compute the same from
  fewer pixels; this is what the printed GFLOPs count.) `lateral.phi` identity removes both.
* `num_bplc` connections follow that many blocks, from the first on. The released code has one after all 26, and the
  paper tries no fewer on X3D. Taking the first leaves the others where they are and the direction of each as it is, for
  the ordinal of a connection is then that of its block.
* gamma and beta of a connection's normalisation start at zero, as the paper says and the ResNet version does. The
  released X3D version means to and sets gamma to 1 again later.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.config.models import BqnX3dConfig, LateralConfig, Stage
from benchmark.config.run import DataConfig
from benchmark.models.backbones.volumes import to_frames, to_volumes
from benchmark.models.backbones.x3d import X3d
from benchmark.models.modules.lateral import LateralConnection, QuietToBusy, build_phi, flow, resize
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.single_path import build_classifier


class ProjectedQuietToBusy(QuietToBusy):
    """BN(phi(resize(MBPM(x_c)))): what is added to Busy, with phi in this direction too."""

    def __init__(self, channels: int, mbpm: Mbpm, phi: str) -> None:
        super().__init__(channels, mbpm, phi)
        self.phi = build_phi(phi, channels)

    def forward(self, quiet: Tensor, frames: int, target_frames: int, size: tuple[int, int]) -> Tensor:
        """(B * frames, C, h, w) to (B * frames, C, *size); the pathways have equally many frames."""
        assert self.mbpm is not None
        assert self.phi is not None
        assert frames == target_frames
        return self.bn(self.phi(resize(self.mbpm(quiet, frames), size)))


def build_lateral(
    channels: int, to_busy: bool, to_quiet: bool, stage: Stage, config: LateralConfig
) -> LateralConnection:
    """The connection after a pair of X3D blocks; without an MBPM it is the ResNet version's."""
    lateral = LateralConnection(channels, to_busy, to_quiet, stage, config)
    if lateral.to_busy is not None and lateral.to_busy.mbpm is not None:
        lateral.to_busy = ProjectedQuietToBusy(channels, lateral.to_busy.mbpm, config.phi)
    return lateral


class BqnX3d(nn.Module):
    """Busy-Quiet Net on two X3D.

    Args:
        config: The network.
        data: `segments` (N), `size` and `num_classes` are read.

    Attributes:
        stem_mbpm: The MBPM in front of Busy, temporal stride 3.
        busy, quiet: The pathways' X3D.
        laterals: The lateral connections, by the block that they follow, e.g. "res2_0".
        fc: The classifier of both pathways, or a dictionary with one of each, "busy" and "quiet".
    """

    def __init__(self, config: BqnX3dConfig, data: DataConfig) -> None:
        super().__init__()
        self.segments = data.segments
        self.quiet_scale = (config.quiet_size or data.size) / data.size
        m = config.mbpm
        self.stem_mbpm = Mbpm(3, m.kernel_size, m.sigma, stride=3, trainable=m.trainable)
        self.quiet = X3d(config.width, "m", config.pretrained)
        self.busy = X3d(config.width, "m", config.pretrained)
        self.laterals = nn.ModuleDict()
        for number, (stage, index, _) in enumerate(self.busy.blocks(), start=1):
            if number <= config.num_bplc:
                to_busy, to_quiet = flow(config.lateral, number, number)
                channels = self.busy.stage_channels[stage]
                self.laterals[f"{stage}_{index}"] = build_lateral(channels, to_busy, to_quiet, stage, config.lateral)
        self.dropout = nn.Dropout(config.dropout)
        features, classes = self.busy.out_channels, data.num_classes
        self.fc: nn.Module
        if config.shared_classifier:
            self.fc = build_classifier(features, classes)
        else:
            self.fc = nn.ModuleDict({name: build_classifier(features, classes) for name in ("quiet", "busy")})

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
        busy, quiet = self.busy.stem(busy, self.segments), self.quiet.stem(quiet, self.segments)
        for (stage, index, busy_block), (_, _, quiet_block) in zip(
            self.busy.blocks(), self.quiet.blocks(), strict=True
        ):
            busy, quiet = busy_block(busy), quiet_block(quiet)
            key = f"{stage}_{index}"
            if key in self.laterals:
                frames = self.laterals[key](to_frames(busy), to_frames(quiet), self.segments, self.segments)
                busy, quiet = (to_volumes(maps, self.segments) for maps in frames)
        return (self._logits(self.busy.head(busy), "busy") + self._logits(self.quiet.head(quiet), "quiet")) / 2

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the pathways see of (B, 3 * N, 3, H, W): (B * N, 3, H, W) and (B * N, 3, h, w)."""
        busy = self.stem_mbpm(x.flatten(0, 1), 3 * self.segments)
        height, width = (round(int(side) * self.quiet_scale) for side in x.shape[-2:])
        return busy, resize(x[:, ::3].flatten(0, 1), (height, width))

    def _logits(self, features: Tensor, pathway: str) -> Tensor:
        classifier = self.fc[pathway] if isinstance(self.fc, nn.ModuleDict) else self.fc
        return classifier(self.dropout(features))
