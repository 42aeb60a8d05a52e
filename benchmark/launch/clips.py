"""The clips of a run: both splits of its data set as its network reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmark.config.run import RunConfig
from benchmark.data.datasets import open_split
from benchmark.data.device_transforms import on_device
from benchmark.data.flow.extracted import FlowSplit, interval_of, open_flow
from benchmark.data.indexing.check import known_damage
from benchmark.data.loader import ClipDataset, ClipLoader, Item
from benchmark.data.split import Split
from benchmark.launch.unreadable import UnreadableLog, refuse_unreadable


@dataclass(frozen=True)
class Opened:
    """Both splits of a data set, and their optical flow where that is read."""

    train: Split
    val: Split
    train_flow: FlowSplit | None = None
    val_flow: FlowSplit | None = None


def open_clips(config: RunConfig) -> Opened:
    """What a run reads. Raises DataError where clips or flow are not prepared."""
    train, val = open_split(config.data.dataset, "train"), open_split(config.data.dataset, "val")
    if config.modality != "flow":
        return Opened(train, val)
    interval = interval_of(config.model)
    return Opened(train, val, open_flow(train, interval), open_flow(val, interval))


class RunClips:
    """Training and validation clips, and their optical flow where the network reads that.

    Attributes:
        train: The training split.
        val: The validation split.
        training: The training split's clips, one random view of each.
        evaluation: The validation split's clips, all views of each.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        workers: int,
        opened: Opened | None = None,
        dataset: type[ClipDataset] = ClipDataset,
    ) -> None:
        """Open them; `workers` processes will load them.

        Args:
            config: the run's.
            device: where it runs.
            workers: loader processes; 0 loads in this one.
            opened: other clips in place of the run's.
            dataset: what reads them.

        Raises:
            DataError: clips or flow are not prepared.
            UnreadableError: validation clips are known to be damaged, and the protocol refuses that.
        """
        self._device, self._workers, self._unreadable = device, workers, UnreadableLog()
        self._cut_on_device = on_device()
        self._loader: ClipLoader | None = None
        opened = opened or open_clips(config)
        self.train, self.val = opened.train, opened.val
        if config.eval.unreadable == "refuse":
            damaged = known_damage(self.val)
            refuse_unreadable(self.val, [not clip.frames or clip.id in damaged for clip in self.val.clips])
        self._train_flow, self._val_flow = opened.train_flow, opened.val_flow
        data, views, frames, cut = config.data, config.eval, config.model.frames_per_segment, self._cut_on_device
        self.training = dataset(self.train, data, views, frames, config.seed, "train", self._train_flow, cut)
        self.evaluation = dataset(self.val, data, views, frames, config.seed, "eval", self._val_flow, cut)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What distinguishes the data, by what they are."""
        found = {"train": self.train.fingerprint, "val": self.val.fingerprint}
        if self._train_flow is not None and self._val_flow is not None:
            found |= {"train_flow": self._train_flow.fingerprint, "val_flow": self._val_flow.fingerprint}
        return found

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Clips found and missing, by split."""
        return {split.split: {"found": len(split), "missing": split.missing} for split in (self.train, self.val)}

    @property
    def cut_where(self) -> str:
        """Whether frames are cut and resized on the `device` or by the `loader`, which flow always is."""
        return "device" if self._cut_on_device and self._train_flow is None else "loader"

    def batches(self, dataset: ClipDataset, size: int, order: Sequence[int]) -> Iterator[Item]:
        """Batches of clips in an order; those that cannot be read are named in the log.

        Loader processes live from one epoch to the next, until clips of the other split are asked for, or batches of
        another size.
        """
        if self._loader is None or (self._loader.dataset, self._loader.batch_size) != (dataset, size):
            self._loader = None  # ends those of the other split, before there are new ones
            self._loader = ClipLoader(dataset, size, self._workers, self._device)
        return self._unreadable.watch(dataset.split, self._loader.batches(order))
