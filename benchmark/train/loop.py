"""The training loop of one epoch and the evaluation by views."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.spec.config import TrainConfig
from benchmark.train.optim import freeze_all_but_first_bn, lr_at, set_lr

OnStep = Callable[[int, int], None]
"""Called after every batch with the batches done and their total; may raise to stop the run."""


@dataclass(frozen=True)
class EpochSummary:
    """What one epoch of training came to; `loss` and `top1` are means over the clips as they were seen."""

    epoch: int
    lr: float
    loss: float
    top1: float
    clips: int
    unreadable: int


class NoClipsError(Exception):
    """An epoch had no clip to train on."""


class DivergedError(Exception):
    """The loss is not finite: the run cannot go on."""


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for bf16, nothing for fp32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Item],
    steps: int,
    epoch: int,
    recipe: TrainConfig,
    on_step: OnStep,
) -> EpochSummary:
    """Train for one epoch.

    Args:
        model: on its device.
        optimizer: from `make_optimizer`.
        batches: of clips (B, T, 3, H, W) uint8; those that could not be read are left out, and counted.
        steps: number of batches.
        epoch: 0-based; the learning rate follows the fractional epoch, step by step.
        recipe: learning rate, loss and clipping.
        on_step: progress.

    Raises:
        DivergedError: the loss is not finite.
        NoClipsError: no clip could be read.
    """
    device = next(model.parameters()).device
    model.train()
    if recipe.partial_bn:
        freeze_all_but_first_bn(model)
    loss_sum, correct, seen, unreadable, lr = 0.0, 0, 0, 0, 0.0
    for step, item in enumerate(batches):
        lr = lr_at(epoch + step / steps, recipe)
        set_lr(optimizer, lr)
        unreadable += int((~item.readable).sum())
        if item.readable.any():
            frames = item.frames[item.readable].to(device, non_blocking=True)
            labels = item.label[item.readable].to(device, non_blocking=True)
            with autocast(device, recipe.precision):
                logits = model(normalise(frames))
                loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            if not torch.isfinite(loss):
                raise DivergedError(f"the loss is {loss.item()} at epoch {epoch + 1}, step {step + 1}, lr {lr:.3g}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
        on_step(step + 1, steps)
    if not seen:
        raise NoClipsError(f"none of the {unreadable} training clips of epoch {epoch + 1} could be read")
    return EpochSummary(epoch, lr, loss_sum / seen, 100 * correct / seen, seen, unreadable)


@torch.no_grad()
def predict(
    model: nn.Module,
    batches: Iterable[Item],
    clips: int,
    classes: int,
    steps: int,
    precision: str,
    on_step: OnStep,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of every clip, averaged over its views, and which clips could be read.

    Args:
        model: on its device.
        batches: of clips (B, V, T, 3, H, W) uint8.
        clips: number of clips in the split.
        classes: number of classes.
        steps: number of batches.
        precision: `fp32` or `bf16`.
        on_step: progress.

    Returns:
        Logits (clips, classes) float32, a row of NaN where the clip could not be read; and readable (clips,) bool.
    """
    device = next(model.parameters()).device
    model.eval()
    logits, could_read = np.full((clips, classes), np.nan, dtype=np.float32), np.zeros(clips, dtype=bool)
    for step, item in enumerate(batches):
        frames, readable = item.frames[item.readable], item.place[item.readable].numpy()
        if len(readable):
            count, views = frames.shape[:2]
            with autocast(device, precision):
                out = model(normalise(frames.flatten(0, 1).to(device, non_blocking=True)))
            could_read[readable] = True
            logits[readable] = out.float().unflatten(0, (count, views)).mean(1).cpu().numpy()
        on_step(step + 1, steps)
    return logits, could_read
