"""What a folder of the user's seems to hold, as the file of an own data set: a first draft, to be read and corrected.

Label files are looked for first: those with which the papers' data sets are distributed; then CSV files whose header
names a path and a label, with a column for the split or a file for each; then lists of `path label`. Where there are
none, every folder with videos, or with folders of frames, is a class, below folders named train and val or without
these. What was seen and not understood is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmark.config.datasets import DATASETS, info_of_own
from benchmark.config.own_data import NAME, ClipCounts, OwnDataset, SplitNames
from benchmark.data.errors import DataError
from benchmark.data.indexing.locate import FRAME_NAME, locate_clips
from benchmark.data.indexing.scan import ARCHIVES
from benchmark.data.layouts.find import listing_of
from benchmark.data.layouts.frame_lists import NAMES_OF_COLUMNS, list_rows
from benchmark.data.layouts.hmdb51 import HMDB51
from benchmark.data.layouts.kinetics_csv import KINETICS_CSV
from benchmark.data.layouts.label_files import find_label_files, read_csv
from benchmark.data.layouts.listing import SPLITS
from benchmark.data.layouts.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, class_key, split_from_name
from benchmark.data.layouts.something import SOMETHING_V1, SOMETHING_V2
from benchmark.data.layouts.ucf101 import UCF101
from benchmark.data.roots import Root

MOST_NAMED = 5
DISTRIBUTED = (SOMETHING_V1, SOMETHING_V2, UCF101, HMDB51, KINETICS_CSV)
"""Layouts of label files that no other data set's may be taken for."""
HEAD = """\
# Drafted from what lies in the folder: read it and correct it. All that can be said stands in
# benchmark/config/own_data.py (OwnDataset). Then, for instance:
#   python -m benchmark data prepare {file}
#   python -m benchmark run bqn-3b --dataset {file}
"""
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
START_COLUMNS = ("start", "start_time", "time_start", "t_start", "begin", "start_sec", "start_seconds")
END_COLUMNS = ("end", "end_time", "time_end", "t_end", "stop", "end_sec", "end_seconds")
MIRRORED = (("left", "right"), ("leftward", "rightward"), ("leftwards", "rightwards"))


@dataclass
class Draft:
    """The data set as it seems to be; `seen` and `unclear` are sentences for the user."""

    own: OwnDataset
    seen: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def as_text(found: Draft, file: Path) -> str:
    """The draft as a file's content; its root is said from the file's folder on where it lies below that."""
    own, folder = found.own, file.resolve().parent
    root = Path(own.root).resolve()
    said = own.model_dump(mode="json", exclude_defaults=True) | {
        "root": str(root.relative_to(folder)) if root.is_relative_to(folder) else str(root)
    }
    if own.layout == "folders" and own.splits is None:
        said["val_share"] = own.val_share
    if own.mirrored is None:
        said["mirrored"] = None
    lines = yaml.dump(said, Dumper=_Flow, sort_keys=False, allow_unicode=True, width=110).splitlines()
    comments = {
        "classes:": "# a label is a place among these; change their order, and it is another data set",
        "mirrored:": "# pairs of classes that become each other when a clip is mirrored; []: none does; null: unknown",
        "val_share:": "# of each class, held out by the digest of a clip's name",
        "clips:": "# for estimates",
    }
    text = HEAD.format(file=file.name)
    for line in lines:
        comment = next((said for start, said in comments.items() if line.startswith(start)), "")
        text += f"{comment}\n{line}\n" if comment else f"{line}\n"
    return text


class _Flow(yaml.SafeDumper):
    """Lists and mappings below the top level on one line."""


def _flow(dumper: yaml.SafeDumper, values: list[object]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


def _mapping(dumper: yaml.SafeDumper, values: dict[str, object]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", values, flow_style="title" not in values)


_Flow.add_representer(list, _flow)
_Flow.add_representer(dict, _mapping)


def draft(folder: Path, name: str) -> Draft:
    """A data set from what lies in a folder.

    Raises:
        DataError: nothing there can be a data set; the message says what was looked for and what is there.
    """
    if not folder.is_dir():
        packed = folder.name.lower().endswith(ARCHIVES)
        text = "is an archive: unpack it and name the folder" if packed else "is no folder"
        raise DataError(f"{folder}: {text if folder.exists() else 'does not exist'}")
    if not NAME.fullmatch(name):
        raise DataError(f"'{name}' is no name for a data set: small letters, digits, - and _ only (--name)")
    unclear = list(_archives(folder))
    found = (
        _of_known(folder, name, unclear)
        or _of_csv(folder, name, unclear)
        or _of_lists(folder, name)
        or _of_folders(folder, name, unclear)
    )
    if found is None:
        raise DataError(_nothing(folder, unclear))
    found.unclear += unclear
    pairs = tuple(_pairs(found.own.classes))
    if pairs:
        found.own = found.own.model_copy(update={"mirrored": pairs})
        found.unclear.append(f"taken for mirror images of each other: {_named(' and '.join(pair) for pair in pairs)}")
    root = Root(name, Path(found.own.root), folder, "")
    listed = listing_of(info_of_own(found.own, DATASETS.built_in), root).splits
    found.own = found.own.model_copy(
        update={"clips": ClipCounts(train=len(listed["train"]), val=len(listed["val"])), "name": ""}
    )
    return found


def _pairs(classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Classes whose names differ in left and right alone."""
    by_key = {class_key(name): name for name in classes}
    taken: set[str] = set()
    for one, two in MIRRORED[::-1]:
        for key, name in by_key.items():
            other = by_key.get(key.replace(one, two)) if one in key else None
            if other is not None and other != name and not {name, other} & taken:
                taken |= {name, other}
                yield name, other


def _of_known(folder: Path, name: str, unclear: list[str]) -> Draft | None:
    """By the label files of one of the papers' data sets, which tell the layout and not whose clips these are."""
    for layout in DISTRIBUTED:
        (known,) = layout.datasets or ("",)
        root = Root(name, folder, folder, "")
        try:
            listing = layout.read(DATASETS[known], root)
        except DataError as error:
            unclear.append(str(error))
            continue
        if listing is None or not any(listing.splits.values()):
            continue
        all_of_them = len(listing.classes) == DATASETS[known].num_classes
        classes = () if all_of_them else listing.classes
        own = OwnDataset(name=name, title=name, root=str(folder), layout=known, classes=classes)
        located, _ = locate_clips(folder, listing)
        clips = [clip for of_split in located.values() for clip in of_split]
        gone = sum(not clip.paths for clip in clips)
        if gone:
            text = "are not there: say `subset: true` if only a part is meant"
            unclear.append(f"{gone:,} of the {len(clips):,} listed clips {text}")
        files = _named(path.name for path in listing.files)
        return Draft(own, [f"{files}: as {DATASETS[known].title} is kept, {len(listing.classes)} classes"])
    return None


def _of_csv(folder: Path, name: str, unclear: list[str]) -> Draft | None:
    tables: dict[Path, dict[str, str]] = {}
    labels_of: dict[Path, list[str]] = {}
    for path in find_label_files(folder, (".csv",)):
        header, rows = read_csv(path)
        columns = _columns(header)
        if {"path", "label"} <= columns.keys():
            tables[path] = columns
            at = [name.strip() for name in header].index(columns["label"])
            labels_of[path] = [cells[at].strip() for _, cells in rows if at < len(cells)]
    if not tables:
        return None
    whole = [path for path, columns in tables.items() if "split" in columns]
    files = {split: [path for path in tables if split_from_name(path.stem) == split] for split in SPLITS}
    if whole:
        chosen = [whole[0]]
        places: dict[str, object] = {"file": whole[0].name}
    elif all(len(paths) == 1 for paths in files.values()):
        chosen = [files[split][0] for split in SPLITS]
        places = {"splits": SplitNames(train=chosen[0].name, val=chosen[1].name)}
    else:
        unclear.append(f"{_named(path.name for path in tables)}: neither a column for the split, nor a file for each")
        return None
    if len(chosen) < len(tables):
        unclear.append(f"not used: {_named(path.name for path in tables if path not in chosen)}")
    columns = {key: column for key, column in tables[chosen[0]].items() if key != column}
    if "start" in tables[chosen[0]]:
        columns |= {key: tables[chosen[0]][key] for key in ("start", "end")}
    labels = [label for path in chosen for label in labels_of[path]]
    own = _own(name, folder, labels, layout="csv", columns=columns, labels=str(chosen[0].parent), **places)
    return Draft(own, [f"{_named(path.name for path in chosen)}: {len(labels)} clips of {len(own.classes)} classes"])


def _columns(header: Sequence[str]) -> dict[str, str]:
    """What a header calls path, label, split, start and end."""
    words = {key: NAMES_OF_COLUMNS[key] for key in ("path", "label")}
    words |= {"split": frozenset(SPLIT_COLUMNS), "start": frozenset(START_COLUMNS), "end": frozenset(END_COLUMNS)}
    found: dict[str, str] = {}
    for key, known in words.items():
        column = next((cell.strip() for cell in header if cell.strip().lower() in known), None)
        if column is not None:
            found[key] = column
    if ("start" in found) != ("end" in found):
        found = {key: column for key, column in found.items() if key not in ("start", "end")}
    return found


def _of_lists(folder: Path, name: str) -> Draft | None:
    files: dict[str, tuple[Path, list[str]]] = {}
    for path in find_label_files(folder, (".txt", ".csv", ".list")):
        split = split_from_name(path.stem)
        try:
            labels = [str(row.label) for row in list_rows(path)] if split else []
        except DataError:
            continue
        if split and labels:
            files.setdefault(split, (path, labels))
    if set(files) != set(SPLITS):
        return None
    train, val = (files[split][0] for split in SPLITS)
    labels = [label for _, of_file in files.values() for label in of_file]
    places = {"splits": SplitNames(train=train.name, val=val.name), "labels": str(train.parent)}
    own = _own(name, folder, labels, layout="lists", **places)
    return Draft(own, [f"{train.name} and {val.name}: {len(labels)} clips of {len(own.classes)} classes"])


def _own(name: str, folder: Path, of_clips: Sequence[str], **further: object) -> OwnDataset:
    """A data set of label files: numbers are classes without a name, from the smallest on."""
    if all(label.isdecimal() for label in of_clips):
        numbers = [int(label) for label in of_clips]
        first = min(0 if 0 in numbers else 1, min(numbers))
        classes = tuple(f"class {number}" for number in range(first, max(numbers) + 1))
        further["first_label"] = first
    else:
        classes = tuple(sorted(set(of_clips)))
    if len(classes) < 2:
        raise DataError(f"{folder}: its label files name one class alone: {', '.join(classes)}")
    return OwnDataset(name=name, title=name, root=str(folder), classes=classes, **further)


def _of_folders(folder: Path, name: str, unclear: list[str]) -> Draft | None:
    named = {split: [one for one in _folders(folder) if split_from_name(one) == split] for split in SPLITS}
    if all(len(folders) == 1 and _classes(folder / folders[0]) for folders in named.values()):
        splits = {split: folders[0] for split, folders in named.items()}
        of_split = {split: _classes(folder / one) for split, one in splits.items()}
        classes = sorted(set(of_split["train"]) & set(of_split["val"]))
        only_one = sorted(set(of_split["train"]) ^ set(of_split["val"]))
        if only_one:
            unclear.append(f"left out, as they are in one split alone: {_named(only_one)}")
        counts = {one: sum(of_split[split][one] for split in SPLITS) for one in classes}
        further: dict[str, object] = {"splits": SplitNames(**splits)}
    else:
        of_class = _classes(folder)
        inner = [one for one in _folders(folder) if len(_classes(folder / one)) > 1]
        if len(of_class) < 2 and len(inner) == 1:
            return _of_folders(folder / inner[0], name, unclear)
        few = sorted(one for one, count in of_class.items() if count < 2)
        if few:
            unclear.append(f"left out, with one clip, of which none could be held out: {_named(few)}")
        counts, further = {one: count for one, count in of_class.items() if count > 1}, {"val_share": 0.2}
        classes = sorted(counts)
    if len(classes) < 2:
        return None
    own = OwnDataset(
        name=name,
        title=name,
        root=str(folder),
        layout="folders",
        classes=tuple(classes),
        **further,
    )
    if others := [one for one in _files(folder) if not one.lower().endswith(ARCHIVES)]:
        unclear.append(f"files beside the folders of classes, not used: {_named(others)}")
    shown = _named(f"{one} ({count})" for one, count in counts.items())
    return Draft(own, [f"{folder}: {len(classes)} folders of classes: {shown}"])


def _classes(folder: Path) -> Mapping[str, int]:
    """Folders that hold clips, with how many: videos, or folders of frames."""
    counts = Counter[str]()
    for name in _folders(folder):
        videos = sum(Path(file).suffix.lower() in VIDEO_SUFFIXES for file in _files(folder / name))
        of_frames = sum(_is_of_frames(folder / name / one) for one in _folders(folder / name))
        if videos + of_frames:
            counts[name] = videos + of_frames
    return counts


def _is_of_frames(folder: Path) -> bool:
    first = next(iter(_files(folder)), "")
    return Path(first).suffix.lower() in IMAGE_SUFFIXES and FRAME_NAME.fullmatch(first) is not None


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _files(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if not entry.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError:
        return []


def _archives(folder: Path) -> Iterator[str]:
    packed = [name for name in _files(folder) if name.lower().endswith(ARCHIVES)]
    if packed:
        yield f"archives are not read, unpack what is meant: {_named(packed)}"


def _nothing(folder: Path, unclear: Sequence[str]) -> str:
    """What to say where nothing was understood."""
    videos = [name for name in _files(folder) if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    seen = [*unclear, *([f"{len(videos)} videos lie there without a class"] if videos else [])]
    return (
        f"{folder}: neither CSV files with a path and a label, nor lists named train and val, nor two folders or more"
        f" with two clips each{'; ' if seen else ''}{'; '.join(seen)}. Make a folder of each class, or a CSV file with"
        " the columns path, label and split"
    )


def _named(names: Sequence[str] | Iterator[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED:,} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more
