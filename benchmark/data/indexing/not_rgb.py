"""Recognises folders that hold optical flow or grey pictures of the clips instead of their RGB frames.

Pre-extracted flow has the clips' own names: `flow_x/<class>/<clip>/` beside `rawframes/<class>/<clip>/`, or
`tvl1_flow/u/<clip>/` beside `jpegs_256/<clip>/`. It must never be read as RGB, least of all for a clip whose RGB frames
are absent. Folders are recognised by their names (`flow_folder`) or by their pictures (`grey_folders`). Only folders
below the root are: whoever has RGB frames in a folder that is named as flow gives that folder as the root.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from benchmark.data.layouts.names import IMAGE_SUFFIXES, class_key

FLOW_WORD = re.compile(r"((optical|opt|of|warped|warp|tvl1?|dis|brox|farneback|raft)?flows?|tvl1?|farneback)[xyuv]?\d*")
RGB_WORDS = frozenset(("rgb", "rawframes", "video", "videos"))
DIRECTION = re.compile(r"(^|.*[^a-zA-Z])([xyuvXYUV])")
OTHER_DIRECTION = dict(zip("xyuvXYUV", "yxvuYXVU", strict=True))
GREY_MODES = frozenset(("1", "L", "I", "I;16"))
SAMPLED = 3
"""Clips of a folder whose first frame is looked at."""


def flow_folder(path: str, folders: Collection[str], classes: Collection[str]) -> str:
    """The part of a clip's path that says that it is optical flow, up to the folder whose name does; "" for RGB.

    Args:
        path: Of a clip below the root.
        folders: All folders, as paths below the root, that clips were found in.
        classes: Class names as `class_key` gives them; folders of these names say nothing.
    """
    parts = path.split("/")[:-1]
    for end in range(len(parts), 0, -1):
        name = parts[end - 1]
        if class_key(name) in classes:
            continue
        words = [word for word in re.split(r"[^a-z0-9]+", name.casefold()) if word]
        # Nearer to the clip than a folder that speaks of flow: `flow_project/rgb`.
        if RGB_WORDS & set(words):
            return ""
        folder = "/".join(parts[:end])
        if any(FLOW_WORD.fullmatch(word) for word in words):
            return folder
        # One letter says flow only beside the folder of the other direction: u and v, `motion_x` and `motion_y`.
        if (match := DIRECTION.fullmatch(name)) and f"{folder[:-1]}{OTHER_DIRECTION[match[2]]}" in folders:
            return folder
    return ""


def grey_folders(root: Path, clips: Sequence[Mapping[str, tuple[str, bool]]]) -> set[str]:
    """Folders that hold grey frames of clips of which another folder has coloured ones, or videos.

    Args:
        root: What the paths are relative to.
        clips: For every clip its paths, each with the folder that holds it and whether it is a folder of frames.
    """
    several = [of_clip for of_clip in clips if len({folder for folder, _ in of_clip.values()}) > 1]
    samples: dict[str, list[str]] = defaultdict(list)
    for of_clip in several:
        for path, (folder, is_frames) in of_clip.items():
            if is_frames and len(samples[folder]) < SAMPLED:
                samples[folder].append(path)
    grey = {folder for folder, paths in samples.items() if paths and all(_is_grey(root / path) for path in paths)}
    folders_of = [{folder for folder, _ in of_clip.values()} for of_clip in several]
    return {folder for folders in folders_of if folders - grey for folder in folders & grey}


def parents(paths: Iterable[str]) -> set[str]:
    """All folders that lead to some paths."""
    found: set[str] = set()
    for path in paths:
        while path := path.rpartition("/")[0]:
            if path in found:
                break
            found.add(path)
    return found


def _is_grey(folder: Path) -> bool:
    """Whether the first picture of a folder has one channel."""
    try:
        with os.scandir(folder) as entries:
            first = min(e.name for e in entries if e.name.lower().endswith(tuple(IMAGE_SUFFIXES)))
        with Image.open(folder / first) as image:
            return image.mode in GREY_MODES
    except (OSError, ValueError, Image.DecompressionBombError):  # not to be opened, or nothing in it
        return False
