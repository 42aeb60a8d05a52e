"""The clip to show: a video file of any size, or a clip of a generated data set by its name, split and index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS
from benchmark.config.source import did_you_mean
from benchmark.data.datasets import open_split
from benchmark.data.decode.video import Frames, probe, read_frames
from benchmark.data.errors import DataError, DecodeError

SMALLEST = 32
"""Frames with a shorter side than this are enlarged to it: below, pyramids of flow run out of levels."""


@dataclass(frozen=True)
class Source:
    """A clip. `read` gives frames by their 0-based numbers, (n, height, width, 3) uint8, at the size shown here."""

    name: str
    title: str
    frames: int
    height: int
    width: int
    fps: float
    read: Callable[[Sequence[int] | NDArray[np.int64]], Frames]


def open_source(target: str, size: int) -> Source:
    """The clip that `target` names.

    Args:
        target: Path of a video, or `<data set>[:<split>[:<index>]]`, by default the first clip of `val`.
        size: Shorter side, in pixels, to which a larger clip is reduced.

    Raises:
        DataError: There is neither such a file nor such a clip.
        DecodeError: The file is no video that can be decoded.
    """
    name = target.partition(":")[0]
    if Path(target).is_file() or name not in DATASETS:
        return _of_file(target, Path(target), size)
    return _of_split(target, size)


def _of_file(target: str, path: Path, size: int) -> Source:
    if not path.is_file():
        looks_like_a_path = bool(path.suffix) or len(path.parts) > 1
        generated = [name for name, info in DATASETS.built_in.items() if info.generated]
        hint = "" if looks_like_a_path else did_you_mean(target.partition(":")[0], generated)
        what = "is a folder" if path.is_dir() else "no such video file"
        raise DataError(f"{target}: {what}; give a video, or a clip such as motionpairs:val:0.{hint}")
    try:
        info = probe(path, any_first=True)
    except DecodeError as error:
        # Its advice is about data sets, which the file is none of.
        raise DecodeError(f"{str(error).partition(';')[0]}; give another video") from error
    height, width = shown_size(info.height, info.width, size)
    title = f"{path.name} ({info.width} x {info.height}, {info.frames} frames)"
    return Source(path.stem, title, info.frames, height, width, info.fps, lambda i: read_frames(path, i, height, width))


def _of_split(target: str, size: int) -> Source:
    name, split_name, index_text, *rest = [*target.split(":"), "", ""][: max(3, target.count(":") + 1)]
    if rest:
        raise DataError(f"{target}: a clip is <data set>:<split>:<index>, such as motionpairs:val:0")
    split = open_split(name, split_name or "val")
    index = int(index_text) if index_text.isdecimal() else 0 if not index_text else -1
    if not 0 <= index < len(split):
        raise DataError(f"{target}: {split.name}/{split.split} has clips 0 to {len(split) - 1}, not '{index_text}'")
    clip = split.clips[index]
    if not clip.frames:
        raise DecodeError(f"{target}: {clip.path} was unreadable when it was indexed; choose another clip")
    height, width = shown_size(clip.height, clip.width, size)
    shown = split.classes[clip.label]
    title = f"{split.name}/{split.split}, clip {index}: {shown} ({clip.width} x {clip.height}, {clip.frames} frames)"
    label = f"{split.name}-{split.split}-{index}"
    return Source(label, title, clip.frames, height, width, 0.0, lambda i: read_frames(clip.path, i, height, width))


def shown_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width at the aspect of the clip, the shorter side at most `size` and at least SMALLEST."""
    factor = min(max(min(height, width), SMALLEST), size) / min(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def starts(frames: int, first: int, columns: int, length: int) -> NDArray[np.int64]:
    """First frames of the columns: `first`, and evenly from there to the last place that leaves `length` frames.

    A clip that is too short for that is shown to its last frame but one; no frame starts two columns.

    Raises:
        DataError: The clip ends before `first`.
    """
    if not 0 <= first < frames:
        raise DataError(f"--start {first}: the clip has frames 0 to {frames - 1}")
    last = max(first, frames - length if frames - first > length else frames - 2)
    return np.unique(np.linspace(first, last, columns).round().astype(np.int64))
