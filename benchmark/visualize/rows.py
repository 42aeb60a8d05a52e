"""The rows of a clip's picture: each representation of the same segments, as colours.

All rows of a column read frames from the column's number on: a pair, MBPM's triple, or as many as the representation
takes; what a clip lacks at its end repeats its last frame. The scale is one for a row, so its columns compare, and is
printed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.decode.video import Frames
from benchmark.data.flow.tvl1 import settings_for, tvl1
from benchmark.data.transforms import NORMALISATIONS, normalise, to_tensor
from benchmark.visualize.colours import Rgb, flow_colours, magnitude_colours, number, robust_scale, signed_colours
from benchmark.visualize.representation import Shown, initial

ORDER = (
    "rgb",
    "rgb_difference",
    "flow",
    "tvnet",
    "flownet",
    "persistent_appearance",
    "mbpm",
    "convolution",
    "dynamic_appearance",
    "dynamic_image",
    "squeezed_image",
)
"""From the top. FlowNet and the convolution are shown of runs only: untrained, they are noise and the mean."""

ONLY_OF_RUNS = ("flownet", "convolution")
TITLES = {
    "rgb": "RGB",
    "rgb_difference": "RGB difference",
    "flow": "TV-L1 flow",
    "tvnet": "TVNet",
    "flownet": "FlowNet",
    "persistent_appearance": "PA",
    "mbpm": "MBPM",
    "convolution": "Convolution",
    "dynamic_appearance": "Dynamic appearance",
    "dynamic_image": "Dynamic image",
    "squeezed_image": "Squeezed image",
}


@dataclass(frozen=True)
class Row:
    """One row. `images` (columns, H, W, 3) uint8; `scale` says what its colours mean; flow is read off a wheel."""

    title: str
    origin: str
    scale: str
    images: Rgb
    is_flow: bool = False


def representations(runs: Sequence[Shown]) -> list[Shown]:
    """What to show, from the top: with weights of the runs where there are some, else as initialised."""
    shown = []
    for name in ORDER:
        of_runs = [run for run in runs if run.name == name]
        if of_runs or (name not in ONLY_OF_RUNS and name not in ("rgb", "flow")):
            shown += of_runs or [initial(name)]
    return shown


def build_rows(frames: NDArray[np.uint8], shown: Sequence[Shown]) -> list[Row]:
    """The rows of a clip.

    Args:
        frames: (columns, T, H, W, 3) uint8, T the most that any representation reads, and at least two.
        shown: The representations; RGB and TV-L1 flow are added.

    Raises:
        DataError: OpenCV is missing.
    """
    rows = [Row(TITLES["rgb"], "", "", frames[:, 0])]
    rows += [row for one in shown if one.name == "rgb_difference" for row in _rows_of(one, frames)]
    rows.append(_tvl1_row(frames))
    rows += [row for one in shown if one.name != "rgb_difference" for row in _rows_of(one, frames)]
    return rows


def _tvl1_row(frames: NDArray[np.uint8]) -> Row:
    settings = settings_for(*frames.shape[2:4])
    flow = np.concatenate([tvl1(pair, settings) for pair in frames[:, :2]])
    return _flow_row(TITLES["flow"], "OpenCV", flow)


@torch.no_grad()
def _rows_of(shown: Shown, frames: NDArray[np.uint8]) -> list[Row]:
    columns, _, height, width, _ = frames.shape
    segments = np.ascontiguousarray(frames[:, : shown.frames])
    x = normalise(to_tensor(segments.reshape(-1, height, width, 3)), shown.normalisation).unflatten(0, (columns, -1))
    maps: Tensor = shown.module(x).float()
    return DRAWN[shown.name](shown, maps.unflatten(0, (columns, -1)))


def _difference(shown: Shown, maps: Tensor) -> list[Row]:
    return [_signed_row(TITLES[shown.name], shown.origin, _last(maps[:, 0, :3]), " SD")]


def _flow(shown: Shown, maps: Tensor) -> list[Row]:
    return [_flow_row(TITLES[shown.name], shown.origin, _last(maps[:, 0, :2]))]


def _distance(shown: Shown, maps: Tensor) -> list[Row]:
    values = maps[:, 0, 0].numpy()
    scale = robust_scale(values)
    text = f"black to white: 0 to {number(scale)}"
    return [Row(TITLES[shown.name], shown.origin, text, magnitude_colours(values, scale))]


def _signed(shown: Shown, maps: Tensor) -> list[Row]:
    # A residual of every frame (images before the mean over time) is averaged here.
    return [_signed_row(f"{TITLES[shown.name]}, T = {shown.frames}", shown.origin, _last(maps.mean(1)))]


def _pictures(shown: Shown, maps: Tensor) -> list[Row]:
    rows = []
    mean, std = (np.array(values, np.float32) for values in NORMALISATIONS[shown.normalisation])
    for i in range(maps.shape[1]):
        which = f" {i + 1} of {maps.shape[1]}" if maps.shape[1] > 1 else ""
        rgb = _last(maps[:, i]) * std + mean
        images = np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)
        rows.append(
            Row(
                f"{TITLES[shown.name]}{which}, T = {shown.frames}", shown.origin, "on the scale of RGB, cut off", images
            )
        )
    return rows


DRAWN: dict[str, Callable[[Shown, Tensor], list[Row]]] = {
    "rgb_difference": _difference,
    "tvnet": _flow,
    "flownet": _flow,
    "persistent_appearance": _distance,
    "mbpm": _signed,
    "convolution": _pictures,
    "dynamic_appearance": _signed,
    "dynamic_image": _signed,
    "squeezed_image": _pictures,
}
"""Name -> its rows from maps (columns, images, C, H, W)."""


def _last(maps: Tensor) -> NDArray[np.float32]:
    """(columns, C, H, W) to (columns, H, W, C)."""
    return maps.movedim(1, -1).contiguous().numpy()


def _signed_row(title: str, origin: str, values: NDArray[np.float32], unit: str = "") -> Row:
    scale = robust_scale(values)
    text = f"grey 0, ends ±{number(scale)}{unit}" if scale else "all zero"
    return Row(title, origin, text, signed_colours(values, scale))


def _flow_row(title: str, origin: str, flow: NDArray[np.float32]) -> Row:
    length = np.hypot(flow[..., 0], flow[..., 1])
    rim = robust_scale(length)
    text = f"rim {number(rim)} px, max {number(float(length.max()))} px"
    return Row(title, origin, text, flow_colours(flow, rim), is_flow=True)


def frames_needed(shown: Sequence[Shown]) -> int:
    """Frames that every column reads."""
    return max([2, *(one.frames for one in shown)])


def gather(read: Callable[[NDArray[np.int64]], Frames], starts: NDArray[np.int64], length: int, frames: int) -> Frames:
    """The frames of all columns, (columns, length, H, W, 3); every frame is read once, the clip's last one repeats."""
    wanted = np.minimum(starts[:, None] + np.arange(length), frames - 1)
    numbers, places = np.unique(wanted, return_inverse=True)
    found: Frames = read(numbers)[places.reshape(wanted.shape)]
    return found
