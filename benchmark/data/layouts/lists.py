"""The frame-list text files of TSN, TSM and their descendants: `path n_frames label` or `path label`, a file per split.

A first line may name the columns, as pandas writes it: `path,label`, in any order, with an index before them or not; a
label may then be a class name, too. Other columns than these are refused, with the line: `path start n_frames label`
or several labels of a clip have no reading here.

Names as people have them: `train_videofolder.txt` and `val_videofolder.txt` (TSM), `ucf101_rgb_train_split_1.txt`
(TSN), `kinetics400_train_list_videos.txt` and the like; BQN's Kinetics lists are the same with commas. Separators are
blanks, tabs or commas; a path may contain blanks. Paths are relative to a root that the file does not name, so a clip
is looked for by the end of its path. Labels are those of the file. BQN's lists of UCF101 and HMDB51 are CSV files of
four columns, of which the last three are class name, folder and number of frames; a label is then the rank of the
class name.

Choice: the number of frames is that of the folder, as in the released code, and what the list says is compared with it.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
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
    one_spelling,
    same,
    split_in,
)

SPLIT_NUMBER = re.compile(r"split[_-]?0?(\d)", re.IGNORECASE)
FOUR_COLUMNS = re.compile(r"[^,]*,(?P<name>[^,]*[^\d,][^,]*),(?P<path>[^,]+),(?P<frames>\d+)")
LINE = re.compile(r"(?P<path>.+?)(?P<numbers>(?:[ \t,]+-?\d+(?:\.\d+)?)+)")
NUMBER = re.compile(r"([ \t,]+)(-?[\d.]+)")
NAMES_OF_COLUMNS = {
    "path": frozenset("path paths file filename name clip video video_path video_name filepath".split()),  # noqa: SIM905
    "frames": frozenset("frames n_frames num_frames nframes total_frames".split()),  # noqa: SIM905
    "label": frozenset("label labels class class_id class_idx class_name label_id target".split()),  # noqa: SIM905
    "index": frozenset(("", "index", "unnamed: 0")),
}
UNDERSTOOD = "`path label`, `path n_frames label`, or `index,class name,path,n_frames`"


@dataclass(frozen=True)
class _Row:
    """A line: `frames` is 0 where it has none, `label` a number or the name of a class."""

    path: str
    frames: int
    label: int | str
    number: int


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
    places = [row.path for of_split in rows.values() for row in of_split]
    # Where two folders have a clip of the same name, the name alone is no id, and no way to find a file.
    unique = len({place.rpartition("/")[2] for place in places}) == len(set(places))
    clips = Collector()
    said = {split: [row.label for row in of_split if isinstance(row.label, str)] for split, of_split in rows.items()}
    used, notes = one_spelling(said, labels)
    names, top = sorted(set(used.values())), 0
    rank = {name: i for i, name in enumerate(names)}
    for split, of_split in rows.items():
        for row in of_split:
            label = rank[used[row.label]] if isinstance(row.label, str) else row.label
            if names and not isinstance(row.label, str):
                raise DataError(f"{files[split]}:{row.number}: the label is a number, and a class name in other lines")
            top = max(top, label)
            name = row.path.rpartition("/")[2]
            id, needs = (name, 1) if unique else ("__".join(row.path.split("/")[-2:]), 2)
            clips.add(
                split, Listed(id, label, (name,), row.path, needs, row.frames), f"{files[split].name}:{row.number}"
            )
    # A list has numbers only, but for those of four columns and some with a header.
    classes = names or [f"class {i}" for i in range(top + 1)]
    return clips.listing("frame lists", list(files.values()), classes, notes)


def _looks_like_one(path: Path) -> bool:
    """Whether the first line is one of a list, or its header; that of other tables or of a JSON file is not."""
    try:
        first = next(lines_of(path), None)
    except DataError:
        return False
    return first is not None and (_header(first[1]) is not None or LINE.fullmatch(first[1]) is not None)


def _header(line: str) -> tuple[str, list[str]] | None:
    """The separator of a first line that names columns, and these by the keys of NAMES_OF_COLUMNS; None of others."""
    for separator in ",\t ":
        cells = [cell.strip(" \"'").lower() for cell in line.split(separator)]
        named = [next((kind for kind, words in NAMES_OF_COLUMNS.items() if cell in words), "") for cell in cells]
        if all(named) and {"path", "label"} <= set(named) and len(set(named)) == len(named):
            return separator, named
    return None


def _rows(path: Path) -> list[_Row]:
    """Every line of a list. Paths are without a suffix."""
    rows: list[_Row] = []
    header: tuple[str, list[str]] | None = None
    for number, line in lines_of(path):
        if not rows and header is None and (header := _header(line)) is not None:
            continue
        try:
            place, frames, label = _cells(line) if header is None else _named_cells(line, *header)
        except ValueError as error:
            raise DataError(f"{path}:{number}: '{line}' is not {UNDERSTOOD}: {error}; correct the line") from None
        parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            raise DataError(f"{path}:{number}: '{line}' has no path; correct the line")
        rows.append(_Row("/".join([*map(same, parts[:-1]), bare(parts[-1])]), frames, label, number))
    return rows


def _named_cells(line: str, separator: str, columns: list[str]) -> tuple[str, int, int | str]:
    """Path, frames and label of a line below a header. Raises ValueError that says what is wrong."""
    cells = next(csv.reader([line], delimiter=separator))
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} columns, its header {len(columns)}")
    of = dict(zip(columns, map(str.strip, cells), strict=True))
    label = of["label"]
    if not label:
        raise ValueError("it has no label")
    frames = _whole(of["frames"], "n_frames") if "frames" in of else 0
    is_name = re.fullmatch(r"-?[\d.]+", label) is None
    return of["path"], frames, same(label) if is_name else _whole(label, "the label")


def _cells(line: str) -> tuple[str, int, int | str]:
    """Path, frames and label of a line without a header. Raises ValueError that says what is wrong."""
    four = FOUR_COLUMNS.fullmatch(line)
    if four and (not four["path"].strip().isdecimal() or line.partition(",")[0].strip().isdecimal()):
        return four["path"], int(four["frames"]), same(four["name"].strip())
    if "\t" in line:
        place, *numbers = (cell.strip() for cell in line.split("\t"))
    elif line.startswith('"'):
        place, *numbers = next(csv.reader([line], skipinitialspace=True))
    else:
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError("it does not end in a number")
        place, found = match["path"], NUMBER.findall(match["numbers"])
        numbers = [number for _, number in found]
        by_comma = ["," in separator for separator, _ in found]
        # `path 1,4` may be two labels or a path with a blank.
        if by_comma[-1] and not all(by_comma):
            raise ValueError("it mixes commas and blanks (put a path that ends in a number in quotation marks)")
        if by_comma[-1] and "," in place:
            columns = line.count(",") + 1
            raise ValueError(f"it has {columns} columns (put a path that has commas in quotation marks)")
    if not 1 <= len(numbers) <= 2:
        raise ValueError(
            f"it has {len(numbers)} numbers after its path, and one label and at most one number of frames are"
            " understood (separate the columns by tabs if the path ends in a number)"
        )
    return place, _whole(numbers[0], "n_frames") if len(numbers) == 2 else 0, _whole(numbers[-1], "the label")


def _whole(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{what} is no whole number from 0 up")
    return int(text)
