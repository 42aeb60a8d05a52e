"""From decoded frames to the network's input: crops, resizing, flips. All frames of a clip are cut in the same way.

Sources of the training crops: TSN's multi-scale corner cropping (Wang et al. 2016, Section 3.2, and released code),
with the scales that TSM and BQN use, or those that they use for flow; X3D's jitter of the shorter side (Feichtenhofer
2020, Section 4; thesis, Section 3.6.1). Frames come in as (n, H, W, 3) uint8 arrays and leave as (n, 3, S, S) uint8
tensors; `normalise` runs on the device that trains.

What is to become of a clip's frames is worked out first, as a `View`, from their size and the clip's draws alone; it is
carried out here, frame by frame, or on the training device for a whole batch (`benchmark.data.device_transforms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmark.config.run import Flip
from benchmark.data.decode.video import Frames
from benchmark.data.flow.tvl1 import ZERO

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's training images, RGB in [0, 1]."""
NORMALISATIONS = {
    "imagenet": (MEAN, STD),
    "kinetics": ((0.45,) * 3, (0.225,) * 3),
    "half": ((0.5,) * 3, (0.5,) * 3),
}
"""What X3D's published weights expect, and what those of ViT and Inception-ResNet-v2 do: RGB in [-1, 1]."""

SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of multi-scale crops relative to the frame's shorter side: RGB's four, of which flow has the first three."""
JITTER = (8 / 7, 10 / 7)
"""Range of the frame's shorter side relative to the crop's: 256 to 320 for 224 pixels, 182 to 228 for 160."""
DIRECTED = frozenset({86, 87, 93, 94, 166, 167})
"""Something-Something's classes that are told apart by left and right, as MotionSqueeze's code lists them."""
QUARTERS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),  # corners and centre
    *((0, 2), (4, 2), (2, 0), (2, 4)),  # middles of the edges
    *((1, 1), (1, 3), (3, 1), (3, 3)),  # quarter points
)
"""The thirteen positions of a crop, (down, across), in quarters of the room that it leaves."""
SNAP = 3
"""A side that differs from the input's by fewer pixels than this becomes the input's."""


@dataclass(frozen=True)
class Box:
    """A crop: top and left corner, height and width, in pixels; `flip` mirrors it."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False


FLOW_MEAN, FLOW_STD = 0.5, 0.226
"""Of quantised flow in [0, 1], both directions (TSN)."""


def normalise(clips: Tensor, name: str = "imagenet") -> Tensor:
    """uint8 (..., C, H, W) to float32 without mean and standard deviation: the named ones, TSN's for flow (C 2)."""
    if clips.shape[-3] == 2:
        return (clips.float() / 255 - FLOW_MEAN) / FLOW_STD
    mean, std = _moments(name, clips.device)
    return (clips.float() - mean) / std


@cache
def _moments(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3, 1, 1); kept, since bringing them to a device waits for it."""
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) * 255 for v in NORMALISATIONS[name])
    return mean, std


def _box_at(height: int, width: int, side: tuple[int, int], quarters: tuple[int, int], flip: bool = False) -> Box:
    top, left = ((room // 4) * step for room, step in zip((height - side[0], width - side[1]), quarters, strict=True))
    return Box(top, left, side[0], side[1], flip)


def may_mirror(flip: Flip, label: int) -> bool:
    """Whether training clips of a class are mirrored at random: none, all, or those outside DIRECTED."""
    return label not in DIRECTED if flip == "undirected" else flip


def multiscale_box(
    height: int, width: int, size: int, flip: bool, rng: np.random.Generator, scales: Sequence[float] = SCALES
) -> Box:
    """Draws a training crop for frames of height x width and a network's input of `size`.

    Height and width are of two scales at most one step apart: ten pairs of the four scales. With `flip` half of the
    crops are mirrored. The three draws are made in any case, so that rows with and without flip see the same crops.
    """
    count = len(scales)
    pairs = [(i, j) for i in range(count) for j in range(count) if abs(i - j) <= 1]
    pair, position, mirrored = rng.integers(len(pairs)), rng.integers(len(QUARTERS)), rng.random() < 0.5
    sides = [int(min(height, width) * scale) for scale in scales]
    sides = [size if abs(side - size) < SNAP and size <= min(height, width) else side for side in sides]
    across, down = pairs[pair]
    return _box_at(height, width, (sides[down], sides[across]), QUARTERS[position], flip and bool(mirrored))


def jitter_range(size: int) -> tuple[int, int]:
    """Shortest and longest shorter side that a crop of `size` is cut from, both drawn, in pixels."""
    low, high = (int(size * factor) for factor in JITTER)
    return low, high


def view_boxes(height: int, width: int, side: int, crops: int) -> list[Box]:
    """The spatial views of evaluation on frames of height x width, square crops of `side`.

    1: centre. 3: left, right, centre along the width, in the middle of the height. 5: corners and centre. 10: those
    and their mirror images.
    """
    if side > min(height, width):
        raise ValueError(f"a crop of {side} does not fit into {height} x {width}")
    if crops == 1:
        # Rounded to the nearest pixel, where the other views go by quarters.
        return [Box(round((height - side) / 2), round((width - side) / 2), side, side)]
    if crops == 3:
        return [_box_at(height, width, (side, side), quarters) for quarters in ((2, 0), (2, 4), (2, 2))]
    if crops not in (5, 10):
        raise ValueError(f"crops must be 1, 3, 5 or 10, got {crops}")
    flips = (False, True) if crops == 10 else (False,)
    return [_box_at(height, width, (side, side), quarters, flip) for flip in flips for quarters in QUARTERS[:5]]


def cut(frames: Tensor, box: Box) -> Tensor:
    """Crops (n, C, H, W) without copying unless it flips."""
    part = frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
    return mirrored(part) if box.flip else part


def mirrored(frames: Tensor) -> Tensor:
    """Left for right: (..., C, H, W). The horizontal component of quantised flow (C 2) also changes its sign."""
    frames = frames.flip(-1)
    if frames.shape[-3] == 2:
        frames[..., 0, :, :] = 2 * ZERO - frames[..., 0, :, :].clamp(min=1)
    return frames


def opposite(flow: Frames) -> Frames:
    """Quantised flow with its signs changed, (n, H, W, 2): that of a clip played backwards, but for its order."""
    return (2 * ZERO - np.maximum(flow, 1).astype(np.int16)).astype(np.uint8)


def resize(frames: Tensor, height: int, width: int) -> Tensor:
    """Bilinear with antialiasing, as Pillow resizes uint8 images: (n, 3, H, W) -> (n, 3, height, width)."""
    if frames.shape[-2:] == (height, width):
        return frames
    return functional.interpolate(frames, (height, width), mode="bilinear", antialias=True)


def to_tensor(frames: Frames) -> Tensor:
    """(n, H, W, 3) array to (n, 3, H, W) tensor over the same memory."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class View:
    """What is cut out of a clip's frames.

    They are resized to each of `sizes` in turn, (height, width), then each of `boxes` is cut out and resized to a
    square of `side` pixels.
    """

    sizes: tuple[tuple[int, int], ...]
    boxes: tuple[Box, ...]
    side: int

    def mirrored(self) -> View:
        """The same cuts, each mirrored."""
        return replace(self, boxes=tuple(replace(box, flip=not box.flip) for box in self.boxes))


Crop = Literal["multiscale", "multiscale_three", "jitter", "centre"]


def train_view(
    height: int,
    width: int,
    size: int,
    flip: bool,
    rng: np.random.Generator,
    crop: Crop = "multiscale",
    frame: tuple[int, int] | None = None,
    scale: int | None = None,
) -> View:
    """One random crop of frames of height x width.

    Args:
        height: Of the frames as stored.
        width: Of the frames as stored.
        size: Side of the input, pixels.
        flip: Mirror half of the clips.
        rng: The clip's draws.
        crop: TSN's multi-scale corner crop; the same with flow's three scales; X3D's jitter, a crop of `size` anywhere
            in frames whose shorter side is drawn from `jitter_range`, all lengths equally likely; or the centre of
            frames whose shorter side is `scale`.
        frame: Height and width that the frames are resized to first; None leaves them as stored.
        scale: For `centre`.
    """
    sizes = [] if frame is None else [frame]
    height, width = frame or (height, width)
    if crop in ("multiscale", "multiscale_three"):
        scales = SCALES if crop == "multiscale" else SCALES[:3]
        return View(tuple(sizes), (multiscale_box(height, width, size, flip, rng, scales),), size)
    if crop == "jitter":
        low, high = jitter_range(size)
        height, width = short_side_size(height, width, int(rng.integers(low, high + 1)))
        top, left = (int(rng.integers(side - size + 1)) for side in (height, width))
    else:
        height, width = short_side_size(height, width, scale or size)
        [centre] = view_boxes(height, width, size, 1)
        top, left = centre.top, centre.left
    box = Box(top, left, size, size, flip and bool(rng.random() < 0.5))
    return View((*sizes, (height, width)), (box,), size)


def eval_view(height: int, width: int, size: int, scale: int, crops: int, frame: tuple[int, int] | None = None) -> View:
    """All spatial views of frames of height x width, squares of view_side(size, scale, crops).

    `frame`: height and width that they are resized to before their shorter side is scaled.
    """
    scaled = short_side_size(*(frame or (height, width)), scale)
    side = view_side(size, scale, crops)
    return View((*([] if frame is None else [frame]), scaled), tuple(view_boxes(*scaled, side, crops)), side)


def viewed(frames: Tensor, view: View) -> Tensor:
    """Carries a view out: (n, C, H, W) -> (boxes, n, C, side, side)."""
    for size in view.sizes:
        frames = resize(frames, *size)
    return torch.stack([resize(cut(frames, box), view.side, view.side) for box in view.boxes])


def short_side_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """Height and width at which the shorter side is `scale`; the longer one is rounded down, as in torchvision."""
    if height <= width:
        return scale, int(scale * width / height)
    return int(scale * height / width), scale


def view_side(size: int, scale: int, crops: int) -> int:
    """Side of the evaluation crops: the input size, but with three crops the whole shorter side, as released."""
    return scale if crops == 3 else size


def eval_transform(frames: Frames, size: int, scale: int, crops: int, frame: tuple[int, int] | None = None) -> Tensor:
    """All spatial views of `eval_view`: (n, H, W, 3) uint8 -> (crops, n, 3, S, S) uint8."""
    height, width = frames.shape[1:3]
    return viewed(to_tensor(frames), eval_view(height, width, size, scale, crops, frame))
