"""How far an epoch is, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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

    `generators` are the states of torch's random generators to go on with, the CPU's and, of a GPU run, the GPU's.
    """

    step: int = 0
    clips: int = 0
    unreadable: int = 0
    loss: float = 0.0
    correct: int = 0
    residual: float | None = None
    alpha: float = 0.0
    generators: list[Tensor] | None = None

    def add(self, clips: int, loss: float, residual: float | None, correct: int) -> None:
        """Clips that the network has seen: how many, their mean losses, and how many of them it had right."""
        self.clips += clips
        self.loss += loss * clips
        if residual is not None:
            self.residual = (self.residual or 0.0) + residual * clips
        self.correct += correct

    def restore_generators(self, device: torch.device) -> None:
        """Go on with the random generators as they were saved; once, and not at all where the epoch began here."""
        if self.generators is not None:
            set_generators(self.generators, device)
            self.generators = None

    def summary(self, epoch: int, lr: float) -> EpochSummary:
        """Of an epoch that has seen a clip: the means."""
        clips = self.clips
        extra = {} if self.residual is None else {"residual": self.residual / clips, "alpha": self.alpha / clips}
        return EpochSummary(epoch, lr, self.loss / clips, 100 * self.correct / clips, clips, self.unreadable, **extra)


def generators(device: torch.device) -> list[Tensor]:
    """States of the random generators that training on a device draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_generators(states: list[Tensor], device: torch.device) -> None:
    """Sets the generators to states that `generators` gave, on a device of the same kind."""
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)
