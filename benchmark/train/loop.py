"""The training loop of one epoch and the evaluation by views."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.config.run import TrainConfig
from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.train.joint import JointGradient
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


class _Gradient:
    """The gradient of one batch, from the losses of its parts."""

    def __init__(self, model: nn.Module, recipe: TrainConfig, at: tuple[int, int]) -> None:
        """`at` is the iteration, from 1, and their total."""
        self._residual_weight, self._joint = recipe.residual_weight, None
        joint = recipe.joint
        if joint.strategy != "none":
            trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
            self._joint = JointGradient(
                [p for name, p in trained if name.startswith("representation.")],
                [p for name, p in trained if not name.startswith("representation.")],
                joint.strategy,
                alpha=joint.alpha,
                gamma=joint.gamma,
                lam=joint.lam,
                step=at[0],
                total=at[1],
            )

    def add(self, loss: Tensor, residual: Tensor | None, share: float) -> None:
        """A part that is `share` of the batch: its mean recognition loss, and its mean projection loss if any."""
        if share != 1:
            loss, residual = loss * share, None if residual is None else residual * share
        if residual is not None and self._joint is not None:
            self._joint.add(residual, loss)
        elif residual is not None and self._residual_weight:
            (loss + self._residual_weight * residual).backward()
        else:
            loss.backward()

    def finish(self) -> float:
        """After the last part. Returns the weight of the projection loss."""
        return self._residual_weight if self._joint is None else self._joint.finish()


@contextlib.contextmanager
def _running_statistics_kept(norms: list[nn.modules.batchnorm._BatchNorm], keep: bool) -> Iterator[None]:
    """With `keep`, batch normalisation uses the statistics of what it sees and does not record them."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms if keep else ():
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Item],
    steps: int,
    epoch: int,
    recipe: TrainConfig,
    on_step: OnStep,
    normalisation: str = "imagenet",
    state: EpochState | None = None,
) -> EpochSummary:
    """Train for one epoch, or for the rest of one.

    A batch may come in parts (`recipe.device_batch`). Its gradient is the mean over all of its clips, while batch
    normalisation sees one part at a time and records the statistics of the first: as on the papers' GPUs, of which the
    first one's were saved.

    Args:
        model: on its device.
        optimizer: from `make_optimizer`.
        batches: of clips (B, T, 3, H, W) uint8, or their parts; those that could not be read are left out, and counted.
        steps: number of batches of the whole epoch.
        epoch: 0-based; the learning rate follows the fractional epoch, step by step.
        recipe: learning rate, loss and clipping.
        on_step: progress.
        normalisation: see `benchmark.data.transforms`.
        state: where to go on; it is kept up to date, so that `on_step` can save it.

    Raises:
        DivergedError: the loss is not finite.
        NoClipsError: no clip could be read.
    """
    device = next(model.parameters()).device
    model.train()
    if recipe.partial_bn:
        freeze_all_but_first_bn(model)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    state, source, lr = state or EpochState(), iter(batches), 0.0
    for step in range(state.step, steps):
        lr = lr_at(epoch + step / steps, recipe)
        set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        gradient = _Gradient(model, recipe, (epoch * steps + step + 1, recipe.epochs * steps))
        seen = 0
        for item in islice(source, recipe.parts):
            if state.generators is not None:  # a loader draws from them when it starts
                set_generators(state.generators, device)
                state.generators = None
            count = int(item.readable.sum())
            state.unreadable += len(item.readable) - count
            if not count:
                continue
            frames = item.frames[item.readable].to(device, non_blocking=True)
            labels = item.label[item.readable].to(device, non_blocking=True)
            with _running_statistics_kept(norms, keep=seen > 0), autocast(device, recipe.precision):
                logits = model(normalise(frames, normalisation))
                loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            residual = residual_of(model)
            if not torch.isfinite(loss):
                raise DivergedError(f"the loss is {loss.item()} at epoch {epoch + 1}, step {step + 1}, lr {lr:.3g}")
            if residual is not None and not torch.isfinite(residual):
                raise DivergedError(f"the projection loss is {residual.item()} at epoch {epoch + 1}, step {step + 1}")
            gradient.add(loss, residual, 1.0 if recipe.parts == 1 else count / recipe.batch_size)
            state.loss += loss.item() * count
            if residual is not None:
                state.residual = (state.residual or 0.0) + residual.item() * count
            state.correct += int((logits.argmax(1) == labels).sum())
            seen += count
        if seen:
            state.alpha += gradient.finish() * seen
            if recipe.parts > 1 and seen != recipe.batch_size:  # the mean is over the clips that could be read
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.mul_(recipe.batch_size / seen)
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
        state.clips += seen
        state.step = step + 1
        on_step(step + 1, steps)
    for _ in source:  # nothing is left: this is where a loader ends its processes
        raise AssertionError(f"there are more batches than {steps} steps")
    if not state.clips:
        raise NoClipsError(f"none of the {state.unreadable} training clips of epoch {epoch + 1} could be read")
    clips = state.clips
    extra = {} if state.residual is None else {"residual": state.residual / clips, "alpha": state.alpha / clips}
    return EpochSummary(epoch, lr, state.loss / clips, 100 * state.correct / clips, clips, state.unreadable, **extra)


def generators(device: torch.device) -> list[Tensor]:
    """States of the random generators that training on a device draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_generators(states: list[Tensor], device: torch.device) -> None:
    """Sets the generators to states that `generators` gave, on a device of the same kind."""
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)


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
    average: str = "logits",
) -> Predicted:
    """Logits of every clip, averaged over its views, or the logarithm of its averaged probabilities.

    Args:
        model: on its device.
        batches: of clips (B, V, T, 3, H, W) uint8.
        clips: number of clips in the split.
        classes: number of classes.
        steps: number of batches.
        precision: `fp32` or `bf16`.
        on_step: progress.
        normalisation: see `benchmark.data.transforms`.
        average: `logits` or `probabilities`.

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
            scores = out.float().unflatten(0, (count, views))
            mean = scores.mean(1) if average == "logits" else scores.log_softmax(-1).logsumexp(1) - math.log(views)
            logits[readable] = mean.cpu().numpy()
        on_step(step + 1, steps)
    return Predicted(logits, could_read, residual_sum / seen if seen else None)
