"""From a network's config to the modules that stand after its blocks, or in front of their residual branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmark.config.modules import ModuleName
from benchmark.models.modules.cbam import Cbam
from benchmark.models.modules.channel_motion import ChannelMotion
from benchmark.models.modules.correspondence import CorrespondenceModule
from benchmark.models.modules.global_context import GlobalContext
from benchmark.models.modules.motion_enhance import MotionEnhance
from benchmark.models.modules.motion_squeeze import MotionSqueeze
from benchmark.models.modules.nonlocal_block import NonLocal
from benchmark.models.modules.progressive_enhance import ProgressiveEnhance
from benchmark.models.modules.pyramid_attention import PyramidAttention
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.models.modules.spatial_motion import SpatialMotion
from benchmark.models.modules.squeeze_excitation import SqueezeExcitation
from benchmark.models.modules.temporal_interaction import TemporalInteraction

Inserter = Callable[[str, int], nn.Module | None]
"""From a place and its channels to what stands there."""


class Chain(nn.Module):
    """Modules run one after the other on the maps of a place: (B * frames, C, H, W) to the same shape."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Through all of them."""
        for module in self.children():
            x = module(x, frames)
        return x


def _rnl(config: Any, place: str, channels: int) -> nn.Module:
    small = place.startswith(("res4", "res5")) and config.rnl.kernel_size_res4 is not None
    kernel = config.rnl.kernel_size_res4 if small else config.rnl.kernel_size
    return RegionalNonLocal(channels, config.rnl.similarity, config.rnl.aggregator, kernel, config.rnl.form)


def _motion_squeeze(config: Any, place: str, channels: int) -> nn.Module:
    return MotionSqueeze(channels, **config.motion_squeeze.model_dump(), width=config.width)


MODULES: dict[ModuleName, Callable[[Any, str, int], nn.Module]] = {
    "rnl": _rnl,
    "nl": lambda config, place, channels: NonLocal(channels, **config.nl.model_dump()),
    "se": lambda config, place, channels: SqueezeExcitation(channels, **config.se.model_dump()),
    "gc": lambda config, place, channels: GlobalContext(channels, **config.gc.model_dump()),
    "cbam": lambda config, place, channels: Cbam(channels, **config.cbam.model_dump()),
    "cpa": lambda config, place, channels: PyramidAttention(**config.cpa.model_dump()),
    "motion_squeeze": _motion_squeeze,
    "correspondence": lambda config, place, channels: CorrespondenceModule(
        channels, **config.correspondence.model_dump()
    ),
    "sme": lambda config, place, channels: SpatialMotion(channels, **config.sme.model_dump()),
}
"""Name in `insert` -> constructor from the network's config, a place and its channels."""

GATES: dict[str, Callable[[Any, int], nn.Module]] = {
    "cme": lambda config, channels: ChannelMotion(channels, **config.cme.model_dump()),
    "mem": lambda config, channels: MotionEnhance(channels, **config.mem.model_dump()),
    "pem": lambda config, channels: ProgressiveEnhance(channels, **config.pem.model_dump()),
}
"""Name of a channel gate -> constructor from the network's config and the channels of a block's input."""


def inserter(config: Any) -> Inserter:
    """What stands after the blocks, by `insert` and `insert_after`: one module, or a `Chain`."""
    places = frozenset(config.inserted_at)

    def insert(place: str, channels: int) -> nn.Module | None:
        if place not in places:
            return None
        modules = {name: MODULES[name](config, place, channels) for name in config.insert}
        return next(iter(modules.values())) if len(modules) == 1 else Chain(dict(modules))

    return insert


def branch_inserter(config: Any) -> Inserter:
    """What stands in front of the residual branches: the channel gate, then TIM (CMR, Figure 2)."""

    def insert(place: str, channels: int) -> nn.Module | None:
        gated = config.gate != "none" and (config.gate_in == "all" or place.endswith(".0"))
        gate = [GATES[config.gate](config, channels)] if gated else []
        modules = gate + ([TemporalInteraction(channels)] if config.tim else [])
        if len(modules) < 2:
            return modules[0] if modules else None
        return Chain({config.gate: modules[0], "tim": modules[1]})

    return insert
