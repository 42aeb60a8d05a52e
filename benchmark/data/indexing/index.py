"""The index of a data set that the user holds: which clips were found where, how long they are, and what is wrong.

`write_index` records what a scan found (scan.py) in `<data root>/<name>/<split>/`, never below the
user's own root:

- `index.csv`: id, path (relative to the root), frames, height, width, duration (seconds; empty if the file does not
  say), label, and where clips are parts of videos the first frame of each; a clip that is there but cannot be read has
  0 frames, so that runs count it and never skip it silently;
- `labels.txt`: class names by label;
- `split.json`, written last: how many clips are published, listed, found and readable, the names of those that are not,
  checksums of the label files, a sha256 of the ids, and the fingerprint of ids, labels, lengths and sampled frames.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.data.errors import DataError
from benchmark.data.indexing.scan import DatasetScan, Entry, summary
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.manifest import index_folder, read_manifest
from benchmark.data.roots import Root, root_of
from benchmark.data.split import Clip, Split, fingerprint_of, read_index, sampled
from benchmark.runs.atomic import atomic_path

INDEX = "index-3"
"""Version 3: pictures "not coded" are no frames, and optical flow is not taken for a clip's frames."""
SALT = "index-2"
"""What fingerprints begin with: not raised with INDEX, so that data which version 3 reads as before keep theirs."""
FIELDS = ("id", "path", "frames", "height", "width", "duration", "label")


def write_index(scan: DatasetScan) -> dict[str, dict[str, object]]:
    """Writes the index of both splits and returns their manifests.

    Raises:
        DataError: A split has no clip on the disk.
    """
    manifests: dict[str, dict[str, object]] = {}
    for split, of_split in scan.splits.items():
        present = [entry for entry in of_split.entries if entry.state != "missing"]
        if not present:
            raise DataError(
                f"no clip of {scan.name}/{split} is below {scan.root.path}, of {len(of_split.entries)} listed"
                f" ({of_split.entries[0].id}, ...): {scan.root.source} must name a folder that holds both splits"
            )
        folder = index_folder(scan.name, split)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "split.json").unlink(missing_ok=True)
        with atomic_path(folder / "index.csv") as path:
            _write_rows(path, present)
        with atomic_path(folder / "labels.txt") as path:
            path.write_text("".join(f"{name}\n" for name in scan.listing.classes), encoding="utf-8")
        clips = read_index(folder, scan.root.path)
        problems = {"problems": list(scan.problems), "notes": list(scan.notes)}
        manifests[split] = {"index": INDEX, **summary(scan, split), **problems, **_identity(scan, clips)}
        with atomic_path(folder / "split.json") as path:
            path.write_text(json.dumps(manifests[split], indent=1))
    return manifests


def _identity(scan: DatasetScan, clips: Sequence[Clip]) -> dict[str, object]:
    return {
        "root": str(scan.root.path.resolve()),
        "label_files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in scan.listing.files},
        "clips": len(clips),
        **({"definition": own.digest} if (own := DATASETS[scan.name].own) else {}),
        "num_classes": DATASETS[scan.name].num_classes,
        "ids": hashlib.sha256("".join(f"{clip.id}\n" for clip in clips).encode(errors="surrogateescape")).hexdigest(),
        "fingerprint": fingerprint_of(clips, SALT, strict=False),
        "sample": [os.path.relpath(clips[i].path, scan.root.path) for i in sampled(len(clips))],
    }


def _write_rows(path: Path, entries: Sequence[Entry]) -> None:
    parts = any(entry.first for entry in entries)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow([*FIELDS, *(["first"] if parts else [])])
        for entry in entries:
            file = entry.file
            size = (file.frames, file.height, file.width)
            first = [entry.first] if parts else []
            rows.writerow((entry.id, entry.path, *size, file.duration or "", entry.label, *first))


def open_index(name: str, split: str) -> Split:
    """Opens a prepared split; its clips are below the root as it is said now.

    Raises:
        DataError: No root, no index, or an index that does not fit the root; the message says what to do.
    """
    root, folder = root_of(name), index_folder(name, split)
    again = f"run: python -m benchmark data prepare {name}"
    manifest = read_manifest(folder)
    if manifest is None or any(read_manifest(index_folder(name, other)) is None for other in SPLITS):
        raise DataError(f"{name} is not prepared in {data_root()}; {again}")
    check_index(name, root, manifest)
    clips = read_index(folder, root.path)
    if len(clips) != manifest["clips"]:
        raise DataError(f"{folder}/index.csv has {len(clips)} clips, not {manifest['clips']}; {again}")
    missing = manifest["missing"]
    assert isinstance(missing, list)
    return Split(
        name,
        split,
        clips,
        DATASETS[name].num_classes,
        str(manifest["fingerprint"]),
        classes=tuple((folder / "labels.txt").read_text(encoding="utf-8").splitlines()),
        folder=folder,
        missing=len(missing),
    )


def check_index(name: str, root: Root, manifest: Mapping[str, object]) -> None:
    """Whether the index of a split is of the present form, and of what is below the root: some clips are looked for.

    Raises:
        DataError: It is not; the message says what to do.
    """
    again = f"run: python -m benchmark data prepare {name}"
    if manifest.get("index") != INDEX:
        raise DataError(f"the index of {name} is of another version; {again}")
    if (own := DATASETS[name].own) and manifest.get("definition") != own.digest:
        raise DataError(f"the file of {name} says something else by now than what was prepared; {again}")
    sample = manifest["sample"]
    assert isinstance(sample, list)
    if not any((root.path / path).exists() for path in sample):
        raise DataError(
            f"{name} was prepared from {manifest['root']}; none of {len(sample)} of its clips that were looked for is"
            f" below {root.path}, which {root.source} names: say where they are now (is the disk mounted?), or {again}"
        )
