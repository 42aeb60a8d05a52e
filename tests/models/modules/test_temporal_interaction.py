from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.temporal_interaction import TemporalInteraction
from benchmark.models.modules.temporal_shift import temporal_shift

R50_INPUTS = {(64, 56): 1, (256, 56): 3, (512, 28): 4, (1024, 14): 6, (2048, 7): 2}
"""Channels and side of the inputs of ResNet-50's blocks at 224 x 224, and how many blocks have them."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class AtEightFrames(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x, 8)


def trained(channels: int) -> TemporalInteraction:
    module = TemporalInteraction(channels)
    nn.init.normal_(module.weight)
    return module


def by_loops(module: TemporalInteraction, x: Tensor, frames: int) -> Tensor:
    """Three weights per channel over the previous, the present and the next frame, map by map."""
    y = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for offset in (-1, 0, 1):
                if 0 <= n % frames + offset < frames:
                    y[n, c] += module.weight[c, 0, offset + 1, 0] * x[n + offset, c]
    return y


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 7, 16])
def test_equals_the_equation_by_loops(frames: int, channels: int) -> None:
    module = trained(channels).double()
    x = torch.randn(2 * frames, channels, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("channels", [4, 8, 20, 64])
def test_starts_as_the_temporal_shift(channels: int, layout: torch.memory_format) -> None:
    x = torch.randn(12, channels, 5, 3).contiguous(memory_format=layout)
    assert torch.equal(TemporalInteraction(channels)(x, 4), temporal_shift(x, 4))


def test_gradients() -> None:
    module = trained(8).double()
    x = torch.randn(6, 8, 2, 2, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(module, {"weight": weight}, (x, 3))

    assert torch.autograd.gradcheck(call, (x, module.weight))


def test_all_weights_are_trained_from_the_start() -> None:
    module = TemporalInteraction(16)
    module(torch.rand(8, 16, 4, 4) + 0.1, 4).sum().backward()
    assert module.weight.grad is not None
    assert (module.weight.grad > 0).all()


def test_clips_of_a_batch_do_not_mix() -> None:
    module, x = trained(8), torch.randn(12, 8, 3, 3)
    changed = x.clone()
    changed[4:] = torch.randn(8, 8, 3, 3)
    assert torch.equal(module(x, 4)[:4], module(changed, 4)[:4])
    torch.testing.assert_close(module(x, 4)[4:8], module(x[4:8], 4))


def test_commutes_with_translation() -> None:
    module, x = trained(8), torch.randn(8, 8, 4, 6)
    torch.testing.assert_close(module(x.roll(2, -1), 4), module(x, 4).roll(2, -1))


@pytest.mark.parametrize("training", [True, False])
def test_channels_last_maps_stay_so(training: bool) -> None:
    module = trained(16).train(training)
    x = torch.randn(8, 16, 6, 5).contiguous(memory_format=torch.channels_last)
    assert module(x, 4).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_in_reduced_precision(dtype: torch.dtype) -> None:
    module = trained(16)
    x = (100 * torch.randn(8, 16, 6, 6)).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = module(x, 4)
    y.float().square().mean().backward()
    assert y.dtype == dtype
    assert x.grad is not None
    assert module.weight.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(module.weight.grad).all()


def test_costs_of_resnet50() -> None:
    """0.135 GMACs and 39,360 parameters on ResNet-50: 33.013 G with its 32.879."""
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        with torch.device("meta"):
            network = AtEightFrames(TemporalInteraction(channels))
        record = count_network(network, (8, channels, side, side))
        assert all(operator.kind == "movement" for operator in record.uncounted)
        counted = CONVENTIONS["fvcore"].macs(record)
        assert counted == 3 * channels * 8 * side**2 == record.torch_macs["convolution"]
        macs += blocks * counted
        params += blocks * CONVENTIONS["fvcore"].params(record)
    assert params == 39_360
    assert round(macs / 1e9, 3) == 0.135


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="channels must be positive"):
        TemporalInteraction(0)
    with pytest.raises(ValueError, match="no clips of 4 frames"):
        TemporalInteraction(8)(torch.randn(6, 8, 2, 2), 4)
