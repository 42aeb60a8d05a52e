"""The census of a data set that the user holds: what should be there, what is, and what is wrong with it.

`take` compares each split's published, listed and found clips and names those that are missing, empty (zero bytes),
corrupt (not to be opened or, where they are or have been decoded, not to be decoded to their end), there in part (cut
short, or damaged within: decode/container.py), of several sizes where they have been decoded, short (fewer
frames than the triple that a segment needs), listed twice, or labelled differently in two places. Its notes say how
what is unusual was understood, and are no damage. It works before and after `data prepare`; afterwards it also says
where the index is no longer true. Where its records must not be written, it is taken all the same and says so.

Decoding every file takes hours for Kinetics: it is spread over processes and recorded in
`<data root>/<home>/decoded.jsonl` with each file's size and modification time, so an interrupted census goes on and a
later one decodes only what has changed. A run that refuses unreadable clips looks there before it trains. Frames come
out at 16 x 16 pixels, which decodes all and holds little.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.data.datasets import Split
from benchmark.data.decode.container import complaints, missing_seconds
from benchmark.data.decode.video import probe, read_frames
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.indexing.index import read_index
from benchmark.data.indexing.probing import (
    OUT_OF_RESOURCES,
    FileLog,
    Probed,
    cut_short,
    examine,
    unforeseen,
    without_path,
)
from benchmark.data.indexing.survey import Entry, Progress, Survey, summary, survey
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.manifest import data_root, index_folder, read_manifest
from benchmark.data.roots import root_of

DECODED = "decoded.jsonl"
SIDE = 16
CHUNK = 2048
"""Frames that are decoded into memory at once: more than a clip has, but a wrong file may be a film."""
KINDS = ("missing", "empty", "corrupt", "partial", "resized", "short", "duplicates", "disagreements")
"""What damage a split may have, by key of its record."""


@dataclass(frozen=True)
class Census:
    """What was found of a data set: a record per split (`survey.summary`), and problems and notes of no single clip."""

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


def take(
    name: str,
    full: bool = False,
    splits: Sequence[str] = SPLITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Census:
    """The census of some splits of a data set.

    Args:
        name: A data set that is not generated.
        full: Decode every file that can be opened.
        splits: Which.
        workers: Processes; default: the usable cores.
        progress: Told what is being done and how far it is.

    Raises:
        DataError: As `survey.survey`, and for an unknown split.
    """
    for split in splits:
        if split not in SPLITS:
            raise DataError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
    found = survey(name, workers, progress)
    if full:
        found = _decoded(found, splits, workers, progress)
    else:
        found = _with_records(found, splits, _known_damage(name, found.root.path))
    records = {split: summary(found, split) for split in splits}
    problems = [*found.problems, *(line for split in splits for line in _sizes(found, split))]
    problems += [line for split in splits for line in _against_index(found, split)]
    return Census(
        name,
        DATASETS[name].title,
        str(found.root.path),
        found.listing.layout,
        full,
        records,
        tuple(problems),
        found.notes,
    )


def _sizes(found: Survey, split: str) -> list[str]:
    """A split whose label files have another number of clips than was published, where that is exact."""
    info, listed = DATASETS[found.name], len(found.splits[split].entries)
    if not info.exact or listed == info.published(split):
        return []
    return [f"{split}: the label files list {listed:,} clips, {info.title} has {info.published(split):,}"]


def _against_index(found: Survey, split: str) -> list[str]:
    """What has changed since the data set was prepared; nothing if it has not been."""
    folder = index_folder(found.name, split)
    if read_manifest(folder) is None:
        return []
    indexed = {clip.id: clip for clip in read_index(folder, found.root.path)}
    there = {entry.id: entry for entry in found.splits[split].entries if entry.state != "missing"}
    again = f"run: python -m benchmark data prepare {found.name}"
    lines: list[str] = []
    gone, new = indexed.keys() - there.keys(), there.keys() - indexed.keys()
    if gone or new:
        lines.append(f"{split}: since the index was written {len(gone)} clips went and {len(new)} came; {again}")
    changed = [
        id
        for id, clip in indexed.items()
        if id in there
        and (clip.frames, clip.label, clip.path)
        != (
            there[id].probed.frames if there[id].state == "ok" or not clip.frames else clip.frames,
            there[id].label,
            found.root.path / there[id].path,
        )
    ]
    if changed:
        lines.append(f"{split}: {len(changed)} clips are not what the index says, such as {min(changed)}; {again}")
    return lines


def _decoded(found: Survey, splits: Sequence[str], workers: int | None, progress: Progress | None) -> Survey:
    """The survey with what decoding every readable file has shown."""
    readable = {e.path for split in splits for e in found.splits[split].of_state("ok")}
    log = FileLog(data_root() / DATASETS[found.name].root_name / DECODED)
    told = partial(progress, f"decode {found.name}") if progress else None
    results = examine(found.root.path, sorted(readable), log, decode_file, workers, told)
    if log.unwritten:
        found = replace(found, notes=(*found.notes, f"what decoding found is {log.unwritten}"))
    return _with_records(found, splits, {found.root.path / path: record for path, record in results.items()})


def _with_records(found: Survey, splits: Sequence[str], decoded: Mapping[Path, Probed]) -> Survey:
    """The survey with what decoding has shown of files that can be opened."""

    def known(entry: Entry) -> Entry:
        record = decoded.get(found.root.path / entry.path) if entry.state == "ok" else None
        if record is None or record.state != "ok":
            return entry if record is None else replace(entry, probed=record)
        partial = entry.probed.partial or record.partial
        return replace(entry, probed=replace(entry.probed, partial=partial, resized=record.resized))

    changed = {split: replace(one, entries=tuple(map(known, one.entries))) for split, one in found.splits.items()}
    return replace(found, splits={**found.splits, **{split: changed[split] for split in splits}})


def known_damage(split: Split) -> set[str]:
    """Ids of a split's clips that a full census could not decode and that are what they were then."""
    if DATASETS[split.name].generated:
        return set()
    records = _known_damage(split.name, root_of(split.name).path)
    return {clip.id for clip in split.clips if clip.path in records and records[clip.path].state != "ok"}


def _known_damage(name: str, root: Path) -> dict[Path, Probed]:
    """What earlier full censuses found wrong, by file, as far as it is what it was then. Decodes nothing."""
    log = FileLog(data_root() / DATASETS[name].root_name / DECODED).read()
    found = {
        root / path: record for path, record in log.items() if record.state != "ok" or record.partial or record.resized
    }
    return {path: record for path, record in found.items() if not _replaced(path, record)}


def _replaced(path: Path, record: Probed) -> bool:
    try:
        return _stamp(path) != (record.size, record.mtime)
    except OSError:
        return False


def decode_file(root: Path, relative: str, known: Probed | None) -> Probed | None:
    """Decodes all frames of a file or a folder of frames; None where that has been done.

    Of a folder, size and time are those of its files: the sum, and the latest. Raises OSError as `probing.probe_file`.
    """
    path = root / relative
    size, mtime = 0, 0
    try:
        size, mtime = _stamp(path)
        if known is not None and (known.size, known.mtime) == (size, mtime):
            return None
        info, sizes = probe(path), dict[int, tuple[int, int]]()
        with _stderr_lines() if path.is_dir() else nullcontext(list[str]()) as said:
            for start in range(0, info.frames, CHUNK):
                read_frames(path, range(start, min(start + CHUNK, info.frames)), SIDE, SIDE, sizes=sizes)
        if path.is_dir() and (garbled := [line for line in said if "Corrupt JPEG data" in line]):
            # libjpeg goes on with what it can guess.
            raise DecodeError(f"{path}: a frame is damaged ({garbled[0].strip()}); extract the video again")
        partial = "" if path.is_dir() else _less_than_all(path)
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        return Probed(relative, size, mtime, "corrupt", reason=f"cannot be opened ({error.strerror})")
    except DecodeError as error:
        return Probed(relative, size, mtime, "corrupt", reason=without_path(error, path))
    except Exception as error:  # one file must not keep all others from being examined
        return Probed(relative, size, mtime, "corrupt", reason=unforeseen(error))
    length = (info.frames, info.height, info.width)
    return Probed(relative, size, mtime, "ok", *length, partial=partial, resized=_resized(sizes))


def _resized(sizes: Mapping[int, tuple[int, int]]) -> str:
    """`64x48, from frame 12 32x24`: a video's sizes, width first, where there is more than one."""
    said: list[str] = []
    for before, index in pairwise(sorted(sizes)):
        if sizes[index] != sizes[before]:
            said.append(f"from frame {index} {sizes[index][1]}x{sizes[index][0]}")
    if not said:
        return ""
    height, width = sizes[min(sizes)]
    more = f" and {len(said) - 3} more changes" if len(said) > 3 else ""
    return f"{width}x{height}, {', '.join(said[:3])}{more}; all are scaled to one size"


def _less_than_all(path: Path) -> str:
    """Signs that a video file, all of whose packets decode, lacks some: it is cut short, or its demuxer complains.

    Damage within the packets of HEVC, VP8, VP9 and MPEG-4 may still decode to something, and shows in no way.
    """
    if text := cut_short(path):
        return text
    with complaints() as said:
        seconds = missing_seconds(path)
    if seconds:
        return f"cut short: it ends {seconds:.1f} s earlier than its container says"
    return cut_short(path, said)


@contextmanager
def _stderr_lines() -> Iterator[list[str]]:
    """What libraries write to the standard error in the block, instead of there; filled when it ends."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _stamp(path: Path) -> tuple[int, int]:
    """What tells a file, or the files of a folder, from others: their size and when they were last changed."""
    status = path.stat()
    if not path.is_dir():
        return status.st_size, status.st_mtime_ns
    with os.scandir(path) as entries:
        inside = [entry.stat() for entry in entries if entry.is_file()]  # not a link to nothing
    return sum(one.st_size for one in inside), max((one.st_mtime_ns for one in inside), default=status.st_mtime_ns)
