"""A data set that the user holds, as its label files list it and as it lies on the disk.

`survey` reads the label files, looks for the clips and probes every one of them once. What a probe found is kept in
`<data root>/<home>/probed.jsonl` with size and modification time of the file, so an interrupted preparation goes on
where it was, and the three splits of UCF101 probe their shared files once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmark.config.datasets import DATASETS
from benchmark.data.errors import DataError
from benchmark.data.indexing.probing import FileLog, Probed, State, examine, probe_file
from benchmark.data.layouts.find import find_listing
from benchmark.data.layouts.listing import SPLITS, Listing, label_files
from benchmark.data.layouts.tree import Placed, place
from benchmark.data.manifest import data_root
from benchmark.data.roots import Root, root_of

Progress = Callable[[str, int, int], None]
"""Called with what is being done (`render motionpairs/train`), how many clips are done, and of how many."""
NAMED = 20
"""Clips in several places that a record names: there may be as many as clips."""
ARCHIVES = (".zip", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".7z")
FEW_FOLDERS = 10
"""Folders left out that a note names."""
FEW = 0.8
"""Of the published clips: with fewer, where the published number is a round one, something is said."""
SHORTEST = 3
"""Frames that a segment needs: MBPM reads triples. Shorter clips repeat their last frame, and are listed as short."""


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
    """A data set as it lies on the disk.

    `problems` are those of no single clip; `notes` say how what is unusual was understood, and are no damage.
    """

    name: str
    root: Root
    listing: Listing
    splits: Mapping[str, SplitSurvey]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


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
            f" {root.said_in}{_only_left_out(placed)}{_archives(root)}"
        )
    told = partial(progress, f"probe {name}") if progress else None
    log = FileLog(data_root() / info.root_name / "probed.jsonl")
    found = examine(root.path, paths, log, probe_file, workers, told)
    others = {
        path
        for clips in placed.values()
        for one in clips
        if len(one.places) > 1 and not _whole(found[one.places[0]])
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
    notes = [*listing.notes, *_notes(placed), *([f"what was found is {log.unwritten}"] if log.unwritten else [])]
    if any(of_split.of_state("missing") for of_split in splits.values()) and (packed := _archives(root)):
        notes.append(f"clips are missing{packed}")
    return Survey(name, root, listing, splits, tuple(problems), tuple(notes))


def _left_out(placed: Mapping[str, Sequence[Placed]]) -> str:
    """`flow_x (9), flow_y (9)`: folders that are not read, with the clips in them."""
    counts = Counter(folder for clips in placed.values() for one in clips for folder in one.left_out)
    named = [f"{folder} ({count:,})" for folder, count in counts.most_common(FEW_FOLDERS)]
    return ", ".join(named) + (f" and {len(counts) - FEW_FOLDERS:,} more" if len(counts) > FEW_FOLDERS else "")


def _only_left_out(placed: Mapping[str, Sequence[Placed]]) -> str:
    folders = _left_out(placed)
    if not folders:
        return ""
    return (
        f". Clips of these names are there as optical flow or grey pictures only, by the names or the frames of"
        f" {folders}, and these are not read as RGB; if they are RGB, give that folder itself as the root"
    )


def _archives(root: Root) -> str:
    """What to add where clips are missing and there are archives that may hold them."""
    packed = [path.relative_to(root.path).as_posix() for path in label_files(root.path, ARCHIVES)]
    if not packed:
        return ""
    return f"; archives are not read: unpack {packed[0]}{f' and {len(packed) - 1:,} more' if len(packed) > 1 else ''}"


def _notes(placed: Mapping[str, Sequence[Placed]]) -> list[str]:
    """How places were understood: folders that were left out, and clips whose names are spelled otherwise."""
    notes = []
    if folders := _left_out(placed):
        notes.append(f"left out as optical flow, or grey beside colour, with the number of clips: {folders}")
    respelled = [one for clips in placed.values() for one in clips if one.respelled]
    if respelled:
        example = respelled[0]
        notes.append(
            f"{len(respelled):,} clips are found under names that differ from the listed ones in capitals:"
            f" {example.clip.id} as {example.respelled}{', ...' if len(respelled) > 1 else ''}"
        )
    return notes


def _whole(probed: Probed) -> bool:
    return probed.state == "ok" and not probed.partial


def _split_survey(
    name: str, split: str, listing: Listing, placed: Sequence[Placed], found: Mapping[str, Probed]
) -> SplitSurvey:
    entries: list[Entry] = []
    disagreements = list(listing.disagreements.get(split, ()))
    for one in sorted(placed, key=lambda one: one.clip.id):
        known = [path for path in one.places if path in found]
        whole = [path for path in known if _whole(found[path])]
        readable = [path for path in known if found[path].state == "ok"]
        path = next(iter(whole or readable or one.places), "")
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
        "resized": {entry.id: text for entry in of_split.entries if (text := entry.probed.resized)},
        "short": [entry.id for entry in of_split.short],
        "duplicates": list(of_split.duplicates),
        "disagreements": list(of_split.disagreements),
        "copies": len(of_split.copies),
        "copied": list(of_split.copies[:NAMED]),
        "folders": dict(of_split.folders),
    }
