"""Which of the known layouts a data set's label files are in."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.data.errors import DataError
from benchmark.data.layouts.kinetics import read_csv, read_mini, read_tree
from benchmark.data.layouts.listing import SPLITS, Listing, label_files, lines_of, split_in
from benchmark.data.layouts.lists import read_lists
from benchmark.data.layouts.something import read_v1, read_v2
from benchmark.data.layouts.ucf_hmdb import read_hmdb51, read_ucf101
from benchmark.data.roots import Root, config_path, variable_of

BESIDE = re.compile(r"ucf.*(list|split)|test_?train.*split", re.IGNORECASE)
"""Folders of UCF101's and HMDB51's lists as distributed: ucfTrainTestlist, testTrainMulti_7030_splits and the like."""
LISTS = (
    "frame lists of TSN or TSM (train_videofolder.txt and val_videofolder.txt: path n_frames label, with a header or"
    " without)"
)
EXPECTED = {
    "something-v1": f"something-something-v1-{{labels,train,validation}}.csv, or {LISTS}",
    "something-v2": f"{{labels,train,validation}}.json with or without something-something-v2- before it, or {LISTS}",
    "kinetics400": f"CSV files with label, youtube_id and split, or {LISTS}, or folders such as train_256 and val_256"
    " of class folders",
    "minikinetics": "Kinetics' CSV files or trees with a list of the 200 classes or lists of video ids"
    f" (train_ytid_list.txt and val_ytid_list.txt), or {LISTS}",
    "ucf101": f"classInd.txt with trainlist0N.txt and testlist0N.txt, or {LISTS}",
    "hmdb51": f"<class>_test_splitN.txt of every class, or {LISTS}",
}


def find_listing(name: str, root: Root) -> Listing:
    """What the label files of a data set list; official files come before frame lists, these before bare trees.

    Raises:
        DataError: There are none in a known layout, they are damaged, or they name more classes than there are.
    """
    info = DATASETS[name]
    listing = _read(name, root) or _beside(name, root)
    if listing is None or not any(listing.splits.values()):
        where = str(root.labels) if root.labels == root.path else f"{root.labels} (labels) and {root.path} (clips)"
        raise DataError(
            f"no label files of {info.title} in {where}, nor two levels below. Known layouts: {EXPECTED[root.name]}."
            f" Put them there, or say where they are with {variable_of(name)}_LABELS, or with labels: beside root: in"
            f" {config_path()} (the root comes from {root.said_in}){_begin_otherwise(root.labels)}"
        )
    empty = [split for split in SPLITS if not listing.splits[split]]
    if empty:
        raise DataError(f"the label files ({listing.layout}) list no clip of the split {empty[0]} of {info.title}")
    top = max(clip.label for clips in listing.splits.values() for clip in clips)
    if len(listing.classes) > info.num_classes or top >= info.num_classes:
        files = ", ".join(path.name for path in listing.files[:3]) or str(root.path)
        raise DataError(
            f"{info.title} has {info.num_classes} classes, labels 0 to {info.num_classes - 1}; {files} have"
            f" {len(listing.classes)} classes, labels up to {top}. Are these another data set's, or numbered from 1?"
        )
    return listing


def _begin_otherwise(labels: Path) -> str:
    """Files that are named as lists of a split, and how they begin."""
    named = [path for path in label_files(labels, (".csv", ".txt", ".json", ".tsv")) if split_in(path.stem)]
    begun = []
    for path in named[:2]:
        try:
            begun.append(f"{path.name} begins with '{next(lines_of(path), (0, ''))[1][:60]}'")
        except DataError:
            begun.append(f"{path.name} is no text")
    return f". Not understood there: {', '.join(begun)}" if begun else ""


def _beside(name: str, root: Root) -> Listing | None:
    """The official lists of UCF101 and HMDB51 where they are distributed: in a folder beside that of the clips."""
    reader = {"ucf101": read_ucf101, "hmdb51": read_hmdb51}.get(root.name)
    if reader is None or root.labels != root.path:
        return None
    try:
        beside = sorted(path for path in root.path.parent.iterdir() if BESIDE.match(path.name) and path.is_dir())
    except OSError:
        return None
    found = (reader(path, DATASETS[name].official_split) for path in beside if path != root.path)
    return next((listing for listing in found if listing is not None), None)


def _read(name: str, root: Root) -> Listing | None:
    labels, number = root.labels, DATASETS[name].official_split
    if root.name == "something-v1":
        return read_v1(labels) or read_lists(labels)
    if root.name == "something-v2":
        return read_v2(labels) or read_lists(labels)
    if root.name == "ucf101":
        return read_ucf101(labels, number) or read_lists(labels, number)
    if root.name == "hmdb51":
        return read_hmdb51(labels, number) or read_lists(labels, number)
    if root.name == "kinetics400":
        return read_csv(labels) or read_lists(labels) or read_tree(root.path)
    if root.name == "minikinetics":
        whole = read_csv(labels)
        if whole is None:
            whole = read_lists(labels) or read_tree(root.path)
        if whole is not None and whole.layout == "frame lists":
            return whole
        return read_mini(labels, whole, DATASETS[name].num_classes)
    raise DataError(f"{DATASETS[name].title} has no known layout; known: {', '.join(EXPECTED)}")
