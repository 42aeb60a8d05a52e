"""Mini-Kinetics (Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018): 200 classes of Kinetics-400.

It is chosen from Kinetics' CSV files or class folders by lists of video ids for training and validation, or by a list
of classes; or the CSV files or folders have no more classes than it. Labels are ranks among the 200.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.config.datasets import DatasetInfo
from benchmark.data.errors import DataError
from benchmark.data.layouts.class_folders import read_class_folders
from benchmark.data.layouts.kinetics_csv import read_kinetics_csv
from benchmark.data.layouts.label_files import find_label_files, numbered_lines
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import SPLITS, ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.names import class_key, split_from_name
from benchmark.data.roots import Root

VIDEO_ID = re.compile(r"[\w-]{11}")
CLIP_OF_VIDEO = re.compile(r"(.+?)_\d{6}_\d{6}")
CLASS_NUMBER = re.compile(r"^\d+[\s,;:]+|[\s,;:]+\d+$")
"""A number before or after a class name."""


@dataclass
class _Lists:
    """The lists below a folder.

    Attributes:
        ids: Video ids by split.
        classes: Keys (`class_key`) of the classes of the first list of classes.
        files: Those of both.
        hint: What to add to an error: why a file that is nearly a list of classes is none.
    """

    ids: dict[str, set[str]] = field(default_factory=dict)
    classes: set[str] | None = None
    files: list[Path] = field(default_factory=list)
    hint: str = ""


def _part_of(whole: Listing | None, info: DatasetInfo, root: Root) -> Listing | None:
    """The clips of Kinetics that the lists choose.

    Raises:
        DataError: Kinetics has more classes than Mini-Kinetics, and there is no list.
    """
    if whole is None:
        return None
    lists = _find_lists(root.labels, whole)
    # Lists of ids say all; a list of classes beside them may be of another data set.
    if lists.ids.keys() == set(SPLITS):
        return _chosen_by_ids(whole, lists)
    if lists.classes is not None:
        return _chosen_by_classes(whole, lists, lists.classes)
    if len(whole.classes) <= info.num_classes:
        return whole
    raise DataError(
        f"{root.labels}: {len(whole.classes)} classes are listed there and Mini-Kinetics has {info.num_classes} of"
        " them: add a text file with its class names, one a line, or its two lists of video ids (train_ytid_list.txt,"
        f" val_ytid_list.txt{f'; that of {next(iter(lists.ids))} alone is there' if lists.ids else ''}){lists.hint}"
    )


def _find_lists(labels: Path, whole: Listing) -> _Lists:
    lists = _Lists()
    known = {class_key(name) for name in whole.classes}
    for path in find_label_files(labels, [".txt", ".csv"]):
        if path in whole.files:
            continue
        lines = [line.strip("\"' ") for _, line in numbered_lines(path)]
        split, ids = split_from_name(path.stem), _video_ids(lines)
        if split is not None and ids:
            lists.ids[split] = lists.ids.get(split, set()) | ids
            lists.files.append(path)
        elif lists.classes is None:
            names = {class_key(CLASS_NUMBER.sub("", line)): line for line in lines}
            if names and names.keys() <= known:
                lists.classes = set(names)
                lists.files.append(path)
            elif 2 * len(names.keys() & known) > len(names):
                strange = ", ".join([repr(line) for key, line in names.items() if key not in known][:5])
                lists.hint = f"; {path.name} would be such a list, but no class of Kinetics is {strange}"
    return lists


def _video_ids(lines: Iterable[str]) -> set[str]:
    """The ids that lines begin with; none where any begins with something else."""
    ids = {line.split(",")[0].split(" ")[0] for line in lines}
    return ids if all(VIDEO_ID.fullmatch(id) for id in ids) else set()


def _chosen_by_ids(whole: Listing, lists: _Lists) -> Listing:
    """The clips of the listed videos. One that Kinetics does not have cannot be labelled, and is left out and noted."""
    clip_of: dict[str, ListedClip] = {}
    # A video may come from either split of Kinetics, since the lists say where it belongs.
    for split in SPLITS:
        for clip in whole.splits[split]:
            clip_of.setdefault(_video_of(clip.id), clip)
    clips = {split: [clip_of[id] for id in sorted(lists.ids[split]) if id in clip_of] for split in SPLITS}
    present = {class_key(whole.classes[clip.label]) for of_split in clips.values() for clip in of_split}
    part = _ranked_anew(whole, clips, present, "lists of ids", lists.files)
    unknown = {
        split: [
            f"{id}: in the list of ids, not in Kinetics' files; left out"
            for id in sorted(lists.ids[split] - clip_of.keys())
        ]
        for split in SPLITS
    }
    return replace(part, disagreements={split: (*part.disagreements[split], *unknown[split]) for split in SPLITS})


def _chosen_by_classes(whole: Listing, lists: _Lists, classes: Collection[str]) -> Listing:
    """All clips of the listed classes: more than the published 80,000 and 5,000, as `data check` then says."""
    clips = {
        split: [c for c in whole.splits[split] if class_key(whole.classes[c.label]) in classes] for split in SPLITS
    }
    return _ranked_anew(whole, clips, classes, "list of classes", lists.files)


def _ranked_anew(
    whole: Listing, clips: Mapping[str, Sequence[ListedClip]], keys: Collection[str], chosen_by: str, files: list[Path]
) -> Listing:
    """A listing of some clips of Kinetics, with labels that are ranks among the classes of these keys."""
    classes = [name for name in whole.classes if class_key(name) in keys]
    rank, builder = {name: i for i, name in enumerate(classes)}, ListingBuilder()
    for split, of_split in clips.items():
        for clip in of_split:
            builder.add(split, replace(clip, label=rank[whole.classes[clip.label]]), whole.layout)
    part = builder.build(f"{whole.layout}, {chosen_by}", [*whole.files, *files], classes, whole.notes)
    # What disagreed in Kinetics' files does so in this part of them.
    return replace(part, disagreements={split: whole.disagreements.get(split, ()) for split in SPLITS})


def _video_of(clip_id: str) -> str:
    match = CLIP_OF_VIDEO.fullmatch(clip_id)
    return match[1] if match else clip_id


DATASETS = frozenset(("minikinetics",))
MINI_KINETICS_CSV = Layout(
    "Kinetics' CSV files with a list of the 200 classes or lists of video ids (train_ytid_list.txt and"
    " val_ytid_list.txt)",
    lambda info, root: _part_of(read_kinetics_csv(root.labels), info, root),
    DATASETS,
)
MINI_KINETICS_FOLDERS = Layout(
    "Kinetics' class folders with such lists",
    lambda info, root: _part_of(read_class_folders(root.path), info, root),
    DATASETS,
)
