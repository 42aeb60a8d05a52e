"""Something-Something V1 and V2 as 20BN and Qualcomm distribute their labels.

V1: `something-something-v1-labels.csv` has a class name a line; `-train.csv` and `-validation.csv` have
`id;class name`. The label is the rank of the class name (by code points), as in the lists of the released code.

V2: `labels.json` gives each class name its label; `train.json` and `validation.json` list clips with a `template`,
which is the class name with its objects in brackets. The first release puts `something-something-v2-` before
these names.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmark.config.datasets import DatasetInfo
from benchmark.data.errors import DataError
from benchmark.data.layouts.label_files import find_label_files, numbered_lines, only_folder, read_text
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import normalized
from benchmark.data.roots import Root

KINDS = ("labels", "train", "validation")
FILE_OF_SPLIT = {"train": "train", "val": "validation"}


def _read_v1(info: DatasetInfo, root: Root) -> Listing | None:
    files = _files(root.labels, ".csv", "something-something-v1-")
    if files is None:
        return None
    classes = sorted({text for _, text in numbered_lines(files["labels"])})
    rank = {name: i for i, name in enumerate(classes)}
    builder = ListingBuilder()
    for split, kind in FILE_OF_SPLIT.items():
        for number, line in numbered_lines(files[kind]):
            where = f"{files[kind].name}:{number}"
            id, found, name = line.partition(";")
            if not found:
                raise DataError(f"{files[kind]}:{number}: '{line}' is not `id;class name`; get this label file again")
            _add(builder, split, id.strip(), name.strip(), rank.get(name.strip()), where)
    return builder.build("Something-Something V1 CSV", list(files.values()), classes)


def _read_v2(info: DatasetInfo, root: Root) -> Listing | None:
    files = _files(root.labels, ".json", "something-something-v2-")
    if files is None:
        return None
    label_of = _labels_v2(files["labels"])
    builder = ListingBuilder()
    for split, kind in FILE_OF_SPLIT.items():
        for i, entry in enumerate(_entries_v2(files[kind]), 1):
            name = normalized(str(entry["template"]).replace("[", "").replace("]", ""))
            _add(builder, split, str(entry["id"]), name, label_of.get(name), f"{files[kind].name}, entry {i}")
    classes = sorted(label_of, key=label_of.__getitem__)
    return builder.build("Something-Something V2 JSON", list(files.values()), classes)


def _labels_v2(path: Path) -> dict[str, int]:
    """Labels by class name. Raises DataError where they are not 0, 1, 2, ..."""
    content = _read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: must give each class name its label; get this label file again")
    try:
        label_of = {normalized(name): int(label) for name, label in content.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a label is no number ({error}); get this label file again") from error
    if sorted(label_of.values()) != list(range(len(label_of))):
        raise DataError(f"{path}: its labels are not 0 to {len(label_of) - 1}; get this label file again")
    return label_of


def _entries_v2(path: Path) -> list[dict[str, object]]:
    """The clips of a split's file. Raises DataError where one has no id or no template."""
    content = _read_json(path)
    if not isinstance(content, list) or not all(
        isinstance(e, dict) and {"id", "template"} <= e.keys() for e in content
    ):
        raise DataError(f"{path}: must list clips with an id and a template; get this label file again")
    return content


def _add(builder: ListingBuilder, split: str, id: str, name: str, label: int | None, where: str) -> None:
    if label is None:
        builder.disagree(split, f"{id}: '{name}' ({where}) is no class of the labels file; left out")
    else:
        builder.add(split, ListedClip(normalized(id), label, (normalized(id),)), where)


def _files(labels: Path, suffix: str, prefix: str) -> dict[str, Path] | None:
    """The three files in one folder, by kind, with or without the prefix; None where no folder has two with it.

    Raises:
        DataError: A folder has two of the three, or several folders have all of them.
    """
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in find_label_files(labels, [suffix]):
        for before in (prefix, ""):
            for kind in KINDS:
                if path.name.lower() == f"{before}{kind}{suffix}":
                    found.setdefault((path.parent, before), {})[kind] = path
    complete = [key for key, files in found.items() if len(files) == len(KINDS)]
    # Both releases' names may lie in one folder: the same labels twice.
    folder = only_folder(list(dict.fromkeys(folder for folder, _ in complete)), f"the files of {', '.join(KINDS)}")
    if folder is not None:
        return {kind: found[complete[0]][kind] for kind in KINDS}
    # Files without the prefix have names that other data sets' files have, too: two of them show nothing.
    partial = next((files for (_, before), files in found.items() if before and len(files) > 1), None)
    if partial is None:
        return None
    missing = [kind for kind in KINDS if kind not in partial]
    path = next(iter(partial.values()))
    raise DataError(f"{path.parent} has {path.name} but not the file of {' and '.join(missing)}; put all of them there")


def _read_json(path: Path) -> object:
    try:
        content: object = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error}); get this label file again") from error
    return content


SOMETHING_V1 = Layout("something-something-v1-{labels,train,validation}.csv", _read_v1, frozenset(("something-v1",)))
SOMETHING_V2 = Layout(
    "{labels,train,validation}.json with or without something-something-v2- before it",
    _read_v2,
    frozenset(("something-v2",)),
)
