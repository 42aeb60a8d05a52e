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

from benchmark.data.errors import DataError
from benchmark.data.layouts.listing import Collector, Listed, Listing, label_files, lines_of, same, text_of, the_only


def read_v1(labels: Path) -> Listing | None:
    """The V1 CSV files below a folder, or None where there are none. Raises DataError for some of them only."""
    files = _together(labels, ".csv", ("something-something-v1-", ""), ("labels", "train", "validation"))
    if files is None:
        return None
    classes = sorted({text for _, text in lines_of(files["labels"])})
    rank = {name: i for i, name in enumerate(classes)}
    clips = Collector()
    for split, kind in (("train", "train"), ("val", "validation")):
        for number, line in lines_of(files[kind]):
            where = f"{files[kind].name}:{number}"
            id, found, name = line.partition(";")
            if not found:
                raise DataError(f"{files[kind]}:{number}: '{line}' is not `id;class name`; get this label file again")
            _add(clips, split, id.strip(), name.strip(), rank.get(name.strip()), where)
    return clips.listing("Something-Something V1 CSV", list(files.values()), classes)


def read_v2(labels: Path) -> Listing | None:
    """The V2 JSON files below a folder, or None where there are none. Raises DataError for broken ones."""
    files = _together(labels, ".json", ("something-something-v2-", ""), ("labels", "train", "validation"))
    if files is None:
        return None
    content = {kind: _json(path) for kind, path in files.items()}
    numbered = content["labels"]
    if not isinstance(numbered, dict):
        raise DataError(f"{files['labels']}: must give each class name its label; get this label file again")
    try:
        rank = {same(name): int(label) for name, label in numbered.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{files['labels']}: a label is no number ({error}); get this label file again") from error
    if sorted(rank.values()) != list(range(len(rank))):
        raise DataError(f"{files['labels']}: its labels are not 0 to {len(rank) - 1}; get this label file again")
    clips = Collector()
    for split, kind in (("train", "train"), ("val", "validation")):
        entries = content[kind]
        if not isinstance(entries, list) or not all(
            isinstance(e, dict) and {"id", "template"} <= e.keys() for e in entries
        ):
            raise DataError(f"{files[kind]}: must list clips with an id and a template; get this label file again")
        for i, entry in enumerate(entries):
            name = same(str(entry["template"]).replace("[", "").replace("]", ""))
            _add(clips, split, str(entry["id"]), name, rank.get(name), f"{files[kind].name}, entry {i + 1}")
    return clips.listing("Something-Something V2 JSON", list(files.values()), sorted(rank, key=rank.__getitem__))


def _add(clips: Collector, split: str, id: str, name: str, label: int | None, where: str) -> None:
    if label is None:
        clips.disagree(split, f"{id}: '{name}' ({where}) is no class of the labels file; left out")
    else:
        clips.add(split, Listed(same(id), label, (same(id),)), where)


def _together(labels: Path, suffix: str, prefixes: tuple[str, ...], kinds: tuple[str, ...]) -> dict[str, Path] | None:
    """Files `<prefix><kind><suffix>` in one folder, by kind; None where no folder has any two of them."""
    folders: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in label_files(labels, [suffix]):
        for prefix in prefixes:
            for kind in kinds:
                if path.name.lower() == f"{prefix}{kind}{suffix}":
                    folders.setdefault((path.parent, prefix), {})[kind] = path
    complete = [place for place, files in folders.items() if len(files) == len(kinds)]
    # Both releases' names may lie in one folder: the same labels twice.
    if the_only(list(dict.fromkeys(folder for folder, _ in complete)), f"the files of {', '.join(kinds)}") is not None:
        return {kind: folders[complete[0]][kind] for kind in kinds}
    partial = next((f for (_, prefix), f in folders.items() if prefix and len(f) > 1), None)
    if partial is None:
        return None
    missing = [kind for kind in kinds if kind not in partial]
    path = next(iter(partial.values()))
    raise DataError(f"{path.parent} has {path.name} but not the file of {' and '.join(missing)}; put all of them there")


def _json(path: Path) -> object:
    try:
        content: object = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error}); get this label file again") from error
    return content
