"""The MBPM of BQN (see `benchmark.models.modules.mbpm`) as a representation: every triple of frames to one image."""

from __future__ import annotations

from torch import Tensor

from benchmark.models.modules.mbpm import Mbpm


class MbpmOfTriple(Mbpm):
    """The MBPM of a segment's three frames, as `Mbpm` with stride 3."""

    def __init__(self, kernel_size: int, sigma: float, trainable: bool) -> None:
        super().__init__(3, kernel_size, sigma, stride=3, trainable=trainable)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, 3, H, W) to (N, 3, H, W)."""
        return super().forward(x.flatten(0, 1), 3)
