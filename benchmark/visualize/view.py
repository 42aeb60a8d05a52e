"""A trained network on one clip, and what some of its modules receive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.data.sampling import eval_indices
from benchmark.data.transforms import View as Cut
from benchmark.data.transforms import eval_view, normalise, to_tensor, viewed
from benchmark.models.build import build_model
from benchmark.models.modules.attention import Position
from benchmark.models.modules.nonlocal_block import NonLocal
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.runs.directory import RunDir, runs_root
from benchmark.visualize.colours import Rgb
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.source import open_source
from benchmark.visualize.trained import SHORT, Trained, config_of


@dataclass(frozen=True)
class Seen:
    """A module of a network and the maps that it was given for a clip.

    `place` is that of the config, such as res3.2, or the module's path in a network without such places; `maps` is
    (T, C, H, W), of one clip.
    """

    place: str
    kind: str
    module: Any
    maps: Tensor
    frames: int

    @property
    def name(self) -> str:
        """Place and kind, which tell a module from all others: `res3.2.rnl`."""
        return f"{self.place}.{self.kind}"

    @property
    def size(self) -> Position:
        """T, H and W."""
        return self.frames, self.maps.shape[2], self.maps.shape[3]


@dataclass(frozen=True)
class View:
    """A clip as a run's network reads it, and what the modules asked for were given.

    Attributes:
        frames: (n, S, S, 3) uint8.
        video: Height and width of the video's own frames.
        cut: How those become `frames`.
    """

    name: str
    title: str
    frames: Rgb
    seen: list[Seen]
    video: tuple[int, int]
    cut: Cut

    def of_video(self, y: int, x: int) -> tuple[int, int]:
        """The pixel of `frames` that shows a pixel of the video. Raises VisualizeError: none does."""
        scaled, box = self.cut.sizes[-1], self.cut.boxes[0]
        corners = ((box.top, box.height), (box.left, box.width))
        found = [
            math.floor((at + 0.5) * inner / outer) - first
            for at, inner, outer, (first, _) in zip((y, x), scaled, self.video, corners, strict=True)
        ]
        if not all(0 <= at < side for at, (_, side) in zip(found, corners, strict=True)):
            ranges = [
                f"{name} {math.ceil(first * outer / inner - 0.5)} to"
                f" {math.ceil((first + side) * outer / inner - 0.5) - 1}"
                for name, inner, outer, (first, side) in zip("yx", scaled, self.video, corners, strict=True)
            ]
            size = f"{self.video[1]} x {self.video[0]}"
            raise VisualizeError(f"{y},{x} lies outside of what is seen of the video's {size}: {', '.join(ranges)}")
        return found[0], found[1]

    def stems(self, maps: int) -> NDArray[np.int64]:
        """The frame that each of `maps` maps is shown with: the middle one of its share of the clip."""
        return ((np.arange(maps) + 0.5) * len(self.frames) / maps).astype(np.int64)


def open_view(trained: Trained, kinds: Mapping[str, type[nn.Module]], target: str | None, size: int | None) -> View:
    """Run a run's network on a clip and keep what some of its modules receive.

    Args:
        trained: The run.
        kinds: Name -> class of the modules.
        target: A clip as in `open_source`; the first of the run's validation clips by default.
        size: Side of the crop in pixels, if not the run's own.

    Raises:
        DataError: There is no such clip. VisualizeError: The network has no such module, or reads optical flow, or is
            not of its checkpoint.
    """
    config = trained.config
    network = _network(trained)
    places = {place.replace(".", "_"): place for place in getattr(config.model, "inserted_at", ())}
    given: dict[str, tuple[Tensor, int]] = {}
    found: list[tuple[str, str, str, nn.Module]] = []
    for path, module in network.named_modules():
        for kind, of in kinds.items():
            if isinstance(module, of):
                key = next((part for part in path.split(".") if part in places), "")
                found.append((path, places.get(key, path), kind, module))
                module.register_forward_pre_hook(_keeper(given, path))
    if not found:
        raise VisualizeError(_without(trained, kinds))
    if config.modality != "rgb":
        raise VisualizeError(f"run {trained.run.key} reads optical flow: only runs on frames are shown")
    source = open_source(target or f"{config.data.dataset}:val:0", 4096)
    data, scale = config.data, config.eval.scale
    if size is not None:
        data, scale = data.model_copy(update={"size": size}), round(size * scale / data.size)
    length = config.model.frames_per_segment
    (wanted,) = eval_indices(source.frames, data.segments, length, data.sampling, 1)
    cut = eval_view(source.height, source.width, data.size, scale, 1)
    (crop,) = viewed(to_tensor(source.read(wanted)), cut)
    with torch.no_grad():
        network(normalise(crop, data.normalisation)[None])
    seen = [Seen(place, kind, module, *given[path]) for path, place, kind, module in found if path in given]
    frames = crop.permute(0, 2, 3, 1).numpy()
    return View(source.name, source.title, frames, seen, (source.height, source.width), cut)


def _keeper(given: dict[str, tuple[Tensor, int]], path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        # A layer behind may work in place.
        given[path] = (arguments[0].clone(), arguments[1])

    return keep


def _network(trained: Trained) -> nn.Module:
    model = trained.config.model
    # The checkpoint has all weights; the file of the pretrained ones is not needed.
    with torch.random.fork_rng(devices=[]):
        network = build_model(model.model_copy(update={"pretrained": None}), trained.config.data)
    try:
        network.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise VisualizeError(f"{trained.run.checkpoint} is not of its config: {error}") from error
    return network.eval()


def _without(trained: Trained, kinds: Mapping[str, type[nn.Module]]) -> str:
    *most, last = kinds
    named = f"{', '.join(most)} or {last}" if most else last
    root, having = runs_root(), []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        run = RunDir(folder)
        if not (folder / "config.json").is_file() or not run.checkpoint.is_file():
            continue
        try:
            inserted = [name for name in getattr(config_of(run).model, "insert", ()) if name in kinds]
        except VisualizeError:
            continue
        having += [f"{run.key[:SHORT]} ({', '.join(inserted)})"] if inserted else []
    runs = f"runs of {root}/ that have: {', '.join(having)}" if having else f"no run of {root}/ has one"
    return f"run {trained.run.key}: {trained.config.model.name} has no {named}; {runs}"


def choose(seen: Sequence[Seen], place: str | None) -> Seen:
    """The module at a place, named as `res3.2`, `res3.2.rnl` or, for all of a stage, `res3`; or the default one.

    Where several are possible, those that have a map for every position come first, then those with the largest maps,
    then the last of the network.

    Raises:
        VisualizeError: There is none at that place.
    """
    there = [one for one in seen if place is None or f"{one.name}.".startswith(f"{place}.")]
    if not there:
        raise VisualizeError(f"--place {place}: the run has {', '.join(one.name for one in seen)}")
    return max(
        reversed(there),
        key=lambda one: (isinstance(one.module, RegionalNonLocal | NonLocal), one.maps.shape[2] * one.maps.shape[3]),
    )
