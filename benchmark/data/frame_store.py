"""All frames of a split, or all its flow, in one memory-mapped array, so that small data sets train without decoding.

A store belongs to one fingerprint of its split; with another it is ignored and rebuilt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decode.video import Frames, read_frames
from benchmark.data.errors import DataError
from benchmark.runs.atomic import atomic_path

ARRAY, MANIFEST = "frames.npy", "frames.json"
STORE_LIMIT = 2**30
"""Splits whose decoded frames take more bytes than this are decoded while training."""

Reader = Callable[[Path, Sequence[int], int, int], Frames]
"""From a clip's file, frame numbers, height and width to (n, height, width, C) uint8."""


class FrameStore:
    """Read access to a store. The map is opened on first use, so that a store travels to worker processes as a path."""

    def __init__(self, folder: Path, offsets: Sequence[int]) -> None:
        self._path = folder / ARRAY
        self._offsets = np.asarray(offsets)
        self._frames: Frames | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_frames": None}

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
        """Frames of a clip by number, (n, H, W, C) uint8. Raises DataError for an index outside of the clip."""
        if self._frames is None:
            self._frames = np.load(self._path, mmap_mode="r")
        start, stop = self._offsets[clip], self._offsets[clip + 1]
        rows = np.asarray(indices, dtype=np.int64)
        if rows.min() < 0 or rows.max() >= stop - start:
            raise DataError(f"{self._path}: clip {clip} has {stop - start} frames, asked for {rows.tolist()}")
        return np.asarray(self._frames[start + rows])


def open_store(folder: Path, fingerprint: str) -> FrameStore | None:
    """The store of a split's folder, or None if there is none for this fingerprint."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    size = manifest["offsets"][-1] * manifest["height"] * manifest["width"] * manifest.get("channels", 3)
    if manifest.get("fingerprint") != fingerprint or not (folder / ARRAY).is_file():
        return None
    if (folder / ARRAY).stat().st_size < size:  # cut short: decode instead, until it is prepared again
        return None
    return FrameStore(folder, manifest["offsets"])


def build_store(
    folder: Path,
    fingerprint: str,
    paths: Sequence[Path],
    frames: Sequence[int],
    height: int,
    width: int,
    progress: Callable[[int, int], None] | None = None,
    channels: int = 3,
    read: Reader = read_frames,
) -> FrameStore:
    """Writes the frames of all clips of a split into a store.

    Args:
        folder: Of the split.
        fingerprint: Of the split.
        paths: Of the clips.
        frames: How many each clip has.
        height: Of all frames.
        width: Of all frames.
        progress: Told how many clips are done, of how many.
        channels: Of all frames.
        read: Gives the frames of a file.

    Raises:
        DecodeError: A clip is unreadable.
        OSError: There is no room for the array.
    """
    offsets = [0, *np.cumsum(frames).tolist()]
    (folder / MANIFEST).unlink(missing_ok=True)
    shape = (offsets[-1], height, width, channels)
    with atomic_path(folder / ARRAY) as unfinished:
        array = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        with unfinished.open("rb+") as file:  # on a full disk an error now, and not the end of the process in writing
            os.posix_fallocate(file.fileno(), 0, unfinished.stat().st_size)
        for i, path in enumerate(paths):
            array[offsets[i] : offsets[i + 1]] = read(path, range(frames[i]), height, width)
            if progress is not None:
                progress(i + 1, len(paths))
        array.flush()
        del array
    # Last: without it the array does not count.
    size = {"height": height, "width": width, "channels": channels}
    with atomic_path(folder / MANIFEST) as unfinished:
        unfinished.write_text(json.dumps({"fingerprint": fingerprint, "offsets": offsets, **size}))
    return FrameStore(folder, offsets)
