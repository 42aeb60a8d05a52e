"""Batches for training and evaluation.

A training clip is a function of (seed, epoch, clip) alone: not of the worker that made it, of the batch it falls in,
or of the model. So a resumed run continues on the same data, and rows of a table that share a seed see the same frames
and crops of the same clips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from multiprocessing.sharedctypes import RawValue
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from benchmark.config.datasets import DATASETS
from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.device_transforms import Uncut, collate, cut_all, matrices
from benchmark.data.errors import DecodeError
from benchmark.data.flow.extracted import FlowSplit
from benchmark.data.now_reading import reading
from benchmark.data.prefetch import sent
from benchmark.data.sampling import eval_indices, train_indices
from benchmark.data.split import Split
from benchmark.data.transforms import View, eval_view, may_mirror, opposite, to_tensor, train_view, view_side, viewed
from benchmark.data.watchdog import WatchedLoader


class Item(NamedTuple):
    """A clip, or a batch of them with one more leading dimension.

    `frames` is uint8: (T, C, S, S) in training, (V, T, C, S, S) in evaluation with V = clips x crops views; T =
    segments x frames per segment, segment-major; C is 3, or 2 for optical flow. `readable` is False if the file could
    not be decoded (frames are then zero): training leaves the clip out of the loss, evaluation counts it as wrong.
    `clip_index` is the position of the clip in its split.
    """

    frames: Tensor
    label: Tensor
    clip_index: Tensor
    readable: Tensor

    def only_readable(self) -> Item:
        """A batch without the clips that could not be read: itself, and not a copy that is no longer pinned, if all."""
        return self if bool(self.readable.all()) else Item(*(field[self.readable] for field in self))


def clip_streams(seed: int, epoch: int, clip_id: str) -> tuple[np.random.Generator, np.random.Generator]:
    """Two random streams of a clip in an epoch, for its frames and for its crop, so that neither shifts the other."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    return (
        np.random.default_rng(np.random.SeedSequence([seed, epoch, digest, 0])),
        np.random.default_rng(np.random.SeedSequence([seed, epoch, digest, 1])),
    )


def symmetry(seed: int, epoch: int, clip_id: str) -> tuple[bool, bool]:
    """Whether a clip is mirrored and whether it is reversed in an epoch, each in half of the cases."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    mirror, backwards = np.random.default_rng(np.random.SeedSequence([seed, epoch, digest, 2])).random(2) < 0.5
    return bool(mirror), bool(backwards)


def shuffled(seed: int, clip_id: str, epoch: int | None, frames: int) -> NDArray[np.int64]:
    """Another order of a clip's frames, drawn for each epoch, or once for evaluation (None)."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    words = [seed, digest, 3] if epoch is None else [seed, epoch, digest, 3]
    return np.random.default_rng(np.random.SeedSequence(words)).permutation(frames)


def view_stream(seed: int, clip_id: str) -> np.random.Generator:
    """The random stream of a clip's evaluation views where these are drawn; apart from those of training."""
    digest = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([seed, digest, 2]))


def epoch_order(clips: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the training clips in an epoch, a permutation of range(clips)."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, clips])).permutation(clips)


class ClipDataset(Dataset[Any]):
    """Clips of a split as the network wants them; call `set_epoch` before each epoch."""

    def __init__(
        self,
        split: Split,
        data: DataConfig,
        evaluation: EvalConfig,
        frames_per_segment: int,
        seed: int,
        mode: Literal["train", "eval"],
        flow: FlowSplit | None = None,
        cut_on_device: bool = False,
    ) -> None:
        """The clips of a split for training or evaluation.

        Args:
            split: The clips.
            data: How clips are sampled and cut.
            evaluation: The views of evaluation.
            frames_per_segment: Consecutive frames of a segment, or flow fields that are stacked.
            seed: Of the run.
            mode: Training items have one view, evaluation items all of them.
            flow: The split's optical flow, read instead of its frames.
            cut_on_device: Give frames as decoded (`Uncut`), to be cut on the training device; never flow.

        Raises:
            ValueError: The flips are of another data set's classes.
        """
        if data.flip == "undirected" and not data.dataset.startswith("something-"):
            raise ValueError(f"data.flip undirected is of Something-Something's classes, not {data.dataset}'s")
        self.split = split
        self.flow = flow
        self.cut_on_device = cut_on_device and flow is None
        self.data = data
        self.evaluation = evaluation
        self.frames_per_segment = frames_per_segment
        self.interval = 1 if flow is None else flow.interval
        # Stacked fields are those of a video of every `interval`-th frame only: i, i + interval, i + 2 interval, ...
        # A segment is sampled as long as they reach, in fields at every frame.
        self.reach = 1 + (frames_per_segment - 1) * self.interval
        self.seed = seed
        self.mode = mode
        self._epoch = RawValue("q", 0)  # loader processes see it change

    @property
    def epoch(self) -> int:
        """Which epoch's random draws the clips have."""
        return int(self._epoch.value)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the random draws of the clips, between two epochs, here and in loader processes that already run."""
        self._epoch.value = epoch

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.split)

    def __getitem__(self, index: int) -> Item | Uncut:
        """The clip at a position of the split. An unreadable file gives zeros and readable = False.

        So does a clip that is too short to have flow: it cannot be classified, and counts as wrong.
        """
        number, yes, no = torch.tensor(index), torch.tensor(True), torch.tensor(False)
        try:
            with reading(index):
                frames, view, order = self._train(index) if self.mode == "train" else self._eval(index)
        except DecodeError:
            label = torch.tensor(self._label(index))
            if self.cut_on_device:
                return self._uncut_nothing(label, number, no)
            return Item(torch.zeros(self.shape, dtype=torch.uint8), label, number, no)
        except Exception as error:
            error.add_note(f"while reading {self.describe(index)}")
            raise
        label = torch.tensor(self._label(index, view))
        pixels = to_tensor(frames)
        if self.cut_on_device:
            return Uncut(pixels, *matrices(view, *frames.shape[1:3]), order, label, number, yes)
        cuts = viewed(pixels, view)
        if self.mode == "train":
            return Item(cuts[0].contiguous(), label, number, yes)
        views = cuts[:, order]
        return Item(views.transpose(0, 1).flatten(0, 1).contiguous(), label, number, yes)

    def _uncut_nothing(self, label: Tensor, clip_index: Tensor, readable: Tensor) -> Uncut:
        """A clip that could not be read: one black pixel."""
        boxes, side = (1, self.data.size) if self.mode == "train" else (self.evaluation.crops, self.shape[-1])
        clips = 1 if self.mode == "train" else self.evaluation.clips
        nothing = torch.zeros(boxes, side, 1)
        order = torch.zeros(clips, self.shape[-4], dtype=torch.int64)
        black = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
        return Uncut(black, nothing, nothing, order, label, clip_index, readable)

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

    def _symmetry(self, index: int) -> tuple[bool, bool]:
        """Whether a clip is mirrored, and reversed: training clips, where the data set's symmetries are used."""
        if self.mode == "eval" or not self.data.symmetries:
            return False, False
        return symmetry(self.seed, self.epoch, self.split.clips[index].id)

    def _label(self, index: int, view: View | None = None) -> int:
        """The label that a clip has as it is given: mirrored, reversed or both; of a training view as that is cut."""
        label, info = self.split.clips[index].label, DATASETS[self.data.dataset]
        if info.flipped and self.mode == "train" and view is not None and view.boxes[0].flip:
            return info.flipped[label]
        mirror, backwards = self._symmetry(index)
        label = info.mirrored[label] if mirror else label
        return info.reversed[label] if backwards else label

    def _train(self, index: int) -> tuple[NDArray[np.uint8], View, Tensor]:
        """Frames as decoded, what to cut from them, and their order (1, T)."""
        clip, data = self.split.clips[index], self.data
        times, crops = clip_streams(self.seed, self.epoch, clip.id)
        length = self._length(index)
        wanted = train_indices(length, data.segments, self.reach, data.sampling, times, data.window)
        mirror, backwards = self._symmetry(index)
        wanted = self._stacked(wanted)[:: -1 if backwards else 1]
        if data.order == "shuffled":
            wanted = wanted[shuffled(self.seed, clip.id, self.epoch, len(wanted))]
        frames = self._read(index, wanted)
        if backwards and self.flow is not None:
            frames = opposite(frames)
        flip, scale = may_mirror(data.flip, clip.label), self.evaluation.scale
        height, width = frames.shape[1:3]
        view = train_view(height, width, data.size, flip, crops, data.train_crop, data.resize, scale)
        if mirror:
            view = view.mirrored()
        return frames, view, torch.arange(len(frames))[None]

    def _eval(self, index: int) -> tuple[NDArray[np.uint8], View, Tensor]:
        """Frames as decoded, what to cut from them, and which of them each temporal view has, (clips, T)."""
        data, evaluation = self.data, self.evaluation
        drawn = view_stream(self.seed, self.split.clips[index].id) if evaluation.placing == "random" else None
        length = self._length(index)
        wanted = self._stacked(
            eval_indices(length, data.segments, self.reach, data.sampling, evaluation.clips, data.window, drawn)
        )
        if data.order == "shuffled":
            wanted = wanted[:, shuffled(self.seed, self.split.clips[index].id, None, wanted.shape[1])]
        # Views overlap in time: every frame is decoded and scaled once.
        distinct, order = np.unique(wanted, return_inverse=True)
        frames = self._read(index, distinct)
        height, width = frames.shape[1:3]
        view = eval_view(height, width, data.size, evaluation.scale, evaluation.crops, data.resize)
        return frames, view, torch.from_numpy(order.reshape(wanted.shape))


class _Order:
    """An order of clips as a sampler, to be replaced from one epoch to the next."""

    def __init__(self) -> None:
        self.clips: Sequence[int] | NDArray[np.int64] = ()

    def __iter__(self) -> Iterator[int]:
        return map(int, self.clips)

    def __len__(self) -> int:
        return len(self.clips)


class ClipLoader:
    """Batches of Items of a dataset, in one order after another.

    Its processes, if it has any, are started with the first order and live as long as the loader, as there is
    nothing in them that one order leaves to the next.
    """

    def __init__(
        self, dataset: ClipDataset, batch_size: int, workers: int = 0, device: torch.device | None = None
    ) -> None:
        """A loader of batches of `batch_size` clips, by `workers` processes; 0 loads in this one.

        `device`: where frames and labels go, if it is a GPU, and where clips that the loader leaves uncut
        (`ClipDataset.cut_on_device`) are cut.
        """
        self.dataset, self.batch_size = dataset, batch_size
        self._device, self._order = device or torch.device("cpu"), _Order()
        self._batches = WatchedLoader[Any](
            dataset,
            dataset.describe,
            workers,
            batch_size=batch_size,
            sampler=self._order,
            pin_memory=self._device.type == "cuda",
            collate_fn=collate if dataset.cut_on_device else None,
        )

    def batches(self, order: Sequence[int] | NDArray[np.int64]) -> Iterator[Item]:
        """Batches of the clips in this order; the last may be smaller. One order has to end before the next begins.

        Raises LoaderError if no batch comes for BENCHMARK_STALL_SECONDS or a loader process dies.
        """
        self._order.clips = order
        if self.dataset.cut_on_device:
            fields = ("frames", "rows", "columns", "order")
            batches = sent(self._batches, self._device, fields)
            return (Item(*item) for item in cut_all(batches, self._device, self.dataset.mode == "train"))
        return sent(self._batches, self._device, ("frames", "label"))
