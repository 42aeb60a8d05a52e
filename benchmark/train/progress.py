"""How far an epoch is, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.train.generators import set_generators


@dataclass(frozen=True)
class EpochSummary:
    """What one epoch of training came to; `loss`, `top1` and `residual` are means over the clips as they were seen.

    `residual` is the network's projection loss, `alpha` the weight that it had; None without one.
    """

    epoch: int
    lr: float
    loss: float
    top1: float
    clips: int
    unreadable: int
    residual: float | None = None
    alpha: float | None = None


@dataclass
class EpochState:
    """How far an epoch is: optimiser steps done, and sums over the clips that they have seen.

    `loss`, `correct`, `residual` and `finite` (see `benchmark.train.finite.watch`) are scalars of the training device,
    so that no step waits for it; they are numbers before the first step. `generators` are the states of the random
    generators to go on with.
    """

    step: int = 0
    clips: int = 0
    unreadable: int = 0
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    residual: Tensor | None = None
    alpha: float = 0.0
    generators: dict[str, Any] | None = None
    finite: Tensor | None = None

    def add(self, clips: int, loss: Tensor, residual: Tensor | None, correct: Tensor) -> None:
        """Clips that the network has seen: how many, their mean losses, and how many of them it had right."""
        self.clips += clips
        # Sums in double precision, as Python's own numbers have.
        self.loss = self.loss + loss.detach().double() * clips
        if residual is not None:
            added = residual.detach().double() * clips
            self.residual = added if self.residual is None else self.residual + added
        self.correct = self.correct + correct

    def restore_generators(self, device: torch.device) -> None:
        """Go on with the random generators as they were saved; once, and not at all where the epoch began here."""
        if self.generators is not None:
            set_generators(self.generators, device)
            self.generators = None

    def summary(self, epoch: int, lr: float) -> EpochSummary:
        """Of an epoch that has seen a clip: the means."""
        clips, loss, correct = self.clips, float(self.loss), int(self.correct)
        extra = {}
        if self.residual is not None:
            extra = {"residual": self.residual.item() / clips, "alpha": self.alpha / clips}
        return EpochSummary(epoch, lr, loss / clips, 100 * correct / clips, clips, self.unreadable, **extra)
