from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.gates.channel_motion import ChannelMotion
from tests.models.modules.costs import R50_INPUTS, record_of

R50_TIM = 33_013_440_512
"""MACs of ResNet-50 with TIM, 8 frames of 224 x 224, 174 classes, by fvcore."""


def by_loops(module: ChannelMotion, x: Tensor, frames: int) -> Tensor:
    """Eq. 1 to 6, frame by frame."""
    w1, w2, w3 = module.value.weight, module.key.weight, module.restore.weight
    u = torch.empty_like(x)
    for start in range(0, x.shape[0], frames):
        means = [x[start + t].flatten(1).mean(1) for t in range(frames)]
        z, k = [w1 @ mean for mean in means], [w2 @ mean for mean in means]
        for t in range(frames):
            d = [-float(k[t] @ k[j]) for j in range(frames)]
            total = sum(math.exp(value) for value in d)
            fused = z[t].clone()
            for j in range(frames):
                fused += math.exp(d[j]) / total * z[j]
            u[start + t] = x[start + t] * torch.sigmoid(w3 @ fused).view(-1, 1, 1)
    return u


@pytest.mark.parametrize(("frames", "reductions"), [(1, (8, 8)), (2, (1, 1)), (5, (4, 2)), (3, (32, 8))])
def test_equals_eq1_to_6_by_loops(frames: int, reductions: tuple[int, int]) -> None:
    module = ChannelMotion(16, *reductions).double()
    x = 3 * torch.rand(2 * frames, 16, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


def test_the_two_reductions_are_of_values_and_of_keys() -> None:
    shapes = {name: tuple(weight.shape) for name, weight in ChannelMotion(16, 4, 2).named_parameters()}
    assert shapes == {"value.weight": (4, 16), "key.weight": (8, 16), "restore.weight": (16, 4)}


def test_frames_that_differ_weigh_most() -> None:
    """Equal frames share the weight equally, so zhat is 2 z; an opposite frame takes all of it when keys are long."""
    module = ChannelMotion(4, 1, 1)
    with torch.no_grad():
        module.value.weight.copy_(torch.eye(4))
        module.restore.weight.copy_(torch.eye(4))
        module.key.weight.copy_(100 * torch.eye(4))
    x = torch.rand(1, 4, 1, 1).repeat(3, 1, 1, 1) + 0.5
    torch.testing.assert_close(module.gate(x, 3), torch.sigmoid(2 * x.flatten(1)))
    x[2] *= -1
    torch.testing.assert_close(module.gate(x, 3), torch.full((3, 4), 0.5))


def test_batch_normalisation_hides_a_gate_of_one_half() -> None:
    conv, bn, x = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), 10 * torch.rand(6, 8, 5, 5)
    torch.testing.assert_close(bn(conv(x * 0.5)), bn(conv(x)), atol=1e-4, rtol=1e-4)
    assert (ChannelMotion(256).gate(torch.rand(8, 256, 7, 7), 8) - 0.5).abs().max() < 0.2


@pytest.mark.parametrize(("r", "total"), [(1, 33.397), (4, 33.109), (8, 33.061), (16, 33.037)])
def test_costs_of_resnet50(r: int, total: float) -> None:
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        record = record_of(ChannelMotion, channels, side, value_reduction=r, key_reduction=r)
        counted, width = CONVENTIONS["fvcore"].macs(record), channels // r
        assert counted == 8 * 3 * channels * width + 8**2 * 2 * width == sum(record.torch_macs.values())
        assert CONVENTIONS["fvcore"].params(record) == 3 * channels * width
        macs += blocks * counted
        params += blocks * CONVENTIONS["fvcore"].params(record)
    assert params == 3 * 15_929_344 // r
    assert round((R50_TIM + macs) / 1e9, 3) == total


def test_impossible_arguments_are_refused() -> None:
    for arguments in ((0, 8, 8), (8, 0, 8), (8, 8, -1)):
        with pytest.raises(ValueError, match="must be positive"):
            ChannelMotion(*arguments)
