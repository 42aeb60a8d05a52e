"""A network of one's own for a table of one's own: differences of neighbouring frames, then a plain TSM-ResNet.

The constructor may ask for any of `segments`, `size`, `num_classes`, `width` and `dropout`, which the harness gives;
every other argument is an option of the table's rows. `fc` is the classifier's name, by which the recipes know it.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.models.backbones.resnet import ResNet, pooled


class FrameDifference(nn.Module):
    """Logits (B, num_classes) from clips (B, segments * 3, 3, H, W): `order` differences of each triple, ResNet-18."""

    def __init__(self, segments: int, num_classes: int, width: float, dropout: float, order: int = 1) -> None:
        super().__init__()
        if order not in (0, 1, 2):
            raise ValueError(f"order must be 0, 1 or 2, got {order}")
        self.segments, self.order = segments, order
        self.backbone = ResNet(18, width, temporal_shift=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.out_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        triples = x.unflatten(1, (self.segments, 3))
        for _ in range(self.order):
            triples = triples.diff(dim=2)
        maps = self.backbone.stem(triples[:, :, 0].flatten(0, 1))
        for _, _, block in self.backbone.blocks():
            maps = block(maps, self.segments)
        return self.fc(self.dropout(pooled(maps))).unflatten(0, (-1, self.segments)).mean(1)
