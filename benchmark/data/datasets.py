"""Data sets on disk: where they are, how they are prepared, and one way to read the clips of any of them.

A generated data set lies in `<data root>/<name>/<digest>/<split>/`: the clips, `index.csv` (id, path, frames, height,
width, label), `labels.txt` (class names by label) and, written last, `split.json` with the fingerprint. The digest
names the generator and the setting, so a changed generator never meets old clips.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decode import Frames, probe, read_frames
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.frame_store import ARRAY, FrameStore, build_store, open_store
from benchmark.data.motion_render import render, write_video
from benchmark.data.motionpairs import GENERATOR, SETTINGS, SPLITS, Setting, SplitName
from benchmark.data.parallel import by_batches
from benchmark.data.replacing import replacing
from benchmark.spec.datasets import DATASETS

Progress = Callable[[str, int, int], None]
"""Called with what is being done (`render motionpairs/train`), how many clips are done, and of how many."""

STORE_LIMIT = 2**30
"""Splits whose decoded frames take more bytes than this are decoded while training."""

FIELDS = ("id", "path", "frames", "height", "width", "label")
SAMPLED_CLIPS = 16
BATCH = 20
"""Clips that a worker process renders at a time."""


@dataclass(frozen=True)
class Clip:
    """A clip of a split; `frames` is its number of frames."""

    id: str
    path: Path
    frames: int
    height: int
    width: int
    label: int


@dataclass(frozen=True)
class Split:
    """The clips of one split, and their pixels."""

    name: str
    split: str
    clips: list[Clip]
    num_classes: int
    fingerprint: str
    store: FrameStore | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> Frames:
        """Frames of a clip by 0-based number, in the order given, (n, H, W, 3) uint8 RGB, stored or decoded.

        Raises DecodeError if the file cannot give them.
        """
        if self.store is not None:
            return self.store.read(clip, indices)
        return read_frames(self.clips[clip].path, indices)


def data_root() -> Path:
    """The folder of all data sets: the environment variable BENCHMARK_DATA, or `data` in the working directory."""
    return Path(os.environ.get("BENCHMARK_DATA") or "data")


def setting_of(name: str) -> Setting:
    """The setting of a generated data set. Raises DataError for any other name."""
    if name in SETTINGS:
        return SETTINGS[name]
    if name in DATASETS:
        raise DataError(
            f"{DATASETS[name].title} has no reader yet: only generated data sets do ({', '.join(SETTINGS)});"
            " use --protocol embedded"
        )
    raise DataError(f"unknown data set '{name}'; known: {', '.join(DATASETS)}")


def split_folder(setting: Setting, split: str) -> Path:
    """Where the clips of a split are."""
    return data_root() / setting.name / setting.digest / split


def _manifest(folder: Path) -> dict[str, object] | None:
    try:
        manifest: dict[str, object] = json.loads((folder / "split.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return manifest


def is_prepared(name: str | Setting) -> bool:
    """Whether both splits are complete. Reads two small files."""
    setting = name if isinstance(name, Setting) else setting_of(name)
    return all(_manifest(split_folder(setting, split)) is not None for split in SPLITS)


def prepare(
    name: str | Setting, workers: int | None = None, progress: Progress | None = None, store: bool = True
) -> None:
    """Renders what is missing of a generated data set, indexes it, and decodes small splits into their frame store.

    Clips that exist are kept, so an interrupted call continues where it stopped. `workers` processes render (default:
    the usable cores). Raises DataError for a data set that is not generated.
    """
    setting = name if isinstance(name, Setting) else setting_of(name)
    for split in SPLITS:
        folder = split_folder(setting, split)
        manifest = _manifest(folder)
        if manifest is None or len(list(folder.glob("[0-9]*.mp4"))) < setting.clips(split):
            folder.mkdir(parents=True, exist_ok=True)
            _render_missing(setting, split, folder, workers, progress)
            manifest = _write_index(setting, split, folder)
        fingerprint = str(manifest["fingerprint"])
        size = setting.clips(split) * setting.frames * setting.height * setting.width * 3
        if store and size <= STORE_LIMIT and open_store(folder, fingerprint) is None:
            clips = _read_index(folder)
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
        "fingerprint": fingerprint_of(_read_index(folder)),
    }
    with replacing(folder / "split.json") as path:
        path.write_text(json.dumps(manifest, indent=1))
    return manifest


def _read_index(folder: Path) -> list[Clip]:
    with (folder / "index.csv").open(newline="") as file:
        return [
            Clip(
                row["id"],
                folder / row["path"],
                int(row["frames"]),
                int(row["height"]),
                int(row["width"]),
                int(row["label"]),
            )
            for row in csv.DictReader(file)
        ]


def fingerprint_of(clips: list[Clip]) -> str:
    """sha256 over ids, lengths and labels, and three decoded frames of each of some clips spread over the split."""
    digest = hashlib.sha256(GENERATOR.encode())
    for clip in clips:
        digest.update(f"{clip.id} {clip.frames} {clip.label}\n".encode())
    for i in sorted({i * len(clips) // SAMPLED_CLIPS for i in range(SAMPLED_CLIPS)}):
        digest.update(read_frames(clips[i].path, [0, clips[i].frames // 2, clips[i].frames - 1]).tobytes())
    return digest.hexdigest()


def open_split(name: str | Setting, split: str) -> Split:
    """Opens a split of a prepared data set. Raises DataError, saying which command to run, if it is not there."""
    setting = name if isinstance(name, Setting) else setting_of(name)
    if split not in SPLITS:
        raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    folder = split_folder(setting, split)
    manifest = _manifest(folder)
    if manifest is None:
        raise DataError(
            f"{setting.name} is not prepared in {data_root()}; run: python -m benchmark data prepare {setting.name}"
        )
    fingerprint = str(manifest["fingerprint"])
    clips = _read_index(folder)
    if len(clips) != manifest["clips"]:
        raise DataError(
            f"{folder}/index.csv has {len(clips)} clips, not {manifest['clips']}; remove {folder} and prepare"
        )
    return Split(setting.name, split, clips, setting.num_classes, fingerprint, open_store(folder, fingerprint))


def check(name: str | Setting) -> list[str]:
    """What is wrong with a prepared data set, a line each. Every clip's packets are read, and a sample decoded."""
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
        if not problems and fingerprint_of(split.clips) != split.fingerprint:
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
    """One record per known data set: name, title, classes, sizes, state and, if prepared, path and bytes on disk."""
    records: list[dict[str, object]] = []
    for info in DATASETS.values():
        record: dict[str, object] = {
            "name": info.name,
            "title": info.title,
            "num_classes": info.num_classes,
            "train_clips": info.train_clips,
            "val_clips": info.val_clips,
            "state": "no reader in this build",
        }
        if info.name in SETTINGS:
            record["state"] = "prepared" if is_prepared(info.name) else "not prepared"
            folder = split_folder(SETTINGS[info.name], "train").parent
            if record["state"] == "prepared":
                record["path"] = str(folder)
                record["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                record["stored"] = all((folder / split / ARRAY).is_file() for split in SPLITS)
        records.append(record)
    return records
