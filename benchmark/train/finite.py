"""Whether losses, gradients and weights are finite, without a wait for the device at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.config.run import TrainConfig
from benchmark.train.optim import lr_at

LOOK_EVERY = 20
"""Steps between two looks at what a GPU has noted; a CPU has no queue to wait for, and every step is looked at."""

WATCHED = ("loss", "projection loss", "gradient")


class DivergedError(Exception):
    """A loss, a gradient or a weight is not finite: the run cannot go on."""


def watch(noted: Tensor | None, step: int, loss: Tensor, residual: Tensor | None, gradient: Tensor) -> Tensor:
    """The note of a step, or that of the first step before it which was not finite.

    Args:
        noted: what this gave for the step before; None for the first.
        step: from 1.
        loss: of the batch.
        residual: its projection loss, if it has one.
        gradient: a norm of the gradient.

    Returns:
        (4,) float64 on the loss's device: the step, and the values in the order of `WATCHED`.
    """
    number = torch.full((), step, dtype=torch.float64, device=loss.device)
    values = (loss, torch.zeros_like(number) if residual is None else residual, gradient)
    now = torch.stack([number, *(value.detach().to(number) for value in values)])
    return now if noted is None else torch.where(noted.isfinite().all(), now, noted)


def look(noted: Tensor, epoch: int, steps: int, recipe: TrainConfig) -> None:
    """Wait for the note. Raises DivergedError, which names the step, if a value in it is not finite."""
    step, *values = noted.tolist()
    for name, value in zip(WATCHED, values, strict=True):
        if value - value != 0:
            lr = lr_at(epoch + (step - 1) / steps, recipe)
            raise DivergedError(f"the {name} is {value} at epoch {epoch + 1}, step {step:.0f}, lr {lr:.3g}")


def gradient_norm(model: nn.Module, limit: float | None) -> Tensor:
    """A norm of the gradient: the length before it is cut to a limit, or its largest element without one."""
    if limit is not None:
        return nn.utils.clip_grad_norm_(model.parameters(), limit)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients, float("inf"))


def non_finite(state: Mapping[str, Any]) -> set[str]:
    """Names of the tensors of a state dict that hold NaN or infinite values."""
    names = [name for name, value in state.items() if isinstance(value, Tensor) and value.is_floating_point()]
    if not names:
        return set()
    finite = torch.stack([state[name].isfinite().all() for name in names]).tolist()
    return {name for name, good in zip(names, finite, strict=True) if not good}
