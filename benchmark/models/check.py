"""What is asked of a network before it trains: logits of the right shape, and something to train."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.data.transforms import normalise
from benchmark.models.forward import autocast


class NetworkError(ValueError):
    """A network is not one that can be trained or evaluated here; the message says what is expected."""


def has_lazy(model: nn.Module) -> bool:
    """Whether a layer takes its shape from the first input that it sees, as nn.LazyLinear does."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def clips_of(count: int, shape: Sequence[int], device: torch.device, seed: int = 0) -> Tensor:
    """Clips of random pixels, (count, *shape) uint8, drawn apart from every other generator."""
    drawn = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return drawn.to(device)


@torch.no_grad()
def check_logits(
    model: nn.Module,
    training: Sequence[int],
    evaluation: Sequence[int],
    classes: int,
    device: torch.device,
    precision: str,
    normalisation: str,
) -> None:
    """One forward pass of two clips as training has them, and one of a single clip as evaluation has it.

    Layers that take their shape from what they see have it afterwards; the network is left in training mode.

    Args:
        model: on the device.
        training: shape of a clip in training, (T, C, S, S).
        evaluation: shape of a view in evaluation, whose side may be another.
        classes: of the data set.
        device: where the network is.
        precision: `fp32` or `bf16`.
        normalisation: see `benchmark.data.transforms`.

    Raises:
        NetworkError: the output is no tensor of logits (clips, classes), or nothing can be trained.
    """
    model.eval()
    for count, shape in ((2, training), (1, evaluation)):
        clips = normalise(clips_of(count, shape, device), normalisation)
        try:
            with autocast(device, precision):
                logits = model(clips)
        except Exception as error:
            error.add_note(f"in a forward pass before training, of {count} clips (clips, T, C, H, W) {(*clips.shape,)}")
            raise
        if wrong := _wrong(logits, count, classes):
            raise NetworkError(
                f"the network gives {wrong} for {count} {'clips' if count > 1 else 'clip'} {(*clips.shape,)}; expected"
                f" are logits (clips, classes): a tensor ({count}, {classes})"
            )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        frozen = len(list(model.parameters()))
        raise NetworkError(
            f"the network has nothing to train: expected is a parameter with requires_grad, {frozen} have it off"
            if frozen
            else "the network has nothing to train: it has no parameters"
        )
    model.train()


def _wrong(logits: object, count: int, classes: int) -> str:
    """What is wrong with the output for so many clips, in words; nothing for logits."""
    if not isinstance(logits, Tensor):
        held = ""
        if isinstance(logits, dict):
            held = f" with the keys {', '.join(map(str, logits))}"
        elif isinstance(logits, tuple | list):
            held = f" of {len(logits)}"
        return f"a {type(logits).__name__}{held}"
    if not logits.is_floating_point():
        return f"a tensor of {logits.dtype}"
    shape = tuple(logits.shape)
    if shape == (count, classes):
        return ""
    if len(shape) == 2 and shape[0] == count:
        return f"{shape[1]} outputs a clip where the data set has {classes} classes (num_classes), a tensor {shape},"
    if len(shape) > 2 or (len(shape) == 2 and shape[0] > count and shape[0] % count == 0):
        return f"a tensor {shape}, as if for every frame, whose mean it is to take,"
    return f"a tensor {shape}"
