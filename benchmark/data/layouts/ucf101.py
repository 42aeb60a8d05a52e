"""UCF101's three official splits.

`classInd.txt` numbers the classes from 1; `trainlist01.txt` has `Class/file.avi number`, `testlist01.txt` the same
without the number. A label is the class's number less one.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.config.datasets import DatasetInfo
from benchmark.data.errors import DataError
from benchmark.data.layouts.label_files import find_label_files, numbered_lines, only_folder
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import class_key, clip_name
from benchmark.data.roots import Root

LIST_FOLDERS = re.compile(r"ucf.*(list|split)|test_?train.*split", re.IGNORECASE)
"""Folders of UCF101's and HMDB51's lists as distributed: ucfTrainTestlist, testTrainMulti_7030_splits and the like."""


def _read(info: DatasetInfo, root: Root) -> Listing | None:
    number = info.official_split
    files = _files(root.labels, number)
    if files is None:
        return None
    index, train, val = files
    classes = _classes(index)
    builder = ListingBuilder()
    for split, path in (("train", train), ("val", val)):
        _add_clips(builder, split, path, classes)
    return builder.build(f"UCF101 official split {number}", files, [classes[i] for i in sorted(classes)])


def _files(labels: Path, number: int) -> list[Path] | None:
    """The files of classes, training and test clips of an official split; None where there are none of a split."""
    names = ("classind.txt", f"trainlist{number:02d}.txt", f"testlist{number:02d}.txt")
    folders: dict[Path, dict[str, Path]] = {}
    for path in find_label_files(labels, [".txt"]):
        if path.name.lower() in names:
            folders.setdefault(path.parent, {})[path.name.lower()] = path
    # UCF101's lists for action detection have the same names, without the classes.
    complete = [folder for folder, found in folders.items() if len(found) == len(names)]
    folder = only_folder(complete, "UCF101's label files")
    if folder is not None:
        return [folders[folder][name] for name in names]
    if all(set(found) == {names[0]} for found in folders.values()):
        return None
    raise DataError(
        f"{next(iter(folders))}: needs classInd.txt, trainlist{number:02d}.txt and testlist{number:02d}.txt"
    )


def _classes(index: Path) -> dict[int, str]:
    """Class names by their numbers from 1. Raises DataError where these have gaps or a class is there twice."""
    classes: dict[int, str] = {}
    for line_number, line in numbered_lines(index):
        digits, _, name = line.partition(" ")
        if not digits.isdecimal() or not name.strip():
            raise DataError(f"{index}:{line_number}: '{line}' is not `number class`; get this label file again")
        classes[int(digits)] = name.strip()
    if sorted(classes) != list(range(1, len(classes) + 1)):
        raise DataError(f"{index}: its classes are not numbered from 1 to {len(classes)}; get this label file again")
    numbers = _numbers(classes)
    if len(numbers) < len(classes):
        twice = next(name for number, name in classes.items() if numbers[class_key(name)] != number)
        raise DataError(f"{index}: '{twice}' is there twice, in two spellings; get this label file again")
    return classes


def _numbers(classes: dict[int, str]) -> dict[str, int]:
    return {class_key(name): number for number, name in classes.items()}


def _add_clips(builder: ListingBuilder, split: str, path: Path, classes: dict[int, str]) -> None:
    """Adds the clips of a split's list. Where a number contradicts the clip's folder, the folder is right."""
    numbers = _numbers(classes)
    for line_number, line in numbered_lines(path):
        file, said = line, None
        if " " in line and line.rpartition(" ")[2].isdecimal():
            file, _, digits = line.rpartition(" ")
            said = int(digits)
        where, name = f"{path.name}:{line_number}", file.strip().replace("\\", "/")
        of_folder = numbers.get(class_key(name.rpartition("/")[0].rpartition("/")[2]))
        number = of_folder if of_folder is not None else said
        if number is None or number not in classes:
            builder.disagree(split, f"{file} ({where}): its class is not in classInd.txt; left out")
            continue
        if said is not None and said != number:
            builder.disagree(split, f"{file} ({where}): labelled {said}, its folder is class {number}, which is used")
        id = clip_name(name)
        builder.add(split, ListedClip(id, number - 1, (id,)), where)


UCF101 = Layout(
    "classInd.txt with trainlist0N.txt and testlist0N.txt",
    _read,
    frozenset(("ucf101",)),
    beside_clips=LIST_FOLDERS,
)
