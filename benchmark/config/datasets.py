"""What is known about each data set without touching a disk: its title, classes and split sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmark.config.own_data import OwnDataset, find_own, own_names
from benchmark.config.source import did_you_mean

AXES, LEVEL_COUNT = ("speed", "contrast", "clutter"), 4
"""Axes of difficulty of a graded data set, and the levels of each, 1 (easy) to LEVEL_COUNT."""
AT_LEVEL = {f"top1_{axis}_{level}": (i, level) for i, axis in enumerate(AXES) for level in range(1, LEVEL_COUNT + 1)}
"""Metric -> axis, by its place in AXES, and level: top-1 accuracy on the clips of a level."""


@dataclass(frozen=True)
class DatasetInfo:
    """A data set by name, with the published sizes of its splits.

    Attributes:
        exact: The published sizes are those of its label files; Kinetics' are round, and its videos disappear.
        version: A new one is a new experiment: old runs no longer count.
        short: Its name in a column's title.
        official_split: Which of the official splits of its `home`, counted from 1; 0 where there is only one.
        mirrored: The label of a clip whose frames are mirrored left for right, by its label; empty where unknown.
        reversed: The label of a clip that is played backwards, by its label; empty where unknown.
        graded: Whether its clips have levels of difficulty along AXES.
        own: The user's definition, of a data set that is neither a paper's nor generated.
        flipped: Of an own data set, the label of a mirrored clip by its label; empty where unknown.
        home: The data set whose files it shares; "" where that is itself. It is the one that a root is given for.
    """

    name: str
    title: str
    num_classes: int
    train_clips: int
    val_clips: int
    generated: bool = False
    version: str = "1"
    short: str = ""
    exact: bool = True
    official_split: int = 0
    home: str = ""
    mirrored: tuple[int, ...] = ()
    reversed: tuple[int, ...] = ()
    graded: bool = False
    own: OwnDataset | None = None
    flipped: tuple[int, ...] = ()

    @property
    def root_name(self) -> str:
        """The name under which the user says where the files are: `ucf101` for each of its three splits."""
        return self.home or self.name

    def published(self, split: str) -> int:
        """Clips of `train` or `val`, as published; 0 of an own data set."""
        if self.own is not None:
            return 0
        return self.train_clips if split == "train" else self.val_clips


def _three_splits(
    name: str, title: str, num_classes: int, sizes: tuple[tuple[int, int], ...]
) -> tuple[DatasetInfo, ...]:
    """The official splits of a data set as data sets of their own: `name`, `name-2`, `name-3`."""
    return tuple(
        DatasetInfo(
            name if i == 1 else f"{name}-{i}",
            f"{title}, split {i}",
            num_classes,
            train,
            val,
            short=title if i == 1 else f"{title} split {i}",
            official_split=i,
            home=name,
        )
        for i, (train, val) in enumerate(sizes, 1)
    )


def _graded(name: str, title: str, train: int = 960, val: int = 2560) -> DatasetInfo:
    """The second generator's (`benchmark.data.embedded.graded`)."""
    mirrored, backwards = (1, 0, 3, 2, 4, 5, 6, 7, 9, 8), (1, 0, 3, 2, 5, 4, 7, 6, 9, 8)
    return DatasetInfo(name, title, 10, train, val, generated=True, mirrored=mirrored, reversed=backwards, graded=True)


class Datasets(Mapping[str, DatasetInfo]):
    """All data sets by name: the papers' and the generated ones (`built_in`), and the user's own as they are found."""

    def __init__(self, built_in: Iterator[DatasetInfo]) -> None:
        self.built_in = {info.name: info for info in built_in}
        self._own: dict[str, DatasetInfo] = {}

    def __getitem__(self, name: str) -> DatasetInfo:
        """Raises KeyError, and SpecError where an own data set's file has errors."""
        if name in self.built_in:
            return self.built_in[name]
        own = find_own(name)
        if own is None:
            raise KeyError(name)
        # A loader asks for every clip: made anew only where the file has changed, and is another object.
        if name not in self._own or self._own[name].own is not own:
            self._own[name] = info_of_own(own, self.built_in)
        return self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.built_in, *(name for name in own_names() if name not in self.built_in)])

    def __len__(self) -> int:
        return len(list(iter(self)))


def info_of_own(own: OwnDataset, built_in: Mapping[str, DatasetInfo]) -> DatasetInfo:
    """What is known of an own data set: no published size, and its digest in the place of a version.

    Where it names no classes it has those of the one of `built_in` whose layout it has.
    """
    counts, known = own.clips, built_in.get(own.layout)
    num_classes = len(own.classes) or (known.num_classes if known else 0)
    return DatasetInfo(
        own.name,
        own.title,
        num_classes,
        counts.train if counts else 0,
        counts.val if counts else 0,
        version=own.digest,
        exact=False,
        own=own,
        flipped=own.labels_mirrored if own.classes or own.mirrored is None else tuple(range(num_classes)),
    )


DATASETS = Datasets(
    info
    for info in (
        DatasetInfo("motionpairs", "motionpairs", 8, 600, 480, generated=True),
        DatasetInfo(
            "motionpairs-tiny",
            "80 clips of motionpairs (accuracies mean nothing)",
            8,
            48,
            32,
            generated=True,
        ),
        DatasetInfo("motionpairs-hard", "motionpairs, hard setting", 12, 24_000, 4_800, generated=True),
        _graded("motionpairs-2", "motionpairs 2"),
        _graded("motionpairs-2-dev", "motionpairs 2, on the clips for searches"),
        _graded("motionpairs-2-large", "motionpairs 2, large", 24_000, 5_120),
        DatasetInfo("something-v1", "Something-Something V1", 174, 86_017, 11_522, short="SS V1"),
        DatasetInfo("something-v2", "Something-Something V2", 174, 168_913, 24_777, short="SS V2"),
        DatasetInfo("kinetics400", "Kinetics-400", 400, 240_000, 20_000, short="K400", exact=False),
        DatasetInfo("minikinetics", "Mini-Kinetics", 200, 80_000, 5_000, short="Mini-K", exact=False),
        *_three_splits("ucf101", "UCF101", 101, ((9_537, 3_783), (9_586, 3_734), (9_624, 3_696))),
        *_three_splits("hmdb51", "HMDB51", 51, ((3_570, 1_530),) * 3),
    )
)


def official_splits(name: str, count: int) -> tuple[str, ...]:
    """The first `count` official splits of a data set, as data sets; itself alone where it has only one.

    Raises:
        ValueError: it has several, but not so many.
    """
    home = DATASETS[name].root_name
    names = sorted(info.name for info in DATASETS.built_in.values() if info.root_name == home) or [name]
    if count == 1 or len(names) == 1:
        return (name,)
    if count > len(names):
        raise ValueError(f"{name} has {len(names)} official splits, not {count}")
    return tuple(names[:count])


def known_dataset(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: no data set has it.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set '{name}'.{did_you_mean(name, list(DATASETS))}")
    return name
