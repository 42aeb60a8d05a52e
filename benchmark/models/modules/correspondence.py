"""Correspondence proposals, CP (CPNet: Liu, Lee and Jin, CVPR 2019), as MotionSqueeze compares itself with them.

The papers are "Learning Video Representations from Correspondence Proposals" and MotionSqueeze (Kwon et al., ECCV
2020, supplement, Table 8). Every position of a clip looks for the k positions of other frames whose features are
nearest, wherever they are in space and time, and learns from where they lie:

    j in the k largest of -|f_i - f_j|^2                 over all positions of other frames than that of i
    h_ij = MLP(t_j - t_i, y_j - y_i, x_j - x_i, f_i, f_j)  C / 4 and C / 2 channels, each with BN and ReLU
    out_i = ReLU(f_i + BN(W max_j h_ij))                  W from C / 2 back to C

Known from CPNet's released code: distances on raw features; coordinates in parts of the clip's T, H and W; all
convolutions with biases; gamma of the last normalisation starts at zero; no gradient through the choice of
neighbours. The code shrinks maps of 28 x 28 to 14 x 14 for the search; MotionSqueeze's printed cost excludes that
(20.4 G against 14.6 G of TSM-ResNet-18: one CP at 8 x 28 x 28 with C 128 takes 5.62 G here, 0.46 G with the shrink),
so it is left out.

Choices:

* CPNet adds inside the block, before its final ReLU. This module stands after a block: it reads maps that have passed
  that ReLU and has one of its own. As these are not negative, it is the identity at first.
* k = 8, as CPNet has in its smaller networks; 5.62 G becomes 5.82 G with k = 11, which fits the print best.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models.clips import check_clips
from benchmark.models.modules.lateral import zero_batch_norm
from benchmark.models.precision import at_least_float32, without_autocast

# There are (THW)^2 of them, 39 million per clip.
DISTANCES_AT_ONCE = 2**23
"""Distances that are held at a time, over all clips of a batch."""


def nearest_elsewhere(points: Tensor, frames: int, k: int) -> Tensor:
    """The k nearest points of other frames of the clip, in no particular order.

    Args:
        points: (B, N, C), the N / frames points of a frame consecutive.
        frames: Frames of a clip.
        k: Neighbours.

    Returns:
        Their indices in the clip, (B, N, k).

    Raises:
        ValueError: The other frames have fewer than k points.
    """
    clips, total, _ = (int(size) for size in points.shape)
    per_frame = total // frames
    if total - per_frame < k:
        raise ValueError(f"{frames} frames of {per_frame} positions have no {k} neighbours in other frames")
    rows = max(1, min(per_frame, DISTANCES_AT_ONCE // (clips * total)))
    found = []
    with torch.no_grad(), without_autocast(points):
        points = at_least_float32(points)
        doubled = 2 * points.transpose(1, 2)
        squares = (points * points).sum(2).unsqueeze(1)
        for start in range(0, total, per_frame):
            for first in range(start, start + per_frame, rows):
                queries = points[:, first : min(first + rows, start + per_frame)]
                # |f_i|^2 does not change the order of a query's candidates and is left out. Its own frame is compared
                # and then ruled out, so that a search costs (THW)^2 C as the original's.
                scores = torch.bmm(queries, doubled).sub_(squares)
                scores[:, :, start : start + per_frame].fill_(-torch.inf)
                found.append(scores.topk(k, dim=2, sorted=False).indices)
    return torch.cat(found, dim=1)


def coordinates(frames: int, height: int, width: int, like: Tensor) -> Tensor:
    """Where the positions of a clip lie, in parts of its extent: (frames * height * width, 3), (t, y, x) in [0, 1)."""
    shape = (frames, height, width)
    t, y, x = (torch.arange(n, dtype=like.dtype, device=like.device) / n for n in shape)
    axes = (t.view(-1, 1, 1).expand(shape), y.view(1, -1, 1).expand(shape), x.view(1, 1, -1).expand(shape))
    return torch.stack(axes, dim=3).flatten(0, 2)


class CorrespondenceModule(nn.Module):
    """Learn from where the k most similar positions of other frames lie.

    Args:
        channels: C, a multiple of 4.
        k: Neighbours of a position.

    Parameters: (2 C + 3) C / 4 + C^2 / 8 + C^2 / 2 of weights, and biases and normalisations of 3 (C / 4 + C / 2 + C);
    19,200 with C 128.
    MACs of a clip with N = T * H * W positions, without normalisation: N^2 * C for the search, k * N * ((2 C + 3) C / 4
    + C^2 / 8) for the pairs, N * C^2 / 2 for the last layer.

    Raises:
        ValueError: k is not positive, or channels no multiple of 4.
    """

    def __init__(self, channels: int, k: int = 8) -> None:
        super().__init__()
        if channels < 4 or channels % 4:
            raise ValueError(f"channels must be a multiple of 4, got {channels}")
        if k < 1:
            raise ValueError(f"k must be positive, got {k}")
        self.channels, self.k = channels, k
        narrow, wide = channels // 4, channels // 2
        self.first = nn.Conv2d(3 + 2 * channels, narrow, 1)
        self.first_bn = nn.BatchNorm2d(narrow)
        self.second = nn.Conv2d(narrow, wide, 1)
        self.second_bn = nn.BatchNorm2d(wide)
        self.last = nn.Conv2d(wide, channels, 1)
        self.last_bn = zero_batch_norm(channels)
        # As in the released code.
        for conv in (self.first, self.second, self.last):
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Add what the correspondences say.

        Args:
            x: (B * frames, C, H, W), the frames of a clip consecutive; at initialisation the result is ReLU(x).
            frames: Frames of a clip, at least 2.

        Returns:
            The shape of x, without negative values.

        Raises:
            ValueError: The number of maps is no multiple of `frames`, or the other frames have fewer than k positions.
        """
        check_clips(x, frames)
        maps, channels, height, width = (int(size) for size in x.shape)
        points = x.permute(0, 2, 3, 1).reshape(maps // frames, -1, channels)
        neighbours = nearest_elsewhere(points, frames, self.k)
        # Rows of the batch's points rather than of the clip's.
        starts = torch.arange(points.shape[0], device=x.device).view(-1, 1, 1) * points.shape[1]
        rows = (neighbours + starts).flatten()
        positions = coordinates(frames, height, width, at_least_float32(x))
        # Evaluation applies the first layer to every pair as the original does: that is what is counted.
        pairs = self._first_gathered(points, positions, rows) if self.training else self._first(points, positions, rows)
        pairs = F.relu(self.second_bn(self.second(F.relu(self.first_bn(pairs)))))
        strongest = pairs.amax(3).unflatten(2, (frames, height, width)).transpose(1, 2).flatten(0, 1)
        return F.relu(x + self.last_bn(self.last(strongest)))

    def _first(self, points: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
        """The first layer of every pair: points (B, N, C), positions (N, 3), rows (B * N * k) to (B, C / 4, N, k)."""
        clips, total, _ = points.shape
        described = torch.cat([positions.to(points.dtype).expand(clips, -1, -1), points], dim=2)
        there = described.flatten(0, 1).index_select(0, rows).view(clips, total, self.k, -1)
        here = described.unsqueeze(2).expand(-1, -1, self.k, -1)
        offset, own, other = there[..., :3] - here[..., :3], here[..., 3:], there[..., 3:]
        return self.first(torch.cat([offset, own, other], dim=3).permute(0, 3, 1, 2))

    def _first_gathered(self, points: Tensor, positions: Tensor, rows: Tensor) -> Tensor:
        """The same, from what the layer makes of f_i and of f_j alone: it is linear."""
        # Forward and backward without the search take 0.41 s in place of 1.2 s (one clip of 8 x 28 x 28 with C 128, one
        # core; the search takes 0.9 s, of which 0.7 s are its matrix product).
        clips, total, channels = points.shape
        of_position, of_own, of_other = self.first.weight.flatten(1).split([3, channels, channels], dim=1)
        with without_autocast(points):
            moved = at_least_float32(positions) @ of_position.t().to(positions.dtype)
        own = F.linear(points, of_own, self.first.bias) - moved
        other = (F.linear(points, of_other) + moved).flatten(0, 1)
        pairs = own.unsqueeze(2) + other.index_select(0, rows).view(clips, total, self.k, -1)
        return pairs.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"{self.channels}, k={self.k}"
