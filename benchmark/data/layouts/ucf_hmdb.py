"""UCF101 and HMDB51 with their three official splits.

UCF101: `classInd.txt` numbers the classes from 1; `trainlist01.txt` has `Class/file.avi number`, `testlist01.txt` the
same without the number. A label is the class's number less one.

HMDB51: a file `<class>_test_split1.txt` for each class and split, with `file.avi flag`: 1 for training, 2 for test, 0
for neither. A label is the rank of the class name.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.layouts.listing import Collector, Listed, Listing, bare, class_key, label_files, lines_of, the_only

HMDB_FILE = re.compile(r"(.+)_test_split([123])\.txt", re.IGNORECASE)


def read_ucf101(labels: Path, number: int) -> Listing | None:
    """Official split `number` of UCF101 below a folder, or None where its files are not there. Raises DataError."""
    names = ("classind.txt", f"trainlist{number:02d}.txt", f"testlist{number:02d}.txt")
    folders: dict[Path, dict[str, Path]] = {}
    for path in label_files(labels, [".txt"]):
        if path.name.lower() in names:
            folders.setdefault(path.parent, {})[path.name.lower()] = path
    # UCF101's lists for action detection have the same names, without the classes.
    whole = [folder for folder, found in folders.items() if len(found) == len(names)]
    complete = the_only(whole, "UCF101's label files")
    if complete is None:
        if all(set(found) == {names[0]} for found in folders.values()):
            return None
        there = next(iter(folders))
        raise DataError(f"{there}: needs classInd.txt, trainlist{number:02d}.txt and testlist{number:02d}.txt")
    index, train, val = (folders[complete][name] for name in names)
    classes: dict[int, str] = {}
    for line_number, line in lines_of(index):
        digits, _, name = line.partition(" ")
        if not digits.isdecimal() or not name.strip():
            raise DataError(f"{index}:{line_number}: '{line}' is not `number class`; get this label file again")
        classes[int(digits)] = name.strip()
    if sorted(classes) != list(range(1, len(classes) + 1)):
        raise DataError(f"{index}: its classes are not numbered from 1 to {len(classes)}; get this label file again")
    numbers = {class_key(name): number for number, name in classes.items()}
    if len(numbers) < len(classes):
        twice = next(name for number, name in classes.items() if numbers[class_key(name)] != number)
        raise DataError(f"{index}: '{twice}' is there twice, in two spellings; get this label file again")
    clips = Collector()
    for split, path in (("train", train), ("val", val)):
        for line_number, line in lines_of(path):
            file, said = line, None
            if " " in line and line.rpartition(" ")[2].isdecimal():
                file, _, digits = line.rpartition(" ")
                said = int(digits)
            where, folder = f"{path.name}:{line_number}", file.strip().replace("\\", "/").rpartition("/")[0]
            of_folder = numbers.get(class_key(folder.rpartition("/")[2]))
            label = of_folder if of_folder is not None else said
            if label is None or label not in classes:
                clips.disagree(split, f"{file} ({where}): its class is not in classInd.txt; left out")
                continue
            if said is not None and said != label:
                clips.disagree(split, f"{file} ({where}): labelled {said}, its folder is class {label}, which is used")
            name = bare(file.strip().replace("\\", "/"))
            clips.add(split, Listed(name, label - 1, (name,)), where)
    return clips.listing(f"UCF101 official split {number}", [index, train, val], [classes[i] for i in sorted(classes)])


def read_hmdb51(labels: Path, number: int) -> Listing | None:
    """Official split `number` of HMDB51 below a folder, or None where its files are not there. Raises DataError."""
    folders: dict[Path, dict[str, Path]] = {}
    for path in label_files(labels, [".txt"]):
        match = HMDB_FILE.fullmatch(path.name)
        if match and int(match[2]) == number:
            folders.setdefault(path.parent, {})[match[1]] = path
    folder = the_only(list(folders), f"HMDB51's files of split {number}")
    if folder is None:
        return None
    found = folders[folder]
    classes, clips = sorted(found), Collector()
    if len({class_key(name) for name in classes}) < len(classes):
        raise DataError(f"{folder}: a class has two files of split {number}, in two spellings of it; leave one")
    for label, name in enumerate(classes):
        for line_number, line in lines_of(found[name]):
            file, _, flag = line.rpartition(" ")
            where = f"{found[name].name}:{line_number}"
            if flag not in ("0", "1", "2") or not file.strip():
                raise DataError(f"{found[name]}:{line_number}: '{line}' is not `file flag`; get this label file again")
            if flag != "0":
                id = bare(file.strip())
                clips.add("train" if flag == "1" else "val", Listed(id, label, (id,)), where)
    return clips.listing(f"HMDB51 official split {number}", [found[name] for name in classes], classes)
