"""What a data set's label files say: classes, and per split the clips, their labels and the names of their files.

Readers of one family of label files each add their clips to a `Collector`, which notices what is listed twice.
"""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from benchmark.data.errors import DataError

SPLITS = ("train", "val")
VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .webm .wmv".split()  # noqa: SIM905 - one line to read
)
LABEL_FOLDERS = re.compile(r"label|annot|list|split|csv|json|meta|anno", re.IGNORECASE)
MANY_FOLDERS = 60
"""A folder with more folders than this holds clips: label files are looked for in those that are named as such."""
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "val",
    "testing": "val",
}
"""Words for a split in the names of files and folders; where there is no other, the test split is evaluated."""


@dataclass(frozen=True)
class Listed:
    """A clip of the label files.

    Attributes:
        id: Unique within its split.
        label: 0-based.
        names: Names that its file (without the suffix) or its folder of frames may have.
        place: Its path in the label file, with / and without a suffix; "" where the file gives none.
        needs: How many trailing components of a file's path have to be those of `place`.
        frames: As the label file counts them; 0 where it does not.
    """

    id: str
    label: int
    names: tuple[str, ...]
    place: str = ""
    needs: int = 1
    frames: int = 0


@dataclass(frozen=True)
class Listing:
    """Everything that the label files say. `layout` is what to call them.

    `duplicates` and `disagreements` hold, by split, what is listed twice and what contradicts itself, a line each;
    `notes` how something unusual was understood.
    """

    layout: str
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Listed, ...]]
    duplicates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disagreements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


_SPACING = re.compile(r"[\s_-]+")


class Collector:
    """Gathers the clips of a listing; one that is listed again is left out and noted."""

    def __init__(self) -> None:
        self.splits: dict[str, dict[str, Listed]] = {split: {} for split in SPLITS}
        self.duplicates: dict[str, list[str]] = {split: [] for split in SPLITS}
        self.disagreements: dict[str, list[str]] = {split: [] for split in SPLITS}

    def add(self, split: str, clip: Listed, where: str) -> None:
        """A clip as listed at `where` (`file:line`)."""
        before = self.splits[split].setdefault(clip.id, clip)
        if before is clip:
            return
        if before.label == clip.label:
            self.duplicates[split].append(f"{clip.id}: listed again at {where}")
        else:
            self.disagreements[split].append(
                f"{clip.id}: label {before.label} at first, {clip.label} at {where}; the first is used"
            )

    def disagree(self, split: str, text: str) -> None:
        """Something that contradicts itself, or the classes."""
        self.disagreements[split].append(text)

    def listing(self, layout: str, files: Sequence[Path], classes: Sequence[str], notes: Sequence[str] = ()) -> Listing:
        """What has been gathered. A clip of both splits stays in both, and is noted with `val`."""
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
        )


def same(name: str) -> str:
    """A file's name for comparison: macOS and Linux write accents in two ways."""
    return unicodedata.normalize("NFC", name)


def bare(name: str) -> str:
    """The last component of a path without the suffixes of videos, whatever their case: `a.b.MP4.webm` is `a.b`."""
    name = name.rpartition("/")[2]
    while True:  # once per file of a data set: by hand, since a path object takes ten times as long
        stem, dot, suffix = name.rpartition(".")
        if not stem or f"{dot}{suffix}".lower() not in VIDEO_SUFFIXES:
            return same(name)
        name = stem


@lru_cache(2**16)
def class_key(name: str) -> str:
    """A class name for comparison with folders, which have `_` for blanks and leave signs out."""
    return "".join(c for c in same(name).casefold() if c.isalnum())


def one_spelling(names: Mapping[str, Iterable[str]], where: object) -> tuple[dict[str, str], tuple[str, ...]]:
    """From every spelling of a class to the one that is used, and a note where there are several.

    Of several the one with the most blanks is used, as Kinetics' own names have them. Spellings within a split may
    differ in capitals, blanks, `_` and `-`; between splits in other signs, too, which names of folders leave out.

    Args:
        names: Of classes, by split.
        where: They come from.

    Raises:
        DataError: Two classes of a split differ in other signs only.
    """
    of_class: dict[str, set[str]] = {}
    for split, of_split in names.items():
        loose: dict[str, str] = {}
        for name in of_split:
            key = class_key(name) or name
            first = loose.setdefault(key, name)
            if _SPACING.sub(" ", first).casefold() != _SPACING.sub(" ", name).casefold():
                raise DataError(
                    f"{where}: '{first}' and '{name}' ({split}) differ in signs only: one class or two? Give them the"
                    " same name, or names that differ in letters or digits"
                )
            of_class.setdefault(key, set()).add(name)
    used = {key: min(found, key=lambda name: (-name.count(" "), name)) for key, found in of_class.items()}
    several = [sorted(found) for _, found in sorted(of_class.items()) if len(found) > 1]
    notes: tuple[str, ...] = ()
    if several:
        example = " and ".join(f"'{name}'" for name in several[0])
        notes = (f"{len(several):,} classes are spelled in more than one way, and taken for one each: {example}",)
    return {name: used[key] for key, found in of_class.items() for name in found}, notes


def label_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of these suffixes in a folder of labels and two levels below it, sorted; not in folders full of clips.

    Raises:
        DataError: The folder cannot be listed.
    """
    found: list[Path] = []
    level = [folder]
    for depth in range(3):
        below: list[Path] = []
        for parent in level:
            try:
                entries = sorted(_entries(parent))
            except OSError as error:
                if parent == folder:
                    raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
                continue
            folders = [name for name, is_folder in entries if is_folder and not name.startswith(".")]
            found += [
                parent / name
                for name, is_folder in entries
                if not is_folder and name.lower().endswith(tuple(suffixes)) and not name.startswith(".")
            ]
            below += [parent / name for name in folders if len(folders) <= MANY_FOLDERS or LABEL_FOLDERS.search(name)]
        level = below if depth < 2 else []
    return found


def the_only(folders: Sequence[Path], what: str) -> Path | None:
    """The folder that has certain label files, or None where none has.

    Raises:
        DataError: Several have.
    """
    if len(folders) > 1:
        raise DataError(
            f"{' and '.join(map(str, folders))} have {what} each: leave one of them there, or name the one that you"
            " mean as the folder of labels"
        )
    return folders[0] if folders else None


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The non-empty lines of a text file, stripped, with their numbers from 1.

    Raises:
        DataError: It is no UTF-8 text.
    """
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def text_of(path: Path) -> str:
    """The text of a label file, with or without a byte order mark. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); get this label file again") from error


def table_of(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A CSV file's header and its rows with their line numbers from 1. Raises DataError."""
    reader = csv.reader(text_of(path).splitlines())
    try:
        header = next(reader, [])
        return header, [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error}); get this label file again") from error


@lru_cache(2**16)
def split_in(name: str) -> str | None:
    """The split that a file's or a folder's name speaks of, by its words: `val_256` is `val`, `trainval` is none."""
    words = re.split(r"[^a-z]+", name.casefold())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None
