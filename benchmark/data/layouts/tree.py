"""Finding the clips of a listing below a root: a video file or a folder of frames, wherever it lies.

A clip is known by its name. The walk goes down from the root, follows links, and never looks into a folder that is
itself a clip, so that it reads one folder entry per clip and not one per frame. Of several places of a clip it takes
the one

1. that ends as the path in the label file does,
2. whose class folder is the clip's class,
3. whose path speaks of the clip's split and not of the other,
4. in the folder with the most clips of the split, so that one extraction of the frames is used throughout, and
5. a video file before frames, and the first by name.

Choices:
- More than one place is no damage, but it is counted, and the census says so. Another place is used where the file in
  the best one cannot be read.
- Folders of optical flow and of other grey pictures are no places of a clip (modality.py). A clip that has no other is
  missing.
- A name that differs from the listed one in capitals only is taken where no file has the listed one, one listed name
  fits it, and all files found so are spelled alike (UCF101's HandStandPushups are often HandstandPushups). It is said.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.layouts.listing import VIDEO_SUFFIXES, Listed, Listing, bare, class_key, same, split_in
from benchmark.data.layouts.modality import flow_folder, grey_folders, parents

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))
FRAME_NAME = re.compile(r"(img_|image_|frame_?)?\d{3,}\.\w+", re.IGNORECASE)
"""What frames of a clip are called; other pictures may lie beside videos."""
DEPTH = 6
"""Folders below the root into which the walk goes."""


@dataclass(frozen=True)
class Placed:
    """A clip of a listing and where it lies, relative to the root: nowhere, or in places of which the first is best.

    `folder` is the one that holds it, above its class folder; `disagreement` is what a class folder says against the
    label, or ""; `left_out` are the folders in which the clip lies as optical flow or grey; `respelled` is the name on
    the disk where it differs from the listed one, in capitals.
    """

    clip: Listed
    places: tuple[str, ...] = ()
    folder: str = ""
    disagreement: str = ""
    left_out: tuple[str, ...] = ()
    respelled: str = ""


@dataclass(frozen=True)
class _Place:
    path: str
    folder: bool


@dataclass
class _Found:
    """Places by listed name; in `nearly`, by name without capitals, those of names that are not listed."""

    named: dict[str, list[_Place]]
    nearly: dict[str, list[_Place]]
    listed: dict[str, set[str]]


def place(
    root: Path, listing: Listing, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, tuple[Placed, ...]], tuple[str, ...]]:
    """Every clip of a listing with its place, by split, and the folders that could not be listed.

    Args:
        root: The folder of the clips.
        listing: What to look for.
        progress: Told, as the walk goes on, how many of the names have been found, of how many.

    Raises:
        DataError: The root itself cannot be listed.
    """
    wanted = {name for clips in listing.splits.values() for clip in clips for name in clip.names}
    total = sum(len(clips) for clips in listing.splits.values())
    found, denied = _walk(root, wanted, None if progress is None else lambda n: progress(min(n, total - 1), total))
    left_out = _left_out(root, found, {class_key(name) for name in listing.classes})
    placed = {
        split: _of_split(split, clips, found, left_out, listing.classes) for split, clips in listing.splits.items()
    }
    return placed, denied


def _left_out(root: Path, found: _Found, classes: set[str]) -> dict[str, str]:
    """Of the places those that are no RGB, each with the folder that is none."""
    of_clips = [places for by_name in (found.named, found.nearly) for places in by_name.values()]
    paths = [one.path for places in of_clips for one in places]
    folders = parents(paths)
    left_out = {path: folder for path in paths if (folder := flow_folder(path, folders, classes))}
    places = [
        {one.path: (_container(one.path, classes), one.folder) for one in places if one.path not in left_out}
        for places in of_clips
    ]
    if grey := grey_folders(root, places):
        left_out |= {path: folder for of_clip in places for path, (folder, _) in of_clip.items() if folder in grey}
    return left_out


def _walk(root: Path, wanted: set[str], told: Callable[[int], None] | None) -> tuple[_Found, tuple[str, ...]]:
    """Places by name, and folders that could not be listed."""
    found = _Found({}, {}, defaultdict(set))
    for name in wanted:
        found.listed[name.casefold()].add(name)
    denied: list[str] = []
    level, seen, count = [""], set[tuple[int, int]](), 0
    for depth in range(DEPTH + 1):
        below: list[str] = []
        for parent in level:
            try:
                status = (root / parent).stat()
                if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(root / parent) as entries:
                    for entry in entries:
                        name, is_folder = entry.name, entry.is_dir()
                        if name.startswith(".") and bare(name) not in wanted:
                            continue
                        path = f"{parent}/{name}" if parent else name
                        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - once per file of a data set
                        if is_folder:
                            key = same(name) if same(name) in wanted else bare(name)
                        elif suffix in VIDEO_SUFFIXES:
                            key = bare(name)
                        elif suffix in IMAGE_SUFFIXES and depth and FRAME_NAME.fullmatch(name):
                            break  # frames of a clip that is not wanted
                        else:
                            continue
                        if key in wanted:
                            found.named.setdefault(key, []).append(_Place(path, is_folder))
                            count += 1
                            if told is not None and count % 1000 == 0:
                                told(count)
                            continue
                        if key.casefold() in found.listed:
                            found.nearly.setdefault(key.casefold(), []).append(_Place(path, is_folder))
                        if is_folder:
                            below.append(path)
            except OSError as error:
                if not parent:
                    raise DataError(f"{root}: cannot be listed ({error.strerror}); check its permissions") from error
                denied.append(f"{parent}: {error.strerror}")
        level = sorted(below)
    return found, tuple(denied)


def _of_split(
    split: str, clips: Sequence[Listed], found: _Found, left_out: Mapping[str, str], names: Sequence[str]
) -> tuple[Placed, ...]:
    classes = [class_key(name) for name in names]
    known = set(classes)
    candidates = [_candidates(clip, found, left_out) for clip in clips]
    population = Counter(_container(one.path, known) for places, _ in candidates for one in places)
    placed: list[Placed] = []
    for clip, (places, others) in zip(clips, candidates, strict=True):
        if not places:
            placed.append(Placed(clip, left_out=others))
            continue
        label = classes[clip.label] if clip.label < len(classes) else ""

        def rank(one: _Place, clip: Listed = clip, label: str = label) -> tuple[object, ...]:
            folders = one.path.split("/")[:-1]
            speaks = {split_in(folder) for folder in folders} - {None}
            return (
                -_common(one.path, clip.place),
                all(class_key(folder) != label for folder in folders),
                bool(speaks) and split not in speaks,
                -population[_container(one.path, known)],
                one.folder,
                one.path,
            )

        paths = [one.path for one in (places if len(places) == 1 else sorted(places, key=rank))]
        folder = (paths[0].split("/")[-2:-1] or [""])[0]
        wrong = class_key(folder) in known and class_key(folder) != label
        says = f"{clip.id}: in the folder of '{folder}', listed as '{names[clip.label]}', which is used"
        name = same(paths[0].rpartition("/")[2])
        respelled = "" if {name, bare(name)} & set(clip.names) else bare(name)
        placed.append(Placed(clip, tuple(paths), _container(paths[0], known), says if wrong else "", others, respelled))
    return tuple(placed)


def _candidates(clip: Listed, found: _Found, left_out: Mapping[str, str]) -> tuple[list[_Place], tuple[str, ...]]:
    """A clip's places, and the folders that have it as something else than RGB."""
    places = {one.path: one for name in clip.names for one in found.named.get(name, ())}
    others = {left_out[path] for path in places if path in left_out}
    places = {path: one for path, one in places.items() if path not in left_out}
    if not places:
        folded = {name.casefold() for name in clip.names}
        near = [one for key in folded if len(found.listed[key]) == 1 for one in found.nearly.get(key, ())]
        others |= {left_out[one.path] for one in near if one.path in left_out}
        near = [one for one in near if one.path not in left_out]
        if len({bare(one.path) for one in near}) == 1:
            places = {one.path: one for one in near}
    if clip.needs > 1:
        places = {path: one for path, one in places.items() if _common(path, clip.place) >= clip.needs}
    return list(places.values()), tuple(sorted(others))


def _common(path: str, place: str) -> int:
    """Trailing components that a path shares with one of a label file."""
    *folders, name = path.split("/")
    count = 0
    for ours, theirs in zip([bare(name), *map(same, reversed(folders))], reversed(place.split("/")), strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _container(path: str, classes: set[str]) -> str:
    """The folder that a clip's class folder, if it has one, is in."""
    folders = path.split("/")[:-1]
    return "/".join(folders[:-1] if folders and class_key(folders[-1]) in classes else folders)
