"""What the classes of a data set are called, without its clips being read."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.config.datasets import DATASETS
from benchmark.data.embedded.graded import GRADED, GradedSetting
from benchmark.data.embedded.motionpairs import SETTINGS, Setting
from benchmark.data.manifest import index_folder


def class_names(dataset: str) -> tuple[str, ...]:
    """By label; those that are not known here, such as of a data set that is not prepared, are `class 7`."""
    unnamed = tuple(f"class {label}" for label in range(DATASETS[dataset].num_classes))
    generated: dict[str, Setting | GradedSetting] = {**SETTINGS, **GRADED}
    named: Sequence[str]
    if dataset in generated:
        named = generated[dataset].class_names
    else:
        try:
            named = (index_folder(dataset, "val") / "labels.txt").read_text(encoding="utf-8").splitlines()
        except OSError:
            named = []
    return (*named, *unnamed[len(named) :])
