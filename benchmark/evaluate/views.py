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


class NonFiniteError(RuntimeError):
    """No clip has logits that are finite."""


@dataclass(frozen=True)
class Predicted:
    """Of every clip of a split: logits (clips, classes), averaged over its views, and whether it could be read.

    The logits of a clip are NaN where it could not be read or the network gave some that are not finite: a clip with an
    infinite logit has no class. `residual` is the mean of the network's projection loss over views; None without one.
    """

    logits: np.ndarray
    readable: np.ndarray
    residual: float | None

    @property
    def non_finite(self) -> int:
        """How many clips could be read and have no finite logits."""
        return int((self.readable & np.isnan(self.logits).any(1)).sum())


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
        Logits float32, a row of NaN where the clip could not be read or has some that are not finite.

    Raises:
        NonFiniteError: clips could be read, and none has finite logits.
    """
    device = next(model.parameters()).device
    model.eval()
    residual_sum, seen = torch.zeros((), dtype=torch.float64, device=device), 0
    # The device is asked once, after the last batch.
    read, scores = [np.zeros(0, np.int64)], [torch.zeros(0, classes, device=device)]
    for step, item in enumerate(batches):
        item = item.only_readable()
        if len(item.label):
            count, views = item.frames.shape[:2]
            with autocast(device, precision):
                out = model(normalise(item.frames.flatten(0, 1).to(device, non_blocking=True), normalisation))
                residual = residual_of(model)
            if residual is not None:
                residual_sum, seen = residual_sum + residual.double() * count, seen + count
            read.append(item.clip_index.numpy())
            scores.append(average_over_views(out.float().unflatten(0, (count, views)), average))
        on_step(step + 1, steps)
    logits, could_read = np.full((clips, classes), np.nan, dtype=np.float32), np.zeros(clips, dtype=bool)
    readable, found = np.concatenate(read), torch.cat(scores).cpu().numpy()
    could_read[readable] = True
    finite = np.isfinite(found).all(1)
    logits[readable[finite]] = found[finite]
    if len(readable) and not finite.any():
        raise NonFiniteError(
            f"the network's logits are NaN or infinite for all {len(readable)} clips that could be read, in evaluation"
            " mode; its training ended with finite weights: look for what differs between the two modes"
        )
    return Predicted(logits, could_read, residual_sum.item() / seen if seen else None)
