"""The frame-list text files of TSN, TSM and their descendants: `path n_frames label` or `path label`, a file per split.

Names as people have them: `train_videofolder.txt` and `val_videofolder.txt` (TSM), `ucf101_rgb_train_split_1.txt`
(TSN), `kinetics400_train_list_videos.txt` and the like; BQN's Kinetics lists are the same with commas. Separators are
blanks, tabs or commas; a path may contain blanks. Paths are relative to a root that the file does not name, so a clip
is looked for by the end of its path. Labels are those of the file.

A first line may name the columns, as pandas writes it: `path,label`, in any order, with an index before them or not; a
label may then be a class name, too. BQN's lists of UCF101 and HMDB51 are CSV files of four columns, of which the last
three are class name, folder and number of frames; a label is then the rank of the class name. Other columns are refused
with the line: `path start n_frames label`, or several labels of a clip.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.config.datasets import DatasetInfo
from benchmark.data.errors import DataError
from benchmark.data.layouts.label_files import find_label_files, numbered_lines
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import SPLITS, ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import clip_name, normalized, split_from_name, unify_spellings
from benchmark.data.roots import Root

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
class ListRow:
    """A line of a list: `frames` is 0 where it has none, `label` a number or the name of a class."""

    path: str
    frames: int
    label: int | str
    number: int


def _read(info: DatasetInfo, root: Root) -> Listing | None:
    files = _files(root.labels, info.official_split)
    if files is None:
        return None
    rows = {split: list_rows(path) for split, path in files.items()}
    names_of = {
        split: [row.label for row in of_split if isinstance(row.label, str)] for split, of_split in rows.items()
    }
    spelled, notes = unify_spellings(names_of, root.labels)
    rank = {name: i for i, name in enumerate(sorted(set(spelled.values())))}
    paths = [row.path for of_split in rows.values() for row in of_split]
    # Where two folders have a clip of the same name, the name alone is no id, and no way to find a file.
    unique = len({path.rpartition("/")[2] for path in paths}) == len(set(paths))
    builder, top = ListingBuilder(), 0
    for split, of_split in rows.items():
        for row in of_split:
            if rank and not isinstance(row.label, str):
                raise DataError(f"{files[split]}:{row.number}: the label is a number, and a class name in other lines")
            label = rank[spelled[row.label]] if isinstance(row.label, str) else row.label
            top = max(top, label)
            builder.add(split, _clip(row, label, unique), f"{files[split].name}:{row.number}")
    # A list has numbers only, but for those of four columns and some with a header.
    classes = list(rank) or [f"class {i}" for i in range(top + 1)]
    return builder.build("frame lists", list(files.values()), classes, notes, labels_as_written=True)


def _clip(row: ListRow, label: int, unique: bool) -> ListedClip:
    """A line as a clip. The number of frames is compared with that of the folder, which is used."""
    name = row.path.rpartition("/")[2]
    id, matching_parts = (name, 1) if unique else ("__".join(row.path.split("/")[-2:]), 2)
    return ListedClip(id, label, (name,), row.path, matching_parts, row.frames)


def _files(labels: Path, official_split: int) -> dict[str, Path] | None:
    """The list of each split, or None where there are not both. Raises DataError where several files could be it."""
    lists = _of_official_split(_lists_by_split(labels), official_split)
    files: dict[str, Path] = {}
    for split, paths in lists.items():
        paths = _most_likely(paths)
        if not paths:
            return None
        if len(paths) > 1:
            raise DataError(
                f"{labels}: {', '.join(path.name for path in paths)} could all be the list of the {split} split;"
                " leave one there, or put the ones that you mean into a folder of their own and give that as labels"
            )
        files[split] = paths[0]
    return files


def _lists_by_split(labels: Path) -> dict[str, list[Path]]:
    lists: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for path in find_label_files(labels, (".txt", ".csv")):
        # The word "split" and its number say nothing of training or validation.
        split = split_from_name(SPLIT_NUMBER.sub("", path.stem))
        if split is not None and _looks_like_one(path):
            lists[split].append(path)
    return lists


def _of_official_split(lists: Mapping[str, Sequence[Path]], wanted: int) -> dict[str, list[Path]]:
    """The lists of one of several official splits, counted from 1; all of a data set that has no such splits (0)."""
    chosen: dict[str, list[Path]] = {}
    for split, paths in lists.items():
        numbered = {path: int(match[1]) for path in paths if (match := SPLIT_NUMBER.search(path.stem))}
        if wanted and numbered:
            chosen[split] = [path for path, number in numbered.items() if number == wanted]
        else:
            # Lists without a number are those of the first split.
            chosen[split] = list(paths) if wanted <= 1 else []
    return chosen


def _most_likely(paths: Sequence[Path]) -> list[Path]:
    """Without lists of optical flow and of a test split, where there are others."""
    for word in ("flow", "test"):
        paths = [path for path in paths if word not in path.stem.lower()] or paths
    return list(paths)


def _looks_like_one(path: Path) -> bool:
    """Whether the first line is one of a list, or its header; that of other tables or of a JSON file is not."""
    try:
        first = next(numbered_lines(path), None)
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


def list_rows(path: Path) -> list[ListRow]:
    """Every line of a list, whose paths are then without a suffix. Raises DataError."""
    rows: list[ListRow] = []
    header: tuple[str, list[str]] | None = None
    for number, line in numbered_lines(path):
        if not rows and header is None and (header := _header(line)) is not None:
            continue
        try:
            name, frames, label = _cells(line) if header is None else _named_cells(line, *header)
        except ValueError as error:
            raise DataError(f"{path}:{number}: '{line}' is not {UNDERSTOOD}: {error}; correct the line") from None
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            raise DataError(f"{path}:{number}: '{line}' has no path; correct the line")
        rows.append(ListRow("/".join([*map(normalized, parts[:-1]), clip_name(parts[-1])]), frames, label, number))
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
    frames = _whole_number(of["frames"], "n_frames") if "frames" in of else 0
    is_name = re.fullmatch(r"-?[\d.]+", label) is None
    return of["path"], frames, normalized(label) if is_name else _whole_number(label, "the label")


def _cells(line: str) -> tuple[str, int, int | str]:
    """Path, frames and label of a line without a header. Raises ValueError that says what is wrong."""
    four = FOUR_COLUMNS.fullmatch(line)
    if four and (not four["path"].strip().isdecimal() or line.partition(",")[0].strip().isdecimal()):
        return four["path"], int(four["frames"]), normalized(four["name"].strip())
    if "\t" in line:
        path, *numbers = (cell.strip() for cell in line.split("\t"))
    elif line.startswith('"'):
        path, *numbers = next(csv.reader([line], skipinitialspace=True))
    else:
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError("it does not end in a number")
        path, found = match["path"], NUMBER.findall(match["numbers"])
        numbers = [number for _, number in found]
        by_comma = ["," in separator for separator, _ in found]
        # `path 1,4` may be two labels or a path with a blank.
        if by_comma[-1] and not all(by_comma):
            raise ValueError("it mixes commas and blanks (put a path that ends in a number in quotation marks)")
        if by_comma[-1] and "," in path:
            columns = line.count(",") + 1
            raise ValueError(f"it has {columns} columns (put a path that has commas in quotation marks)")
    if not 1 <= len(numbers) <= 2:
        raise ValueError(
            f"it has {len(numbers)} numbers after its path, and one label and at most one number of frames are"
            " understood (separate the columns by tabs if the path ends in a number)"
        )
    return (
        path,
        _whole_number(numbers[0], "n_frames") if len(numbers) == 2 else 0,
        _whole_number(numbers[-1], "the label"),
    )


def _whole_number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{what} is no whole number from 0 up")
    return int(text)


FRAME_LISTS = Layout(
    "frame lists of TSN or TSM (train_videofolder.txt and val_videofolder.txt: path n_frames label, with a header or"
    " without)",
    _read,
)
