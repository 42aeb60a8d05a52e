"""From a model config to a network."""

from __future__ import annotations

import importlib

from torch import nn

from benchmark.config.models import ModelConfig
from benchmark.config.run import DataConfig

SINGLE_PATH = "benchmark.models.single_path:SinglePath"
MODELS: dict[str, str] = {
    "tsm_resnet": SINGLE_PATH,
    "mobilenet_v2": SINGLE_PATH,
    "x3d": SINGLE_PATH,
    "i3d": SINGLE_PATH,
    "vit": SINGLE_PATH,
    "inception_resnet_v2": SINGLE_PATH,
    "tesnet": "benchmark.models.tesnet:TesNet",
    "bqn": "benchmark.models.bqn:Bqn",
    "bqn_x3d": "benchmark.models.bqn_x3d:BqnX3d",
    "custom": "benchmark.models.custom:build_custom",
}
"""Name of a network -> what makes it from its config and the data's, imported for this network alone."""


def build_model(model: ModelConfig, data: DataConfig) -> nn.Module:
    """The network of a config, with weights drawn from torch's default generator unless pretrained.

    Args:
        model: The network.
        data: `segments`, `size` and `num_classes` shape it.

    Returns:
        A module from normalised clips (B, T, C, H, W), T = data.segments * model.frames_per_segment, to logits
        (B, num_classes).

    Raises:
        PretrainedWeightsError: Pretrained weights are neither in the weights folder nor reachable.
    """
    module, _, name = MODELS[model.name].partition(":")
    network: nn.Module = getattr(importlib.import_module(module), name)(model, data)
    return network
