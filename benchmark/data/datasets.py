"""Data sets on disk: where they are, how they are prepared, and one way to read the clips of any of them.

A generated data set lies in `<data root>/<name>/<digest>/<split>/`: the clips, `index.csv` (id, path, frames, height,
width, label), `labels.txt` (class names by label) and, written last, `split.json` with the fingerprint. The digest
names the generator and the setting, so a changed generator never meets old clips.

A data set that the user holds stays where it is (`benchmark.data.roots`); `<data root>/<name>/<split>/` has its index
(`benchmark.data.indexing.index`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS, DatasetInfo
from benchmark.data.decode.video import Frames, probe, read_frames
from benchmark.data.embedded.motionpairs import GENERATOR, SETTINGS, SPLITS, Setting, SplitName
from benchmark.data.embedded.render import render, write_video
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.frame_store import ARRAY, FrameStore, build_store, open_store
from benchmark.data.indexing.index import SAMPLED_CLIPS as SAMPLED_CLIPS
from benchmark.data.indexing.index import Clip as Clip
from benchmark.data.indexing.index import check_index, fingerprint_of, open_index, read_index, write_index
from benchmark.data.indexing.survey import Progress as Progress
from benchmark.data.indexing.survey import survey
from benchmark.data.layouts.find import find_listing
from benchmark.data.manifest import data_root as data_root
from benchmark.data.manifest import index_folder, read_manifest
from benchmark.data.parallel import by_batches
from benchmark.data.roots import find_root, variable_of
from benchmark.runs.atomic import replacing

STORE_LIMIT = 2**30
"""Splits whose decoded frames take more bytes than this are decoded while training."""

FIELDS = ("id", "path", "frames", "height", "width", "label")
BATCH = 20
"""Clips that a worker process renders at a time."""


@dataclass(frozen=True)
class Split:
    """The clips of one split, and their pixels.

    Attributes:
        classes: Class names by label.
        folder: Where what is computed from the split is kept; never below a user's root.
        missing: Clips that the label files list and the disk does not have.
    """

    name: str
    split: str
    clips: list[Clip]
    num_classes: int
    fingerprint: str
    store: FrameStore | None = field(default=None, repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    folder: Path | None = None
    missing: int = 0

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
        """Frames of a clip by 0-based number, in the order given, (n, H, W, 3) uint8 RGB, stored or decoded.

        Raises DecodeError if the file cannot give them, or could not when the split was indexed.
        """
        entry = self.clips[clip]
        if not entry.frames:
            raise DecodeError(f"{entry.path}: was unreadable when it was indexed; copy it again and prepare")
        if self.store is not None:
            return self.store.read(clip, indices)
        return read_frames(entry.path, indices)


def setting_of(name: str) -> Setting:
    """The setting of a generated data set. Raises DataError for any other name."""
    if name in SETTINGS:
        return SETTINGS[name]
    if name in DATASETS:
        raise DataError(f"{DATASETS[name].title} is not generated: only {', '.join(SETTINGS)} are")
    raise DataError(f"unknown data set '{name}'; known: {', '.join(DATASETS)}")


def _is_held(name: str | Setting) -> bool:
    """Whether a data set is one of the papers', which the user holds."""
    return isinstance(name, str) and name in DATASETS and not DATASETS[name].generated


def split_folder(setting: Setting, split: str) -> Path:
    """Where the clips of a split are."""
    return data_root() / setting.name / setting.digest / split


def is_prepared(name: str | Setting) -> bool:
    """Whether both splits are complete. Reads two small files."""
    if _is_held(name):
        return all(read_manifest(index_folder(str(name), split)) is not None for split in SPLITS)
    setting = name if isinstance(name, Setting) else setting_of(name)
    return all(read_manifest(split_folder(setting, split)) is not None for split in SPLITS)


def prepare(
    name: str | Setting, workers: int | None = None, progress: Progress | None = None, store: bool = True
) -> None:
    """Makes a data set ready for `open_split`: renders a generated one, finds and indexes one that the user holds.

    Of a generated one, what is missing is rendered and indexed, and small splits are decoded into their frame store.
    What exists is kept, so an interrupted call continues where it stopped. `workers` processes render or probe
    (default: the usable cores). Raises DataError, saying what to do, where a user's files are not found.
    """
    if _is_held(name):
        write_index(survey(str(name), workers, progress))
        return
    setting = name if isinstance(name, Setting) else setting_of(name)
    for split in SPLITS:
        folder = split_folder(setting, split)
        manifest = read_manifest(folder)
        if manifest is None or len(list(folder.glob("[0-9]*.mp4"))) < setting.clips(split):
            folder.mkdir(parents=True, exist_ok=True)
            _render_missing(setting, split, folder, workers, progress)
            manifest = _write_index(setting, split, folder)
        fingerprint = str(manifest["fingerprint"])
        size = setting.clips(split) * setting.frames * setting.height * setting.width * 3
        if store and size <= STORE_LIMIT and open_store(folder, fingerprint) is None:
            clips = read_index(folder)
            told = None if progress is None else _told(progress, f"decode {setting.name}/{split}")
            paths, frames = [clip.path for clip in clips], [clip.frames for clip in clips]
            build_store(folder, fingerprint, paths, frames, setting.height, setting.width, told)


def _told(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)


def _clip_id(index: int) -> str:
    return f"{index:06d}"


def _render_one(setting: Setting, split: SplitName, index: int, folder: Path) -> None:
    write_video(render(setting, split, index), folder / f"{_clip_id(index)}.mp4")


def _render_batch(setting: Setting, split: SplitName, folder: Path, indices: Sequence[int]) -> None:
    for index in indices:
        _render_one(setting, split, index, folder)


def _render_missing(
    setting: Setting, split: SplitName, folder: Path, workers: int | None, progress: Progress | None
) -> None:
    total = setting.clips(split)
    present = {path.stem for path in folder.glob("[0-9]*.mp4")}
    missing = [i for i in range(total) if _clip_id(i) not in present]
    done = total - len(missing)
    for batch, _ in by_batches(partial(_render_batch, setting, split, folder), missing, BATCH, workers):
        done += len(batch)
        if progress is not None:
            progress(f"render {setting.name}/{split}", done, total)


def _write_index(setting: Setting, split: SplitName, folder: Path) -> dict[str, object]:
    lines = [",".join(FIELDS)]
    for i in range(setting.clips(split)):
        name = _clip_id(i)
        size = f"{setting.frames},{setting.height},{setting.width}"
        lines.append(f"{name},{name}.mp4,{size},{setting.label(i)}")
    with replacing(folder / "index.csv") as path:
        path.write_text("\n".join(lines) + "\n")
    with replacing(folder / "labels.txt") as path:
        path.write_text("".join(f"{motion.name}\n" for motion in setting.motions))
    manifest: dict[str, object] = {
        "generator": GENERATOR,
        "clips": setting.clips(split),
        "num_classes": setting.num_classes,
        "fingerprint": fingerprint_of(read_index(folder), GENERATOR),
    }
    with replacing(folder / "split.json") as path:
        path.write_text(json.dumps(manifest, indent=1))
    return manifest


def open_split(name: str | Setting, split: str) -> Split:
    """Opens a split of a prepared data set. Raises DataError, saying what to do, if it is not there."""
    if _is_held(name):
        return _open_held(str(name), split)
    setting = name if isinstance(name, Setting) else setting_of(name)
    if split not in SPLITS:
        raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    folder = split_folder(setting, split)
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(
            f"{setting.name} is not prepared in {data_root()}; run: python -m benchmark data prepare {setting.name}"
        )
    fingerprint = str(manifest["fingerprint"])
    clips = read_index(folder)
    if len(clips) != manifest["clips"]:
        raise DataError(
            f"{folder}/index.csv has {len(clips)} clips, not {manifest['clips']}; remove {folder} and prepare"
        )
    classes = tuple(motion.name for motion in setting.motions)
    store = open_store(folder, fingerprint)
    return Split(setting.name, split, clips, setting.num_classes, fingerprint, store, classes, folder)


def _open_held(name: str, split: str) -> Split:
    if split not in SPLITS:
        raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    clips, manifest = open_index(name, split)
    folder, missing = index_folder(name, split), manifest["missing"]
    classes = tuple((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
    assert isinstance(missing, list)
    return Split(
        name,
        split,
        clips,
        DATASETS[name].num_classes,
        str(manifest["fingerprint"]),
        classes=classes,
        folder=folder,
        missing=len(missing),
    )


def check(name: str | Setting) -> list[str]:
    """What is wrong with a generated data set, a line each. Every clip's packets are read, and a sample decoded."""
    setting = name if isinstance(name, Setting) else setting_of(name)
    found: list[str] = []
    for split_name in SPLITS:
        split, problems = open_split(setting, split_name), list[str]()
        for clip in split.clips:
            try:
                info = probe(clip.path)
            except DecodeError as error:
                problems.append(str(error))
                continue
            if (info.frames, info.height, info.width) != (clip.frames, clip.height, clip.width):
                problems.append(f"{clip.path}: {info.frames} frames of {info.height} x {info.width}, the index differs")
        if not problems and fingerprint_of(split.clips, GENERATOR) != split.fingerprint:
            problems.append(f"{split.name}/{split.split}: the frames differ from those of the recorded fingerprint")
        if not problems and split.store is not None:
            last = len(split.clips) - 1
            for i in {0, last // 2, last}:
                every = range(split.clips[i].frames)
                if not np.array_equal(split.store.read(i, every), read_frames(split.clips[i].path, every)):
                    problems.append(
                        f"{split.clips[i].path}: the stored frames differ from the file's; remove frames.json"
                    )
        found += problems
    return found


def describe() -> list[dict[str, object]]:
    """One record per known data set: name, title, classes, sizes, state and, if prepared, path and what is there.

    `state` is "prepared", "not prepared", "prepare again" (the index is not of what is there), "no root" or "root
    unusable"; an `error` says what is wrong.
    """
    records: list[dict[str, object]] = []
    for info in DATASETS.values():
        record: dict[str, object] = {
            "name": info.name,
            "title": info.title,
            "num_classes": info.num_classes,
            "train_clips": info.train_clips,
            "val_clips": info.val_clips,
            "state": "prepared" if is_prepared(info.name) else "not prepared",
        }
        if info.generated:
            folder = split_folder(SETTINGS[info.name], "train").parent
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
    record: dict[str, object] = {"path": str(root.path), "labels": str(root.labels), "said_in": root.said_in}
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
