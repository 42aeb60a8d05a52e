"""HMDB51's three official splits.

A file `<class>_test_split1.txt` for each class and split has `file.avi flag`: 1 for training, 2 for test, 0 for
neither. A label is the rank of the class name.
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
from benchmark.data.layouts.ucf101 import LIST_FOLDERS
from benchmark.data.roots import Root

CLASS_FILE = re.compile(r"(.+)_test_split([123])\.txt", re.IGNORECASE)
SPLIT_OF_FLAG = {"0": None, "1": "train", "2": "val"}


def _read(info: DatasetInfo, root: Root) -> Listing | None:
    number = info.official_split
    files = _files_by_class(root.labels, number)
    if files is None:
        return None
    classes, builder = sorted(files), ListingBuilder()
    for label, name in enumerate(classes):
        path = files[name]
        for line_number, line in numbered_lines(path):
            file, _, flag = line.rpartition(" ")
            if flag not in SPLIT_OF_FLAG or not file.strip():
                raise DataError(f"{path}:{line_number}: '{line}' is not `file flag`; get this label file again")
            if split := SPLIT_OF_FLAG[flag]:
                id = clip_name(file.strip())
                builder.add(split, ListedClip(id, label, (id,)), f"{path.name}:{line_number}")
    return builder.build(f"HMDB51 official split {number}", [files[name] for name in classes], classes)


def _files_by_class(labels: Path, number: int) -> dict[str, Path] | None:
    folders: dict[Path, dict[str, Path]] = {}
    for path in find_label_files(labels, [".txt"]):
        match = CLASS_FILE.fullmatch(path.name)
        if match and int(match[2]) == number:
            folders.setdefault(path.parent, {})[match[1]] = path
    folder = only_folder(list(folders), f"HMDB51's files of split {number}")
    if folder is None:
        return None
    if len({class_key(name) for name in folders[folder]}) < len(folders[folder]):
        raise DataError(f"{folder}: a class has two files of split {number}, in two spellings of it; leave one")
    return folders[folder]


HMDB51 = Layout("<class>_test_splitN.txt of every class", _read, frozenset(("hmdb51",)), beside_clips=LIST_FOLDERS)
