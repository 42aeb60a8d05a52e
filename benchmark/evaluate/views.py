"""Predictions over views: the scores of a clip are the average of those of its views."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.models.forward import autocast, residual_of


@dataclass(frozen=True)
class Predicted:
    """Of every clip of a split: logits (clips, classes), averaged over its views, and whether it could be read.

    `residual` is the mean of the network's projection loss over views; None without one.
    """

    logits: np.ndarray
    readable: np.ndarray
    residual: float | None


def average_over_views(scores: Tensor, average: str) -> Tensor:
    """The scores of clips from those of their views.

    Args:
        scores: logits (clips, views, classes).
        average: `logits` (the released code), or `probabilities` (DA): their average after the softmax.

    Returns:
        (clips, classes): the mean of the logits, or the logarithm of the mean of the probabilities.
    """
    if average == "logits":
        return scores.mean(1)
    return scores.log_softmax(-1).logsumexp(1) - math.log(scores.shape[1])


@torch.no_grad()
def predict(
    model: nn.Module,
    batches: Iterable[Item],
    clips: int,
    classes: int,
    steps: int,
    precision: str,
    on_step: Callable[[int, int], None],
    normalisation: str = "imagenet",
    average: str = "logits",
) -> Predicted:
    """What the network predicts for every clip.

    Args:
        model: on its device.
        batches: of clips (B, V, T, 3, H, W) uint8.
        clips: number of clips in the split.
        classes: number of classes.
        steps: number of batches.
        precision: `fp32` or `bf16`.
        on_step: called after every batch with the batches done and their total; may raise to stop the run.
        normalisation: see `benchmark.data.transforms`.
        average: see `average_over_views`.

    Returns:
        Logits float32, a row of NaN where the clip could not be read.
    """
    device = next(model.parameters()).device
    model.eval()
    residual_sum, seen = 0.0, 0
    logits, could_read = np.full((clips, classes), np.nan, dtype=np.float32), np.zeros(clips, dtype=bool)
    for step, item in enumerate(batches):
        frames, readable = item.frames[item.readable], item.clip_index[item.readable].numpy()
        if len(readable):
            count, views = frames.shape[:2]
            with autocast(device, precision):
                out = model(normalise(frames.flatten(0, 1).to(device, non_blocking=True), normalisation))
                residual = residual_of(model)
            if residual is not None:
                residual_sum, seen = residual_sum + residual.item() * count, seen + count
            could_read[readable] = True
            logits[readable] = average_over_views(out.float().unflatten(0, (count, views)), average).cpu().numpy()
        on_step(step + 1, steps)
    return Predicted(logits, could_read, residual_sum / seen if seen else None)
