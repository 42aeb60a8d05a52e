"""How published files name the weights of networks that are built here, and what is wrong where one does not fit.

A file is read as tensors alone, taken out of what it is wrapped in (`state_dict`, `model_state`, `model`) and out of
DataParallel's `module.`; then the names are changed by its format:

    tsm           TSM's code, TSN without shift, MobileNetV2, and its non-local blocks
    rnl           RNL's code, which is TSM's with other blocks and a channel gate
    msnet         MotionSqueeze's code
    pytorchvideo  PyTorchVideo's X3D, with its classifier
    bqn           BQN's code: the alternating network and the one that its training script imports
    benchmark     a checkpoint or an export of this package

Everything must fit then, name by name and shape by shape, but for counters of batches, which older files lack.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.models.backbones.mobilenet_v2 import from_torchvision
from benchmark.models.backbones.x3d import PYTORCHVIDEO_CLASSIFIER, from_pytorchvideo
from benchmark.models.weights import PretrainedWeightsError
from benchmark.released.registry import Format

State = dict[str, Tensor]
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")  # the last is this package's own
COUNTER = "num_batches_tracked"
NAMED = 12
"""Weights that an error names."""
# Beside tensors, scripts save the best accuracy and their arguments: numbers and a namespace, nothing that runs.
HARMLESS = [
    argparse.Namespace,
    np.dtype,
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64")),
]


class MisfitError(PretrainedWeightsError):
    """A file's weights are not those of the network; the message names them with their shapes."""


@dataclass(frozen=True)
class Loaded:
    """What was taken from a file: by which format, and which of its tensors no network of the kind uses."""

    format: str
    unused: tuple[str, ...]


def read_state(path: Path) -> State:
    """The tensors of a file, unwrapped.

    Raises:
        PretrainedWeightsError: there is no such file, it holds other objects than tensors and numbers, or no weights.
    """
    if not path.is_file():
        raise PretrainedWeightsError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    try:
        with torch.serialization.safe_globals(HARMLESS):
            held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        objects = re.findall(r"GLOBAL ([\w.]+)", str(error)) or ["something else than tensors"]
        raise PretrainedWeightsError(
            f"{path} holds {objects[0]}, which could run code as it is read: save its state_dict alone, in the"
            " environment that it comes from"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise PretrainedWeightsError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None
    while isinstance(held, dict) and (
        inner := next((held[w] for w in WRAPPERS if isinstance(held.get(w), dict)), None)
    ):
        held = inner
    state = (
        {str(key): value for key, value in held.items() if isinstance(value, Tensor)} if isinstance(held, dict) else {}
    )
    if not state:
        raise PretrainedWeightsError(f"{path} holds no weights: no tensors by name, bare or in {', '.join(WRAPPERS)}")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_weights(model: nn.Module, state: State, format: Format | None = None) -> Loaded:
    """Load a file's weights into a network, all of them.

    Args:
        model: the network.
        state: as `read_state` gives it.
        format: whose names it has; None tries every format and takes the one that fits.

    Raises:
        MisfitError: something is missing, left over or of another shape; of several formats the nearest is told of.
    """
    tried: list[Format] = [format] if format else list(FORMATS)
    own = {key: value for key, value in model.state_dict().items() if not key.endswith(COUNTER)}
    nearest: tuple[int, str, list[str]] | None = None
    for name in tried:
        renamed, unused = FORMATS[name](state, model)
        given = {key: _squeezed(value, own.get(key)) for key, value in renamed.items() if not key.endswith(COUNTER)}
        wrong = _differences(given, own)
        if not wrong:
            model.load_state_dict(given, strict=False)
            return Loaded(name, tuple(unused))
        if nearest is None or len(wrong) < nearest[0]:
            nearest = (len(wrong), name, wrong)
    assert nearest is not None
    count, read_as, wrong = nearest
    listed = "\n".join(f"    {line}" for line in wrong[:NAMED]) + (
        f"\n    and {count - NAMED} more" if count > NAMED else ""
    )
    raise MisfitError(f"the weights do not fit the network: read as '{read_as}', {count} differ:\n{listed}")


def _squeezed(value: Tensor, own: Tensor | None) -> Tensor:
    """A convolution over one position is the linear layer, or the convolution of fewer dimensions, that it equals."""
    if own is not None and value.shape != own.shape and value.dim() > own.dim():
        extra = value.shape[own.dim() :]
        if value.shape[: own.dim()] == own.shape and set(extra) == {1}:
            return value.reshape(own.shape)
    return value


def _differences(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """A line for each weight that is missing, of another shape or left over."""
    lines = []
    for key in (*own, *(key for key in given if key not in own)):
        if key not in given:
            lines.append(f"{key} {tuple(own[key].shape)}: not in the file")
        elif key not in own:
            lines.append(f"{key} {tuple(given[key].shape)}: not in the network")
        elif given[key].shape != own[key].shape:
            lines.append(f"{key}: {tuple(given[key].shape)} in the file, {tuple(own[key].shape)} in the network")
    return lines


Renamer = Callable[[State, nn.Module], tuple[State, list[str]]]
"""From a file's weights and the network to the same under the network's names, and the names of what it leaves out."""


def renamed(key: str, rules: Sequence[tuple[str, str]]) -> str:
    """A name after every rule, a regular expression and what stands for it, one after the other."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


TSM = (
    (r"^base_model\.", "backbone."),
    (r"\.net\.", "."),
    (r"^new_fc\.", "fc."),
    (r"^backbone\.(fc|classifier)\.", "fc."),  # a classifier without dropout in front of it stays in the backbone
    (r"^(backbone\.layer\d\.\d+)\.block\.", r"\1."),
)
NONLOCAL = (
    (r"\.(g|phi)\.0\.", r".\1."),  # with pooling behind
    (r"\.W\.0\.", ".output.conv."),
    (r"\.W\.1\.", ".output.bn."),
    (r"\.penta\.", ".region."),
)
GATE = (("W_k.", "mask."), ("W_v1.", "mlp.reduce."), ("bn1.", "mlp.norm."), ("W_v2.", "mlp.expand."))
MOBILENET_BLOCKS = {
    5: {0: "0.0", 1: "0.1", 3: "1", 4: "2"},
    8: {0: "0.0", 1: "0.1", 3: "1.0", 4: "1.1", 6: "2", 7: "3"},
}
"""Layers of a block in TSM's code, by its number of layers, to ours, which are nested as torchvision's."""


def _tsm(state: State, model: nn.Module) -> tuple[State, list[str]]:
    return _in_blocks(_mobilenet({renamed(key, TSM): value for key, value in state.items()}), model), []


def _mobilenet(state: State) -> State:
    """MobileNetV2 as TSM's code builds it; other networks as they are."""
    inner = re.compile(r"^(backbone\.features\.(\d+)\.conv\.)(\d+)\.")
    layers = defaultdict[str, int](int)
    for key in state:
        if match := inner.match(key):
            layers[match[2]] = max(layers[match[2]], int(match[3]) + 1)

    def nested(key: str) -> str:
        match = inner.match(key)
        if match is None:
            return key
        ours = MOBILENET_BLOCKS.get(layers[match[2]], {}).get(int(match[3]), match[3])
        return f"{match[1]}{ours}.{key[match.end() :]}"

    prefix = "backbone.features."
    others = {key: value for key, value in state.items() if not key.startswith(prefix)}
    as_torchvision = {nested(k).removeprefix("backbone."): v for k, v in state.items() if k.startswith(prefix)}
    return others | {f"backbone.{key}": value for key, value in from_torchvision(as_torchvision).items()}


def _in_blocks(state: State, model: nn.Module) -> State:
    """What stands behind blocks in TSM's and RNL's code, `layer2.0.nl.` and `layer2.0.cg.`, at its place here."""
    behind = re.compile(r"^backbone\.layer(\d)\.(\d+)\.(nl|cg)\.(.*)")
    chained = {tuple(key.split(".")[2:4]) for key in model.state_dict() if key.startswith("backbone.inserts.")}

    def name(key: str) -> str:
        match = behind.match(key)
        if match is None:
            return key
        place, rest = f"res{int(match[1]) + 1}_{match[2]}", match[4]
        if match[3] == "cg":
            rest = next((ours + rest[len(theirs) :] for theirs, ours in GATE if rest.startswith(theirs)), rest)
            part = "gc"
        else:
            rest, part = renamed(f".{rest}", NONLOCAL)[1:], "rnl"
        inner = f"{part}." if (place, part) in chained else ""
        return f"backbone.inserts.{place}.{inner}{rest}"

    return {name(key): value for key, value in state.items()}


def _msnet(state: State, model: nn.Module) -> tuple[State, list[str]]:
    places = {key.split(".")[2] for key in model.state_dict() if key.startswith("backbone.inserts.")}
    place = next(iter(places), "res3_3")
    unused = [key for key in state if re.match(r"base_model\.bn2\.", key)]

    def name(key: str) -> str:
        key = renamed(key, (*TSM, (r"^(backbone\.)?fc1\.", "fc.")))
        key = re.sub(r"^backbone\.chnl_reduction\.", f"backbone.inserts.{place}.reduction.", key)
        match = re.match(r"^backbone\.flow_refinement\.conv(\d)\.(\d)\.(.*)", key)
        if match is None:
            return key
        return f"backbone.inserts.{place}.transformation.{6 * (int(match[1]) - 1) + int(match[2])}.{match[3]}"

    return {name(key): value for key, value in state.items() if key not in unused}, unused


def _pytorchvideo(state: State, model: nn.Module) -> tuple[State, list[str]]:
    classifier = {
        key.replace(PYTORCHVIDEO_CLASSIFIER, "fc."): value
        for key, value in state.items()
        if key.startswith(PYTORCHVIDEO_CLASSIFIER)
    }
    return {f"backbone.{key}": value for key, value in from_pytorchvideo(state).items()} | classifier, []


BQN = (
    (r"^mbpf1\.conv_s\.weight", "stem_mbpm.spatial"),
    (r"^mbpf1\.conv_t\.weight", "stem_mbpm.temporal"),
    (r"^d_(conv1|bn1)\.", r"busy.\1."),
    (r"^(conv1|bn1)\.", r"quiet.\1."),
    (r"^(layer\d\.\d+)\.path_f\.", r"busy.\1."),
    (r"^(layer\d\.\d+)\.path_c\.", r"quiet.\1."),
)
LATERALS = (
    ("mbpf.conv_s.weight", "to_busy.mbpm.spatial"),
    ("mbpf.conv_t.weight", "to_busy.mbpm.temporal"),
    # The alternating file has a resize in front of each normalisation, the other one a convolution.
    ("up.1.", "to_busy.bn."),
    ("down.1.", "to_quiet.bn."),
    ("d_up.0.", "to_busy.phi.0."),
    ("d_up.1.", "to_busy.bn."),
    ("d_down.0.", "to_quiet.phi.0."),
    ("d_down.1.", "to_quiet.bn."),
)


def _bqn(state: State, model: nn.Module) -> tuple[State, list[str]]:
    def name(key: str) -> str:
        key = renamed(key.removeprefix("base_model."), BQN)
        match = re.match(r"^layer(\d)\.(\d+)\.(.*)", key)
        if match is None:
            return key
        for theirs, ours in LATERALS:
            if match[3].startswith(theirs):
                return f"laterals.res{int(match[1]) + 1}_{match[2]}.{ours}{match[3][len(theirs) :]}"
        return key

    return {name(key): value for key, value in state.items()}, []


def _as_it_is(state: State, model: nn.Module) -> tuple[State, list[str]]:
    return dict(state), []


FORMATS: dict[Format, Renamer] = {
    "benchmark": _as_it_is,
    "tsm": _tsm,
    "rnl": _tsm,
    "msnet": _msnet,
    "pytorchvideo": _pytorchvideo,
    "bqn": _bqn,
}
