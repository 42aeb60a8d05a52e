"""The frame-list text files of TSN, TSM and their descendants: `path n_frames label` or `path label`, a file per split.

Names as people have them: `train_videofolder.txt` and `val_videofolder.txt` (TSM), `ucf101_rgb_train_split_1.txt`
(TSN), `kinetics400_train_list_videos.txt` and the like; BQN's Kinetics lists are the same with commas. Separators are
blanks, tabs or commas; a path may contain blanks. Paths are relative to a root that the file does not name, so a clip
is looked for by the end of its path. Labels are those of the file. BQN's lists of UCF101 and HMDB51 are CSV files of
four columns, of which the last three are class name, folder and number of frames; a label is then the rank of the
class name.

Choice: the number of frames is that of the folder, as in the released code, and what the list says is compared with it.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.layouts.listing import (
    SPLITS,
    Collector,
    Listed,
    Listing,
    bare,
    label_files,
    lines_of,
    same,
    split_in,
)

SPLIT_NUMBER = re.compile(r"split[_-]?0?(\d)", re.IGNORECASE)
FOUR_COLUMNS = re.compile(r"[^,]*,(?P<name>[^,]*[^\d,][^,]*),(?P<path>[^,]+),(?P<frames>\d+)")
LINE = re.compile(r"(?P<path>.+?)[ \t,]+(?:(?P<frames>\d+)[ \t,]+)?(?P<label>\d+)")


def read_lists(labels: Path, official_split: int = 0, suffixes: tuple[str, ...] = (".txt", ".csv")) -> Listing | None:
    """The lists of both splits below a folder, or None where there are none.

    Args:
        labels: The folder.
        official_split: Take the files that are numbered so (`split_1`), where any are.
        suffixes: Of the files to look at.

    Raises:
        DataError: Several files could be a split, or a line is none of a list's.
    """
    candidates: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for path in label_files(labels, suffixes):
        split = split_in(SPLIT_NUMBER.sub("", path.stem))
        if split is not None and _looks_like_one(path):
            candidates[split].append(path)
    if official_split:
        for split, paths in candidates.items():
            numbered = [(path, SPLIT_NUMBER.search(path.stem)) for path in paths]
            if any(match for _, match in numbered):
                candidates[split] = [path for path, match in numbered if match and int(match[1]) == official_split]
            elif official_split > 1:
                candidates[split] = []  # lists without a number are those of the first split
    files: dict[str, Path] = {}
    for split, paths in candidates.items():
        # `rawframes` and `videos`, RGB and flow list the same clips.
        paths = [path for path in paths if "flow" not in path.stem.lower()] or paths
        paths = [path for path in paths if "test" not in path.stem.lower()] or paths
        if not paths:
            return None
        if len(paths) > 1:
            raise DataError(
                f"{labels}: {', '.join(path.name for path in paths)} could all be the list of the {split} split;"
                " leave one there, or put the ones that you mean into a folder of their own and give that as labels"
            )
        files[split] = paths[0]
    rows = {split: _rows(files[split]) for split in SPLITS}
    places = [place for of_split in rows.values() for place, *_ in of_split]
    # Where two folders have a clip of the same name, the name alone is no id, and no way to find a file.
    unique = len({place.rpartition("/")[2] for place in places}) == len(set(places))
    clips = Collector()
    names = sorted({label for of_split in rows.values() for _, _, label, _ in of_split if isinstance(label, str)})
    top = 0
    for split, of_split in rows.items():
        for place, frames, said, number in of_split:
            label = names.index(said) if isinstance(said, str) else said
            top = max(top, label)
            name = place.rpartition("/")[2]
            id, needs = (name, 1) if unique else ("__".join(place.split("/")[-2:]), 2)
            clips.add(split, Listed(id, label, (name,), place, needs, frames), f"{files[split].name}:{number}")
    # A list has numbers only, but for those of four columns.
    classes = names or [f"class {i}" for i in range(top + 1)]
    return clips.listing("frame lists", list(files.values()), classes)


def _looks_like_one(path: Path) -> bool:
    """Whether the first line is one of a list: a header or a JSON file is not."""
    try:
        first = next(lines_of(path), None)
    except DataError:
        return False
    return first is not None and LINE.fullmatch(first[1]) is not None


def _rows(path: Path) -> list[tuple[str, int, int | str, int]]:
    """(path without suffix, frames or 0, label or class name, line number) of every line."""
    rows: list[tuple[str, int, int | str, int]] = []
    for number, line in lines_of(path):
        match = FOUR_COLUMNS.fullmatch(line) or LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{path}:{number}: '{line}' is not `path n_frames label`; correct the line")
        parts = [part for part in match["path"].replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            raise DataError(f"{path}:{number}: '{line}' has no path; correct the line")
        place = "/".join([*map(same, parts[:-1]), bare(parts[-1])])
        label = same(match["name"].strip()) if match.re is FOUR_COLUMNS else int(match["label"])
        rows.append((place, int(match["frames"] or 0), label, number))
    return rows
