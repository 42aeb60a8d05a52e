"""Build what the user's own Python files make (`benchmark.config.custom` says how a table names them)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.config.custom import digest, locate
from benchmark.config.models import CustomConfig
from benchmark.config.run import DataConfig
from benchmark.config.segment_shape import SHAPE
from benchmark.models.check import NetworkError
from benchmark.models.construct import call


def build_custom(config: CustomConfig, data: DataConfig) -> nn.Module:
    """Call the class with its options and with those of the harness's values that it names.

    Raises:
        NetworkError: the file changed since the run was planned, or the class is not an nn.Module.
    """
    given = {
        "segments": data.segments,
        "size": data.size,
        "num_classes": data.num_classes,
        "width": config.width,
        "dropout": config.dropout,
    }
    return call(_load(config.entry, config.source), config.options, given)


def module_of(entry: str, options: Mapping[str, Any], source: str) -> Callable[..., nn.Module]:
    """What makes a module behind a block, or a gate in front of a branch, of a place's values.

    The module is called with maps (clips * frames, C, H, W) and the frames of a clip, and has to keep their shape.

    Raises:
        NetworkError: as of `build_custom`.
    """
    cls = _load(entry, source)

    def build(channels: int, place: str, width: float) -> nn.Module:
        module = call(cls, options, {"channels": channels, "place": place, "width": width})

        def check(module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
            shape = tuple(arguments[0].shape)
            gives = f"{entry} at {place} makes of maps (clips * frames, C, H, W) {shape}"
            _check_output(output, shape, gives, "their shape")

        module.register_forward_hook(check)
        return module

    return build


def representation_of(entry: str, options: Mapping[str, Any], source: str) -> Callable[..., nn.Module]:
    """What makes a representation: from frames of segments (N, T, 3, H, W) to images (N * images, channels, H, W).

    Its sides may be others.

    Raises:
        NetworkError: as of `build_custom`.
    """
    cls = _load(entry, source)
    own = {name: value for name, value in options.items() if name not in SHAPE}
    of_shape = {name: options[name] for name in SHAPE}

    def build(width: float, data: DataConfig) -> nn.Module:
        module = call(cls, own, {**of_shape, "width": width, "data": data})

        def check(module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
            shape = tuple(arguments[0].shape)
            images, channels = shape[0] * options["images"], options["channels"]
            gives = f"{entry} makes of segments (N, T, 3, H, W) {shape}"
            wanted = f"({images}, {channels}, H, W) by images and channels of representation_options"
            _check_output(output, (images, channels), gives, wanted)

        module.register_forward_hook(check)
        return module

    return build


def _check_output(output: object, expected: Sequence[int], gives: str, wanted: str) -> None:
    """Refuse an output of other sizes than those expected of the first ones of four."""
    # A trace would take the questions about sizes for a part of the network; it comes after a pass without.
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return
    if isinstance(output, Tensor) and output.dim() == 4 and tuple(output.shape[: len(expected)]) == tuple(expected):
        return
    what = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise NetworkError(f"{gives} {what}; expected is {wanted}")


def _load(entry: str, source: str) -> type[nn.Module]:
    """Execute the file as it was planned, and give the class."""
    try:
        (path, cls), now = locate(entry), digest(entry)
    except ValueError as error:
        raise NetworkError(str(error)) from None
    if now != source:
        raise NetworkError(f"{path} changed since this run was planned: plan again, and the edited file is a new run")
    spec = importlib.util.spec_from_file_location(f"benchmark_custom_{source}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, cls)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise NetworkError(f"{entry} is not an nn.Module")
    return found
