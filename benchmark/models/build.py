"""From a model config to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmark.config.models import ModelConfig
from benchmark.config.run import DataConfig
from benchmark.models.bqn import Bqn
from benchmark.models.bqn_x3d import BqnX3d
from benchmark.models.custom import build_custom
from benchmark.models.single_path import SinglePath
from benchmark.models.tesnet import TesNet

MODELS: dict[str, Callable[[Any, DataConfig], nn.Module]] = {
    "tsm_resnet": SinglePath,
    "mobilenet_v2": SinglePath,
    "x3d": SinglePath,
    "i3d": SinglePath,
    "vit": SinglePath,
    "inception_resnet_v2": SinglePath,
    "tesnet": TesNet,
    "bqn": Bqn,
    "bqn_x3d": BqnX3d,
    "custom": build_custom,
}


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
    return MODELS[model.name](model, data)
