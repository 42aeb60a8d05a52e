"""Representations to show: as they start, or with the weights that a run has trained.

Random weights come from a generator of their own, seeded alike every time. A representation with batch normalisation
is in training mode as long as it is not trained: its running statistics mean nothing yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmark.config.custom import is_entry
from benchmark.config.models import BqnConfig, BqnX3dConfig, TesNetConfig
from benchmark.config.representations import (
    FlowNetConfig,
    MbpmConfig,
    PersistentAppearanceConfig,
    RepresentationFields,
    RgbDifferenceConfig,
    TvnetConfig,
)
from benchmark.config.run import DataConfig
from benchmark.models.representations.build import build_representation
from benchmark.models.representations.flownet import FlowNet
from benchmark.models.representations.squeezed_image import SqueezedImage
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.trained import Trained

WITHOUT_WEIGHTS = ("rgb", "rgb_difference", "flow", "dynamic_image")

# Of representations that look at pairs, the pictures show the first pair.
PAIRS: dict[str, Any] = {
    "rgb_difference": RgbDifferenceConfig(frames=2),
    "tvnet": TvnetConfig(frames=2),
    "persistent_appearance": PersistentAppearanceConfig(frames=2),
}


@dataclass(frozen=True)
class Shown:
    """A representation: its name in configs, its module, how many frames it reads, and where its weights are from.

    `normalisation` is what its frames are to be normalised by, as `benchmark.data.transforms` names it.
    """

    name: str
    module: nn.Module
    frames: int
    origin: str
    normalisation: str = "imagenet"


def initial(name: str) -> Shown:
    """A representation before any training, with the paper's settings."""
    settings = {name: PAIRS[name]} if name in PAIRS else {}
    fields = RepresentationFields(representation=name, **settings)
    module = _built(fields, 1.0, DataConfig(dataset="motionpairs"))
    origin = "" if name in WITHOUT_WEIGHTS else "as initialised"
    return Shown(name, module.train(), fields.frames_per_segment, origin)


def mbpm_config(trained: Trained) -> tuple[MbpmConfig, str]:
    """The settings of a run's MBPM, and what the names of its weights start with.

    Raises:
        VisualizeError: The run has none.
    """
    model = trained.config.model
    if isinstance(model, BqnConfig | BqnX3dConfig):
        return model.mbpm, "stem_mbpm."
    if isinstance(model, RepresentationFields) and model.representation == "mbpm":
        return model.mbpm, "representation."
    raise VisualizeError(
        f"{trained.run.key}: {_describe(model)} has no MBPM; name a run of bqn or of representation mbpm"
    )


def trained_representation(trained: Trained) -> Shown:
    """The representation of a run with its weights.

    Raises:
        VisualizeError: The run has no representation, or one without weights, or its checkpoint is of another one.
    """
    model, data = trained.config.model, trained.config.data
    name, prefix = getattr(model, "representation", ""), "representation."
    frames = model.frames_per_segment
    if is_entry(name):
        raise VisualizeError(f"run {trained.run.key}: {name} is your own, and there is no picture of its images here")
    if isinstance(model, BqnConfig | BqnX3dConfig):
        settings, prefix = mbpm_config(trained)
        name, module = "mbpm", _built(RepresentationFields(representation="mbpm", mbpm=settings), 1.0, data)
    elif isinstance(model, TesNetConfig) and model.layers[0].after == "input" and model.modality == "rgb":
        name, prefix = "squeezed_image", "squeezes.input."
        module = SqueezedImage(model.frames, model.layers[0].images, model.activations)
    elif isinstance(model, RepresentationFields) and name not in WITHOUT_WEIGHTS:
        module = _built(model, model.width, data)
    else:
        raise VisualizeError(
            f"run {trained.run.key}: {_describe(model)} has no representation with weights; name a run of mbpm, tvnet,"
            " flownet, persistent_appearance, convolution, squeezed_image, dynamic_appearance or bqn"
        )
    target = module.squeeze if name == "squeezed_image" and prefix != "representation." else module
    assert isinstance(target, nn.Module)
    try:
        target.load_state_dict(trained.part(prefix))
    except RuntimeError as error:
        raise VisualizeError(f"{trained.run.checkpoint} is not of its config: {error}") from error
    origin = trained.origin
    if not any(p.requires_grad for p in module.parameters()):
        origin = f"kept fixed in training ({trained.name})"
    return Shown(name, module.eval(), frames, origin, data.normalisation)


def _built(fields: RepresentationFields, width: float, data: DataConfig) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = fields.representation_config
        if isinstance(settings, FlowNetConfig):  # the run's checkpoint has its weights; no file is needed
            return FlowNet(settings.variant, settings.frames, width, None, settings.trainable)
        return build_representation(fields, width, data)


def _describe(model: Any) -> str:
    name = getattr(model, "representation", "")
    return f"{model.name} on {name}" if name else str(model.name)
