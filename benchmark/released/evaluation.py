"""Published weights evaluated on the validation clips of a data set: the views of a row, and no training.

What they come to is kept in `<runs>/released/<network, clips and views>/<weights and order of classes>/`, with the
files of a run directory that reports read. A third kind of value beside printed and measured ones: of the authors'
training, and of this package's network, clips and views.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmark.config.run import RunConfig
from benchmark.data.class_names import class_names
from benchmark.launch.clips import RunClips
from benchmark.launch.evaluation import evaluate
from benchmark.launch.job import prepare_torch
from benchmark.launch.result import write_predictions
from benchmark.models.build import build_model
from benchmark.models.forward import lay_out_weights
from benchmark.models.weights import PretrainedWeightsError, missing, weights_path
from benchmark.released.class_order import likely_order, outputs_of
from benchmark.released.formats import Loaded, load_weights, read_state
from benchmark.released.registry import ClassOrder, Format, find_released, sha256_of
from benchmark.released.stored import WEIGHTS, folder_of, without_training
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.predictions import read_predictions
from benchmark.runs.provenance import code_state, processor, versions


@dataclass(frozen=True)
class Weights:
    """A file of weights, and how it is to be read.

    Attributes:
        name: of the registry's entry, or the file's.
        format: None where every format is to be tried.
        order: of the classifier's outputs; a path names a file with the class of each output; None: that of the labels
            for what was trained here, and else that of the names.
    """

    name: str
    path: Path
    format: Format | None = None
    order: ClassOrder | Path | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Evaluated:
    """What weights came to: their run directory, metrics in percent, and what there is to be said of the classes."""

    run: RunDir
    metrics: dict[str, float]
    loaded: Loaded
    doubt: str


def weights_of(name: str, format: Format | None = None, order: ClassOrder | Path | None = None) -> Weights:
    """The weights of a registry's entry, or of a file at a path.

    Raises:
        SpecError: there is no such entry.
        PretrainedWeightsError: the file is not there.
    """
    path = Path(name)
    if path.suffix or path.exists():
        if not path.is_file():
            path = weights_path(name)
        if not path.is_file():
            raise PretrainedWeightsError(f"{name}: no such file, here or in {weights_path('').absolute()}/")
        return Weights(path.name, path, format, order)
    entry = find_released(name)
    path = weights_path(entry.file)
    if not path.is_file():
        raise missing(f"the weights {name}", path, entry.origin)
    return Weights(name, path, format or entry.format, order or entry.classes, entry.sha256)


def network_of(config: RunConfig, weights: Weights) -> tuple[torch.nn.Module, Loaded, list[int]]:
    """The network of a config with the weights, its outputs in the order of the data set's labels, and that order.

    Raises:
        PretrainedWeightsError: the file cannot be read, is not the entry's, or does not fit; classes cannot be told.
    """
    digest = _digest(weights.path)
    if weights.sha256 and digest != weights.sha256:
        raise PretrainedWeightsError(f"{weights.path} has the sha256 {digest}, {weights.name} has {weights.sha256}")
    model = build_model(without_training(config).model, config.data)
    loaded = load_weights(model, read_state(weights.path), weights.format)
    # What was trained here has the labels' own order.
    order = weights.order or ("dataset" if loaded.format == "benchmark" else "alphabetical")
    outputs = outputs_of(order, class_names(config.data.dataset))
    with torch.no_grad():
        for name, classifier in model.named_modules():
            if isinstance(classifier, torch.nn.Linear) and "fc" in name.split("."):
                classifier.weight.copy_(classifier.weight[outputs].clone())
                classifier.bias.copy_(classifier.bias[outputs].clone())
    lay_out_weights(model)
    return model, loaded, outputs


def evaluate_released(
    config: RunConfig, weights: Weights, device: torch.device, workers: int, on_step: Callable[[int, int], None]
) -> Evaluated:
    """Evaluate weights on the validation clips of a config's data set, unless that has been done.

    Args:
        config: network, clips and views; of its recipe the precision alone counts.
        weights: the file.
        device: where it runs.
        workers: loader processes.
        on_step: told how far it is.

    Raises:
        PretrainedWeightsError: see `network_of`.
        DataError: clips are not prepared.
    """
    config = without_training(config)
    started = time.monotonic()
    prepare_torch(device)
    clips = RunClips(config, device, workers)
    model, loaded, outputs = network_of(config, weights)
    said = {"sha256": _digest(weights.path), "outputs": outputs, "clips": clips.val.fingerprint}
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    run = RunDir(folder_of(config) / key)
    if (result := run.result) is not None:
        found, metrics = read_predictions(run, result)
        return Evaluated(run, metrics, loaded, likely_order(found.logits, found.labels))
    model = model.to(device)
    run.path.mkdir(parents=True, exist_ok=True)
    write_json(run.path / "config.json", config.model_dump(mode="json"))
    predicted = evaluate(model, config, clips, on_step)
    metrics = write_predictions(run, clips, predicted)
    env: dict[str, Any] = {
        "starts": [code_state()],
        "versions": versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "fingerprints": {"val": clips.val.fingerprint},
        "clips": {"val": clips.counts["val"]},
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(run.path / "env.json", env)
    about = {"name": weights.name, "file": weights.path.name, "format": loaded.format, "unused": list(loaded.unused)}
    write_json(run.path / WEIGHTS, about | {"sha256": said["sha256"], "outputs": outputs})
    result = {
        "key": key,
        "metrics": metrics,
        "num_clips": len(clips.val),
        "unreadable_clips": int((~predicted.readable).sum()),
        "non_finite_clips": predicted.non_finite,
        "missing_clips": clips.val.missing,
    }
    write_json(run.path / "result.json", result)
    labels = torch.tensor([clip.label for clip in clips.val.clips]).numpy()
    return Evaluated(run, metrics, loaded, likely_order(predicted.logits, labels))


@cache
def _digest(path: Path) -> str:
    return sha256_of(path)
