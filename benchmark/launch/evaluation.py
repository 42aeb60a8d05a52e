"""The evaluation of a run: what its network predicts for the validation clips."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from benchmark.config.run import RunConfig
from benchmark.evaluate.views import Predicted, predict
from benchmark.launch.clips import RunClips
from benchmark.launch.training import epoch_seed
from benchmark.train.generators import seed_all

EVALUATION_BYTES = 2**26
"""Pixels of the views that go through the network at once, and of each batch that a loader process prepares."""


def evaluate(
    model: torch.nn.Module, config: RunConfig, clips: RunClips, on_step: Callable[[int, int], None]
) -> Predicted:
    """What the network predicts for every validation clip, over its views. `on_step`: see `predict`."""
    dataset = clips.evaluation
    seed_all(epoch_seed(config, config.train.epochs))  # for networks that draw in evaluation, wherever the run began
    # As many clips at once as in training, fewer where their views take too much memory.
    at_once = min(config.train.batch_size, max(1, EVALUATION_BYTES // math.prod(dataset.shape)))
    return predict(
        model,
        clips.batches(dataset, at_once, range(len(dataset))),
        len(dataset),
        config.data.num_classes,
        math.ceil(len(dataset) / at_once),
        config.train.precision,
        on_step,
        config.data.normalisation,
        config.eval.average,
    )
