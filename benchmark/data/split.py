"""A split of a data set: its clips, their pixels, and the index file that lists them.

`index.csv` has a line per clip: id, path, frames, height, width, label; a duration where a user holds the data, and the
first frame where clips are parts of videos.
"""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decode.video import Frames, read_frames
from benchmark.data.errors import DecodeError
from benchmark.data.frame_store import FrameStore

Progress = Callable[[str, int, int], None]
"""Called with what is being done (`render motionpairs/train`), how many clips are done, and of how many."""
SAMPLED_CLIPS = 16
"""Clips whose pixels enter a fingerprint."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of a split.

    Attributes:
        frames: Its number of frames; 0 for one that was unreadable when it was indexed.
        first: Where in its file it begins, in frames.
    """

    id: str
    path: Path
    frames: int
    height: int
    width: int
    label: int
    first: int = 0

    def decode(self, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
        """Frames by number from the clip's first, (n, H, W, 3) uint8 RGB. Raises DecodeError."""
        return read_frames(self.path, [self.first + int(i) for i in indices] if self.first else indices)


class Clips(Sequence[Clip]):
    """The clips of an index, in three arrays whatever their number; a `Clip` is made when it is asked for.

    A loader process shares its parent's memory until either writes into it, and looking at a Python object does: its
    reference count changes. Of a quarter of a million clips, each process would come to hold all of its own.
    """

    def __init__(self, root: Path, ids: Sequence[bytes], paths: Sequence[bytes], numbers: NDArray[np.int32]) -> None:
        """Clips by ids, paths below the root, and numbers (clips, 5): frames, height, width, label, first."""
        self._root, self._numbers = root, numbers
        self._ids, self._paths = np.array(ids, np.bytes_), np.array(paths, np.bytes_)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        """A clip, or a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        path = self._root / _text(self._paths[index])
        return Clip(_text(self._ids[index]), path, *self._numbers[index].tolist())


def _text(packed: bytes) -> str:
    return packed.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Split:
    """The clips of one split, and their pixels.

    Attributes:
        classes: Class names by label.
        folder: Where what is computed from the split is kept; never below a user's root.
        missing: Clips that the label files list and the disk does not have.
    """

    name: str
    split: str
    clips: Sequence[Clip]
    num_classes: int
    fingerprint: str
    store: FrameStore | None = field(default=None, repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    folder: Path | None = None
    missing: int = 0

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
        """Frames of a clip by 0-based number, in the order given, (n, H, W, 3) uint8 RGB, stored or decoded.

        Raises DecodeError if the file cannot give them, or could not when the split was indexed.
        """
        entry = self.clips[clip]
        if not entry.frames:
            raise DecodeError(f"{entry.path}: was unreadable when it was indexed; copy it again and prepare")
        if self.store is not None:
            return self.store.read(clip, indices)
        return entry.decode(indices)


def read_index(folder: Path, root: Path | None = None) -> Clips:
    """The clips of a folder's index; paths are relative to the root, by default the folder itself."""
    ids, paths, numbers = list[bytes](), list[bytes](), array("i")
    with (folder / "index.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        header = next(rows)
        id, path, *columns = map(header.index, ("id", "path", "frames", "height", "width", "label"))
        first = header.index("first") if "first" in header else None
        for row in rows:
            ids.append(row[id].encode("utf-8", "surrogateescape"))
            paths.append(row[path].encode("utf-8", "surrogateescape"))
            numbers.extend(int(row[column]) for column in columns)
            numbers.append(int(row[first]) if first is not None else 0)
    return Clips(root or folder, ids, paths, np.array(numbers, np.int32).reshape(-1, 5))


def fingerprint_of(clips: Sequence[Clip], salt: str, strict: bool = True) -> str:
    """sha256 over ids, lengths and labels, and three decoded frames of each of some clips spread over the split.

    Raises:
        DecodeError: One of these clips is unreadable, and `strict`; otherwise it enters as unreadable.
    """
    digest = hashlib.sha256(salt.encode())
    for clip in clips:
        digest.update(f"{clip.id} {clip.frames} {clip.label}\n".encode(errors="surrogateescape"))
    for i in sampled(len(clips)):
        clip = clips[i]
        try:
            if not clip.frames:
                raise DecodeError(f"{clip.path}: unreadable")
            digest.update(clip.decode([0, clip.frames // 2, clip.frames - 1]).tobytes())
        except DecodeError:
            if strict:
                raise
            digest.update(b"unreadable")
    return digest.hexdigest()


def sampled(clips: int) -> list[int]:
    """The positions of at most SAMPLED_CLIPS of so many clips, spread evenly over them."""
    return sorted({i * clips // SAMPLED_CLIPS for i in range(SAMPLED_CLIPS)})
