"""Where a network's config wants modules: behind its blocks, and in front of their residual branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from benchmark.config.custom import class_of
from benchmark.models.construct import maker
from benchmark.models.modules.temporal_interaction import TemporalInteraction

Inserter = Callable[[str, int], nn.Module | None]
"""From a place and its channels to what stands there."""


class Chain(nn.Module):
    """Modules run one after the other on the maps of a place: (B * frames, C, H, W) to the same shape."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Through all of them."""
        for module in self.children():
            x = module(x, frames)
        return x


def _joined(modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """Nothing, the one module, or a chain of several."""
    return Chain(modules) if len(modules) > 1 else next(iter(modules.values()), None)


def inserter(config: Any) -> Inserter:
    """What stands behind the blocks, by `insert` and `insert_after`."""
    places = frozenset(config.inserted_at)
    makers = {name: maker(settings) for name, settings in config.insert_configs.items()}
    only = config.only_at

    def insert(place: str, channels: int) -> nn.Module | None:
        if place not in places:
            return None
        given = {"channels": channels, "place": place, "width": config.width}
        here = {name: make for name, make in makers.items() if place in only.get(name, places)}
        return _joined({name: make(**given) for name, make in here.items()})

    return insert


def branch_inserter(config: Any) -> Inserter:
    """What stands in front of the residual branches: the channel gate, then TIM (CMR, Figure 2)."""
    gate = None if config.gate_config is None else maker(config.gate_config)

    def insert(place: str, channels: int) -> nn.Module | None:
        modules: dict[str, nn.Module] = {}
        if gate is not None and (config.gate_in == "all" or place.endswith(".0")):
            modules[class_of(config.gate)] = gate(channels=channels, place=place, width=config.width)
        if config.tim:
            modules["tim"] = TemporalInteraction(channels)
        return _joined(modules)

    return insert
