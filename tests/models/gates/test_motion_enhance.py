from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.gates.motion_enhance import MotionEnhance
from tests.models.modules.costs import R50_INPUTS, record_of


def by_loops(module: MotionEnhance, x: Tensor, frames: int) -> Tensor:
    """The equation, frame by frame."""
    w1, w2, w3 = module.current.weight, module.following.weight, module.expand.weight
    u = x.clone()
    for start in range(0, x.shape[0], frames):
        for t in range(start, start + frames - 1):
            change = w2 @ x[t + 1].flatten(1).mean(1) - w1 @ x[t].flatten(1).mean(1)
            u[t] = x[t] / (1 + torch.exp(-(w3 @ change))).view(-1, 1, 1)
    return u


@pytest.mark.parametrize(("frames", "reduction"), [(2, 8), (3, 1), (5, 4), (2, 32)])
def test_equals_the_equation_by_loops(frames: int, reduction: int) -> None:
    module = MotionEnhance(16, reduction).double()
    x = 3 * torch.rand(2 * frames, 16, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


def test_the_last_frame_of_every_clip_passes() -> None:
    module, x = MotionEnhance(8, 1), torch.rand(8, 8, 3, 3)
    y = module(x, 4)
    assert torch.equal(y[3::4], x[3::4])
    assert (y[:3] < x[:3]).all()


def test_costs_of_resnet50() -> None:
    """5.97 M parameters more on ResNet-50, and 0.042 GMACs: seven of eight frames have a gate to compute."""
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        record = record_of(MotionEnhance, channels, side)
        counted, weights = CONVENTIONS["fvcore"].macs(record), 3 * channels * channels // 8
        assert counted == 7 * weights == sum(record.torch_macs.values())
        assert CONVENTIONS["fvcore"].params(record) == weights
        macs += blocks * counted
        params += blocks * weights
    assert round(params / 1e6, 2) == 5.97
    assert round(macs / 1e9, 3) == 0.042


def test_impossible_arguments_are_refused() -> None:
    for arguments in ((0, 8), (8, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            MotionEnhance(*arguments)
    with pytest.raises(ValueError, match="two frames or more"):
        MotionEnhance(8)(torch.rand(6, 8, 2, 2), 1)
