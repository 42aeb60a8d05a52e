"""A trained network with what it takes to use it: of a run, of an export, or published by others."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.config.run import RunConfig
from benchmark.data.class_names import class_names
from benchmark.data.decode.video import Frames, probe
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.loader import ClipDataset
from benchmark.data.split import Clip, Split
from benchmark.data.transforms import normalise
from benchmark.evaluate.views import average_over_views
from benchmark.models.build import build_model
from benchmark.models.forward import autocast, lay_out_weights
from benchmark.models.weights import PretrainedWeightsError
from benchmark.released.evaluation import Weights, network_of, weights_of
from benchmark.released.formats import read_state
from benchmark.released.registry import config_of, released
from benchmark.released.stored import without_training
from benchmark.runs.find import find_run

EXPORTED = ".safetensors"
VIEWS_AT_ONCE = 4
"""Views that go through the network together: 30 of 224 pixels take gigabytes."""


@dataclass(frozen=True)
class Guess:
    """What a network says of a video.

    Attributes:
        classes: names, the likeliest first.
        probabilities: theirs, after a softmax of the scores averaged over the views.
        seen: the frames of the first view, (T, S, S, 3) uint8.
        frames: that the video has.
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    seen: Frames = field(repr=False)
    frames: int


@dataclass(frozen=True)
class LoadedNetwork:
    """A network in evaluation mode.

    Attributes:
        model: from normalised clips (B, T, C, S, S) to logits (B, classes).
        config: what it was trained as, or is evaluated as.
        classes: names by output.
        origin: where its weights come from.
        metrics: on the validation clips, in percent; empty where they are not known.
    """

    model: nn.Module = field(repr=False)
    config: RunConfig
    classes: tuple[str, ...]
    origin: str
    metrics: dict[str, float] = field(default_factory=dict)

    def guess(self, video: str | Path) -> Guess:
        """What the network says of a video file, or a folder of frames, by the views of its evaluation.

        Raises:
            DecodeError: it cannot be read.
            DataError: the network reads optical flow.
        """
        path, config = Path(video), self.config
        if config.modality != "rgb":
            raise DataError(f"{self.origin} reads optical flow, which a video file does not have")
        if not path.exists():
            raise DecodeError(f"{path}: no such video")
        info = probe(path, any_first=True)
        clip = Clip(path.stem, path, info.frames, info.height, info.width, 0)
        split = Split(config.data.dataset, "val", [clip], len(self.classes), "", classes=self.classes)
        dataset = ClipDataset(split, config.data, config.eval, config.model.frames_per_segment, config.seed, "eval")
        item: Any = dataset[0]
        if not bool(item.readable):
            raise DecodeError(f"{path}: its frames cannot be decoded")
        device = next(self.model.parameters()).device
        parts, removed = item.frames.split(VIEWS_AT_ONCE), config.data.normalisation
        with torch.no_grad(), autocast(device, config.train.precision):
            scores = [self.model(normalise(views.to(device), removed)).float() for views in parts]
        mean = average_over_views(torch.cat(scores).unsqueeze(0), config.eval.average)[0]
        probabilities, order = mean.softmax(0).sort(descending=True, stable=True)
        seen = item.frames[len(item.frames) // 2].permute(0, 2, 3, 1).contiguous().numpy()
        names = tuple(self.classes[i] for i in order.tolist())
        return Guess(names, tuple(probabilities.tolist()), seen, info.frames)


def load(source: str | Path, device: str = "cpu", config: RunConfig | None = None) -> LoadedNetwork:
    """A trained network: of a run (its key, the beginning of one, its folder), an export, or published by others.

        network = benchmark.load("c23c6b85")             # or "tsm.safetensors", or "tsm-r50-something-v1"
        network.guess("waving.mp4").classes[0]
        logits = network.model(clips)

    Args:
        source: what to load.
        device: where to.
        config: the network of a file of weights that does not say it.

    Raises:
        PretrainedWeightsError: there are no weights, or they are of another network.
        RunDirError: there is no such run.
    """
    name = str(source)
    if name.endswith(EXPORTED) and Path(name).is_file() and (said := _metadata(Path(name))):
        loaded = _of_export(Path(name), said)
    elif config is not None or _is_released(name):
        loaded = of_weights(config or config_of(name), weights_of(name))
    else:
        loaded = _of_run(name)
    lay_out_weights(loaded.model)
    loaded.model.eval().to(device)
    return loaded


def of_weights(config: RunConfig, weights: Weights) -> LoadedNetwork:
    """The network of a config with a file's weights. Raises PretrainedWeightsError: they do not fit."""
    model, _, _ = network_of(config, weights)
    return LoadedNetwork(model.eval(), without_training(config), class_names(config.data.dataset), weights.name)


def _is_released(name: str) -> bool:
    return name in released()


def _of_run(name: str) -> LoadedNetwork:
    run = find_run(name)
    config, path = run.config, run.checkpoint
    if not path.is_file():
        raise PretrainedWeightsError(
            f"run {run.key} has no checkpoint.pt: it has not finished an epoch, or it was removed"
        )
    model = _fitted(config, read_state(path), str(path))
    metrics = dict((run.result or {}).get("metrics", {}))
    return LoadedNetwork(model, config, class_names(config.data.dataset), f"run {run.key}", metrics)


def _of_export(path: Path, said: dict[str, Any]) -> LoadedNetwork:
    from safetensors.torch import load_file

    config = RunConfig.model_validate(said["config"])
    model = _fitted(config, load_file(path), str(path))
    return LoadedNetwork(model, config, tuple(said["classes"]), path.name, said["metrics"])


def _fitted(config: RunConfig, state: dict[str, Any], origin: str) -> nn.Module:
    model = build_model(without_training(config).model, config.data)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise PretrainedWeightsError(f"{origin} is not of this network any more: {str(error)[:400]}") from None
    return model


def _metadata(path: Path) -> dict[str, Any] | None:
    """What an export says of itself; None of a file of weights alone."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("benchmark")
    return None if text is None else json.loads(text)


def strip(seen: Frames, gap: int = 4) -> Frames:
    """Frames side by side, (S, width, 3): what the network has seen of a video."""
    count, height, width, _ = seen.shape
    out = np.full((height, count * (width + gap) - gap, 3), 255, np.uint8)
    for i, frame in enumerate(seen):
        out[:, i * (width + gap) : i * (width + gap) + width] = frame
    return out
