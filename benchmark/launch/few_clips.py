"""The sixteen clips of a miniature: the first of a generated data set, or rendered ones in place of a user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig
from benchmark.data.embedded.exact_flow import ground_truth
from benchmark.data.embedded.motionpairs import SETTINGS
from benchmark.data.embedded.render import render
from benchmark.data.flow.extracted import FlowSplit, interval_of
from benchmark.data.flow.tvl1 import quantise
from benchmark.data.frame_store import FrameStore
from benchmark.data.split import Clip, Split
from benchmark.data.transforms import DIRECTED
from benchmark.launch.clips import Opened, open_clips

CLIPS = 16
SHARE = 12
"""Of the training clips of a small data set one in so many."""
VIEWS = 32
"""Of all evaluation clips together: of a clip with many views fewer clips are evaluated, at least two."""
RENDERED = 4
"""Clips that are drawn in place of a user's; the others show them from another frame on."""
LENGTHS = (8, 11, 16, 23, 24, 31, 40, 48, 63, 64, 65, 90, 128, 150, 250, 300)
"""Frames of the clips that stand for a user's: shorter and longer than what any network reads."""
DRAWN_AS = SETTINGS["motionpairs"]


def training_clips(config: RunConfig) -> int:
    """Sixteen; of a small data set that is known here a twelfth, so that a miniature is small beside its run."""
    info = DATASETS[config.data.dataset]
    return CLIPS if info.own else min(CLIPS, info.train_clips // SHARE)


def few_clips(config: RunConfig) -> Opened:
    """The training clips (`training_clips`) and as many, or fewer, validation clips for the miniature of a run.

    Of a generated data set they are its own first ones. Those of a user need not be there to verify a run: clips of
    motionpairs are drawn in their place, of many lengths, with labels spread over all classes, and their exact flow.

    Raises:
        DataError: the generated data set, or its flow, is not prepared.
    """
    count = training_clips(config)
    evaluated = min(count, max(2, VIEWS // config.views))
    if not DATASETS[config.data.dataset].generated:
        train, val = (_stand_in(config, split) for split in ("train", "val"))
        opened = Opened(train, val)
        if config.modality == "flow":
            interval = interval_of(config.model)
            flows = (FlowSplit(split, "", "", {}, RepeatedFlow(interval), interval) for split in (train, val))
            opened = Opened(train, val, *flows)
    else:
        opened = open_clips(config)
    return Opened(
        _first(opened.train, count),
        _first(opened.val, evaluated),
        opened.train_flow and replace(opened.train_flow, split=_first(opened.train, count)),
        opened.val_flow and replace(opened.val_flow, split=_first(opened.val, evaluated)),
    )


def _first(split: Split, count: int) -> Split:
    return replace(split, clips=split.clips[:count])


class RepeatedFrames(FrameStore):
    """Frames of the clips that are drawn, over and over."""

    def __init__(self) -> None:
        """Nothing is on the disk."""

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames of a clip by number, (n, H, W, 3) uint8."""
        return _drawn(clip % RENDERED)[_repeated(clip, indices)]


class RepeatedFlow(FrameStore):
    """Their exact flow; the last fields of a repetition lead past its end, and are those before them."""

    def __init__(self, interval: int) -> None:
        """`interval`: frames from the one that a field leads from to the one it leads to."""
        self._interval = interval

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Fields of a clip by number, (n, H, W, 2) uint8."""
        fields = _flow(clip % RENDERED, self._interval)
        return fields[np.minimum(_repeated(clip, indices), len(fields) - 1)]


def _repeated(clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    start = clip // RENDERED * DRAWN_AS.frames * RENDERED // CLIPS
    return (start + np.asarray(indices, np.int64)) % DRAWN_AS.frames


@lru_cache
def _drawn(index: int) -> NDArray[np.uint8]:
    return render(DRAWN_AS, "train", index)


@lru_cache
def _flow(index: int, interval: int) -> NDArray[np.uint8]:
    return quantise(ground_truth(DRAWN_AS, "train", index, interval))


def _stand_in(config: RunConfig, split: str) -> Split:
    """A split of drawn clips; in validation they have the lengths in another order."""
    name, classes = config.data.dataset, config.data.num_classes
    lengths = LENGTHS if split == "train" else LENGTHS[::-1]
    size = DRAWN_AS.height, DRAWN_AS.width
    labels = [i * classes // CLIPS for i in range(CLIPS)]
    if config.data.flip == "undirected":
        labels[: len(DIRECTED)] = sorted(DIRECTED)
    clips = [
        Clip(f"{split}-{i}", Path(f"{split}-{i}"), frames, *size, label)
        for i, (frames, label) in enumerate(zip(lengths, labels, strict=True))
    ]
    return Split(name, split, clips, classes, f"drawn {DRAWN_AS.digest}", RepeatedFrames())
