"""A printed architecture checked against our networks: each network is run once, on shapes alone, and described.

The description comes from the modules that ran and the sizes of what they gave, not from the config: kernels, channels
and strides of convolutions and poolings, the residual blocks of a stage and what is inserted among them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.overrides import TorchFunctionMode

from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, did_you_mean
from benchmark.cost.layer_check import Check
from benchmark.models.backbones.mobilenet_v2 import InvertedResidual
from benchmark.models.backbones.resnet import Block
from benchmark.models.build import build_model
from benchmark.models.modules.temporal_shift import TemporalShift
from benchmark.spec.architecture import Architecture, Layer, Operation, Part, differences, parse_operation

BLOCKS = (Block, InvertedResidual)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
POOLINGS = (nn.MaxPool2d, nn.MaxPool3d)


def check_architecture(table: Architecture) -> list[Check]:
    """Every printed layer beside ours, layer by layer and for each network in turn.

    Raises:
        SpecError: a layer's `at` names no module that ran, or one that there are no words for.
    """
    observed = {title: _Observed(config) for title, config in table.networks.items()}
    return [_check(table, layer, title, network) for layer in table.layers for title, network in observed.items()]


def _check(table: Architecture, layer: Layer, title: str, network: _Observed) -> Check:
    try:
        ours, sizes = network.describe(layer.at)
    except LookupError as error:
        raise SpecError([Problem(*layer.where, f"{title}: {error.args[0]}")]) from None
    printed = parse_operation(layer.operations[title])
    first = printed.parts[0]
    # The text puts TSM in front of every residual block, and no cell says so: a bottleneck, or several convolutions.
    if table.every_block == "TSM" and (first.kind == "bottleneck" or (len(printed.parts) > 1 and first.kernel)):
        printed = replace(printed, shift=True)
    found = [*differences(printed, ours)]
    our_output = "x".join(map(str, sizes))
    expected = layer.output.replace("T", str(network.frames)).replace("classes", str(network.classes))
    if layer.output not in ("below", "lost") and our_output != expected:
        found.append(f"output {our_output}; printed {layer.output}")
    return Check(
        layer=layer.label,
        network=title,
        printed_operation=layer.operations[title],
        our_operation=ours.text(),
        printed_output=layer.output,
        our_output=our_output,
        differences=tuple(found),
        note=layer.note,
    )


class _Observed(TorchFunctionMode):
    """A network that was run once on the meta device, and what every module of it gave.

    Attributes:
        frames: T, frames of a clip.
        classes: Number of classes.
        shapes: Of what each module gave, by its path, in the order in which they finished.
        pooled: Whether the last maps were averaged over all positions, and no maps came after.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.frames, self.classes = config.frames, config.data.num_classes
        self.inserted = " + ".join(getattr(config.model, "insert", ())).upper()
        with torch.device("meta"):
            network = build_model(config.model.model_copy(update={"pretrained": None}), config.data).eval()
            clip = torch.zeros(1, config.frames, 3, config.data.size, config.data.size)
        self.modules = dict(network.named_modules())
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.pooled = False
        for path, module in self.modules.items():
            module.register_forward_hook(partial(self._record_output, path))
        with torch.no_grad(), self:
            network(clip)

    def _record_output(self, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self.shapes[path] = tuple(output.shape)
            self.pooled &= output.dim() < 4

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one function; averaging maps over all positions is one, and no module with a hook."""
        self.pooled |= func is adaptive_avg_pool2d and args[1:] == (1,)
        return func(*args, **(kwargs or {}))

    def describe(self, at: str) -> tuple[Operation, tuple[int, ...]]:
        """The operation at a path, and the size of its output: (T, H, W), or the number of classes.

        Raises:
            LookupError: nothing ran there, or nothing that can be described.
        """
        paths = self._paths(at)
        modules = [self.modules[path] for path in paths]
        sizes = _sizes(self.shapes[paths[-1]])
        if all(isinstance(module, BLOCKS) for module in modules):
            return self._blocks(at, paths), sizes
        (module,) = modules
        if isinstance(module, (*CONVOLUTIONS, *POOLINGS)):
            kind = "convolution" if isinstance(module, CONVOLUTIONS) else "max pool"
            return Operation((_windowed(kind, module, self.shapes[at][1], with_stride=True),)), sizes
        if isinstance(module, nn.Linear):
            before = [Part("global average pool")] if self.pooled else []
            return Operation((*before, Part("FC"))), (self.shapes[""][-1],)
        raise LookupError(f"there are no words for a {type(module).__name__}, which is at '{at}'")

    def _paths(self, at: str) -> list[str]:
        """The module at a path, the children `a.3-5`, or the blocks that the module is a sequence of."""
        if several := re.fullmatch(r"(.*)\.(\d+)-(\d+)", at):
            paths = [f"{several[1]}.{i}" for i in range(int(several[2]), int(several[3]) + 1)]
        else:
            children = self.modules[at].named_children() if at in self.modules else ()
            paths = [f"{at}.{name}" for name, child in children if isinstance(child, BLOCKS)] or [at]
        for path in paths:
            self._must_have_run(path)
        if not paths or (len(paths) > 1 and not all(isinstance(self.modules[path], BLOCKS) for path in paths)):
            raise LookupError(f"'{at}' are no residual blocks")
        return paths

    def _must_have_run(self, path: str) -> None:
        parent = self.modules[""]
        for name in path.split("."):
            children = dict(parent.named_children())
            if name not in children:
                raise LookupError(f"no module '{name}' on the way to '{path}'.{did_you_mean(name, [*children])}")
            parent = children[name]
        if path not in self.shapes:
            raise LookupError(f"'{path}' is no single layer and no sequence of residual blocks")

    def _blocks(self, at: str, paths: list[str]) -> Operation:
        """The blocks at these paths as one operation, with what runs between and after them."""
        described = [_block(self.modules[path]) for path in paths]
        if len(set(described)) > 1:
            raise LookupError(f"the blocks at '{at}' are not alike: {'; '.join(d.text() for d in described)}")
        blocks = [path for path, module in self.modules.items() if isinstance(module, BLOCKS)]
        order = [path for path in self.shapes if path in blocks or re.fullmatch(r"backbone\.inserts\.\w+", path)]
        after = [paths.index(a) + 1 for a, b in pairwise(order) if a in paths and b not in blocks]
        followed = (self.inserted,) if after else ()
        return replace(described[0], repeats=len(paths), followed=followed, after=tuple(after))


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """(T, H, W) of the maps of one clip, which are (T, C, H, W), or (1, C, T, H, W) in a network of volumes."""
    return tuple(shape[2:]) if len(shape) == 5 else (shape[0], *shape[2:])


def _block(block: nn.Module) -> Operation:
    """One residual block as it is printed, without its strides and its shortcut, which differ within a stage."""
    shift = any(isinstance(child, TemporalShift) for child in block.children())
    if isinstance(block, InvertedResidual):
        layers = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        inner = next(layer for layer in layers if layer.groups > 1)
        entering, leaving = layers[0].in_channels, layers[-1].out_channels
        return Operation((Part("bottleneck", None, leaving, None, inner.out_channels // entering),), shift=shift)
    convolutions = [child for child in block.children() if isinstance(child, CONVOLUTIONS)]
    parts = [_windowed("convolution", child, child.out_channels, with_stride=False) for child in convolutions]
    return Operation(tuple(parts), shift=shift)


def _windowed(kind: str, module: Any, channels: int, with_stride: bool) -> Part:
    """A convolution or pooling; one in two dimensions is of single frames."""

    def sides(value: int | tuple[int, ...]) -> tuple[int, int, int]:
        dimensions = 2 if isinstance(module, (nn.Conv2d, nn.MaxPool2d)) else 3
        whole = value if isinstance(value, tuple) else (value,) * dimensions
        return (1, whole[0], whole[1]) if dimensions == 2 else (whole[0], whole[1], whole[2])

    stride = sides(module.stride) if with_stride else None
    return Part(kind, "x".join(map(str, sides(module.kernel_size))), channels, stride)
