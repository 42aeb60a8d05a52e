"""Scans a data set that the user holds: what its label files list, compared with what lies on the disk.

`scan_dataset` reads the label files, locates the clips and probes each of them once. What it finds is logged in
`<data root>/<home>/probed.jsonl`, so that an interrupted preparation goes on where it was, and the three splits of
UCF101 probe their shared files once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.data.errors import DataError
from benchmark.data.indexing.examine import examine
from benchmark.data.indexing.file_log import FileLog, FileRecord, State
from benchmark.data.indexing.locate import LocatedClip, locate_clips
from benchmark.data.indexing.probe_file import probe_file
from benchmark.data.layouts.find import find_listing
from benchmark.data.layouts.label_files import find_label_files
from benchmark.data.layouts.listing import SPLITS, Listing
from benchmark.data.roots import Root, root_of
from benchmark.data.split import Progress

NAMED = 20
"""Clips with several paths that a record names: there may be as many as clips."""
ARCHIVES = (".zip", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".7z")
FEW_FOLDERS = 10
"""Folders left out that a note names."""
FEW = 0.8
"""Part of the published clips below which a listing has a problem, where the published number is a round one."""
SHORTEST = 3
"""Frames that a segment may need: MBPM reads triples. Shorter clips repeat their last frame and are named as short."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A listed clip and what was found of it.

    Attributes:
        path: Relative to the root.
        file: Of a part of a video, with the frames of that part alone.
        first: Frame of the file that it begins with.
    """

    id: str
    label: int
    path: str
    file: FileRecord
    first: int = 0

    @property
    def state(self) -> State:
        """Whether it can be read, and why not."""
        return self.file.state


@dataclass(frozen=True)
class SplitScan:
    """One split as listed and as found.

    Attributes:
        published: How many clips it has.
        duplicates: A line for each clip that is listed twice.
        disagreements: A line for each label or length that contradicts another.
        copies: A line for each clip that was found under more than one path, which is no damage.
        folders: How many clips each folder holds, above the class folders.
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
        return [entry for entry in self.of_state("ok") if entry.file.frames < SHORTEST]


@dataclass(frozen=True)
class DatasetScan:
    """A data set as it lies on the disk.

    Attributes:
        problems: What is wrong with no single clip.
        notes: How something unusual was understood, which is no damage.
    """

    name: str
    root: Root
    listing: Listing
    splits: Mapping[str, SplitScan]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def scan_dataset(name: str, workers: int | None = None, progress: Progress | None = None) -> DatasetScan:
    """Reads the label files of a data set, locates its clips, and probes those that have not been.

    Args:
        name: A data set that is not generated.
        workers: Processes that probe; default: the usable cores.
        progress: Told what is being done and how far it is.

    Raises:
        DataError: No root, no label files, or damaged ones; the message says what to do.
    """
    root = root_of(name)
    listing = find_listing(name, root)
    located, unlisted = locate_clips(root.path, listing, partial(progress, f"find {name}") if progress else None)
    if not any(clip.paths for clips in located.values() for clip in clips):
        raise DataError(_no_clip(name, root, listing, located))
    notes = [*listing.notes]
    own = DATASETS[name].own
    if own is not None and own.subset:
        located, note = _those_there(located)
        notes.append(note)
    log = FileLog(data_root() / DATASETS[name].root_name / "probed.jsonl")
    files = _probe_all(name, root, located, log, workers, progress)
    splits = {split: _scan_split(name, split, listing, located[split], files) for split in SPLITS}
    notes += [*_notes(located), *([f"what was found is {log.unwritten}"] if log.unwritten else [])]
    if any(of_split.of_state("missing") for of_split in splits.values()) and (packed := _archives(root)):
        notes.append(f"clips are missing{packed}")
    return DatasetScan(name, root, listing, splits, tuple(_problems(name, listing, unlisted)), tuple(notes))


def _those_there(
    located: Mapping[str, Sequence[LocatedClip]],
) -> tuple[dict[str, tuple[LocatedClip, ...]], str]:
    """Of a subset the clips that are on the disk, and a note of how many.

    Raises:
        DataError: A split has none.
    """
    there = {split: tuple(clip for clip in clips if clip.paths) for split, clips in located.items()}
    for split, clips in there.items():
        if not clips:
            raise DataError(f"none of the {len(located[split]):,} clips that are listed for {split} is there")
    counts = ", ".join(f"{len(there[split]):,} of {len(clips):,} in {split}" for split, clips in located.items())
    return there, f"a subset of what is listed: {counts}"


def _probe_all(
    name: str,
    root: Root,
    located: Mapping[str, Sequence[LocatedClip]],
    log: FileLog,
    workers: int | None,
    progress: Progress | None,
) -> dict[str, FileRecord]:
    """A record of the best path of every clip, and of its other paths where that one cannot be read whole."""
    clips = [clip for of_split in located.values() for clip in of_split if clip.paths]
    told = partial(progress, f"probe {name}") if progress else None
    # The papers' data sets are numbered from 1: of a folder that begins later, frames are lost.
    one = partial(probe_file, any_first=DATASETS[name].own is not None)
    files = examine(root.path, sorted({clip.paths[0] for clip in clips}), log, one, workers, told)
    copies = {path for clip in clips if not _is_whole(files[clip.paths[0]]) for path in clip.paths[1:]}
    return files | examine(root.path, sorted(copies - files.keys()), log, one, workers, None)


def _problems(name: str, listing: Listing, unlisted: Sequence[str]) -> list[str]:
    """What is wrong with no single clip: folders that cannot be listed, too few classes, too few clips."""
    info = DATASETS[name]
    problems = [f"cannot be listed: {line}" for line in unlisted]
    if len(listing.classes) < info.num_classes and not listing.labels_as_written:
        problems.append(
            f"the label files name {len(listing.classes)} classes, {info.title} has {info.num_classes}: labels may be"
            " others than elsewhere"
        )
    for split, clips in listing.splits.items():
        if not info.exact and len(clips) < FEW * info.published(split):
            listed, published = f"{len(clips):,}", f"{info.published(split):,}"
            problems.append(f"{split}: the label files list {listed} clips, of the {published} of {info.title}")
    return problems


def _no_clip(name: str, root: Root, listing: Listing, located: Mapping[str, Sequence[LocatedClip]]) -> str:
    """What to say where none of the listed clips is on the disk."""
    first = listing.splits["train"][0]
    return (
        f"none of the {sum(map(len, listing.splits.values()))} clips of {DATASETS[name].title} is below {root.path};"
        f" the first would be a file or a folder of frames named {' or '.join(first.names)}. The root comes from"
        f" {root.source}{_only_left_out(located)}{_archives(root)}"
    )


def _left_out(located: Mapping[str, Sequence[LocatedClip]]) -> str:
    """`flow_x (9), flow_y (9)`: folders that are not read, with the clips in them."""
    counts = Counter(folder for clips in located.values() for clip in clips for folder in clip.left_out)
    named = [f"{folder} ({count:,})" for folder, count in counts.most_common(FEW_FOLDERS)]
    return ", ".join(named) + (f" and {len(counts) - FEW_FOLDERS:,} more" if len(counts) > FEW_FOLDERS else "")


def _only_left_out(located: Mapping[str, Sequence[LocatedClip]]) -> str:
    folders = _left_out(located)
    if not folders:
        return ""
    return (
        f". Clips of these names are there as optical flow or grey pictures only, by the names or the frames of"
        f" {folders}, and these are not read as RGB; if they are RGB, give that folder itself as the root"
    )


def _archives(root: Root) -> str:
    """What to add where clips are missing and there are archives that may hold them."""
    packed = [path.relative_to(root.path).as_posix() for path in find_label_files(root.path, ARCHIVES)]
    if not packed:
        return ""
    return f"; archives are not read: unpack {packed[0]}{f' and {len(packed) - 1:,} more' if len(packed) > 1 else ''}"


def _notes(located: Mapping[str, Sequence[LocatedClip]]) -> list[str]:
    """How paths were understood: folders that were left out, and clips whose names are spelled otherwise."""
    notes = []
    if folders := _left_out(located):
        notes.append(f"left out as optical flow, or grey beside colour, with the number of clips: {folders}")
    respelled = [clip for clips in located.values() for clip in clips if clip.respelled]
    if respelled:
        example = respelled[0]
        notes.append(
            f"{len(respelled):,} clips are found under names that differ from the listed ones in capitals:"
            f" {example.clip.id} as {example.respelled}{', ...' if len(respelled) > 1 else ''}"
        )
    return notes


def _is_whole(file: FileRecord) -> bool:
    return file.state == "ok" and not file.partial


def _scan_split(
    name: str, split: str, listing: Listing, located: Sequence[LocatedClip], files: Mapping[str, FileRecord]
) -> SplitScan:
    entries: list[Entry] = []
    disagreements = list(listing.disagreements.get(split, ()))
    for clip in sorted(located, key=lambda clip: clip.clip.id):
        entry = _entry(clip, files)
        entries.append(entry)
        if clip.disagreement:
            disagreements.append(clip.disagreement)
        listed, frames = clip.clip.frames, entry.file.frames
        # Of a video, decoders give a frame more or less than the list's author had extracted.
        if entry.file.is_folder and listed and frames and listed != frames:
            disagreements.append(f"{entry.id}: {listed} frames listed, the folder has {frames}")
    return SplitScan(
        split,
        DATASETS[name].published(split),
        tuple(entries),
        tuple(listing.duplicates.get(split, ())),
        tuple(disagreements),
        tuple(f"{clip.clip.id}: {', '.join(clip.paths)}" for clip in located if len(clip.paths) > 1),
        dict(Counter(clip.folder for clip in located if clip.paths).most_common()),
    )


def _entry(clip: LocatedClip, files: Mapping[str, FileRecord]) -> Entry:
    """A clip with the first of its paths that can be read whole or, if none can, that can be read at all."""
    probed = [path for path in clip.paths if path in files]
    whole = [path for path in probed if _is_whole(files[path])]
    readable = [path for path in probed if files[path].state == "ok"]
    path = next(iter(whole or readable or clip.paths), "")
    file = files[path] if path else FileRecord("", 0, 0, "missing", reason="no such file")
    if clip.clip.span and file.state == "ok":
        return Entry(clip.clip.id, clip.clip.label, path, *_part(file, *clip.clip.span))
    return Entry(clip.clip.id, clip.clip.label, path, file)


def _part(file: FileRecord, start: float, end: float) -> tuple[FileRecord, int]:
    """A file from a time to another, in seconds, and the frame that it then begins with."""
    if not file.duration:
        return replace(
            file, state="corrupt", frames=0, reason=f"has no times, to be read from {start:g} to {end:g} s"
        ), 0
    rate = file.frames / file.duration
    first, last = round(start * rate), min(round(end * rate), file.frames)
    if first >= last:
        reason = f"has {file.duration:.2f} s, to be read from {start:g} to {end:g} s"
        return replace(file, state="corrupt", frames=0, reason=reason), 0
    return replace(file, frames=last - first), first


def summary(scan: DatasetScan, split: str) -> dict[str, object]:
    """Counts of a split, and the names behind them, as plain data."""
    of_split = scan.splits[split]
    listed, missing = len(of_split.entries), of_split.of_state("missing")
    broken = {entry.id: entry.file.reason for entry in of_split.of_state("corrupt")}
    return {
        "layout": scan.listing.layout,
        "published": of_split.published,
        "listed": listed,
        "found": listed - len(missing),
        "readable": len(of_split.of_state("ok")),
        "missing": [entry.id for entry in missing],
        "empty": [entry.id for entry in of_split.of_state("empty")],
        "corrupt": broken,
        "partial": {entry.id: text for entry in of_split.entries if (text := entry.file.partial)},
        "resized": {entry.id: text for entry in of_split.entries if (text := entry.file.resized)},
        "short": [entry.id for entry in of_split.short],
        "duplicates": list(of_split.duplicates),
        "disagreements": list(of_split.disagreements),
        "copies": len(of_split.copies),
        "copied": list(of_split.copies[:NAMED]),
        "folders": dict(of_split.folders),
    }
