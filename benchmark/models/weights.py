"""Pretrained weights: where their files are, and how a first convolution takes another number of channels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WEIGHTS_VARIABLE = "BENCHMARK_WEIGHTS"


class PretrainedWeightsError(RuntimeError):
    """Pretrained weights were asked for, and are neither in the weights folder nor reachable."""


def weights_path(name: str) -> Path:
    """A file of the folder that BENCHMARK_WEIGHTS names (default `weights`), whether it exists or not."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or "weights") / name


def missing(what: str, path: Path, origin: str, reason: object = "") -> PretrainedWeightsError:
    """The error that says which file to put where.

    Args:
        what: Whose weights, for instance "ImageNet weights of ResNet-50".
        path: Where the file is looked for.
        origin: Where it comes from, in words.
        reason: Why fetching it failed, where that was tried.
    """
    tried = f"; fetching it failed: {reason}" if reason else ""
    return PretrainedWeightsError(
        f"{what} are missing: put {path.name} ({origin}) into {path.parent.absolute()}, or set {WEIGHTS_VARIABLE}"
        f" to the folder that holds it{tried}"
    )


def load_state(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint file, taken out of `model_state` or `state_dict` where they are wrapped in one."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("model_state", "state_dict"):
        if isinstance(state.get(wrapper), dict):
            return dict(state[wrapper])
    return state


def torchvision_state(weights: Any, what: str) -> dict[str, Any]:
    """The state dict of torchvision weights, such as `ResNet50_Weights.IMAGENET1K_V1`.

    The file is looked for under its torchvision name in the weights folder; failing that, torchvision fetches it.

    Args:
        weights: A member of one of torchvision's weights enums.
        what: Whose weights, for the error.

    Raises:
        PretrainedWeightsError: The file is not there and could not be fetched; the message says what to put where.
    """
    path = weights_path(weights.url.rsplit("/", 1)[-1])
    if path.is_file():
        return load_state(path)
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise missing(what, path, f"torchvision.models.{weights}", error) from error


def take_over(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Loads another run's weights and statistics into a network, all but those of the classifier (`fc`).

    Args:
        model: The network.
        state: The state dict of the same network for other classes.
        origin: Whose weights these are, for the error.

    Raises:
        PretrainedWeightsError: Something besides the classifier is missing, left over, or of another shape.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if "fc" not in name.split(".")}
    given = {name: tensor for name, tensor in state.items() if "fc" not in name.split(".")}
    # What get_extra_state gives need not be a tensor.
    own_shapes, given_shapes = ({n: getattr(value, "shape", None) for n, value in one.items()} for one in (own, given))
    names = own_shapes.keys() | given_shapes.keys()
    wrong = sorted(name for name in names if own_shapes.get(name) != given_shapes.get(name))
    if wrong:
        named = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise PretrainedWeightsError(f"the weights of {origin} do not fit this network: {len(wrong)} differ ({named})")
    model.load_state_dict(given, strict=False)


def with_input_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution's weight for another number of input channels: the mean over its own, repeated (TSN).

    Args:
        weight: (C_out, C_in, ...).
        channels: Wanted C_in; with the one that it has, the weight is returned as it is.

    Returns:
        (C_out, channels, ...). The response to an input whose channels are all equal is C_in / channels times smaller
        than a scaling would keep; TSN's and TSM's code do not rescale either.
    """
    if weight.shape[1] == channels:
        return weight
    mean = weight.mean(dim=1, keepdim=True)
    return mean.expand(-1, channels, *(-1 for _ in weight.shape[2:])).contiguous()
