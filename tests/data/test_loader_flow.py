"""Which flow fields a clip consists of: at an interval they are as far apart as the frames that each leads across."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.datasets import Clip, Split
from benchmark.data.flow.extracted import FlowSplit
from benchmark.data.frame_store import FrameStore
from benchmark.data.loader import ClipDataset, clip_streams
from benchmark.data.sampling import centred_uniform, eval_indices, spread_dense, train_indices, train_uniform

SEGMENTS, SIDE, SEED = 4, 8, 3


class Numbered(FrameStore):
    """Fields whose pixels are their own number."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), [0])

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        numbers = np.asarray(indices, np.uint8)[:, None, None, None]
        return np.broadcast_to(numbers, (len(numbers), SIDE, SIDE, 2)).copy()


def dataset(
    frames: int,
    stacked: int,
    interval: int,
    mode: Literal["train", "eval"],
    sampling: Literal["uniform", "dense"] = "uniform",
    clips: int = 1,
) -> ClipDataset:
    split = Split("numbered", "train", [Clip("a", Path("a.mp4"), frames, SIDE, SIDE, 5)], 8, "0" * 64)
    data = DataConfig(dataset="motionpairs", segments=SEGMENTS, size=SIDE, train_crop="centre", sampling=sampling)
    flow = FlowSplit(split, "", "", {}, Numbered(), interval)
    return ClipDataset(split, data, EvalConfig(scale=SIDE, clips=clips), stacked, SEED, mode, flow)


def numbers(made: ClipDataset) -> list[list[int]]:
    """The fields of each view of the only clip."""
    item = made[0]
    assert bool(item.readable)
    views = item.frames if made.mode == "eval" else item.frames[None]
    assert views.shape[1:] == (SEGMENTS * made.frames_per_segment, 2, SIDE, SIDE)
    return [[int(field.unique()) for field in view] for view in views]


def stacks(starts: Sequence[int], stacked: int, interval: int, frames: int) -> list[int]:
    """The definition in loops: from each start every interval-th field, the last field where there is none."""
    wanted = []
    for start in starts:
        for place in range(stacked):
            field = int(start) + place * interval
            wanted.append(min(field, frames - interval - 1))
    return wanted


@pytest.mark.parametrize("frames", [64, 40, 9])
@pytest.mark.parametrize(("stacked", "interval"), [(1, 1), (5, 1), (1, 4), (3, 4), (5, 2)])
def test_segments_are_sampled_as_long_as_their_fields_reach(frames: int, stacked: int, interval: int) -> None:
    fields, reach = frames - interval, 1 + (stacked - 1) * interval
    centred = centred_uniform(fields, SEGMENTS, reach).tolist()
    assert numbers(dataset(frames, stacked, interval, "eval")) == [stacks(centred, stacked, interval, frames)]
    made = dataset(frames, stacked, interval, "train")
    for epoch in range(3):
        made.set_epoch(epoch)
        drawn = train_uniform(fields, SEGMENTS, reach, clip_streams(SEED, epoch, "a")[0]).tolist()
        assert numbers(made) == [stacks(drawn, stacked, interval, frames)]
    dense = spread_dense(fields, SEGMENTS, reach, 3)
    expected = [stacks(view.tolist(), stacked, interval, frames) for view in dense]
    assert numbers(dataset(frames, stacked, interval, "eval", "dense", 3)) == expected


@pytest.mark.parametrize("stacked", [1, 5])
def test_ordinary_flow_is_sampled_as_frames_are(stacked: int) -> None:
    """An interval of 1 changes nothing: the fields are those that the sampler alone names."""
    expected = eval_indices(39, SEGMENTS, stacked, "uniform", 2).tolist()
    assert numbers(dataset(40, stacked, 1, "eval", clips=2)) == expected
    places = clip_streams(SEED, 0, "a")[0]
    drawn = train_indices(39, SEGMENTS, stacked, "uniform", places).tolist()
    assert numbers(dataset(40, stacked, 1, "train")) == [drawn]


def test_no_field_leads_past_the_clip_and_training_reaches_them_all() -> None:
    """Every field of a clip of 20 frames is drawn, not only those at multiples of the interval."""
    made, seen = dataset(20, 1, 4, "train"), set[int]()
    for epoch in range(60):
        made.set_epoch(epoch)
        (view,) = numbers(made)
        assert view == sorted(view)
        seen |= set(view)
    assert seen == set(range(20 - 4))


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("frames", "interval"), [(1, 1), (4, 4), (2, 4)])
def test_a_clip_without_flow_counts_as_unreadable(frames: int, interval: int, mode: Literal["train", "eval"]) -> None:
    item = dataset(frames, 2, interval, mode)[0]
    assert not bool(item.readable)
    assert item.frames.shape[-4:] == (SEGMENTS * 2, 2, SIDE, SIDE)
    assert torch.count_nonzero(item.frames) == 0
    assert int(item.label) == 5
    shortest = dataset(interval + 1, 2, interval, mode)
    assert numbers(shortest) == [[0] * SEGMENTS * 2]
