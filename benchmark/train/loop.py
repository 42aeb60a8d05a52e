"""The training loop of one epoch and the evaluation by views."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.spec.config import TrainConfig
from benchmark.train.joint import backward as joint_backward
from benchmark.train.optim import freeze_all_but_first_bn, lr_at, set_lr

OnStep = Callable[[int, int], None]
"""Called after every batch with the batches done and their total; may raise to stop the run."""


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


@dataclass(frozen=True)
class Predicted:
    """Of every clip of a split: logits (clips, classes), averaged over its views, and whether it could be read.

    `residual` is the mean of the network's projection loss over views; None without one.
    """

    logits: np.ndarray
    readable: np.ndarray
    residual: float | None


class NoClipsError(Exception):
    """An epoch had no clip to train on."""


class DivergedError(Exception):
    """The loss is not finite: the run cannot go on."""


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for bf16, nothing for fp32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def residual_of(model: nn.Module) -> Tensor | None:
    """The projection loss of the last forward pass, summed over the modules that have one (`has_residual`)."""
    losses = [module.residual for module in model.modules() if getattr(module, "has_residual", False)]
    known = {id(loss): loss for loss in losses if isinstance(loss, Tensor)}  # a module may hand on that of its part
    return torch.stack(list(known.values())).sum() if known else None


def _backward(
    model: nn.Module, loss: Tensor, residual: Tensor | None, recipe: TrainConfig, at: tuple[int, int]
) -> float:
    """Fill the gradients; `at` is the iteration, from 1, and their total. Returns the projection loss's weight."""
    if residual is None or recipe.joint.strategy == "none":
        weight = recipe.residual_weight if residual is not None else 0.0
        (loss if residual is None or not weight else loss + weight * residual).backward()
        return weight
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    inside = [p for name, p in trained if name.startswith("representation.")]
    outside = [p for name, p in trained if not name.startswith("representation.")]
    joint = recipe.joint
    return joint_backward(
        residual,
        loss,
        inside,
        outside,
        joint.strategy,
        alpha=joint.alpha,
        gamma=joint.gamma,
        lam=joint.lam,
        step=at[0],
        total=at[1],
    )


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Item],
    steps: int,
    epoch: int,
    recipe: TrainConfig,
    on_step: OnStep,
    normalisation: str = "imagenet",
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
        normalisation: see `benchmark.data.transforms`.

    Raises:
        DivergedError: the loss is not finite.
        NoClipsError: no clip could be read.
    """
    device = next(model.parameters()).device
    model.train()
    if recipe.partial_bn:
        freeze_all_but_first_bn(model)
    loss_sum, correct, seen, unreadable, lr = 0.0, 0, 0, 0, 0.0
    residual_sum, alpha_sum, has_residual = 0.0, 0.0, False
    for step, item in enumerate(batches):
        lr = lr_at(epoch + step / steps, recipe)
        set_lr(optimizer, lr)
        unreadable += int((~item.readable).sum())
        if item.readable.any():
            frames = item.frames[item.readable].to(device, non_blocking=True)
            labels = item.label[item.readable].to(device, non_blocking=True)
            with autocast(device, recipe.precision):
                logits = model(normalise(frames, normalisation))
                loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            residual = residual_of(model)
            if not torch.isfinite(loss):
                raise DivergedError(f"the loss is {loss.item()} at epoch {epoch + 1}, step {step + 1}, lr {lr:.3g}")
            if residual is not None and not torch.isfinite(residual):
                raise DivergedError(f"the projection loss is {residual.item()} at epoch {epoch + 1}, step {step + 1}")
            optimizer.zero_grad(set_to_none=True)
            alpha = _backward(model, loss, residual, recipe, (epoch * steps + step + 1, recipe.epochs * steps))
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            if residual is not None:
                has_residual = True
                residual_sum += residual.item() * len(labels)
                alpha_sum += alpha * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
        on_step(step + 1, steps)
    if not seen:
        raise NoClipsError(f"none of the {unreadable} training clips of epoch {epoch + 1} could be read")
    extra = {"residual": residual_sum / seen, "alpha": alpha_sum / seen} if has_residual else {}
    return EpochSummary(epoch, lr, loss_sum / seen, 100 * correct / seen, seen, unreadable, **extra)


@torch.no_grad()
def predict(
    model: nn.Module,
    batches: Iterable[Item],
    clips: int,
    classes: int,
    steps: int,
    precision: str,
    on_step: OnStep,
    normalisation: str = "imagenet",
) -> Predicted:
    """Logits of every clip, averaged over its views.

    Args:
        model: on its device.
        batches: of clips (B, V, T, 3, H, W) uint8.
        clips: number of clips in the split.
        classes: number of classes.
        steps: number of batches.
        precision: `fp32` or `bf16`.
        on_step: progress.
        normalisation: see `benchmark.data.transforms`.

    Returns:
        Logits float32, a row of NaN where the clip could not be read.
    """
    device = next(model.parameters()).device
    model.eval()
    residual_sum, seen = 0.0, 0
    logits, could_read = np.full((clips, classes), np.nan, dtype=np.float32), np.zeros(clips, dtype=bool)
    for step, item in enumerate(batches):
        frames, readable = item.frames[item.readable], item.place[item.readable].numpy()
        if len(readable):
            count, views = frames.shape[:2]
            with autocast(device, precision):
                out = model(normalise(frames.flatten(0, 1).to(device, non_blocking=True), normalisation))
                residual = residual_of(model)
            if residual is not None:
                residual_sum, seen = residual_sum + residual.item() * count, seen + count
            could_read[readable] = True
            logits[readable] = out.float().unflatten(0, (count, views)).mean(1).cpu().numpy()
        on_step(step + 1, steps)
    return Predicted(logits, could_read, residual_sum / seen if seen else None)
