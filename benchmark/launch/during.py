"""What happens beside a run's arithmetic while it goes on: its heartbeat, its checkpoints, and names for its log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch

from benchmark.data.datasets import Split
from benchmark.data.limits import positive_seconds
from benchmark.data.loader import Item
from benchmark.runs.directory import BEAT_SECONDS, RunDir
from benchmark.train.loop import EpochState, generators

CHECKPOINT_SECONDS = "BENCHMARK_CHECKPOINT_SECONDS"


class Orphaned(BaseException):
    """The process that launched this one is gone: stop, as at a Ctrl-C."""


class Reporter:
    """Keeps status.json fresh: the state, how far the run is, and a heartbeat."""

    def __init__(self, run: RunDir, epochs: int, parent: int | None):
        self.run, self.epochs, self.parent = run, epochs, parent
        self.phase, self.epoch, self.last = "train", 0, 0.0

    def start(self, phase: str, epoch: int) -> None:
        """Enter an epoch (0-based) of training, or the evaluation."""
        self.phase, self.epoch, self.last = phase, epoch, 0.0
        self(0, 1)

    def __call__(self, step: int, steps: int) -> None:
        """Called after every batch; writes at most every BEAT_SECONDS."""
        now = time.monotonic()
        if now - self.last < BEAT_SECONDS and step != steps:
            return
        self.last = now
        if self.parent is not None and os.getppid() != self.parent:
            raise Orphaned
        self.run.set_status(
            state="running",
            phase=self.phase,
            epoch=self.epoch,
            epochs=self.epochs,
            step=step,
            steps=steps,
            beat=time.time(),
        )


class Keeper:
    """Called after every step: reports it, and saves a checkpoint when the last one is old.

    BENCHMARK_CHECKPOINT_SECONDS is how old: 600 unless set.
    """

    def __init__(self, report: Reporter, save: Callable[..., None], state: EpochState, device: torch.device) -> None:
        self._report, self._save, self._state, self._device = report, save, state, device
        self._seconds, self._last = positive_seconds(CHECKPOINT_SECONDS, 600.0), time.monotonic()

    def __call__(self, step: int, steps: int) -> None:
        """After a step, with the steps done and their total."""
        self._report(step, steps)
        if step < steps and time.monotonic() - self._last >= self._seconds:
            self._save(within=replace(self._state, generators=generators(self._device)))
            self._last = time.monotonic()


class Unreadable:
    """Names in the log, once each, the clips that could not be read."""

    def __init__(self) -> None:
        self._named: set[tuple[str, int]] = set()

    def noted(self, split: Split, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches as they come."""
        for item in batches:
            for place in item.place[~item.readable].tolist():
                if (split.split, place) not in self._named:
                    self._named.add((split.split, place))
                    clip = split.clips[place]
                    log(f"cannot be read: {split.split} clip {clip.id} ({clip.path})")
            yield item


def log(text: str) -> None:
    """A line of the run's log."""
    print(text, flush=True)
