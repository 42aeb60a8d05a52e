"""Squeezed images: Temporal Squeeze Pooling of the frames themselves (thesis 3.2, Figure 3.3 (a)).

The D images of a segment go to the backbone as images of their own; how their predictions are joined is silent in the
thesis, and the average over all images is the network's.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.config.representations import Activation
from benchmark.models.modules.squeeze import TemporalSqueeze


class SqueezedImage(nn.Module):
    """The frames of a segment, squeezed.

    Args:
        frames: K, frames of a segment.
        images: D, images of a segment.
        activations: delta_1 and delta_2 of the excitation.

    Attributes:
        residual: l_proj of the last batch, scalar, with its graph.
    """

    has_residual = True

    def __init__(
        self, frames: int = 10, images: int = 3, activations: tuple[Activation, Activation] = ("sigmoid", "leaky_relu")
    ) -> None:
        super().__init__()
        self.squeeze = TemporalSqueeze(frames, images, activations)
        self.residual: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, C, H, W) to (N * D, C, H, W), the images of a segment consecutive."""
        y: Tensor = self.squeeze(x)
        self.residual = self.squeeze.residual
        return y.flatten(0, 1)
