"""The training loop of one epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.config.run import TrainConfig
from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.models.forward import autocast, residual_of
from benchmark.train.finite import LOOK_EVERY, gradient_norm, look, watch
from benchmark.train.gradient import BatchGradient
from benchmark.train.optim import freeze_all_but_first_bn, lr_at, set_lr
from benchmark.train.progress import EpochState, EpochSummary

OnStep = Callable[[int, int], None]
"""Called after every batch with the batches done and their total; may raise to stop the run."""


class NoClipsError(Exception):
    """An epoch had no clip to train on."""


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
        DivergedError: a loss or the gradient is not finite.
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
        gradient = BatchGradient(model, recipe, epoch * steps + step + 1, recipe.epochs * steps)
        losses, residuals = list[Tensor](), list[Tensor]()
        for item in islice(source, recipe.parts):
            state.restore_generators(device)  # only now: a loader draws from them when it starts
            state.unreadable += len(item.readable) - int(item.readable.sum())
            item = item.only_readable()
            if not len(item.label):
                continue
            with _running_statistics_kept(norms, keep=gradient.clips > 0):
                part = _forward(model, item, device, recipe, normalisation)
            gradient.add(part.clips, part.loss, part.residual)
            state.add(part.clips, part.loss, part.residual, part.correct)
            losses.append(part.loss.detach())
            residuals += [] if part.residual is None else [part.residual.detach()]
        if gradient.clips:
            state.alpha += gradient.finish() * gradient.clips
            norm = gradient_norm(model, recipe.clip_norm)
            residual = torch.stack(residuals).sum() if residuals else None
            state.finite = watch(state.finite, step + 1, torch.stack(losses).sum(), residual, norm)
            if device.type == "cpu" or (step + 1) % LOOK_EVERY == 0:
                look(state.finite, epoch, steps, recipe)
            optimizer.step()
        state.step = step + 1
        on_step(step + 1, steps)
    for _ in source:  # nothing is left: this is where a loader sees that its epoch is over
        raise AssertionError(f"there are more batches than {steps} steps")
    if not state.clips:
        raise NoClipsError(f"none of the {state.unreadable} training clips of epoch {epoch + 1} could be read")
    assert state.finite is not None
    look(state.finite, epoch, steps, recipe)
    return state.summary(epoch, lr)


@dataclass(frozen=True)
class _Part:
    """What came of the clips of a part: mean losses, and how many the network had right."""

    clips: int
    loss: Tensor
    residual: Tensor | None
    correct: Tensor


def _forward(model: nn.Module, item: Item, device: torch.device, recipe: TrainConfig, normalisation: str) -> _Part:
    frames, labels = (field.to(device, non_blocking=True) for field in (item.frames, item.label))
    with autocast(device, recipe.precision):
        logits = model(normalise(frames, normalisation))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
    return _Part(len(labels), loss, residual_of(model), (logits.argmax(1) == labels).sum())


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
