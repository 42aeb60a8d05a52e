"""What the two Busy-Quiet Nets share: two backbones side by side, and lateral connections between their blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from benchmark.config.models import BqnConfig, BqnX3dConfig, Stage
from benchmark.config.run import DataConfig
from benchmark.models.modules.lateral import LateralConnection, directions, resize
from benchmark.models.modules.mbpm import Mbpm


class Pathway(Protocol):
    """A backbone whose residual blocks can be run one by one."""

    stage_channels: dict[Stage, int]

    def blocks(self) -> Iterator[tuple[Stage, int, Any]]:
        """The residual blocks in order, each with its stage and its 0-based index within the stage."""
        ...


P = TypeVar("P", bound=Pathway)


class TwoPathways(nn.Module, Generic[P]):
    """Busy on the MBPM of every triple of frames, Quiet on the triples themselves, joined after residual blocks.

    A subclass connects the pathways, says how one of its backbones runs a stem and a block, and makes a prediction.

    Args:
        config: The MBPM, and the size and the segments of Quiet.
        data: `segments` (N) and `size` are read.
        pathway: Makes a backbone; it is called for each of the two.

    Attributes:
        stem_mbpm: The MBPM in front of Busy, temporal stride 3.
        busy, quiet: The backbones.
        laterals: The lateral connections, by the block that they follow, e.g. "res2_0".
    """

    def __init__(self, config: BqnConfig | BqnX3dConfig, data: DataConfig, pathway: Callable[[], P]) -> None:
        super().__init__()
        self.segments = data.segments
        self.quiet_segments: int = getattr(config, "quiet_segments", None) or data.segments
        self.quiet_scale = (config.quiet_size or data.size) / data.size
        m = config.mbpm
        self.stem_mbpm = Mbpm(3, m.kernel_size, m.sigma, stride=3, trainable=m.trainable)
        # Quiet first: its stem's normalisation is the one that partial batch normalisation leaves active.
        self.quiet = pathway()
        self.busy = pathway()
        self.laterals = nn.ModuleDict()

    def connect(
        self, config: BqnConfig | BqnX3dConfig, connected: Collection[int], build: Callable[..., LateralConnection]
    ) -> None:
        """Put lateral connections after some residual blocks, given by their ordinals over all stages, from 1."""
        for number, (stage, index, _) in enumerate(self.busy.blocks(), start=1):
            if number in connected:
                to_busy, to_quiet = directions(config.lateral, len(self.laterals) + 1, number)
                channels = self.busy.stage_channels[stage]
                self.laterals[f"{stage}_{index}"] = build(channels, to_busy, to_quiet, stage, config.lateral)

    def run_stem(self, pathway: P, images: Tensor, frames: int) -> Tensor:
        """Images (B * frames, 3, h, w) to what the first block takes."""
        raise NotImplementedError

    def run_block(self, block: nn.Module, maps: Tensor, frames: int) -> Tensor:
        """One residual block."""
        raise NotImplementedError

    def exchange(self, lateral: nn.Module, busy: Tensor, quiet: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of both pathways after a lateral connection."""
        raise NotImplementedError

    def predict(self, busy: Tensor, quiet: Tensor) -> Tensor:
        """Logits (B, num_classes) from the last maps of both pathways."""
        raise NotImplementedError

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
        busy = self.run_stem(self.busy, busy, self.segments)
        quiet = self.run_stem(self.quiet, quiet, self.quiet_segments)
        for (stage, index, busy_block), (_, _, quiet_block) in zip(
            self.busy.blocks(), self.quiet.blocks(), strict=True
        ):
            busy = self.run_block(busy_block, busy, self.segments)
            quiet = self.run_block(quiet_block, quiet, self.quiet_segments)
            key = f"{stage}_{index}"
            if key in self.laterals:
                busy, quiet = self.exchange(self.laterals[key], busy, quiet)
        return self.predict(busy, quiet)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the pathways see of (B, 3 * N, 3, H, W): (B * N, 3, H, W) and (B * quiet_segments, 3, h, w)."""
        busy = self.stem_mbpm(x.flatten(0, 1), 3 * self.segments)
        quiet = self.quiet_images(x.unflatten(1, (self.segments, 3)), busy.unflatten(0, (-1, self.segments)))
        # By a factor rather than to a size: views larger than data.size keep the pathways' ratio.
        height, width = (round(int(side) * self.quiet_scale) for side in x.shape[-2:])
        # Bilinear, without anti-aliasing, and not at all where the sizes agree.
        return busy, resize(quiet.flatten(0, 1), (height, width))

    def quiet_images(self, triples: Tensor, busy: Tensor) -> Tensor:
        """Quiet's images before their resize: (B, N, 3, 3, H, W), and the MBPM's (B, N, 3, H, W), to the latter shape.

        The first frame of every triple.
        """
        return triples[:, :, 0]
