"""The index of a data set that the user holds: which clips were found where, how long they are, and what is wrong.

`survey` reads the label files, looks for the clips and probes every one of them once; `write_index` records what it
found in `<data root>/<name>/<split>/`, never below the user's own root:

- `index.csv`: id, path (relative to the root), frames, height, width, duration (seconds; empty if the file does not
  say), label; a clip that is there but cannot be read has 0 frames, so that runs count it and never skip it silently;
- `labels.txt`: class names by label;
- `split.json`, written last: how many clips are published, listed, found and readable, the names of those that are not,
  checksums of the label files, a sha256 of the ids, and the fingerprint of ids, labels, lengths and sampled frames.

What a probe found is kept in `<data root>/<home>/probed.jsonl` with size and modification time of the file, so an
interrupted preparation goes on where it was, and the three splits of UCF101 probe their shared files once.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from benchmark.data.container import missing_bytes
from benchmark.data.decode import probe, read_frames
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.layouts.find import find_listing
from benchmark.data.layouts.listing import SPLITS, Listing
from benchmark.data.layouts.tree import Placed, place
from benchmark.data.manifest import data_root as data_root
from benchmark.data.manifest import index_folder as index_folder
from benchmark.data.manifest import read_manifest as read_manifest
from benchmark.data.parallel import by_batches, usable_cores
from benchmark.data.replacing import replacing
from benchmark.data.roots import Root, root_of
from benchmark.spec.datasets import DATASETS

Progress = Callable[[str, int, int], None]
"""Called with what is being done (`render motionpairs/train`), how many clips are done, and of how many."""

State = Literal["ok", "missing", "empty", "corrupt"]
Item = TypeVar("Item")
Result = TypeVar("Result")

INDEX = "index-2"
FIELDS = ("id", "path", "frames", "height", "width", "duration", "label")
NAMED = 20
"""Clips in several places that a record names: there may be as many as clips."""
SAMPLED_CLIPS = 16
BATCH = 16
"""Files that a worker process probes at a time."""
FEW = 0.8
"""Of the published clips: with fewer, where the published number is a round one, something is said."""
SHORTEST = 3
"""Frames that a segment needs: MBPM reads triples. Shorter clips repeat their last frame, and are listed as short."""


@dataclass(frozen=True)
class Clip:
    """A clip of a split; `frames` is its number of frames, 0 for one that was unreadable when it was indexed."""

    id: str
    path: Path
    frames: int
    height: int
    width: int
    label: int


@dataclass(frozen=True)
class Probed:
    """What one file, or folder of frames, was found to be; `duration` is in seconds, 0 if unknown.

    `reason`: why it is not ok. `partial`: of what can be read, why that is not all of it.
    """

    path: str
    size: int
    mtime: int
    state: State
    frames: int = 0
    height: int = 0
    width: int = 0
    duration: float = 0.0
    reason: str = ""
    partial: str = ""


@dataclass(frozen=True)
class Entry:
    """A listed clip and what was found of it; `path` is relative to the root."""

    id: str
    label: int
    path: str
    probed: Probed

    @property
    def state(self) -> State:
        """Whether it can be read, and why not."""
        return self.probed.state


@dataclass(frozen=True)
class SplitSurvey:
    """One split as listed and as found.

    `copies` names the clips that were found in more than one place, `folders` counts the clips by the folder that holds
    them (above their class folders).
    """

    split: str
    published: int
    entries: tuple[Entry, ...]
    duplicates: tuple[str, ...]
    disagreements: tuple[str, ...]
    copies: tuple[str, ...]
    folders: Mapping[str, int]

    def of_state(self, state: State) -> list[Entry]:
        """The entries that are in a state."""
        return [entry for entry in self.entries if entry.state == state]

    @property
    def short(self) -> list[Entry]:
        """Readable clips of fewer than SHORTEST frames."""
        return [entry for entry in self.of_state("ok") if entry.probed.frames < SHORTEST]


@dataclass(frozen=True)
class Survey:
    """A data set as it lies on the disk. `problems` are those of no single clip."""

    name: str
    root: Root
    listing: Listing
    splits: Mapping[str, SplitSurvey]
    problems: tuple[str, ...]


class FileLog:
    """Records of files, a JSON line each, appended as they come; a line that a kill cut short is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Probed]:
        """The last record of every file."""
        found: dict[str, Probed] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return found
        for line in text.splitlines():
            try:
                record = Probed(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue
            found[record.path] = record
        return found

    def add(self, records: Sequence[Probed]) -> None:
        """Append records, whole lines at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
        with self.path.open("a", encoding="utf-8") as file:
            if file.tell() and not _ends_a_line(self.path):
                lines = "\n" + lines
            file.write(lines)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def survey(name: str, workers: int | None = None, progress: Progress | None = None) -> Survey:
    """Reads the label files of a data set, finds its clips, and probes those that have not been.

    Args:
        name: A data set that is not generated.
        workers: Processes that probe; default: the usable cores.
        progress: Told what is being done and how far it is.

    Raises:
        DataError: No root, no label files, or damaged ones; the message says what to do.
    """
    root, info = root_of(name), DATASETS[name]
    listing = find_listing(name, root)
    placed, denied = place(root.path, listing, partial(progress, f"find {name}") if progress else None)
    paths = sorted({one.places[0] for clips in placed.values() for one in clips if one.places})
    if not paths:
        example = next(iter(listing.splits["train"]))
        raise DataError(
            f"none of the {sum(map(len, listing.splits.values()))} clips of {info.title} is below {root.path}; the"
            f" first would be a file or a folder of frames named {' or '.join(example.names)}. The root comes from"
            f" {root.said_in}"
        )
    told = partial(progress, f"probe {name}") if progress else None
    log = FileLog(data_root() / info.root_name / "probed.jsonl")
    found = examine(root.path, paths, log, probe_file, workers, told)
    others = {
        path
        for clips in placed.values()
        for one in clips
        if len(one.places) > 1 and found[one.places[0]].state != "ok"
        for path in one.places[1:]
    }
    found |= examine(root.path, sorted(others - found.keys()), log, probe_file, workers, None)
    splits = {split: _split_survey(name, split, listing, placed[split], found) for split in SPLITS}
    problems = [f"cannot be listed: {line}" for line in denied]
    if len(listing.classes) < info.num_classes and listing.layout != "frame lists":
        problems.append(
            f"the label files name {len(listing.classes)} classes, {info.title} has {info.num_classes}: labels may be"
            " others than elsewhere"
        )
    for split, clips in listing.splits.items():
        if not info.exact and len(clips) < FEW * info.published(split):
            listed, published = f"{len(clips):,}", f"{info.published(split):,}"
            problems.append(f"{split}: the label files list {listed} clips, of the {published} of {info.title}")
    return Survey(name, root, listing, splits, tuple(problems))


def _split_survey(
    name: str, split: str, listing: Listing, placed: Sequence[Placed], found: Mapping[str, Probed]
) -> SplitSurvey:
    entries: list[Entry] = []
    disagreements = list(listing.disagreements.get(split, ()))
    for one in sorted(placed, key=lambda one: one.clip.id):
        readable = [path for path in one.places if path in found and found[path].state == "ok"]
        path = next(iter(readable or one.places), "")
        probed = found[path] if path else Probed("", 0, 0, "missing", reason="no such file")
        entries.append(Entry(one.clip.id, one.clip.label, path, probed))
        if one.disagreement:
            disagreements.append(one.disagreement)
        # Of a video, decoders give a frame more or less than the list's author had extracted.
        if one.clip.frames and probed.size < 0 and probed.frames and one.clip.frames != probed.frames:
            disagreements.append(f"{one.clip.id}: {one.clip.frames} frames listed, the folder has {probed.frames}")
    return SplitSurvey(
        split,
        DATASETS[name].published(split),
        tuple(entries),
        tuple(listing.duplicates.get(split, ())),
        tuple(disagreements),
        tuple(f"{one.clip.id}: {', '.join(one.places)}" for one in placed if len(one.places) > 1),
        dict(Counter(one.folder for one in placed if one.places).most_common()),
    )


Examine = Callable[[Path, str, "Probed | None"], "Probed | None"]
"""From a root, a path relative to it and what is known of it to what it is now; None where that is still true."""


def examine(
    root: Path,
    paths: Sequence[str],
    log: FileLog,
    one: Examine,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Probed]:
    """Examines files in parallel, those that the log knows only as far as to see that they are the same.

    Failures are always tried again: a disk may have been away, or a machine too busy for a time limit.
    """
    known = {path: record for path, record in log.read().items() if record.state == "ok"}
    found: dict[str, Probed] = {}
    items = [(path, known.get(path)) for path in paths]
    for batch, results in surviving(partial(_examine_batch, one, root), items, BATCH, workers):
        fresh = results if results is not None else [Probed(batch[0][0], 0, 0, "corrupt", reason=CRASHED)]
        for (path, before), now in zip(batch, fresh, strict=True):
            record = now or before
            assert record is not None
            found[path] = record
        log.add([record for record in fresh if record is not None])
        if progress is not None:
            progress(len(found), len(items))
    return found


OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
CRASHED = "the decoder crashed on it; copy it again"


def _examine_batch(one: Examine, root: Path, items: Sequence[tuple[str, Probed | None]]) -> list[Probed | None]:
    return [one(root, path, known) for path, known in items]


def surviving(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int, workers: int | None
) -> Iterator[tuple[Sequence[Item], Result | None]]:
    """As `by_batches`, but an item on which a worker process dies costs only itself: it comes alone, with None.

    (Where there is one batch or one worker, this process does the work and nothing stands between it and a crash.)
    """
    remaining = list(items)
    while remaining:
        finished: set[int] = set()
        place_of = {id(item): i for i, item in enumerate(remaining)}
        try:
            for batch, result in by_batches(work, remaining, size, workers):
                finished.update(place_of[id(item)] for item in batch)
                yield batch, result
            return
        except BrokenProcessPool:
            left = [item for i, item in enumerate(remaining) if i not in finished]
        # The culprit is among the first that were not done: batches are begun in order.
        suspects = (workers or usable_cores()) * 2 * size
        yield from _one_by_one(work, left[:suspects])
        remaining = left[suspects:]


def _one_by_one(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item]
) -> Iterator[tuple[Sequence[Item], Result | None]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context)
    try:
        for item in items:
            try:
                result: Result | None = pool.submit(work, [item]).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool, result = ProcessPoolExecutor(1, mp_context=context), None
            yield [item], result
    finally:
        pool.shutdown()


def probe_file(root: Path, relative: str, known: Probed | None) -> Probed | None:
    """Frames, size and duration of a file or a folder of frames; None where it is as it was.

    Raises OSError only where this process is out of files or memory, which is not the file's fault.
    The recorded size of a folder is -1: it is known by its modification time, which adding or removing frames changes.
    """
    path = root / relative
    try:
        status = path.stat()
        is_folder = path.is_dir()
        size, mtime = -1 if is_folder else status.st_size, status.st_mtime_ns
        if known is not None and (known.size, known.mtime) == (size, mtime):
            return None
        if size == 0:
            return Probed(relative, size, mtime, "empty", reason="zero bytes")
        if is_folder and not any(path.iterdir()):
            return Probed(relative, size, mtime, "empty", reason="no frames in the folder")
        info = probe(path)
        partial = "" if is_folder else cut_short(path)
    except FileNotFoundError:
        return Probed(relative, 0, 0, "missing", reason="a link to nothing")
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        return Probed(relative, 0, 0, "corrupt", reason=f"cannot be opened ({error.strerror})")
    except DecodeError as error:
        return Probed(relative, size, mtime, "corrupt", reason=without_path(error, path))
    except Exception as error:  # one file must not keep all others from being examined
        return Probed(relative, size, mtime, "corrupt", reason=unforeseen(error))
    seconds = round(info.seconds, 3)
    return Probed(relative, size, mtime, "ok", info.frames, info.height, info.width, seconds, partial=partial)


def unforeseen(error: Exception) -> str:
    """What to say of a file at which the reader failed in a way that it does not know."""
    return f"the reader failed at it ({type(error).__name__}: {error}); please report it with the file"


def cut_short(path: Path) -> str:
    """What to say of a video file that has fewer bytes than its container says; nothing of others."""
    missing = missing_bytes(path)
    return f"cut short: {missing:,} bytes less than its container says" if missing > 0 else ""


def without_path(error: DecodeError, path: Path) -> str:
    """An error's text without the path that it begins with: lists name the clip already."""
    return str(error).removeprefix(f"{path}: ")


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
        problems = {"problems": list(found.problems)}
        manifests[split] = {"index": INDEX, **summary(found, split), **problems, **_identity(found, clips)}
        with replacing(folder / "split.json") as path:
            path.write_text(json.dumps(manifests[split], indent=1))
    return manifests


def summary(found: Survey, split: str) -> dict[str, object]:
    """Counts of a split, and the names behind them, as plain data."""
    of_split = found.splits[split]
    listed, missing = len(of_split.entries), of_split.of_state("missing")
    broken = {entry.id: entry.probed.reason for entry in of_split.of_state("corrupt")}
    return {
        "layout": found.listing.layout,
        "published": of_split.published,
        "listed": listed,
        "found": listed - len(missing),
        "readable": len(of_split.of_state("ok")),
        "missing": [entry.id for entry in missing],
        "empty": [entry.id for entry in of_split.of_state("empty")],
        "corrupt": broken,
        "partial": {entry.id: text for entry in of_split.entries if (text := entry.probed.partial)},
        "short": [entry.id for entry in of_split.short],
        "duplicates": list(of_split.duplicates),
        "disagreements": list(of_split.disagreements),
        "copies": len(of_split.copies),
        "copied": list(of_split.copies[:NAMED]),
        "folders": dict(of_split.folders),
    }


def _identity(found: Survey, clips: Sequence[Clip]) -> dict[str, object]:
    return {
        "root": str(found.root.path.resolve()),
        "label_files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found.listing.files},
        "clips": len(clips),
        "num_classes": DATASETS[found.name].num_classes,
        "ids": hashlib.sha256("".join(f"{clip.id}\n" for clip in clips).encode(errors="surrogateescape")).hexdigest(),
        "fingerprint": fingerprint_of(clips, INDEX, strict=False),
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
