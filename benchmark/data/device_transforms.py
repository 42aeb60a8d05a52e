"""Cutting, resizing and mirroring on the training device, for a whole batch at once, instead of in the loader.

Bilinear resizing with antialiasing is linear in the rows and in the columns, and so are cutting and mirroring. A `View`
is therefore one matrix from the left and one from the right, Y = R X C', which the loader makes from the clip's random
draws. The device computes two products over all frames and views of a clip. Frames are sent to it as they were decoded,
uint8 and of any size, each once however many views see it.

Results differ from those of `transforms.viewed`, which rounds after every step, by a grey level here and there (at most
two), as they do between devices. Where the work is done is therefore no part of a run's key; env.json says it. Optical
flow is cut by the loader: mirroring changes the sign of its horizontal component.

Source of the weights: Pillow's and torch's antialiased bilinear filter, a triangle as wide as the scale.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.transforms import View

WHERE = "BENCHMARK_TRANSFORMS"
FLOATS = 2**26
"""Pixels of as many frames as are cut at once, times their views: a quarter of a gigabyte."""


def on_device() -> bool:
    """Whether BENCHMARK_TRANSFORMS is `device` and not `loader`, the default. Raises ValueError for anything else."""
    where = os.environ.get(WHERE) or "loader"
    if where not in ("loader", "device"):
        raise ValueError(f"{WHERE}={where} is neither loader nor device")
    return where == "device"


def weights(length: int, out: int) -> NDArray[np.float32]:
    """Bilinear resizing of `length` samples to `out` with antialiasing, as a matrix (out, length)."""
    if length == out:
        return np.eye(length, dtype=np.float32)
    scale = length / out
    reach = max(scale, 1.0)
    centres = (np.arange(out) + 0.5) * scale
    triangle = np.clip(1 - np.abs(np.arange(length) + 0.5 - centres[:, None]) / reach, 0, None)
    normalised: NDArray[np.float32] = (triangle / triangle.sum(1, keepdims=True)).astype(np.float32)
    return normalised


def matrices(view: View, height: int, width: int) -> tuple[Tensor, Tensor]:
    """R (boxes, side, height) and C (boxes, side, width) of a view of frames of height x width."""
    down = _resized(height, [size[0] for size in view.sizes])
    across = _resized(width, [size[1] for size in view.sizes])
    rows = [_cut(down, height, box.top, box.height, view.side) for box in view.boxes]
    columns = [_cut(across, width, box.left, box.width, view.side)[:: -1 if box.flip else 1] for box in view.boxes]
    return torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(columns))


def _resized(length: int, sizes: Sequence[int]) -> NDArray[np.float32] | None:
    """All of a side's resizings as one matrix; None where it stays as it is."""
    made, now = None, length
    for size in sizes:
        if size != now:
            step = weights(now, size)
            made = step if made is None else step @ made
        now = size
    return made


def _cut(made: NDArray[np.float32] | None, length: int, start: int, extent: int, side: int) -> NDArray[np.float32]:
    """The rows of the resized side that are cut out, resized to `side`; a product only where that is one."""
    if made is None:
        cut = np.zeros((side, length), np.float32)
        cut[:, start : start + extent] = weights(extent, side)
        return cut
    part = made[start : start + extent]
    return part if extent == side else weights(extent, side) @ part


class Uncut(NamedTuple):
    """A clip as decoded, and what is to be cut from it.

    frames: (n, C, H, W) uint8. rows, columns: (boxes, S, H) and (boxes, S, W). order: (clips, T), which of the frames
    each temporal view has. label, clip_index, readable: as of `loader.Item`.
    """

    frames: Tensor
    rows: Tensor
    columns: Tensor
    order: Tensor
    label: Tensor
    clip_index: Tensor
    readable: Tensor


def collate(clips: list[Uncut]) -> list[Uncut]:
    """A batch is a list: clips have sizes of their own."""
    return clips


def cut(clip: Uncut, device: torch.device) -> Tensor:
    """Carries out a clip's views: (clips x boxes, T, C, S, S) uint8 on the device, temporal views outermost."""
    frames, rows, columns = (t.to(device, non_blocking=True) for t in (clip.frames, clip.rows, clip.columns))
    right = columns[:, None, None].transpose(-1, -2)
    cuts = []
    for part in frames.split(max(1, FLOATS // (frames[0].numel() * len(rows)))):
        y = rows[:, None, None] @ part.float() @ right
        cuts.append(y.round_().clamp_(0, 255).to(torch.uint8))
    made = torch.cat(cuts, 1)  # (boxes, n, C, S, S)
    return made[:, clip.order.to(device, non_blocking=True)].transpose(0, 1).flatten(0, 1)


def cut_all(batches: Iterable[Sequence[Uncut]], device: torch.device, one_view: bool) -> Iterator[tuple[Tensor, ...]]:
    """The batches as the fields of `loader.Item`; with `one_view`, as in training, without the dimension of views."""
    for batch in batches:
        frames = torch.stack([cut(clip, device) for clip in batch])
        rest = (torch.stack([getattr(clip, name) for clip in batch]) for name in ("label", "clip_index", "readable"))
        yield (frames[:, 0] if one_view else frames, *rest)
