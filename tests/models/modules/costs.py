"""What a module costs: multiplications, parameters, and bytes held on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import profile

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.cost.record import CostRecord

R50_INPUTS = {(64, 56): 1, (256, 56): 3, (512, 28): 4, (1024, 14): 6, (2048, 7): 2}
"""Channels and side of the inputs of ResNet-50's blocks at 224 x 224, and how many blocks have them."""
BASELINE_PARAMS, BASELINE_THOP = 24_327_632, 32.8888e9
"""TSM-ResNet-50 with 400 classes on 8 frames of 224 x 224."""
RNL_PARAMS, RNL_THOP = 35.4831e6, 41.1490e9
"""The same with five RNL blocks, as released."""


class OnOneClip(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, x.shape[0])


@cache
def record_of(build: Callable[..., nn.Module], channels: int, side: int, **settings: Any) -> CostRecord:
    """Costs of a module for one clip of eight square maps, counted without storage; its paths begin with `block`."""
    with torch.device("meta"):
        network = OnOneClip(build(channels, **settings))
    record = count_network(network, (8, channels, side, side))
    unknown = {operator.operator for operator in record.uncounted if operator.kind == "unknown"}
    assert unknown <= {"linalg_vector_norm"}
    assert all(parameter.is_meta for parameter in network.parameters())
    return record


def of_five_blocks(build: Callable[..., nn.Module], **settings: Any) -> dict[str, int]:
    """What two blocks in res3 and three in res4 add to ResNet-50."""
    added = {"params": 0, "fvcore": 0, "fvcore_core": 0, "thop_2001": 0}
    for blocks, channels, side in ((2, 512, 28), (3, 1024, 14)):
        record = record_of(build, channels, side, **settings)
        added["params"] += blocks * CONVENTIONS["fvcore"].params(record)
        for name in ("fvcore", "fvcore_core", "thop_2001"):
            added[name] += blocks * CONVENTIONS[name].macs(record)
    return added


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes on the CPU that were allocated during the call and not yet freed."""
    with profile(profile_memory=True) as records:
        call()
    assert records.profiler is not None
    events = [event for event in records.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
