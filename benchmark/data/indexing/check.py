"""Checks a data set that the user holds: what should be there, what is, and what is wrong with it (`data check`).

`check_dataset` compares each split's published, listed and found clips and names those that are missing, empty,
corrupt, there in part, of several sizes, short, listed twice, or labelled differently in two places. It works before
and after `data prepare`; afterwards it also says where the index is no longer true.

A full check decodes every file, which takes hours for Kinetics. What it finds is logged in
`<data root>/<home>/decoded.jsonl`, so that an interrupted one goes on and a later one decodes only what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.data.errors import DataError
from benchmark.data.indexing.decode_file import decode_file, file_stamp
from benchmark.data.indexing.examine import examine
from benchmark.data.indexing.file_log import FileLog, FileRecord
from benchmark.data.indexing.scan import DatasetScan, Entry, scan_dataset, summary
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.manifest import index_folder, read_manifest
from benchmark.data.roots import root_of
from benchmark.data.split import Progress, Split, read_index

KINDS = ("missing", "empty", "corrupt", "partial", "resized", "short", "duplicates", "disagreements")
"""What damage a split may have, by key of its record."""


@dataclass(frozen=True)
class CheckReport:
    """What was found of a data set.

    Attributes:
        full: Every file was decoded.
        splits: A record for each split (`scan.summary`).
        problems: What is wrong with no single clip.
        notes: How something unusual was understood, which is no damage.
    """

    name: str
    title: str
    root: str
    layout: str
    full: bool
    splits: Mapping[str, Mapping[str, object]]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def damaged(self) -> bool:
        """Whether anything is not as it should be."""
        return bool(self.problems) or any(record[kind] for record in self.splits.values() for kind in KINDS)

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        splits = {split: dict(record) for split, record in self.splits.items()}
        return {
            "name": self.name,
            "root": self.root,
            "layout": self.layout,
            "full": self.full,
            "damaged": self.damaged,
            "splits": splits,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def check_dataset(
    name: str,
    full: bool = False,
    splits: Sequence[str] = SPLITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Checks some splits of a data set.

    Args:
        name: A data set that is not generated.
        full: Decode every file that can be opened.
        splits: Which.
        workers: Processes; default: the usable cores.
        progress: Told what is being done and how far it is.

    Raises:
        DataError: As `scan_dataset`, and for an unknown split.
    """
    for split in splits:
        if split not in SPLITS:
            raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    scan = scan_dataset(name, workers, progress)
    if full:
        scan = _decoded(scan, splits, workers, progress)
    else:
        scan = _with_decoded(scan, splits, _logged_damage(name, scan.root.path))
    problems = [*scan.problems]
    for compare in (_against_published, _against_index):
        problems += [line for split in splits for line in compare(scan, split)]
    return CheckReport(
        name,
        DATASETS[name].title,
        str(scan.root.path),
        scan.listing.layout,
        full,
        {split: summary(scan, split) for split in splits},
        tuple(problems),
        scan.notes,
    )


def _against_published(scan: DatasetScan, split: str) -> list[str]:
    """A line where the label files list another number of clips than was published, if that number is exact."""
    info, listed = DATASETS[scan.name], len(scan.splits[split].entries)
    if not info.exact or listed == info.published(split):
        return []
    return [f"{split}: the label files list {listed:,} clips, {info.title} has {info.published(split):,}"]


def _against_index(scan: DatasetScan, split: str) -> list[str]:
    """What has changed since the data set was prepared; nothing if it has not been."""
    folder = index_folder(scan.name, split)
    if read_manifest(folder) is None:
        return []
    indexed = {clip.id: clip for clip in read_index(folder, scan.root.path)}
    present = {entry.id: entry for entry in scan.splits[split].entries if entry.state != "missing"}
    again = f"run: python -m benchmark data prepare {scan.name}"
    lines: list[str] = []
    gone, new = indexed.keys() - present.keys(), present.keys() - indexed.keys()
    if gone or new:
        lines.append(f"{split}: since the index was written {len(gone)} clips went and {len(new)} came; {again}")
    changed = []
    for id in indexed.keys() & present.keys():
        clip, entry = indexed[id], present[id]
        # Of a file that the index has as readable, damage that only decoding shows does not contradict it.
        frames = entry.file.frames if entry.state == "ok" or not clip.frames else clip.frames
        if (clip.frames, clip.label, clip.path) != (frames, entry.label, scan.root.path / entry.path):
            changed.append(id)
    if changed:
        lines.append(f"{split}: {len(changed)} clips are not what the index says, such as {min(changed)}; {again}")
    return lines


def _decoded(scan: DatasetScan, splits: Sequence[str], workers: int | None, progress: Progress | None) -> DatasetScan:
    """The scan with what decoding every readable file shows."""
    readable = {entry.path for split in splits for entry in scan.splits[split].of_state("ok")}
    log = _log(scan.name)
    told = partial(progress, f"decode {scan.name}") if progress else None
    results = examine(scan.root.path, sorted(readable), log, decode_file, workers, told)
    if log.unwritten:
        scan = replace(scan, notes=(*scan.notes, f"what decoding found is {log.unwritten}"))
    return _with_decoded(scan, splits, {scan.root.path / path: record for path, record in results.items()})


def _with_decoded(scan: DatasetScan, splits: Sequence[str], decoded: Mapping[Path, FileRecord]) -> DatasetScan:
    """The scan with what decoding has shown of files that can be opened."""

    def updated(entry: Entry) -> Entry:
        record = decoded.get(scan.root.path / entry.path) if entry.state == "ok" else None
        if record is None or record.state != "ok":
            return entry if record is None else replace(entry, file=record)
        partial = entry.file.partial or record.partial
        return replace(entry, file=replace(entry.file, partial=partial, resized=record.resized))

    entries = {split: tuple(map(updated, scan.splits[split].entries)) for split in splits}
    changed = {split: replace(scan.splits[split], entries=entries[split]) for split in splits}
    return replace(scan, splits={**scan.splits, **changed})


def known_damage(split: Split) -> set[str]:
    """Ids of a split's clips that an earlier full check could not decode, and that have not changed since.

    A run that refuses unreadable clips asks this before it trains.
    """
    if DATASETS[split.name].generated:
        return set()
    records = _logged_damage(split.name, root_of(split.name).path)
    return {clip.id for clip in split.clips if clip.path in records and records[clip.path].state != "ok"}


def _logged_damage(name: str, root: Path) -> dict[Path, FileRecord]:
    """What earlier full checks found wrong, by file, without the files that have changed since. Decodes nothing."""
    damaged = {
        root / path: record
        for path, record in _log(name).read().items()
        if record.state != "ok" or record.partial or record.resized
    }
    return {path: record for path, record in damaged.items() if not _has_changed(path, record)}


def _log(name: str) -> FileLog:
    """The log of decoded files; the official splits of a data set share one, as they share files."""
    return FileLog(data_root() / DATASETS[name].root_name / "decoded.jsonl")


def _has_changed(path: Path, record: FileRecord) -> bool:
    try:
        return file_stamp(path) != (record.size, record.mtime)
    except OSError:
        return False
