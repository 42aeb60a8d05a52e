"""RGB difference (Wang et al., "Temporal Segment Networks", ECCV 2016, Section 3.1): what changes between two frames.

Choices: the later frame less the earlier one; the pairs are neighbours and stand in the order of time, each with its
three channels, which is how the released code of TSN stacks them. The frames come normalised, so a difference is in
units of the standard deviation of its channel; TSN's own code subtracts raw values of 0 to 255, whose mean of course
falls out as well.
"""

from __future__ import annotations

from torch import Tensor, nn


class RgbDifference(nn.Module):
    """Differences of neighbouring frames as channels. No parameters and no multiplications.

    Args:
        frames: T, at least 2.

    Raises:
        ValueError: Fewer than two frames.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        if frames < 2:
            raise ValueError(f"a difference needs two frames, got {frames}")
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """Subtract.

        Args:
            x: (N, T, C, H, W).

        Returns:
            (N, C * (T - 1), H, W), the difference of the first pair first.

        Raises:
            ValueError: Another number of frames than T.
        """
        if x.shape[1] != self.frames:
            raise ValueError(f"expected {self.frames} frames, got {x.shape[1]}")
        return (x[:, 1:] - x[:, :-1]).flatten(1, 2)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"frames={self.frames}"
