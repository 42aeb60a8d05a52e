"""Comparing names of files, classes and splits that are spelled in more than one way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from benchmark.data.errors import DataError

VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .webm .wmv".split()  # noqa: SIM905 - one line to read
)
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp"))
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    # Where there is no other split to validate on, the test split is evaluated.
    "test": "val",
    "testing": "val",
}
"""Words for a split in the names of files and folders."""
_SPACING = re.compile(r"[\s_-]+")


def normalized(name: str) -> str:
    """A name with accents as one character each: macOS writes them as two, Linux as they come."""
    return unicodedata.normalize("NFC", name)


def clip_name(path: str) -> str:
    """The last part of a path without the suffixes of videos, whatever their case: `d/a.b.MP4.webm` gives `a.b`."""
    name = path.rpartition("/")[2]
    # Called once per file of a data set: splitting strings takes a tenth of the time of a path object.
    while True:
        stem, dot, suffix = name.rpartition(".")
        if not stem or f"{dot}{suffix}".lower() not in VIDEO_SUFFIXES:
            return normalized(name)
        name = stem


@lru_cache(2**16)
def class_key(name: str) -> str:
    """A class name as letters and digits only, since folders have `_` for blanks and leave other signs out."""
    return "".join(c for c in normalized(name).casefold() if c.isalnum())


@lru_cache(2**16)
def split_from_name(name: str) -> str | None:
    """The split that the words of a file's or folder's name speak of: `val_256` is `val`, `trainval` is none."""
    words = re.split(r"[^a-z]+", name.casefold())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def unify_spellings(names: Mapping[str, Iterable[str]], source: object) -> tuple[dict[str, str], tuple[str, ...]]:
    """Maps every spelling of a class to the one that is used, and notes where there are several.

    Spellings within a split may differ in capitals, blanks, `_` and `-`; between splits in other signs, too, which
    names of folders leave out.

    Args:
        names: Of classes, by split.
        source: Where they come from, for the error.

    Raises:
        DataError: Two classes of a split differ in other signs only.
    """
    spellings: dict[str, set[str]] = {}
    for split, of_split in names.items():
        first_of: dict[str, str] = {}
        for name in of_split:
            key = class_key(name) or name
            first = first_of.setdefault(key, name)
            if _SPACING.sub(" ", first).casefold() != _SPACING.sub(" ", name).casefold():
                raise DataError(
                    f"{source}: '{first}' and '{name}' ({split}) differ in signs only: one class or two? Give them the"
                    " same name, or names that differ in letters or digits"
                )
            spellings.setdefault(key, set()).add(name)
    # Kinetics' own names have blanks, so the spelling with most of them is the original.
    used = {key: min(found, key=lambda name: (-name.count(" "), name)) for key, found in spellings.items()}
    several = [sorted(found) for _, found in sorted(spellings.items()) if len(found) > 1]
    notes: tuple[str, ...] = ()
    if several:
        example = " and ".join(f"'{name}'" for name in several[0])
        notes = (f"{len(several):,} classes are spelled in more than one way, and taken for one each: {example}",)
    return {name: used[key] for key, found in spellings.items() for name in found}, notes
