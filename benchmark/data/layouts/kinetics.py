"""Kinetics-400 and Mini-Kinetics: CSV files of videos, or trees of class folders without any; lists of ids and classes.

CSV (as distributed): `label,youtube_id,time_start,time_end,split`, one file a split or one for all; without the column
`split` the file's name says it. A clip's file is `<id>_<start>_<end>` with six digits each, or `<id>`. A label is the
rank of the class name. The test set is left out.

Trees: `train*/<class>/<clip>` and `val*/<class>/<clip>`, such as `train_256` and `val_256`; a label is the rank of the
class folder. What is not on the disk is then not known to be missing.

Choice: a class that is spelled otherwise in another place (`playing guitar`, `playing_guitar`) is one class, and it is
said; what could be two is refused (`listing.one_spelling`).

Mini-Kinetics (Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018) is a part of Kinetics-400 with 200
classes, given by lists of video ids for training and validation, by a list of classes, or by a CSV or a tree that has
nothing else. Labels are ranks among the 200. Choices: a clip of an id list may come from either split of Kinetics,
since the lists say where it belongs; a list of classes alone takes all of their clips, which are more than the
published 80,000 and 5,000, and the census shows that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.layouts.listing import (
    SPLITS,
    VIDEO_SUFFIXES,
    Collector,
    Listed,
    Listing,
    bare,
    class_key,
    label_files,
    lines_of,
    one_spelling,
    same,
    split_in,
    table_of,
)

VIDEO_ID = re.compile(r"[\w-]{11}")
NAMED_CLIP = re.compile(r"(.+?)_\d{6}_\d{6}")


def read_csv(labels: Path) -> Listing | None:
    """The CSV files below a folder that list videos by id, or None where there are none. Raises DataError."""
    rows: list[tuple[str, str, tuple[str, ...], str, str]] = []
    files: list[Path] = []
    for path in label_files(labels, [".csv"]):
        header, lines = table_of(path)
        columns = {name.strip().lower(): i for i, name in enumerate(header)}
        if not {"label", "youtube_id"} <= columns.keys():
            continue
        by_name = split_in(path.stem) if "test" not in path.stem.lower() else None
        used = False
        for number, row in lines:
            where = f"{path.name}:{number}"
            if len(row) < len(header) - 1:
                raise DataError(f"{path}:{number}: fewer columns than the header has; get this label file again")
            said = row[columns["split"]].strip().lower() if columns.get("split", len(row)) < len(row) else ""
            split = (
                {"train": "train", "val": "val", "validate": "val", "validation": "val"}.get(said) if said else by_name
            )
            if split is None:
                continue
            used = True
            id, name = row[columns["youtube_id"]].strip(), same(row[columns["label"]].strip())
            rows.append((split, name, _names(id, row, columns), id, where))
        if used:
            files.append(path)
    if not rows:
        return None
    spelled, notes = one_spelling({split: [name for of, name, *_ in rows if of == split] for split in SPLITS}, labels)
    classes = sorted(set(spelled.values()))
    rank, clips = {name: i for i, name in enumerate(classes)}, Collector()
    for split, name, names, _, where in rows:
        clips.add(split, Listed(names[0], rank[spelled[name]], names), where)
    return clips.listing("Kinetics CSV", files, classes, notes)


def _names(id: str, row: Sequence[str], columns: dict[str, int]) -> tuple[str, ...]:
    """Names that a clip's file goes by."""
    try:
        start, end = (int(float(row[columns[key]])) for key in ("time_start", "time_end"))
    except (KeyError, IndexError, ValueError):
        return (id,)
    return (f"{id}_{start:06d}_{end:06d}", id, f"{id}_{start}_{end}")


def read_tree(root: Path) -> Listing | None:
    """Class folders below a folder of training clips and one of validation clips, or None. Raises DataError."""
    parents = _split_folders(root)
    if parents is None:
        return None
    used, notes = one_spelling({split: map(same, _folders(parent)) for split, parent in parents.items()}, root)
    classes = sorted(set(used.values()))
    rank, clips = {name: i for i, name in enumerate(classes)}, Collector()
    for split, parent in parents.items():
        for folder in _folders(parent):
            for name in _clips_of(parent / folder):
                id, place = bare(name), f"{parent.relative_to(root).as_posix()}/{folder}/{bare(name)}"
                clips.add(split, Listed(id, rank[used[same(folder)]], (id,), same(place), 3), place)
    layout = f"tree of class folders, {parents['train'].name} and {parents['val'].name}"
    return clips.listing(layout, [], classes, notes)


def _split_folders(root: Path) -> dict[str, Path] | None:
    """The only folder of either split, at the root or one level below it."""
    for parent in (root, *(root / name for name in _folders(root))):
        named: dict[str, list[str]] = {split: [] for split in SPLITS}
        for name in _folders(parent):
            split = split_in(name)
            # The videos of a test set have no labels; where there is a folder for validation, they are not meant.
            if split is not None and len(_folders(parent / name)) > 1:
                named[split].append(name)
        named["val"] = [name for name in named["val"] if "test" not in name.lower()] or named["val"]
        if all(named.values()):
            for split, names in named.items():
                if len(names) > 1:
                    raise DataError(
                        f"{parent}: {', '.join(names)} could all be the {split} split, and there is no CSV file to say"
                        " which; make a folder with links to the two that you mean, and give that as the root"
                    )
            return {split: parent / names[0] for split, names in named.items()}
    return None


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{parent}: cannot be listed ({error.strerror}); check its permissions") from error


def _clips_of(folder: Path) -> list[str]:
    """Names of videos and of folders of frames."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and (Path(entry.name).suffix.lower() in VIDEO_SUFFIXES or entry.is_dir())
        )


def read_mini(labels: Path, whole: Listing | None, num_classes: int) -> Listing | None:
    """The part of Kinetics that lists below a folder choose; all of it where it has no more classes than that.

    Args:
        labels: Where the lists are.
        whole: Kinetics, or Mini-Kinetics already.
        num_classes: Of Mini-Kinetics.

    Raises:
        DataError: There is more to choose from than there are classes, and no list.
    """
    if whole is None:
        return None
    known = {class_key(name) for name in whole.classes}
    ids: dict[str, set[str]] = {}
    chosen: set[str] | None = None
    nearly = ""
    files: list[Path] = []
    for path in label_files(labels, [".txt", ".csv"]):
        if path in whole.files:
            continue
        lines = [line.strip("\"' ") for _, line in lines_of(path)]
        split = split_in(path.stem)
        if split is not None and lines and all(VIDEO_ID.fullmatch(line.split(",")[0].split(" ")[0]) for line in lines):
            ids[split] = ids.get(split, set()) | {line.split(",")[0].split(" ")[0] for line in lines}
            files.append(path)
        elif chosen is None:
            keys = {class_key(re.sub(r"^\d+[\s,;:]+|[\s,;:]+\d+$", "", line)): line for line in lines}
            if keys and keys.keys() <= known:
                chosen = set(keys)
                files.append(path)
            elif 2 * len(keys.keys() & known) > len(keys):
                strange = ", ".join([repr(line) for key, line in keys.items() if key not in known][:5])
                nearly = f"; {path.name} would be such a list, but no class of Kinetics is {strange}"
    if set(ids) == set(SPLITS):  # these say all; a list of classes beside them may be of another data set
        part, chosen = _of_ids(whole, ids), None
    elif chosen is not None:
        part = {s: tuple(c for c in whole.splits[s] if class_key(whole.classes[c.label]) in chosen) for s in SPLITS}
    elif len(whole.classes) <= num_classes:
        return whole
    else:
        raise DataError(
            f"{labels}: {len(whole.classes)} classes are listed there and Mini-Kinetics has {num_classes} of them: add"
            " a text file with its class names, one a line, or its two lists of video ids (train_ytid_list.txt,"
            f" val_ytid_list.txt{f'; that of {next(iter(ids))} alone is there' if ids else ''}){nearly}"
        )
    present = chosen if chosen is not None else {class_key(whole.classes[c.label]) for s in SPLITS for c in part[s]}
    classes = [name for name in whole.classes if class_key(name) in present]
    rank = {name: i for i, name in enumerate(classes)}
    clips = Collector()
    for split in SPLITS:
        for clip in part[split]:
            clips.add(split, replace(clip, label=rank[whole.classes[clip.label]]), whole.layout)
    made = clips.listing(
        f"{whole.layout}, {'lists of ids' if set(ids) == set(SPLITS) else 'list of classes'}",
        [*whole.files, *files],
        classes,
    )
    # What was noted about Kinetics' files stays true of this part of them.
    noted = {split: whole.disagreements.get(split, ()) for split in SPLITS}
    if chosen is None:
        noted = {split: (*noted[split], *_unknown(whole, ids[split])) for split in SPLITS}
    return replace(made, disagreements=noted, notes=whole.notes)


def _unknown(whole: Listing, ids: set[str]) -> list[str]:
    """A line for each id of a list that Kinetics' own files do not have."""
    known = {_youtube_id(clip.id) for split in SPLITS for clip in whole.splits[split]}
    return [f"{id}: in the list of ids, not in Kinetics' files; left out" for id in sorted(ids - known)]


def _youtube_id(clip: str) -> str:
    named = NAMED_CLIP.fullmatch(clip)
    return named[1] if named else clip


def _of_ids(whole: Listing, ids: dict[str, set[str]]) -> dict[str, tuple[Listed, ...]]:
    """Kinetics' clips by the lists' ids. An id that Kinetics does not have cannot be labelled and is left out."""
    clips: dict[str, Listed] = {}
    for split in SPLITS:
        for clip in whole.splits[split]:
            clips.setdefault(_youtube_id(clip.id), clip)
    return {split: tuple(clips[id] for id in sorted(ids[split]) if id in clips) for split in SPLITS}
