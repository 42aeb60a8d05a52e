"""What a data set's label files say: the classes, and per split the clips with their labels and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class ListedClip:
    """A clip of the label files.

    Attributes:
        id: Unique within its split.
        label: 0-based.
        names: Names that its video (without the suffix) or its folder of frames may have.
        path: As in the label file, with / and without a suffix; "" where the file gives none.
        matching_parts: How many of the last parts of `path` the clip's path on the disk must share.
        frames: As the label file counts them; 0 where it does not.
        span: Where in its video it begins and ends, in seconds; () for all of it.
    """

    id: str
    label: int
    names: tuple[str, ...]
    path: str = ""
    matching_parts: int = 1
    frames: int = 0
    span: tuple[float, ...] = ()


@dataclass(frozen=True)
class Listing:
    """Everything that the label files say.

    Attributes:
        layout: What messages and the index call the layout.
        files: The label files that were read.
        classes: Class names by label.
        splits: The clips by split.
        duplicates: By split, a line for each clip that is listed twice.
        disagreements: By split, a line for each contradiction.
        notes: How something unusual was understood.
        labels_as_written: The files give numbers as labels, so that a class that they do not name shifts no other.
    """

    layout: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[ListedClip, ...]]
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disagreements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels_as_written: bool = False


class ListingBuilder:
    """Gathers the clips of a listing. A clip that is listed again is left out and noted."""

    def __init__(self) -> None:
        self.splits: dict[str, dict[str, ListedClip]] = {split: {} for split in SPLITS}
        self.duplicates: dict[str, list[str]] = {split: [] for split in SPLITS}
        self.disagreements: dict[str, list[str]] = {split: [] for split in SPLITS}

    def add(self, split: str, clip: ListedClip, where: str) -> None:
        """Adds a clip that is listed at `where` (`file:line`)."""
        before = self.splits[split].setdefault(clip.id, clip)
        if before is clip:
            return
        if before.label == clip.label:
            self.duplicates[split].append(f"{clip.id}: listed again at {where}")
        else:
            self.disagree(
                split, f"{clip.id}: label {before.label} at first, {clip.label} at {where}; the first is used"
            )

    def disagree(self, split: str, text: str) -> None:
        """Notes something that contradicts itself, or the classes."""
        self.disagreements[split].append(text)

    def build(
        self,
        layout: str,
        files: Sequence[Path],
        classes: Sequence[str],
        notes: Sequence[str] = (),
        labels_as_written: bool = False,
    ) -> Listing:
        """The listing of all that was added. A clip of both splits stays in both, and is noted with `val`."""
        for id in self.splits["val"].keys() & self.splits["train"].keys():
            self.duplicates["val"].append(f"{id}: listed for training, too")
        return Listing(
            layout,
            tuple(files),
            tuple(classes),
            {split: tuple(clips.values()) for split, clips in self.splits.items()},
            {split: tuple(sorted(lines)) for split, lines in self.duplicates.items()},
            {split: tuple(lines) for split, lines in self.disagreements.items()},
            tuple(notes),
            labels_as_written,
        )
