"""Optical flow that others' tools have extracted, as pairs of grey images, taken over in the place of our own.

    flow/<clip>/flow_x_00001.jpg, flow_y_00001.jpg        TSN, TSM, mmaction2: a folder a clip; also x_00001.jpg
    tvl1_flow/u/<clip>/frame000001.jpg, tvl1_flow/v/...   a folder a direction, and below it a folder a clip
    flow_x/<class>/<clip>/00001.jpg, flow_y/...           the same with folders of classes

Images are on TSN's scale: 0 to 255 for -20 to 20 pixels, zero at 127 or 128. Where they have another size than the
clip's frames they are scaled to that, and displacements with them. A clip of n frames has n - 1 fields; of n images the
last is left out, which some tools write twice.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.data.errors import DataError, DecodeError
from benchmark.data.flow.tvl1 import ZERO
from benchmark.data.layouts.names import clip_name, normalized
from benchmark.data.split import Clip

DIRECTIONS = {"x": 0, "u": 0, "y": 1, "v": 1}
IMAGE = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)\.(jpe?g|png)", re.IGNORECASE)
OF_FOLDER = re.compile(r"(?:.*[^a-z])?(?P<direction>[xyuv])", re.IGNORECASE)
OF_PREFIX = re.compile(r"(?:.*[^a-z])?(?P<direction>[xyuv])[_-]?", re.IGNORECASE)
"""What says the direction: the last letter of `flow_x`, and of `flow_x_` before a number."""
MOST_NAMED = 3


Folders = tuple[tuple[Path, ...], tuple[Path, ...]]
"""Of a clip's images across and down."""


@dataclass(frozen=True)
class FlowImages:
    """Folders of images below a root, by clip name and direction (0 across, 1 down); a folder may hold both.

    Attributes:
        classes: Names of the folders that the clips themselves lie in.
    """

    root: Path
    folders: Mapping[str, Folders]
    classes: frozenset[str]

    def of(self, clip: Clip) -> Folders:
        """Those of a clip, of which there should be one for each direction."""
        across, down = self.folders.get(_name_of(clip), ((), ()))
        return self._own(across, clip), self._own(down, clip)

    def _own(self, folders: tuple[Path, ...], clip: Clip) -> tuple[Path, ...]:
        """Without those in a folder that is named as another clip's: clips of two classes may have one name."""
        others = self.classes - {_folder_of(clip.path)}
        return tuple(one for one in folders if _folder_of(one) not in others)


def _folder_of(path: Path) -> str:
    return normalized(path.parent.name)


def read_flow_images(clip: Clip, folders: Folders) -> NDArray[np.uint8]:
    """The fields of a clip from its folders, (n - 1, H, W, 2) uint8 at the size of its frames, zero at ZERO.

    Raises:
        DecodeError: there are no images, too few, or one that cannot be decoded.
    """
    return np.stack([_plane(clip, folders[direction], direction) for direction in (0, 1)], axis=-1)


def _plane(clip: Clip, folders: tuple[Path, ...], direction: int) -> NDArray[np.uint8]:
    what = f"flow {'xy'[direction]}"
    if len(folders) != 1:
        raise DecodeError(f"{clip.path}: there are {len(folders) or 'no'} folders with images of its {what}")
    images, fields = _images(folders[0], direction), clip.frames - 1
    if not fields <= len(images) <= fields + 1:
        raise DecodeError(f"{folders[0]}: {len(images)} images of {what}, the clip has {clip.frames} frames")
    return np.stack([_scaled(folders[0] / name, clip, direction) for name in images[:fields]])


def find_flow_images(root: Path, clips: Sequence[Clip]) -> FlowImages:
    """The folders of images of some clips below a folder.

    Raises:
        DataError: there is no such folder, or none of the clips has images in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    wanted = {_name_of(clip) for clip in clips}
    found: dict[str, dict[int, list[Path]]] = defaultdict(lambda: {0: [], 1: []})
    for folder, below, names in os.walk(root, followlinks=True):
        path = Path(folder)
        below.sort()
        name = clip_name(path.name)
        if name in wanted and path != root and any(IMAGE.fullmatch(one) for one in names):
            for direction in _directions(path.relative_to(root), names):
                found[name][direction].append(path)
            below.clear()
    if not found:
        examples = ", ".join(sorted(wanted)[:MOST_NAMED])
        raise DataError(f"{root}: no folder of flow images is named as a clip, such as {examples}")
    by_name = {name: (tuple(of[0]), tuple(of[1])) for name, of in found.items()}
    return FlowImages(root, by_name, frozenset(_folder_of(clip.path) for clip in clips))


def _name_of(clip: Clip) -> str:
    return clip_name(clip.path.name)


def _directions(folder: Path, names: Sequence[str]) -> set[int]:
    """Which directions a folder has: by the prefixes of its images, or else by the nearest folder that says one."""
    prefixes = {match["prefix"] for name in names if (match := IMAGE.fullmatch(name))}
    said = {direction for prefix in prefixes if (direction := _direction(OF_PREFIX, prefix)) is not None}
    if said:
        return said
    of_folders = (_direction(OF_FOLDER, part) for part in reversed(folder.parts[:-1]))
    nearest = next((direction for direction in of_folders if direction is not None), None)
    return set() if nearest is None else {nearest}


def _direction(pattern: re.Pattern[str], text: str) -> int | None:
    """The direction that a folder's or an image's name says; None where it says none."""
    match = pattern.fullmatch(text)
    return DIRECTIONS[match["direction"].lower()] if match else None


def _images(folder: Path, direction: int) -> list[str]:
    """Names of a direction's images in the order of their numbers."""
    matches = [match for path in folder.iterdir() if (match := IMAGE.fullmatch(path.name))]
    of_direction = [match for match in matches if _direction(OF_PREFIX, match["prefix"]) in (None, direction)]
    return [match[0] for match in sorted(of_direction, key=lambda match: int(match["number"]))]


def _scaled(path: Path, clip: Clip, direction: int) -> NDArray[np.uint8]:
    """An image at the size of the clip's frames, and its displacements in pixels of that size."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise DecodeError(f"{path}: this image cannot be decoded")
    height, width = image.shape
    if (height, width) == (clip.height, clip.width):
        return np.asarray(image, np.uint8)
    ratio = (clip.width / width, clip.height / height)[direction]
    resized = cv2.resize(image, (clip.width, clip.height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return np.clip(np.rint(ZERO + ratio * (resized - ZERO)), 0, 255).astype(np.uint8)
