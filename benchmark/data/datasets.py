"""Every data set by its name, whether it is generated here or held by the user: prepare it, open it, describe it.

A generated data set is `embedded.dataset`'s. One that the user holds stays where it is (`roots`); its index is in
`<data root>/<name>/<split>/` (`indexing.index`).
"""

from __future__ import annotations

from benchmark.config.datasets import DATASETS, DatasetInfo
from benchmark.config.source import SpecError
from benchmark.data.embedded.dataset import (
    Generated,
    generate,
    is_generated,
    open_generated,
    setting_of,
    split_folder,
)
from benchmark.data.errors import DataError
from benchmark.data.frame_store import ARRAY
from benchmark.data.indexing.index import check_index, open_index, write_index
from benchmark.data.indexing.scan import scan_dataset
from benchmark.data.layouts.find import find_listing
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.manifest import index_folder, read_manifest
from benchmark.data.roots import find_root, variable_of
from benchmark.data.split import Progress, Split


def _is_held(name: str | Generated) -> bool:
    """Whether a data set is one of the papers', which the user holds."""
    return isinstance(name, str) and name in DATASETS and not DATASETS[name].generated


def _setting(name: str | Generated) -> Generated:
    return setting_of(name) if isinstance(name, str) else name


def is_prepared(name: str | Generated) -> bool:
    """Whether both splits are complete. Reads two small files."""
    if _is_held(name):
        return all(read_manifest(index_folder(str(name), split)) is not None for split in SPLITS)
    return is_generated(_setting(name))


def prepare(
    name: str | Generated, workers: int | None = None, progress: Progress | None = None, store: bool = True
) -> None:
    """Makes a data set ready for `open_split`: renders a generated one, finds and indexes one that the user holds.

    `workers` processes render or probe (default: the usable cores). An interrupted call continues where it stopped.
    Raises DataError, saying what to do, where a user's files are not found.
    """
    if _is_held(name):
        write_index(scan_dataset(str(name), workers, progress))
    else:
        generate(_setting(name), workers, progress, store)


def open_split(name: str | Generated, split: str) -> Split:
    """Opens a split of a prepared data set. Raises DataError, saying what to do, if it is not there."""
    setting = None if _is_held(name) else _setting(name)
    if split not in SPLITS:
        raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    return open_index(str(name), split) if setting is None else open_generated(setting, split)


def describe() -> list[dict[str, object]]:
    """One record per known data set: name, title, classes, sizes, state and, if prepared, path and what is there.

    `state` is "prepared", "not prepared", "prepare again" (the index is not of what is there), "no root", "root
    unusable", or "file unusable" of an own one; an `error` says what is wrong.
    """
    records: list[dict[str, object]] = []
    for name in DATASETS:
        try:
            info = DATASETS[name]
        except SpecError as error:
            unknown = {"title": "", "num_classes": "?", "train_clips": 0, "val_clips": 0}
            records.append({"name": name, **unknown, "state": "file unusable", "error": str(error)})
            continue
        record: dict[str, object] = {
            "name": info.name,
            "title": info.title,
            "num_classes": info.num_classes,
            "train_clips": info.train_clips,
            "val_clips": info.val_clips,
            "state": "prepared" if is_prepared(info.name) else "not prepared",
        }
        if info.generated:
            folder = split_folder(setting_of(info.name), "train").parent
            if record["state"] == "prepared":
                record["path"] = str(folder)
                record["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                record["stored"] = all((folder / split / ARRAY).is_file() for split in SPLITS)
        else:
            record |= _describe_held(info)
        records.append(record)
    return records


def _describe_held(info: DatasetInfo) -> dict[str, object]:
    """Root, layout and counts by split of a data set that the user holds; reads its label files, walks no tree."""
    try:
        root = find_root(info.name)
    except DataError as error:
        return {"state": "root unusable", "error": str(error)}
    if root is None:
        return {"state": "no root", "variable": variable_of(info.name)}
    record: dict[str, object] = {"path": str(root.path), "labels": str(root.labels), "said_in": root.source}
    manifests = {split: read_manifest(index_folder(info.name, split)) for split in SPLITS}
    known = {split: manifest for split, manifest in manifests.items() if manifest is not None}
    if len(known) == len(SPLITS):
        record["layout"] = known["train"]["layout"]
        for key in ("listed", "found", "readable"):
            record[key] = {split: manifest[key] for split, manifest in known.items()}
        try:
            for manifest in known.values():
                check_index(info.name, root, manifest)
        except DataError as error:
            record |= {"state": "prepare again", "error": str(error)}
        return record
    try:
        listing = find_listing(info.name, root)
    except DataError as error:
        return {**record, "error": str(error)}
    return {**record, "layout": listing.layout, "listed": {split: len(listing.splits[split]) for split in SPLITS}}
