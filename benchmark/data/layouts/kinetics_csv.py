"""Kinetics' CSV files as distributed: `label,youtube_id,time_start,time_end,split`, one file a split or one for all.

Without the column `split` the file's name says it. A clip's file is `<id>_<start>_<end>` with six digits each, or
`<id>`. A label is the rank of the class name. The test set is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.data.errors import DataError
from benchmark.data.layouts.label_files import find_label_files, read_csv
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import SPLITS, ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import normalized, split_from_name, unify_spellings

SPLIT_IN_COLUMN = {"train": "train", "val": "val", "validate": "val", "validation": "val"}


class _Row(NamedTuple):
    split: str
    class_name: str
    names: tuple[str, ...]
    where: str


def read_kinetics_csv(labels: Path) -> Listing | None:
    """The CSV files below a folder that list videos by id, or None where there are none. Raises DataError."""
    rows_of = {path: _rows(path) for path in find_label_files(labels, [".csv"])}
    rows = [row for of_file in rows_of.values() for row in of_file]
    if not rows:
        return None
    names = {split: [row.class_name for row in rows if row.split == split] for split in SPLITS}
    spelled, notes = unify_spellings(names, labels)
    classes = sorted(set(spelled.values()))
    rank, builder = {name: i for i, name in enumerate(classes)}, ListingBuilder()
    for row in rows:
        builder.add(row.split, ListedClip(row.names[0], rank[spelled[row.class_name]], row.names), row.where)
    return builder.build("Kinetics CSV", [path for path, of_file in rows_of.items() if of_file], classes, notes)


def _rows(path: Path) -> list[_Row]:
    """The training and validation clips of a file; none of a CSV file that lists no videos."""
    header, lines = read_csv(path)
    columns = {name.strip().lower(): i for i, name in enumerate(header)}
    if not {"label", "youtube_id"} <= columns.keys():
        return []
    rows: list[_Row] = []
    for number, cells in lines:
        # The last column, `split`, may be left out of a row.
        if len(cells) < len(header) - 1:
            raise DataError(f"{path}:{number}: fewer columns than the header has; get this label file again")
        split = _split(path, cells, columns)
        if split is not None:
            name = normalized(cells[columns["label"]].strip())
            rows.append(_Row(split, name, _file_names(cells, columns), f"{path.name}:{number}"))
    return rows


def _split(path: Path, cells: Sequence[str], columns: Mapping[str, int]) -> str | None:
    """The split of a row by its column or, without one, by the name of the file; None for the test set."""
    column = columns.get("split", len(cells))
    said = cells[column].strip().lower() if column < len(cells) else ""
    if said:
        return SPLIT_IN_COLUMN.get(said)
    return None if "test" in path.stem.lower() else split_from_name(path.stem)


def _file_names(cells: Sequence[str], columns: Mapping[str, int]) -> tuple[str, ...]:
    """Names that a clip's file goes by."""
    id = cells[columns["youtube_id"]].strip()
    try:
        start, end = (int(float(cells[columns[key]])) for key in ("time_start", "time_end"))
    except (KeyError, IndexError, ValueError):
        return (id,)
    return (f"{id}_{start:06d}_{end:06d}", id, f"{id}_{start}_{end}")


KINETICS_CSV = Layout(
    "CSV files with label, youtube_id and split",
    lambda info, root: read_kinetics_csv(root.labels),
    frozenset(("kinetics400",)),
)
