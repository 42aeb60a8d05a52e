"""Finds the clips of a listing below a root: a video file or a folder of frames, wherever it lies.

A clip is known by its name. Of several files or folders with the name of a clip, `_Split.rank` says which is used.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.indexing.not_rgb import flow_folder, grey_folders, parents
from benchmark.data.layouts.listing import ListedClip, Listing
from benchmark.data.layouts.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    class_key,
    clip_name,
    normalized,
    split_from_name,
)

FRAME_NAME = re.compile(r"(img_|image_|frame_?)?\d{3,}\.\w+", re.IGNORECASE)
"""What frames of a clip are called; other pictures may lie beside videos."""
DEPTH = 6
"""Levels of folders below the root that are searched."""
REPORTED = 1000
"""Clips after which progress is told."""


@dataclass(frozen=True, slots=True)
class LocatedClip:
    """A clip of a listing and where it lies.

    Attributes:
        clip: As listed.
        paths: Files or folders of the clip, relative to the root, the best first; none where it is not on the disk.
        folder: The one that holds the best path, above its class folder.
        disagreement: What a class folder says against the label, or "".
        left_out: Folders in which the clip lies as optical flow or in grey.
        respelled: The name on the disk where it differs from the listed one in capitals, or "".
    """

    clip: ListedClip
    paths: tuple[str, ...] = ()
    folder: str = ""
    disagreement: str = ""
    left_out: tuple[str, ...] = ()
    respelled: str = ""


def locate_clips(
    root: Path, listing: Listing, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, tuple[LocatedClip, ...]], tuple[str, ...]]:
    """Every clip of a listing with its paths, by split, and a line for each folder that could not be listed.

    Args:
        root: The folder of the clips.
        listing: What to look for.
        progress: Told, as the search goes on, how many of the names have been found, of how many.

    Raises:
        DataError: The root itself cannot be listed.
    """
    wanted = {name for clips in listing.splits.values() for clip in clips for name in clip.names}
    total = sum(len(clips) for clips in listing.splits.values())
    found = _Found(wanted, None if progress is None else lambda n: progress(min(n, total - 1), total))
    unlisted = _search(root, found)
    left_out = _left_out(root, found, {class_key(name) for name in listing.classes})
    located = {
        split: _locate_split(split, clips, found, left_out, listing.classes) for split, clips in listing.splits.items()
    }
    return located, unlisted


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file or a folder that has the name of a clip; `path` is relative to the root."""

    path: str
    is_folder: bool


class _Found:
    """What a search has found, by name: `named` has listed names, `nearly` names with other capitals than those."""

    def __init__(self, wanted: set[str], told: Callable[[int], None] | None) -> None:
        self.wanted = wanted
        self.named: dict[str, list[_Candidate]] = {}
        self.nearly: dict[str, list[_Candidate]] = {}
        self.listed: dict[str, set[str]] = defaultdict(set)
        """Listed names by their form without capitals."""
        for name in wanted:
            self.listed[name.casefold()].add(name)
        self._told, self._count = told, 0

    def take(self, name: str, candidate: _Candidate) -> bool:
        """Keeps a candidate; says whether its name is listed."""
        if name in self.wanted:
            self.named.setdefault(name, []).append(candidate)
            self._count += 1
            if self._told is not None and self._count % REPORTED == 0:
                self._told(self._count)
            return True
        if name.casefold() in self.listed:
            self.nearly.setdefault(name.casefold(), []).append(candidate)
        return False

    def candidates(self) -> list[list[_Candidate]]:
        """All candidates, those of one name together."""
        return [*self.named.values(), *self.nearly.values()]


def _search(root: Path, found: _Found) -> tuple[str, ...]:
    """Gathers the candidates below the root, level by level, and returns the folders that could not be listed."""
    unlisted: list[str] = []
    level, seen = [""], set[tuple[int, int]]()
    for depth in range(DEPTH + 1):
        below: list[str] = []
        for parent in level:
            try:
                status = (root / parent).stat()
                if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
                    continue
                seen.add((status.st_dev, status.st_ino))
                below += _search_folder(root, parent, found, depth > 0)
            except OSError as error:
                if not parent:
                    raise DataError(f"{root}: cannot be listed ({error.strerror}); check its permissions") from error
                unlisted.append(f"{parent}: {error.strerror}")
        level = sorted(below)
    return tuple(unlisted)


def _search_folder(root: Path, parent: str, found: _Found, may_be_clip: bool) -> list[str]:
    """Gathers the candidates in one folder and returns its subfolders that are no clips."""
    below: list[str] = []
    with os.scandir(root / parent) as entries:
        for entry in entries:
            # The folder of a clip that is not listed: nothing else is in it, and each frame would cost time.
            if may_be_clip and _is_frame(entry):
                break
            name = _name(entry, found.wanted)
            if name is None:
                continue
            candidate = _Candidate(f"{parent}/{entry.name}" if parent else entry.name, entry.is_dir())
            # A folder of frames is not searched: that reads one entry per clip instead of one per frame.
            if not found.take(name, candidate) and candidate.is_folder:
                below.append(candidate.path)
    return below


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - once per file of a data set


def _is_frame(entry: os.DirEntry[str]) -> bool:
    return _suffix(entry.name) in IMAGE_SUFFIXES and FRAME_NAME.fullmatch(entry.name) is not None and not entry.is_dir()


def _name(entry: os.DirEntry[str], wanted: set[str]) -> str | None:
    """The name by which a video or a folder may be a clip; None of another file, and of a hidden one."""
    name = clip_name(entry.name)
    if entry.name.startswith(".") and name not in wanted:
        return None
    if entry.is_dir():
        # A folder may be named as a video, with the suffix, and listed so.
        return normalized(entry.name) if normalized(entry.name) in wanted else name
    return name if _suffix(entry.name) in VIDEO_SUFFIXES else None


def _left_out(root: Path, found: _Found, classes: set[str]) -> dict[str, str]:
    """Candidates that are not RGB, by path, each with the folder that shows it."""
    of_clips = found.candidates()
    paths = [one.path for candidates in of_clips for one in candidates]
    folders = parents(paths)
    left_out = {path: folder for path in paths if (folder := flow_folder(path, folders, classes))}
    remaining = [
        {
            one.path: (_above_class_folder(one.path, classes), one.is_folder)
            for one in of_clip
            if one.path not in left_out
        }
        for of_clip in of_clips
    ]
    if grey := grey_folders(root, remaining):
        left_out |= {path: folder for of_clip in remaining for path, (folder, _) in of_clip.items() if folder in grey}
    return left_out


@dataclass(frozen=True)
class _Split:
    """What decides between the candidates of a clip.

    Attributes:
        name: Of the split.
        key_of_label: The classes as `class_key` gives them.
        keys: The same as a set.
        population: How many candidates each folder has, above its class folders.
    """

    name: str
    key_of_label: tuple[str, ...]
    keys: frozenset[str]
    population: Mapping[str, int]

    def key(self, clip: ListedClip) -> str:
        """Of the clip's class; "" where the label files do not name it."""
        return self.key_of_label[clip.label] if clip.label < len(self.key_of_label) else ""

    def rank(self, clip: ListedClip, candidate: _Candidate) -> tuple[object, ...]:
        """What candidates are sorted by: that which comes first is used."""
        folders = candidate.path.split("/")[:-1]
        splits = {split_from_name(folder) for folder in folders} - {None}
        return (
            # It ends as the path in the label file does,
            -_shared_parts(candidate.path, clip.path),
            # its class folder is the clip's class,
            all(class_key(folder) != self.key(clip) for folder in folders),
            # its path does not speak of the other split alone,
            bool(splits) and self.name not in splits,
            # it lies where most of the split does, so that one extraction of the frames is used throughout,
            -self.population[_above_class_folder(candidate.path, self.keys)],
            # it is a video, and the first by name.
            candidate.is_folder,
            candidate.path,
        )


def _locate_split(
    name: str, clips: Sequence[ListedClip], found: _Found, left_out: Mapping[str, str], classes: Sequence[str]
) -> tuple[LocatedClip, ...]:
    key_of_label = tuple(class_key(name) for name in classes)
    keys = frozenset(key_of_label)
    candidates = [_candidates(clip, found, left_out) for clip in clips]
    population = Counter(_above_class_folder(one.path, keys) for of_clip, _ in candidates for one in of_clip)
    split = _Split(name, key_of_label, keys, population)
    return tuple(
        _locate(split, clip, of_clip, folders, classes)
        for clip, (of_clip, folders) in zip(clips, candidates, strict=True)
    )


def _locate(
    split: _Split, clip: ListedClip, candidates: list[_Candidate], left_out: tuple[str, ...], classes: Sequence[str]
) -> LocatedClip:
    if not candidates:
        return LocatedClip(clip, left_out=left_out)
    if len(candidates) > 1:
        candidates = sorted(candidates, key=lambda one: split.rank(clip, one))
    best = candidates[0].path
    folder = (best.split("/")[-2:-1] or [""])[0]
    wrong = class_key(folder) in split.keys and class_key(folder) != split.key(clip)
    disagreement = f"{clip.id}: in the folder of '{folder}', listed as '{classes[clip.label]}', which is used"
    names = {normalized(best.rpartition("/")[2]), clip_name(best)}
    return LocatedClip(
        clip,
        tuple(one.path for one in candidates),
        _above_class_folder(best, split.keys),
        disagreement if wrong else "",
        left_out,
        "" if names & set(clip.names) else clip_name(best),
    )


def _candidates(
    clip: ListedClip, found: _Found, left_out: Mapping[str, str]
) -> tuple[list[_Candidate], tuple[str, ...]]:
    """A clip's candidates, and the folders that have it as something else than RGB."""
    all_named = {one.path: one for name in clip.names for one in found.named.get(name, ())}
    folders = {left_out[path] for path in all_named if path in left_out}
    candidates = [one for path, one in all_named.items() if path not in left_out]
    if not candidates:
        nearly = _spelled_in_other_capitals(clip, found)
        folders |= {left_out[one.path] for one in nearly if one.path in left_out}
        nearly = [one for one in nearly if one.path not in left_out]
        # Several spellings may be several clips.
        if len({clip_name(one.path) for one in nearly}) == 1:
            candidates = nearly
    if clip.matching_parts > 1:
        candidates = [one for one in candidates if _shared_parts(one.path, clip.path) >= clip.matching_parts]
    return candidates, tuple(sorted(folders))


def _spelled_in_other_capitals(clip: ListedClip, found: _Found) -> list[_Candidate]:
    """Candidates as UCF101's HandStandPushups, which are often HandstandPushups; none that fit two listed names."""
    folded = {name.casefold() for name in clip.names}
    nearly = [one for key in folded if len(found.listed[key]) == 1 for one in found.nearly.get(key, ())]
    return list({one.path: one for one in nearly}.values())


def _shared_parts(path: str, listed: str) -> int:
    """How many of its last parts a path has in common with one of a label file."""
    *folders, name = path.split("/")
    count = 0
    for ours, theirs in zip(
        [clip_name(name), *map(normalized, reversed(folders))], reversed(listed.split("/")), strict=False
    ):
        if ours != theirs:
            break
        count += 1
    return count


def _above_class_folder(path: str, classes: Collection[str]) -> str:
    """The folder that a clip is in, or that its class folder is in where it has one."""
    folders = path.split("/")[:-1]
    return "/".join(folders[:-1] if folders and class_key(folders[-1]) in classes else folders)
