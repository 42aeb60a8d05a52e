from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.gates.progressive_enhance import ProgressiveEnhance
from tests.models.modules.costs import R50_INPUTS, record_of


def by_loops(module: ProgressiveEnhance, x: Tensor, frames: int) -> Tensor:
    """The recursion of the module's docstring, frame by frame."""
    w1, w2, w3 = module.reduce.weight, module.expand.weight, module.write.weight
    u = torch.empty_like(x)
    for start in range(0, x.shape[0], frames):
        memory = torch.zeros(w1.shape[0], dtype=x.dtype)
        for t in range(start, start + frames):
            news = w1 @ x[t].flatten(1).mean(1) - memory
            u[t] = x[t] / (1 + torch.exp(-(w2 @ news))).view(-1, 1, 1)
            memory = memory + news / (1 + torch.exp(-(w3 @ news)))
    return u


@pytest.mark.parametrize(("frames", "reduction"), [(1, 8), (2, 8), (3, 1), (5, 4), (2, 32)])
def test_equals_the_recursion_by_loops(frames: int, reduction: int) -> None:
    module = ProgressiveEnhance(16, reduction).double()
    x = 3 * torch.rand(2 * frames, 16, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


def test_what_is_shown_again_becomes_less_new() -> None:
    """Of a static clip every frame leaves less behind, so that gates come ever nearer to one half."""
    module = ProgressiveEnhance(16, 1).double()
    x = torch.rand(1, 16, 3, 3, dtype=torch.float64).repeat(6, 1, 1, 1)
    distance = (module.gate(x, 6) - 0.5).norm(dim=1)
    assert (distance[1:] < distance[:-1]).all()
    assert distance[5] < 0.1 * distance[0]


def test_costs_of_resnet50() -> None:
    """4.23 M parameters and 0.034 GMACs more on ResNet-50: what the last frame would write is not computed."""
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        record = record_of(ProgressiveEnhance, channels, side)
        counted, width = CONVENTIONS["fvcore"].macs(record), channels // 8
        assert counted == 8 * 2 * channels * width + 7 * width**2 == sum(record.torch_macs.values())
        assert CONVENTIONS["fvcore"].params(record) == 2 * channels * width + width**2
        macs += blocks * counted
        params += blocks * CONVENTIONS["fvcore"].params(record)
    assert round(params / 1e6, 2) == 4.23
    assert round(macs / 1e9, 4) == 0.0336


def test_impossible_arguments_are_refused() -> None:
    for arguments in ((0, 8), (8, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            ProgressiveEnhance(*arguments)
