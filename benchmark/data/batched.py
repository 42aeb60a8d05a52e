"""Cutting, resizing and mirroring on the training device, for a whole batch at once, instead of in the loader.

Bilinear resizing with antialiasing is linear, along columns and rows apart, and so are cutting and mirroring. What a
`View` asks for is therefore one matrix from the left and one from the right, Y = R X C', worked out with the clip's
draws; a batch of clips of any sizes, filled up with zeros to the largest, is two batched matrix products. Frames cross
to the device as they were decoded, uint8, each once however many views see it.

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


def on_device() -> bool:
    """Whether BENCHMARK_TRANSFORMS asks for it: `device`, or `loader`, the default. Raises ValueError for others."""
    said = os.environ.get(WHERE) or "loader"
    if said not in ("loader", "device"):
        raise ValueError(f"{WHERE}={said} is neither loader nor device")
    return said == "device"


def weights(length: int, out: int) -> NDArray[np.float64]:
    """Bilinear resizing of `length` samples to `out` with antialiasing, as a matrix (out, length)."""
    if length == out:
        return np.eye(length)
    scale = length / out
    reach = max(scale, 1.0)
    centres = (np.arange(out) + 0.5) * scale
    triangle = 1 - np.abs(np.arange(length) + 0.5 - centres[:, None]) / reach
    made = np.clip(triangle, 0, None)
    normalised: NDArray[np.float64] = made / made.sum(1, keepdims=True)
    return normalised


def matrices(view: View, height: int, width: int) -> tuple[Tensor, Tensor]:
    """R (boxes, side, height) and C (boxes, side, width) of a view of frames of height x width."""
    down, across = np.eye(height), np.eye(width)
    for tall, wide in view.sizes:
        down, across = weights(len(down), tall) @ down, weights(len(across), wide) @ across
    rows, columns = [], []
    for box in view.boxes:
        rows.append(weights(box.height, view.side) @ down[box.top : box.top + box.height])
        part = weights(box.width, view.side) @ across[box.left : box.left + box.width]
        columns.append(part[::-1] if box.flip else part)
    return torch.from_numpy(np.stack(rows)).float(), torch.from_numpy(np.stack(columns)).float()


class Uncut(NamedTuple):
    """A clip as decoded, and what is to be cut from it; or a batch of them, with one more leading dimension.

    frames: (n, C, H, W) uint8. rows, columns: (boxes, S, H) and (boxes, S, W). order: (clips, T), which of the frames
    each temporal view has. label, place, readable: as of `loader.Item`.
    """

    frames: Tensor
    rows: Tensor
    columns: Tensor
    order: Tensor
    label: Tensor
    place: Tensor
    readable: Tensor


def collate(clips: Sequence[Uncut]) -> Uncut:
    """A batch: frames and matrices are filled up with zeros to the largest of their kind."""
    return Uncut(*(_padded([getattr(clip, name) for clip in clips]) for name in Uncut._fields))


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    if all(list(tensor.shape) == shape for tensor in tensors):
        return torch.stack(list(tensors))
    batch = tensors[0].new_zeros(len(tensors), *shape)
    for room, tensor in zip(batch, tensors, strict=True):
        room[tuple(slice(side) for side in tensor.shape)] = tensor
    return batch


def cut_batch(batch: Uncut, device: torch.device) -> Tensor:
    """Carries out a batch's views: (B, clips x boxes, T, C, S, S) uint8 on the device, temporal views outermost."""
    frames, rows, columns = (t.to(device, non_blocking=True) for t in (batch.frames, batch.rows, batch.columns))
    order = batch.order.to(device, non_blocking=True)
    pixels, boxes = frames.float(), []
    for box in range(rows.shape[1]):
        y = rows[:, box, None, None] @ pixels @ columns[:, box, None, None].transpose(-1, -2)
        boxes.append(y.round_().clamp_(0, 255).to(torch.uint8))
    cut = torch.stack(boxes, 1)  # (B, boxes, n, C, S, S)
    count, clips, length = order.shape
    which = torch.arange(count, device=device)[:, None, None]
    views = cut.transpose(1, 2)[which, order]  # (B, clips, T, boxes, C, S, S)
    return views.permute(0, 1, 3, 2, 4, 5, 6).reshape(count, clips * rows.shape[1], length, *cut.shape[-3:])


def cut_all(batches: Iterable[Uncut], device: torch.device, one_view: bool) -> Iterator[tuple[Tensor, ...]]:
    """The batches as the fields of `loader.Item`; with `one_view`, as in training, without the dimension of views."""
    for batch in batches:
        frames = cut_batch(batch, device)
        yield (frames[:, 0] if one_view else frames, batch.label, batch.place, batch.readable)
