"""A gate, a module and a representation of our own, each added by a class and one line of a registry."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchmark.config.fields import Buildable, registered
from benchmark.config.models import TsmResNetConfig
from benchmark.config.modules import GateConfig, ModuleConfig
from benchmark.config.representations import RepresentationConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.models.build import build_model
from benchmark.runs.key import run_key


class Tint(nn.Module):
    def __init__(self, frames: int, width: float) -> None:
        super().__init__()
        self.frames, self.width = frames, width
        self.colour = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1) * self.colour


class Scale(nn.Module):
    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels, 1, 1), start))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return x * self.factor


class TintConfig(RepresentationConfig):
    constructor = f"{__name__}:Tint"

    frames: int = 2


class ScaleAfterConfig(ModuleConfig):
    constructor = f"{__name__}:Scale"
    compares_frames = True

    start: float = 1.0


class ScaleBeforeConfig(GateConfig):
    constructor = f"{__name__}:Scale"

    start: float = 0.5


class ExtendedConfig(TsmResNetConfig):
    tint: TintConfig = TintConfig()
    scale_after: ScaleAfterConfig = ScaleAfterConfig()
    scale_before: ScaleBeforeConfig = ScaleBeforeConfig()


ALL = {"representation": "tint", "insert": ["scale_after"], "insert_after": ["res3"], "gate": "scale_before"}
DATA = DataConfig(dataset="motionpairs", segments=2, size=56)


def extended(**changes: Any) -> ExtendedConfig:
    return ExtendedConfig.model_validate({"depth": 18, "width": 0.125, **ALL, **changes})


def test_a_network_trains_with_a_gate_a_module_and_a_representation_of_our_own() -> None:
    config = RunConfig(model=extended(gate_in="first", tint={"frames": 4}, scale_after={"start": 2.0}), data=DATA)
    network = build_model(config.model, config.data)
    added = {name: parameter for name, parameter in network.named_parameters() if name.endswith(("colour", "factor"))}
    assert list(added) == [
        "representation.colour",
        *(f"backbone.layer{stage}.0.before.0.factor" for stage in (1, 2, 3, 4)),
        "backbone.inserts.res3_1.factor",
    ]
    assert network.get_submodule("representation").width == 0.125
    before = {name: parameter.detach().clone() for name, parameter in added.items()}
    assert set(before["backbone.inserts.res3_1.factor"].flatten().tolist()) == {2.0}
    logits = network(torch.randn(2, config.frames, 3, 56, 56))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in added.items())


def test_their_settings_are_part_of_the_key_and_are_checked_like_any_others() -> None:
    keys = {
        run_key(RunConfig(model=extended(**change), data=DATA))
        for change in ({}, {"tint": {"frames": 3}}, {"scale_after": {"start": 3.0}}, {"scale_before": {"start": 1.0}})
    }
    assert len(keys) == 4
    for change, message in (
        ({"representation": "tvnet", "tint": {"frames": 3}}, "'tint' is set, but the representation is 'tvnet'"),
        ({"gate": "cme", "scale_before": {"start": 1.0}}, "'scale_before' is set, but gate is 'cme'"),
        ({"insert": ["se"], "scale_after": {"start": 3.0}}, r"'scale_after' is set, but insert is \['se'\]"),
        ({"representation": "tnt"}, "'dynamic_appearance' or 'tint'"),
        ({"gate": "scale"}, "'none', 'cme', 'mem', 'pem' or 'scale_before'"),
        ({"insert": ["scale_aftr"]}, "no module 'scale_aftr'. Did you mean 'scale_after'?"),
    ):
        with pytest.raises(ValidationError, match=message):
            extended(**change)
    with pytest.raises(ValidationError, match="a module that compares frames needs 2 or more"):
        RunConfig(model=extended(), data=DataConfig(dataset="motionpairs", segments=1, size=56))


EVERY = {
    f"{kind.__name__} {name}": config
    for kind in (RepresentationConfig, ModuleConfig, GateConfig)
    for name, config in registered(TsmResNetConfig, kind).items()
} | {"RepresentationConfig rgb": TsmResNetConfig.rgb}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_a_constructor_takes_every_setting_and_otherwise_only_what_networks_give(config: Buildable) -> None:
    module, _, name = config.constructor.partition(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    settings = set(type(config).model_fields)
    given = {"width", "data"} if isinstance(config, RepresentationConfig) else {"channels", "place", "width"}
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert settings <= set(parameters)
    assert required <= settings | given
