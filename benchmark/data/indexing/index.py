"""The index of a data set that the user holds: which clips were found where, how long they are, and what is wrong.

`write_index` records what a survey found (survey.py) in `<data root>/<name>/<split>/`, never below the
user's own root:

- `index.csv`: id, path (relative to the root), frames, height, width, duration (seconds; empty if the file does not
  say), label; a clip that is there but cannot be read has 0 frames, so that runs count it and never skip it silently;
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
from dataclasses import dataclass
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.data.decode.video import read_frames
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.indexing.survey import Entry, Survey, summary
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.manifest import data_root, index_folder, read_manifest
from benchmark.data.roots import Root, root_of
from benchmark.runs.atomic import replacing

INDEX = "index-3"
"""Version 3: a frame is a picture that is shown, never a picture "not coded"; optical flow is no place of a clip."""
SALT = "index-2"
"""Of fingerprints, which are of clips and pixels: those that version 3 has not changed keep theirs."""
FIELDS = ("id", "path", "frames", "height", "width", "duration", "label")
SAMPLED_CLIPS = 16


@dataclass(frozen=True)
class Clip:
    """A clip of a split; `frames` is its number of frames, 0 for one that was unreadable when it was indexed."""

    id: str
    path: Path
    frames: int
    height: int
    width: int
    label: int


def write_index(found: Survey) -> dict[str, dict[str, object]]:
    """Writes the index of both splits and returns their manifests.

    Raises:
        DataError: A split has no clip on the disk.
    """
    manifests: dict[str, dict[str, object]] = {}
    for split, of_split in found.splits.items():
        present = [entry for entry in of_split.entries if entry.state != "missing"]
        if not present:
            raise DataError(
                f"no clip of {found.name}/{split} is below {found.root.path}, of {len(of_split.entries)} listed"
                f" ({of_split.entries[0].id}, ...): {found.root.said_in} must name a folder that holds both splits"
            )
        folder = index_folder(found.name, split)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "split.json").unlink(missing_ok=True)
        with replacing(folder / "index.csv") as path:
            _write_rows(path, present)
        with replacing(folder / "labels.txt") as path:
            path.write_text("".join(f"{name}\n" for name in found.listing.classes), encoding="utf-8")
        clips = read_index(folder, found.root.path)
        problems = {"problems": list(found.problems), "notes": list(found.notes)}
        manifests[split] = {"index": INDEX, **summary(found, split), **problems, **_identity(found, clips)}
        with replacing(folder / "split.json") as path:
            path.write_text(json.dumps(manifests[split], indent=1))
    return manifests


def _identity(found: Survey, clips: Sequence[Clip]) -> dict[str, object]:
    return {
        "root": str(found.root.path.resolve()),
        "label_files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found.listing.files},
        "clips": len(clips),
        "num_classes": DATASETS[found.name].num_classes,
        "ids": hashlib.sha256("".join(f"{clip.id}\n" for clip in clips).encode(errors="surrogateescape")).hexdigest(),
        "fingerprint": fingerprint_of(clips, SALT, strict=False),
        "sample": [os.path.relpath(clips[i].path, found.root.path) for i in _spread(len(clips))],
    }


def _write_rows(path: Path, entries: Sequence[Entry]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(FIELDS)
        for entry in entries:
            probed = entry.probed
            size = (probed.frames, probed.height, probed.width)
            rows.writerow((entry.id, entry.path, *size, probed.duration or "", entry.label))


def read_index(folder: Path, root: Path | None = None) -> list[Clip]:
    """The clips of a folder's index; paths are relative to the root, by default the folder itself."""
    with (folder / "index.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [
            Clip(
                row["id"],
                (root or folder) / row["path"],
                int(row["frames"]),
                int(row["height"]),
                int(row["width"]),
                int(row["label"]),
            )
            for row in csv.DictReader(file)
        ]


def fingerprint_of(clips: Sequence[Clip], salt: str, strict: bool = True) -> str:
    """sha256 over ids, lengths and labels, and three decoded frames of each of some clips spread over the split.

    Raises:
        DecodeError: One of these clips is unreadable, and `strict`; otherwise it enters as unreadable.
    """
    digest = hashlib.sha256(salt.encode())
    for clip in clips:
        digest.update(f"{clip.id} {clip.frames} {clip.label}\n".encode(errors="surrogateescape"))
    for i in _spread(len(clips)):
        clip = clips[i]
        try:
            if not clip.frames:
                raise DecodeError(f"{clip.path}: unreadable")
            digest.update(read_frames(clip.path, [0, clip.frames // 2, clip.frames - 1]).tobytes())
        except DecodeError:
            if strict:
                raise
            digest.update(b"unreadable")
    return digest.hexdigest()


def _spread(clips: int) -> list[int]:
    """The places of at most SAMPLED_CLIPS of so many clips, spread over them."""
    return sorted({i * clips // SAMPLED_CLIPS for i in range(SAMPLED_CLIPS)})


def open_index(name: str, split: str) -> tuple[list[Clip], dict[str, object]]:
    """The clips of a prepared split, below the root as it is said now, and its manifest.

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
    return clips, manifest


def check_index(name: str, root: Root, manifest: Mapping[str, object]) -> None:
    """Whether the index of a split is of the present form, and of what is below the root: some clips are looked for.

    Raises:
        DataError: It is not; the message says what to do.
    """
    again = f"run: python -m benchmark data prepare {name}"
    if manifest.get("index") != INDEX:
        raise DataError(f"the index of {name} is of another version; {again}")
    sample = manifest["sample"]
    assert isinstance(sample, list)
    if not any((root.path / path).exists() for path in sample):
        raise DataError(
            f"{name} was prepared from {manifest['root']}; none of {len(sample)} of its clips that were looked for is"
            f" below {root.path}, which {root.said_in} names: say where they are now (is the disk mounted?), or {again}"
        )
