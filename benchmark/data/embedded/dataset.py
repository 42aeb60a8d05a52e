"""Generated data sets on the disk: rendered, indexed and decoded into a frame store once, and then opened.

A data set lies in `<data root>/<name>/<digest>/<split>/`: the clips, `index.csv` (id, path, frames, height, width,
label), `labels.txt` (class names by label) and, written last, `split.json` with the fingerprint. The digest names the
generator and the setting, so a changed generator never meets old clips.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.data.decode.video import probe, read_frames
from benchmark.data.embedded import graded
from benchmark.data.embedded.motionpairs import SETTINGS, SPLITS, Setting, SplitName
from benchmark.data.embedded.render import render, write_video
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.frame_store import STORE_LIMIT, build_store, open_store
from benchmark.data.manifest import read_manifest
from benchmark.data.parallel import by_batches
from benchmark.data.split import Progress, Split, fingerprint_of, read_index
from benchmark.runs.atomic import atomic_path

FIELDS = ("id", "path", "frames", "height", "width", "label")
Generated = Setting | graded.GradedSetting
"""A data set that is made here."""
BATCH = 20
"""Clips that a worker process renders at a time."""


def setting_of(name: str) -> Generated:
    """The setting of a generated data set. Raises DataError for any other name."""
    settings: dict[str, Generated] = {**SETTINGS, **graded.GRADED}
    if name in settings:
        return settings[name]
    if name in DATASETS:
        raise DataError(f"{DATASETS[name].title} is not generated: only {', '.join(settings)} are")
    raise DataError(f"unknown data set '{name}'; known: {', '.join(DATASETS)}")


def split_folder(setting: Generated, split: str) -> Path:
    """Where the clips of a split are."""
    return data_root() / setting.name / setting.digest / split


def is_generated(setting: Generated) -> bool:
    """Whether both splits are complete."""
    return all(read_manifest(split_folder(setting, split)) is not None for split in SPLITS)


def generate(setting: Generated, workers: int | None, progress: Progress | None, store: bool = True) -> None:
    """Renders and indexes what is missing of a data set, and decodes small splits into their frame store.

    What exists is kept, so an interrupted call continues where it stopped.
    """
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
            told = None if progress is None else partial(progress, f"decode {setting.name}/{split}")
            paths, frames = [clip.path for clip in clips], [clip.frames for clip in clips]
            build_store(folder, fingerprint, paths, frames, setting.height, setting.width, told)


def _clip_id(index: int) -> str:
    return f"{index:06d}"


def _render_one(setting: Generated, split: SplitName, index: int, folder: Path) -> None:
    if isinstance(setting, graded.GradedSetting):
        frames = graded.render(setting, split, index)
    else:
        frames = render(setting, split, index)
    write_video(frames, folder / f"{_clip_id(index)}.mp4")


def _render_batch(setting: Generated, split: SplitName, folder: Path, indices: Sequence[int]) -> None:
    for index in indices:
        _render_one(setting, split, index, folder)


def _render_missing(
    setting: Generated, split: SplitName, folder: Path, workers: int | None, progress: Progress | None
) -> None:
    total = setting.clips(split)
    present = {path.stem for path in folder.glob("[0-9]*.mp4")}
    missing = [i for i in range(total) if _clip_id(i) not in present]
    done = total - len(missing)
    for batch, _ in by_batches(partial(_render_batch, setting, split, folder), missing, BATCH, workers):
        done += len(batch)
        if progress is not None:
            progress(f"render {setting.name}/{split}", done, total)


def _write_index(setting: Generated, split: SplitName, folder: Path) -> dict[str, object]:
    lines = [",".join(FIELDS)]
    for i in range(setting.clips(split)):
        name = _clip_id(i)
        size = f"{setting.frames},{setting.height},{setting.width}"
        lines.append(f"{name},{name}.mp4,{size},{setting.label(i)}")
    with atomic_path(folder / "index.csv") as path:
        path.write_text("\n".join(lines) + "\n")
    with atomic_path(folder / "labels.txt") as path:
        path.write_text("".join(f"{name}\n" for name in setting.class_names))
    manifest: dict[str, object] = {
        "generator": setting.generator,
        "clips": setting.clips(split),
        "num_classes": setting.num_classes,
        "fingerprint": fingerprint_of(read_index(folder), setting.generator),
    }
    with atomic_path(folder / "split.json") as path:
        path.write_text(json.dumps(manifest, indent=1))
    return manifest


def open_generated(setting: Generated, split: str) -> Split:
    """Opens a split. Raises DataError, saying what to do, if it is not complete."""
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
    store = open_store(folder, fingerprint)
    return Split(setting.name, split, clips, setting.num_classes, fingerprint, store, setting.class_names, folder)


def check_generated(setting: Generated) -> list[str]:
    """What is wrong with a generated data set, a line each. Every clip's packets are read, and a sample decoded."""
    found: list[str] = []
    for split_name in SPLITS:
        split, problems = open_generated(setting, split_name), list[str]()
        for clip in split.clips:
            try:
                info = probe(clip.path)
            except DecodeError as error:
                problems.append(str(error))
                continue
            if (info.frames, info.height, info.width) != (clip.frames, clip.height, clip.width):
                problems.append(f"{clip.path}: {info.frames} frames of {info.height} x {info.width}, the index differs")
        if not problems and fingerprint_of(split.clips, setting.generator) != split.fingerprint:
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
