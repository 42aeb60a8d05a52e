"""What is known about each data set without touching a disk: its title, classes and split sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetInfo:
    """A data set by name. `train_clips` and `val_clips` are the published sizes of the splits."""

    name: str
    title: str
    num_classes: int
    train_clips: int
    val_clips: int
    generated: bool = False


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("motionpairs", "motionpairs (embedded)", 8, 600, 480, generated=True),
        DatasetInfo("motionpairs-hard", "motionpairs, hard setting", 12, 24_000, 4_800, generated=True),
        DatasetInfo("something-v1", "Something-Something V1", 174, 86_017, 11_522),
    )
}
