"""The label files, or folders, of a data set of the user's own, as its file says (`benchmark.config.own_data`).

A clip's id is its path below the root without the suffix, its parts joined by `__`; of a part of a video, with its
start and end besides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.config.own_data import OwnDataset
from benchmark.config.source import did_you_mean
from benchmark.data.errors import DataError
from benchmark.data.layouts.class_folders import clips_in
from benchmark.data.layouts.frame_lists import list_rows
from benchmark.data.layouts.label_files import read_csv
from benchmark.data.layouts.listing import SPLITS, ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import SPLIT_WORDS, clip_name, normalized
from benchmark.data.roots import Root


@dataclass(frozen=True)
class Line:
    """A clip as a file or a folder lists it.

    Attributes:
        split: Its split.
        path: Below the root, by `/`.
        label: A number, or the name of a class.
        where: For messages, `file:line`.
        span: Start and end within the video in seconds; () for all of it.
    """

    split: str
    path: str
    label: str
    where: str
    span: tuple[float, ...] = ()


def own_listing(own: OwnDataset, root: Root) -> Listing:
    """What the data set lists. Raises DataError: files or folders are missing or damaged, or a label is no class."""
    if own.layout == "folders":
        files: list[Path] = []
        lines = list(_of_folders(own, root.path))
    else:
        named = [own.file] if own.file else [own.splits.train, own.splits.val] if own.splits else []
        files = [_file(root.labels, name) for name in named]
        read = _of_csv if own.layout == "csv" else _of_list
        splits: Sequence[str] = ("",) if own.file else SPLITS
        lines = [line for split, path in zip(splits, files, strict=True) for line in read(own, path, split)]
    builder = ListingBuilder()
    numbers = {normalized(name): i for i, name in enumerate(own.classes)}
    for line in lines:
        builder.add(line.split, _clip(line, _label(own, line, numbers)), line.where)
    return builder.build(f"own data set, {own.layout}", files, own.classes, (), labels_as_written=True)


def _clip(line: Line, label: int) -> ListedClip:
    """Its path on the disk must end as the listed one does, all of it."""
    parts = [part for part in line.path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        raise DataError(f"{line.where}: it has no path")
    path = "/".join([*map(normalized, parts[:-1]), clip_name(parts[-1])])
    id = "__".join([*path.split("/"), *(f"{time:g}" for time in line.span)])
    return ListedClip(id, label, (clip_name(parts[-1]),), path, matching_parts=len(parts), span=line.span)


def _label(own: OwnDataset, line: Line, numbers: Mapping[str, int]) -> int:
    """The place of a class among the classes, by its name or its number."""
    name = normalized(line.label.strip())
    if name in numbers:
        return numbers[name]
    if name.isdecimal() and not any(key.isdecimal() for key in numbers):
        label = int(name) - own.first_label
        if 0 <= label < len(own.classes):
            return label
        last = own.first_label + len(own.classes) - 1
        text = f"label {name} is none of {own.first_label} to {last}; `first_label` says what the first is called"
        raise DataError(f"{line.where}: {text}")
    raise DataError(f"{line.where}: '{name}' is none of the classes.{did_you_mean(name, own.classes)}")


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: no such file; `labels` names the folder of label files, where it is not the root")
    return path


def _of_list(own: OwnDataset, path: Path, split: str) -> Iterator[Line]:
    for row in list_rows(path):
        yield Line(split, row.path, str(row.label), f"{path.name}:{row.number}")


def _of_csv(own: OwnDataset, path: Path, split: str) -> Iterator[Line]:
    header, rows = read_csv(path)
    names = [name.strip() for name in header]
    at: dict[str, int] = {}
    for key in ("path", "label", *(["split"] if not split else []), *(k for k in ("start", "end") if k in own.columns)):
        column = own.columns.get(key, key)
        if column not in names:
            raise DataError(
                f"{path}: no column '{column}' for the {key}; say which in `columns`.{did_you_mean(column, names)}"
            )
        at[key] = names.index(column)
    for number, cells in rows:
        where = f"{path.name}:{number}"
        if len(cells) != len(header):
            raise DataError(f"{path}:{number}: it has {len(cells)} columns, its header {len(header)}")
        said = split or SPLIT_WORDS.get(cells[at["split"]].strip().lower(), "")
        if not said:
            raise DataError(f"{path}:{number}: '{cells[at['split']]}' is neither train nor val")
        yield Line(said, cells[at["path"]].strip(), cells[at["label"]], where, _span(cells, at, where))


def _span(cells: Sequence[str], at: Mapping[str, int], where: str) -> tuple[float, ...]:
    texts = [cells[at[key]].strip() for key in ("start", "end") if key in at]
    if not any(texts):
        return ()
    try:
        start, end = map(float, texts)
    except ValueError:
        raise DataError(f"{where}: start and end must be two times in seconds, not {', '.join(texts)}") from None
    if not 0 <= start < end < float("inf"):
        raise DataError(f"{where}: it ends at {end:g} s and starts at {start:g} s")
    return start, end


def _of_folders(own: OwnDataset, root: Path) -> Iterator[Line]:
    """A clip for every video and every folder of frames in a class's folder."""
    if own.splits:
        for split, folder in zip(SPLITS, (own.splits.train, own.splits.val), strict=True):
            for name in own.classes:
                for clip in _clips(root, f"{folder}/{name}"):
                    yield Line(split, f"{folder}/{name}/{clip}", name, f"{folder}/{name}")
        return
    for name in own.classes:
        clips = sorted(_clips(root, name), key=lambda clip: hashlib.sha256(clip_name(clip).encode()).digest())
        held_out = min(max(1, round(own.val_share * len(clips))), len(clips) - 1)
        for i, clip in enumerate(clips):
            yield Line("val" if i < held_out else "train", f"{name}/{clip}", name, name)


def _clips(root: Path, folder: str) -> list[str]:
    """Names of videos and of folders of frames."""
    try:
        found = clips_in(root / folder)
    except OSError as error:
        raise DataError(f"{root / folder}: cannot be listed ({error.strerror}); each class has a folder") from None
    if len(found) < 2:
        raise DataError(f"{root / folder}: it has {len(found)} clips; a class needs one to train and one to validate")
    return found
