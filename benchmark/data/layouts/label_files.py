"""Finding label files below a folder and reading them as text or CSV."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.data.errors import DataError

LABEL_FOLDERS = re.compile(r"label|annot|list|split|csv|json|meta|anno", re.IGNORECASE)
MANY_FOLDERS = 60
"""A folder with more folders than this holds clips: label files are looked for in those that are named as such."""
LEVELS = 3
"""Levels of folders that are looked into, with the given one."""


def find_label_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with these suffixes in a folder of labels and two levels below it, sorted; not in folders full of clips.

    Raises:
        DataError: The folder cannot be listed.
    """
    found: list[Path] = []
    level = [folder]
    for _ in range(LEVELS):
        below: list[Path] = []
        for parent in level:
            try:
                entries = _entries(parent)
            except OSError as error:
                if parent == folder:
                    raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
                continue
            files = [name for name, is_folder in entries if not is_folder]
            folders = [name for name, is_folder in entries if is_folder]
            found += [parent / name for name in files if name.lower().endswith(tuple(suffixes))]
            below += [parent / name for name in folders if len(folders) <= MANY_FOLDERS or LABEL_FOLDERS.search(name)]
        level = below
    return found


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, sorted and without hidden ones, each with whether it is a folder."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))


def only_folder(folders: Sequence[Path], what: str) -> Path | None:
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


def read_text(path: Path) -> str:
    """The text of a label file, with or without a byte order mark. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); get this label file again") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The non-empty lines of a text file, stripped, with their numbers from 1. Raises DataError if it is no text."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A CSV file's header and its rows with their line numbers from 1. Raises DataError."""
    reader = csv.reader(read_text(path).splitlines())
    try:
        header = next(reader, [])
        return header, [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error}); get this label file again") from error
