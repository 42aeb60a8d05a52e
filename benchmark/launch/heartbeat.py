"""The heartbeat of a run: status.json says how far it is, and that its process lives."""

from __future__ import annotations

import os
import time

from benchmark.runs.directory import BEAT_SECONDS, RunDir


class ParentGone(BaseException):
    """The process that launched this one is gone: stop."""


class Heartbeat:
    """Keeps status.json fresh while a run goes on: called after every batch, writes at most every BEAT_SECONDS."""

    def __init__(self, run: RunDir, epochs: int, parent: int | None):
        """`parent`: the process to stop with, if any."""
        self.run, self.epochs, self.parent = run, epochs, parent
        self.phase, self.epoch, self.last = "train", 0, 0.0

    def enter(self, phase: str, epoch: int) -> None:
        """Enter an epoch (0-based) of training, or the evaluation."""
        self.phase, self.epoch, self.last = phase, epoch, 0.0
        self(0, 1)

    def __call__(self, step: int, steps: int) -> None:
        """After a batch, with the batches done and their total. Raises ParentGone."""
        now = time.monotonic()
        if now - self.last < BEAT_SECONDS and step != steps:
            return
        self.last = now
        if self.parent is not None and os.getppid() != self.parent:
            raise ParentGone
        self.run.set_status(
            state="running",
            phase=self.phase,
            epoch=self.epoch,
            epochs=self.epochs,
            step=step,
            steps=steps,
            beat=time.time(),
        )
