"""The label files of a data set, in whichever known layout they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmark.config.datasets import DATASETS, DatasetInfo
from benchmark.config.folders import config_path
from benchmark.config.own_data import KNOWN, OwnDataset
from benchmark.config.source import did_you_mean
from benchmark.data.errors import DataError
from benchmark.data.layouts.label_files import find_label_files, numbered_lines
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import SPLITS, Listing
from benchmark.data.layouts.names import class_key, split_from_name
from benchmark.data.layouts.own import own_listing
from benchmark.data.layouts.registry import LAYOUTS
from benchmark.data.roots import Root, variable_of


def find_listing(name: str, root: Root) -> Listing:
    """What the label files of a data set list, in the first layout of `LAYOUTS` that is recognised.

    Raises:
        DataError: There are none in a known layout, they are damaged, or they name more classes than there are.
    """
    return listing_of(DATASETS[name], root)


def listing_of(info: DatasetInfo, root: Root) -> Listing:
    """The same of a data set that need not have a file yet."""
    own = info.own
    if own is not None and own.layout not in KNOWN:
        return _complete(own_listing(own, root), info)
    known = info if own is None else DATASETS[own.layout]
    layouts = [layout for layout in LAYOUTS if layout.may_hold(known.root_name)]
    listings = (layout.read(known, where) for layout, where in _attempts(layouts, root))
    listing = next((found for found in listings if found is not None), None)
    if listing is None or not any(listing.splits.values()):
        raise DataError(_not_recognised(info, root, layouts))
    if own is not None and own.classes:
        listing = _of_classes(listing, own)
    complete = _complete(listing, info)
    _check_classes(info, root, complete)
    return complete


def _of_classes(listing: Listing, own: OwnDataset) -> Listing:
    """The clips of some classes alone, labelled by their places among these.

    Raises:
        DataError: The label files name no such class.
    """
    numbers = {class_key(name): i for i, name in enumerate(own.classes)}
    known = [class_key(name) for name in listing.classes]
    for name in own.classes:
        if class_key(name) not in known:
            files = ", ".join(path.name for path in listing.files[:3])
            hint = did_you_mean(name, listing.classes)
            raise DataError(f"{own.name}: `classes` has '{name}', which is no class of {files}.{hint}")
    to = [numbers.get(name) for name in known]
    splits = {
        split: tuple(replace(clip, label=label) for clip in clips if (label := to[clip.label]) is not None)
        for split, clips in listing.splits.items()
    }
    return replace(listing, classes=own.classes, splits=splits, labels_as_written=False)


def _complete(listing: Listing, info: DatasetInfo) -> Listing:
    """The listing. Raises DataError: a split has no clips."""
    empty = [split for split in SPLITS if not listing.splits[split]]
    if empty:
        raise DataError(f"the label files ({listing.layout}) list no clip of the split {empty[0]} of {info.title}")
    return listing


def _attempts(layouts: list[Layout], root: Root) -> Iterator[tuple[Layout, Root]]:
    """Each layout with the folders to look for it in: those that the user named, and then those beside the clips'."""
    for layout in layouts:
        yield layout, root
    # Whoever has said where the labels are means that folder and no other.
    if root.labels != root.path:
        return
    for layout in layouts:
        for folder in _beside_clips(layout, root):
            yield layout, replace(root, labels=folder)


def _beside_clips(layout: Layout, root: Root) -> list[Path]:
    if layout.beside_clips is None:
        return []
    named = layout.beside_clips.match
    try:
        return sorted(p for p in root.path.parent.iterdir() if named(p.name) and p != root.path and p.is_dir())
    except OSError:  # a parent that may not be listed
        return []


def _check_classes(info: DatasetInfo, root: Root, listing: Listing) -> None:
    """Raises DataError where there are more classes, or larger labels, than the data set has."""
    top = max(clip.label for clips in listing.splits.values() for clip in clips)
    if len(listing.classes) > info.num_classes or top >= info.num_classes:
        files = ", ".join(path.name for path in listing.files[:3]) or str(root.path)
        raise DataError(
            f"{info.title} has {info.num_classes} classes, labels 0 to {info.num_classes - 1}; {files} have"
            f" {len(listing.classes)} classes, labels up to {top}. Are these another data set's, or numbered from 1?"
        )


def _not_recognised(info: DatasetInfo, root: Root, layouts: list[Layout]) -> str:
    """What to say where no layout was recognised: which are known, where they may lie, and what is there instead."""
    where = str(root.labels) if root.labels == root.path else f"{root.labels} (labels) and {root.path} (clips)"
    file = root.source if info.own is not None else config_path()
    return (
        f"no label files of {info.title} in {where}, nor two levels below. Known layouts:"
        f" {', or '.join(layout.expected for layout in layouts)}."
        f" Put them there, or say where they are with {variable_of(info.name)}_LABELS, or with labels: beside root: in"
        f" {file} (the root comes from {root.source}){_first_lines(root.labels)}"
    )


def _first_lines(labels: Path) -> str:
    """How the files begin that are named as lists of a split."""
    files = [p for p in find_label_files(labels, (".csv", ".txt", ".json", ".tsv")) if split_from_name(p.stem)]
    begun = []
    for path in files[:2]:
        try:
            begun.append(f"{path.name} begins with '{next(numbered_lines(path), (0, ''))[1][:60]}'")
        except DataError:
            begun.append(f"{path.name} is no text")
    return f". Not understood there: {', '.join(begun)}" if begun else ""
