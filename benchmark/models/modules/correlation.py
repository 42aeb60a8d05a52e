"""Local correlation of two feature maps (FlowNet; MotionSqueeze, Kwon et al., ECCV 2020, Eq. 1).

    s(x, p) = <a_x, b_(x + p)>,    p in [-k, k]^2,    P = 2k + 1

One score per position and displacement; a displacement that leaves the map scores zero. It is the torch operator
`benchmark::local_correlation`, so that tracing shows one node, to which a counter of operators can give a rule: P^2 C
MACs per position. Its backward pass is `benchmark::local_correlation_backward`; there is no second derivative.

How it is computed: a row of b's windows holds every displacement of a row of a. So, row by row, `COLUMNS` or fewer
neighbouring positions of a are multiplied with the rows of b within reach, cut to the columns within reach: one batched
matrix product, whose band (position x, column x + dx) is the scores. At P 15 and 14 positions it multiplies 1.9 times
as often as needed, less the rows outside the map. The gradient lays the scores' gradient into the same band, zeros
beside it, and multiplies with the rows of b and of a. Only a and b are kept for it.

`tools/correlation_speed.py` measures it against four other ways; it is the fastest everywhere. On GPUs the same
algorithm runs, all maps at once; it is untried there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.models.precision import without_autocast

COLUMNS = 16
"""Neighbouring positions of a row that share a window, at most."""

# The product is still in the second-level cache when its band is copied: a quarter less time for 28 maps of 28 x 28.
SCRATCH = 2**17
"""Elements of a row's matrix product on a CPU, of all maps handled together: half a MiB in float32."""

# MKL's products with 8 columns take twice as long as those with 16, so fewer channels get zeros behind them.
CHANNELS = 16
"""The gradients' products have a multiple of this many columns."""

OPERATOR = "benchmark::local_correlation"

# Not `torch.library.custom_op`, whose first call imports torch's compiler: 5 s in every process.
torch.library.define(OPERATOR, "(Tensor a, Tensor b, int patch) -> Tensor")
torch.library.define(f"{OPERATOR}_backward", "(Tensor grad, Tensor a, Tensor b, int patch) -> (Tensor, Tensor)")


def local_correlation(a: Tensor, b: Tensor, patch: int) -> Tensor:
    """Scores of all displacements of up to `patch` // 2 positions along both axes.

    Args:
        a: (N, C, H, W).
        b: The same shape and type.
        patch: P, side of the neighbourhood, odd.

    Returns:
        (N, P^2, H, W) in the channels-last layout: scores[n, (dy + k) P + dx + k, y, x] is the inner product of
        a[n, :, y, x] and b[n, :, y + dy, x + dx], zero where that lies outside the map.

    Raises:
        ValueError: Maps of different shapes or types, or an even patch.
    """
    if a.dim() != 4 or a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(
            f"correlated maps need one shape (N, C, H, W) and type, got {tuple(a.shape)} of {a.dtype}"
            f" and {tuple(b.shape)} of {b.dtype}"
        )
    if patch < 1 or patch % 2 == 0:
        raise ValueError(f"the patch of a correlation needs an odd side, got {patch}")
    scores: Tensor = torch.ops.benchmark.local_correlation(a, b, patch)
    return scores


class _Tiles:
    """Maps cut into tiles of neighbouring columns, and the windows around them.

    Attributes:
        tiles: Tiles of a row.
        columns: Positions of a tile; the last tile may reach beyond the map.
        wide: Columns of a window.
        group: Maps handled together.
    """

    def __init__(self, x: Tensor, patch: int) -> None:
        self.maps, _, self.height, self.width = x.shape
        self.patch, self.reach = patch, patch // 2
        self.tiles = -(-self.width // COLUMNS)
        self.columns = -(-self.width // self.tiles)
        self.wide = self.columns + 2 * self.reach
        self.rest = self.tiles * self.columns - self.width
        row = self.tiles * self.columns * patch * self.wide
        self.group = max(1, min(self.maps, SCRATCH // row if x.device.type == "cpu" else self.maps))

    def positions(self, x: Tensor) -> Tensor:
        """(n, C, H, W) to (n * tiles, H, columns, C), contiguous."""
        x = F.pad(x.permute(0, 2, 3, 1).contiguous(), (0, 0, 0, self.rest))
        return x.unflatten(2, (self.tiles, self.columns)).transpose(1, 2).flatten(0, 1).contiguous()

    def windows(self, x: Tensor) -> Tensor:
        """(n, C, H, W) to (n * tiles, H, wide, C), contiguous; zero outside the map."""
        x = F.pad(x.permute(0, 2, 3, 1).contiguous(), (0, 0, self.reach, self.reach + self.rest))
        return x.unfold(2, self.wide, self.columns).permute(0, 2, 1, 4, 3).flatten(0, 1).contiguous()

    def from_positions(self, x: Tensor) -> Tensor:
        """The inverse of `positions`, as (n, H, W, C)."""
        return x.unflatten(0, (-1, self.tiles)).transpose(1, 2).flatten(2, 3)[:, :, : self.width]

    def from_windows(self, x: Tensor) -> Tensor:
        """The transpose of `windows`, as (n, H, W, C): values of one position are added."""
        x = x.unflatten(0, (-1, self.tiles))
        sums = x.new_zeros(x.shape[0], self.height, self.tiles * self.columns + 2 * self.reach, x.shape[-1])
        for tile in range(self.tiles):
            start = tile * self.columns
            sums[:, :, start : start + self.wide] += x[:, tile]
        return sums[:, :, self.reach : self.reach + self.width]

    def rows(self, y: int) -> tuple[slice, slice]:
        """The rows within reach of row y, and the vertical displacements to them."""
        first, end = max(0, y - self.reach), min(self.height, y + self.reach + 1)
        return slice(first, end), slice(first - y + self.reach, end - y + self.reach)

    def band(self, products: Tensor) -> Tensor:
        """Of (n * tiles, columns, rows, wide), contiguous: the view (n, tiles, columns, rows, P) of column x + dx."""
        rows, wide = products.shape[2:]
        size = (products.shape[0] // self.tiles, self.tiles, self.columns, rows, self.patch)
        tile = self.columns * rows * wide
        return products.as_strided(size, (self.tiles * tile, tile, rows * wide + 1, wide, 1))

    def groups(self) -> list[slice]:
        """The maps, in parts that are handled together."""
        return [slice(start, min(start + self.group, self.maps)) for start in range(0, self.maps, self.group)]


@torch.library.impl(OPERATOR, "default")
def _local_correlation(a: Tensor, b: Tensor, patch: int) -> Tensor:
    tiles = _Tiles(a, patch)
    scores = a.new_zeros(tiles.maps, tiles.height, tiles.tiles, tiles.columns, patch, patch)
    with without_autocast(a):
        for part in tiles.groups():
            positions, windows = tiles.positions(a[part]), tiles.windows(b[part])
            for y in range(tiles.height):
                rows, offsets = tiles.rows(y)
                products = positions[:, y] @ windows[:, rows].flatten(1, 2).transpose(1, 2)
                scores[part, y, :, :, offsets] = tiles.band(products.unflatten(2, (-1, tiles.wide)))
    return scores.flatten(4, 5).flatten(2, 3)[:, :, : tiles.width].contiguous().permute(0, 3, 1, 2)


@torch.library.register_fake(OPERATOR)
def _(a: Tensor, b: Tensor, patch: int) -> Tensor:
    maps, _, height, width = a.shape
    return a.new_empty(maps, height, width, patch * patch).permute(0, 3, 1, 2)


@torch.library.impl(f"{OPERATOR}_backward", "default")
def _backward(grad: Tensor, a: Tensor, b: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    tiles, channels = _Tiles(a, patch), a.shape[1]
    grad = F.pad(grad.permute(0, 2, 3, 1).contiguous(), (0, 0, 0, tiles.rest))
    grad = grad.unflatten(3, (patch, patch)).unflatten(2, (tiles.tiles, tiles.columns))
    grad_a, grad_b = (a.new_empty(tiles.maps, tiles.height, tiles.width, channels) for _ in range(2))
    # Rows of the patch that leave the map keep what an earlier row of the map left there, and are not read.
    whole = a.new_zeros(tiles.group * tiles.tiles, tiles.columns, patch, tiles.wide)
    behind = (0, 0, 0, 0, 0, -channels % CHANNELS)
    with without_autocast(a):
        for part in tiles.groups():
            positions, windows = tiles.positions(F.pad(a[part], behind)), tiles.windows(F.pad(b[part], behind))
            grad_positions, grad_windows = torch.empty_like(positions), torch.zeros_like(windows)
            products = whole[: positions.shape[0]]
            band = tiles.band(products)
            for y in range(tiles.height):
                rows, offsets = tiles.rows(y)
                band[:, :, :, offsets] = grad[part, y, :, :, offsets]
                filled = products[:, :, offsets].flatten(2, 3)
                grad_positions[:, y] = filled @ windows[:, rows].flatten(1, 2)
                grad_windows[:, rows].flatten(1, 2).baddbmm_(filled.transpose(1, 2), positions[:, y])
            grad_a[part] = tiles.from_positions(grad_positions)[..., :channels]
            grad_b[part] = tiles.from_windows(grad_windows)[..., :channels]
    return grad_a.permute(0, 3, 1, 2), grad_b.permute(0, 3, 1, 2)


@torch.library.register_fake(f"{OPERATOR}_backward")
def _(grad: Tensor, a: Tensor, b: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    maps, channels, height, width = a.shape
    grad_a, grad_b = (a.new_empty(maps, height, width, channels).permute(0, 3, 1, 2) for _ in range(2))
    return grad_a, grad_b


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    a, b, ctx.patch = inputs
    ctx.save_for_backward(a, b)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    grad_a, grad_b = torch.ops.benchmark.local_correlation_backward(grad, *ctx.saved_tensors, ctx.patch)
    return grad_a, grad_b, None


torch.library.register_autograd(OPERATOR, _differentiate, setup_context=_save)
