"""Batches for training and evaluation.

A training clip is a function of (seed, epoch, clip) alone: not of the worker that made it, of the batch it falls in,
or of the model. So a resumed run continues on the same data, and rows of a table that share a seed see the same clips
at the same places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from benchmark.data.datasets import Split
from benchmark.data.errors import DecodeError
from benchmark.data.flow import FlowSplit
from benchmark.data.sampling import eval_indices, train_indices
from benchmark.data.transforms import (
    cut,
    eval_transform,
    may_mirror,
    mirrored,
    reshaped,
    scale_short_side,
    train_transform,
    view_boxes,
    view_side,
)
from benchmark.data.watchdog import WatchedLoader, reading
from benchmark.spec.config import DataConfig, EvalConfig


class Item(NamedTuple):
    """A clip, or a batch of them with one more leading dimension.

    `frames` is uint8: (T, C, S, S) in training, (V, T, C, S, S) in evaluation with V = clips x crops views; T =
    segments x frames per segment, segment-major; C is 3, or 2 for optical flow. `readable` is False if the file could
    not be decoded (frames are then zero): training leaves the clip out of the loss, evaluation counts it as wrong.
    `place` is the clip's index in its split.
    """

    frames: Tensor
    label: Tensor
    place: Tensor
    readable: Tensor


def clip_streams(seed: int, epoch: int, clip_id: str) -> tuple[np.random.Generator, np.random.Generator]:
    """Two random streams of a clip in an epoch, for its frames and for its crop, so that neither shifts the other."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    return (
        np.random.default_rng(np.random.SeedSequence([seed, epoch, digest, 0])),
        np.random.default_rng(np.random.SeedSequence([seed, epoch, digest, 1])),
    )


def view_stream(seed: int, clip_id: str) -> np.random.Generator:
    """The random stream of a clip's evaluation views where these are drawn; apart from those of training."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([seed, digest, 2]))


def epoch_order(clips: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the training clips in an epoch, a permutation of range(clips)."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, clips])).permutation(clips)


class ClipDataset(Dataset[Item]):
    """Clips of a split as the network wants them; call `set_epoch` before making each epoch's loader."""

    def __init__(
        self,
        split: Split,
        data: DataConfig,
        evaluation: EvalConfig,
        frames_per_segment: int,
        seed: int,
        mode: Literal["train", "eval"],
        flow: FlowSplit | None = None,
    ) -> None:
        """`flow`: the split's optical flow, read in the place of its frames.

        Stacked fields follow each other as those of the video that has every `flow.interval`-th frame only: they are i,
        i + interval, i + 2 interval, ... A segment is sampled as long as they reach, in fields at every frame.

        Raises ValueError for flips that are of another data set's classes.
        """
        if data.flip == "undirected" and not data.dataset.startswith("something-"):
            raise ValueError(f"data.flip undirected is of Something-Something's classes, not {data.dataset}'s")
        self.split = split
        self.flow = flow
        self.data = data
        self.evaluation = evaluation
        self.frames_per_segment = frames_per_segment
        self.interval = 1 if flow is None else flow.interval
        self.reach = 1 + (frames_per_segment - 1) * self.interval
        self.seed = seed
        self.mode = mode
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the random draws of the clips. Workers that already run do not see it."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.split)

    def __getitem__(self, index: int) -> Item:
        """The clip at a place of the split. An unreadable file gives zeros and readable = False.

        So does a clip that is too short to have flow: it cannot be told, and counts as wrong.
        """
        clip = self.split.clips[index]
        readable = True
        try:
            with reading(index):
                frames = self._train(index) if self.mode == "train" else self._eval(index)
        except DecodeError:
            frames, readable = torch.zeros(self.shape, dtype=torch.uint8), False
        except Exception as error:
            error.add_note(f"while reading {self.describe(index)}")
            raise
        return Item(frames, torch.tensor(clip.label), torch.tensor(index), torch.tensor(readable))

    def describe(self, index: int) -> str:
        """A clip's id and file, as error messages name it."""
        clip = self.split.clips[index]
        return f"clip {clip.id} ({clip.path})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a clip's frames: (T, C, S, S) in training, (V, T, C, S, S) in evaluation."""
        time, size = self.data.segments * self.frames_per_segment, self.data.size
        channels = 3 if self.flow is None else 2
        if self.mode == "train":
            return (time, channels, size, size)
        side = view_side(size, self.evaluation.scale, self.evaluation.crops)
        return (self.evaluation.clips * self.evaluation.crops, time, channels, side, side)

    def _length(self, index: int) -> int:
        """Frames of a clip, or flow fields. Raises DecodeError if there are none."""
        clip = self.split.clips[index]
        length = clip.frames if self.flow is None else self.flow.fields(index)
        if length < 1:
            if self.flow is None:
                raise DecodeError(f"clip {clip.id} was unreadable when it was indexed: {clip.path}")
            raise DecodeError(f"clip {clip.id} has {clip.frames} frames: no flow over {self.interval}")
        return length

    def _stacked(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the `reach` neighbours of each segment every `interval`-th: (..., N * reach) -> (..., N * n)."""
        by_segment = wanted.reshape(*wanted.shape[:-1], self.data.segments, self.reach)
        return by_segment[..., :: self.interval].reshape(*wanted.shape[:-1], -1)

    def _read(self, index: int, wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (self.flow or self.split).read(index, wanted)

    def _train(self, index: int) -> Tensor:
        clip, data = self.split.clips[index], self.data
        places, crops = clip_streams(self.seed, self.epoch, clip.id)
        length = self._length(index)
        wanted = train_indices(length, data.segments, self.reach, data.sampling, places, data.window)
        frames = self._read(index, self._stacked(wanted))
        flip = may_mirror(data.flip, clip.label)
        if data.train_crop != "centre":
            return train_transform(frames, data.size, flip, crops, data.train_crop, data.resize)
        scaled = scale_short_side(reshaped(frames, data.resize), self.evaluation.scale)
        part = cut(scaled, view_boxes(scaled.shape[-2], scaled.shape[-1], data.size, 1)[0])
        return (mirrored(part) if flip and crops.random() < 0.5 else part).contiguous()

    def _eval(self, index: int) -> Tensor:
        data, evaluation = self.data, self.evaluation
        drawn = view_stream(self.seed, self.split.clips[index].id) if evaluation.placing == "random" else None
        length = self._length(index)
        wanted = self._stacked(
            eval_indices(length, data.segments, self.reach, data.sampling, evaluation.clips, data.window, drawn)
        )
        # Views overlap in time: every frame is decoded and scaled once.
        distinct, places = np.unique(wanted, return_inverse=True)
        frames = self._read(index, distinct)
        crops = eval_transform(frames, data.size, evaluation.scale, evaluation.crops, data.resize)
        views = crops[:, torch.from_numpy(places.reshape(wanted.shape))]
        return views.transpose(0, 1).flatten(0, 1).contiguous()


class _Order:
    """A fixed order as a sampler."""

    def __init__(self, order: Sequence[int] | NDArray[np.int64]) -> None:
        self._order = [int(i) for i in order]

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def make_loader(
    dataset: ClipDataset, batch_size: int, order: Sequence[int] | NDArray[np.int64], workers: int = 0
) -> WatchedLoader[Item]:
    """Batches of Items in the given order; the last batch may be smaller. workers = 0 loads in this process.

    Iterating raises LoaderError if no batch comes for BENCHMARK_STALL_SECONDS or a loader process dies.
    """
    return WatchedLoader(
        dataset,
        dataset.describe,
        workers,
        batch_size=batch_size,
        sampler=_Order(order),
        pin_memory=torch.cuda.is_available(),
    )
