"""What is known about each data set without touching a disk: its title, classes and split sizes."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.spec.source import did_you_mean


@dataclass(frozen=True)
class DatasetInfo:
    """A data set by name, with the published sizes of its splits.

    `short` is its name in a column's title. A new `version` is a new experiment: old runs no longer count.
    """

    name: str
    title: str
    num_classes: int
    train_clips: int
    val_clips: int
    generated: bool = False
    version: str = "1"
    short: str = ""


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
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
        DatasetInfo("something-v1", "Something-Something V1", 174, 86_017, 11_522, short="SS V1"),
        DatasetInfo("kinetics400", "Kinetics-400", 400, 240_000, 20_000, short="K400"),
        DatasetInfo("minikinetics", "Mini-Kinetics", 200, 80_000, 5_000, short="Mini-K"),
        DatasetInfo("ucf101", "UCF101, split 1", 101, 9_537, 3_783, short="UCF101"),
        DatasetInfo("hmdb51", "HMDB51, split 1", 51, 3_570, 1_530, short="HMDB51"),
    )
}


def known_dataset(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: no data set has it.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set '{name}'.{did_you_mean(name, list(DATASETS))}")
    return name
