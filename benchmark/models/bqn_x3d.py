"""Busy-Quiet Net on two X3D (Huang and Bors, "Busy-Quiet Video Disentangling...", WACV 2022, Section 4, Tables 4-5).

Two X3D with weights of their own. Busy sees the MBPM of every triple of frames at full resolution, Quiet the first
frame of the triple at a lower one. Lateral connections join them after residual blocks, as in `benchmark.models.bqn`,
and the logits of the two are averaged.

The paper says only that X3D-M takes the place of ResNet; the choices in the comments are the released code's unless it
is said otherwise.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.config.models import BqnX3dConfig, LateralConfig, Stage
from benchmark.config.run import DataConfig
from benchmark.models.backbones.x3d import X3d
from benchmark.models.clips import to_frames, to_volumes
from benchmark.models.modules.lateral import LateralConnection, QuietToBusy, build_phi, resize
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.single_path import build_classifier
from benchmark.models.two_pathways import TwoPathways


class ProjectedQuietToBusy(QuietToBusy):
    """BN(phi(resize(MBPM(x_c)))): what is added to Busy, with phi in this direction too, where Eq. 5 has none."""

    def __init__(self, channels: int, mbpm: Mbpm, phi: str) -> None:
        super().__init__(channels, mbpm, phi)
        self.phi = build_phi(phi, channels)

    def forward(self, quiet: Tensor, frames: int, target_frames: int, size: tuple[int, int]) -> Tensor:
        """(B * frames, C, h, w) to (B * frames, C, *size); the pathways have equally many frames."""
        assert self.mbpm is not None
        assert self.phi is not None
        assert frames == target_frames
        # In front of the resize phi would compute the same from fewer pixels; the printed GFLOPs count it behind.
        return self.bn(self.phi(resize(self.mbpm(quiet, frames), size)))


def build_lateral(
    channels: int, to_busy: bool, to_quiet: bool, stage: Stage, config: LateralConfig
) -> LateralConnection:
    """The connection after a pair of X3D blocks; without an MBPM it is the ResNet version's.

    MBPMs are 7 x 7 in res2 to res4 and 3 x 3 in res5, at whose 192 channels the released code changes the kernel. gamma
    and beta of its normalisation start at zero, as the paper says and the ResNet version does. The released X3D version
    means to and sets gamma to 1 again later.
    """
    lateral = LateralConnection(channels, to_busy, to_quiet, stage, config)
    if lateral.to_busy is not None and lateral.to_busy.mbpm is not None:
        lateral.to_busy = ProjectedQuietToBusy(channels, lateral.to_busy.mbpm, config.phi)
    return lateral


class BqnX3d(TwoPathways[X3d]):
    """Busy-Quiet Net on two X3D.

    Args:
        config: The network.
        data: `segments` (N), `size` and `num_classes` are read.

    Attributes:
        fc: The classifier of both pathways, or a dictionary with one of each, "busy" and "quiet".
    """

    def __init__(self, config: BqnX3dConfig, data: DataConfig) -> None:
        super().__init__(config, data, lambda: X3d(config.width, "m", config.pretrained))
        # The released code connects all 26 blocks, and the paper tries no fewer on X3D. Fewer are here the first ones
        # (ours): each then goes the way that it goes among all of them.
        self.connect(config, range(1, config.num_bplc + 1), build_lateral)
        self.dropout = nn.Dropout(config.dropout)
        features, classes = self.busy.out_channels, data.num_classes
        self.fc: nn.Module
        if config.shared_classifier:
            self.fc = build_classifier(features, classes)
        else:
            self.fc = nn.ModuleDict({name: build_classifier(features, classes) for name in ("quiet", "busy")})

    def run_stem(self, pathway: X3d, images: Tensor, frames: int) -> Tensor:
        """(B * frames, 3, h, w) to (B, C, frames, h / 2, w / 2)."""
        return pathway.stem(images, frames)

    def run_block(self, block: nn.Module, maps: Tensor, frames: int) -> Tensor:
        """One residual block, on volumes (B, C, frames, h, w)."""
        return block(maps)

    def exchange(self, lateral: nn.Module, busy: Tensor, quiet: Tensor) -> tuple[Tensor, Tensor]:
        """The volumes of both pathways after a lateral connection."""
        # With time folded into the batch, so that its normalisation and its MBPM are those of images.
        new_busy, new_quiet = lateral(to_frames(busy), to_frames(quiet), self.segments, self.segments)
        return to_volumes(new_busy, self.segments), to_volumes(new_quiet, self.segments)

    def predict(self, busy: Tensor, quiet: Tensor) -> Tensor:
        """Logits (B, num_classes) from the last volumes of both pathways."""
        # Heads stay apart, with a dropout mask each. X3D gives one feature a clip, so there is no consensus to take.
        return (self._logits(self.busy.head(busy), "busy") + self._logits(self.quiet.head(quiet), "quiet")) / 2

    def _logits(self, features: Tensor, pathway: str) -> Tensor:
        classifier = self.fc[pathway] if isinstance(self.fc, nn.ModuleDict) else self.fc
        return classifier(self.dropout(features))
