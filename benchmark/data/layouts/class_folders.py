"""Class folders without label files, as Kinetics is often kept: `train*/<class>/<clip>` and `val*/<class>/<clip>`.

A label is the rank of the class folder. What is not on the disk is then not known to be missing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmark.data.errors import DataError
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import SPLITS, ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import VIDEO_SUFFIXES, clip_name, normalized, split_from_name, unify_spellings


def read_class_folders(root: Path) -> Listing | None:
    """Class folders below a folder of training clips and one of validation clips, or None. Raises DataError."""
    folder_of = _split_folders(root)
    if folder_of is None:
        return None
    names = {split: map(normalized, _folders(folder)) for split, folder in folder_of.items()}
    spelled, notes = unify_spellings(names, root)
    classes = sorted(set(spelled.values()))
    rank, builder = {name: i for i, name in enumerate(classes)}, ListingBuilder()
    for split, folder in folder_of.items():
        for class_folder in _folders(folder):
            label = rank[spelled[normalized(class_folder)]]
            for name in clips_in(folder / class_folder):
                id = clip_name(name)
                path = f"{folder.relative_to(root).as_posix()}/{class_folder}/{id}"
                # Two classes may have a clip of one name: split and class folder tell them apart.
                builder.add(split, ListedClip(id, label, (id,), normalized(path), matching_parts=3), path)
    layout = f"tree of class folders, {folder_of['train'].name} and {folder_of['val'].name}"
    return builder.build(layout, [], classes, notes)


def _split_folders(root: Path) -> dict[str, Path] | None:
    """The folder of each split, at the root or one level below it; None where there are not both."""
    for parent in (root, *(root / name for name in _folders(root))):
        named = _folders_by_split(parent)
        if all(named.values()):
            _check_one_each(parent, named)
            return {split: parent / names[0] for split, names in named.items()}
    return None


def _folders_by_split(parent: Path) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in _folders(parent):
        split = split_from_name(name)
        if split is not None and len(_folders(parent / name)) > 1:
            named[split].append(name)
    # The videos of a test set have no labels; where there is a folder for validation, they are not meant.
    named["val"] = [name for name in named["val"] if "test" not in name.lower()] or named["val"]
    return named


def _check_one_each(parent: Path, named: Mapping[str, list[str]]) -> None:
    for split, names in named.items():
        if len(names) > 1:
            raise DataError(
                f"{parent}: {', '.join(names)} could all be the {split} split, and there is no CSV file to say"
                " which; make a folder with links to the two that you mean, and give that as the root"
            )


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{parent}: cannot be listed ({error.strerror}); check its permissions") from error


def clips_in(folder: Path) -> list[str]:
    """Names of videos and of folders of frames. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and (Path(entry.name).suffix.lower() in VIDEO_SUFFIXES or entry.is_dir())
        )


CLASS_FOLDERS = Layout(
    "folders such as train_256 and val_256 of class folders",
    lambda info, root: read_class_folders(root.path),
    frozenset(("kinetics400",)),
)
