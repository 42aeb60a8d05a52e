from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.modules.temporal_interaction import TemporalInteraction
from benchmark.models.modules.temporal_shift import temporal_shift
from tests.models.modules.costs import R50_INPUTS, record_of
from tests.models.modules.trained import trained


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
    module = trained(TemporalInteraction(channels)).double()
    x = torch.randn(2 * frames, channels, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("channels", [4, 8, 20, 64])
def test_starts_as_the_temporal_shift(channels: int, layout: torch.memory_format) -> None:
    x = torch.randn(12, channels, 5, 3).contiguous(memory_format=layout)
    assert torch.equal(TemporalInteraction(channels)(x, 4), temporal_shift(x, 4))


def test_all_weights_are_trained_from_the_start() -> None:
    module = TemporalInteraction(16)
    module(torch.rand(8, 16, 4, 4) + 0.1, 4).sum().backward()
    assert module.weight.grad is not None
    assert (module.weight.grad > 0).all()


def test_costs_of_resnet50() -> None:
    """0.135 GMACs and 39,360 parameters on ResNet-50: 33.013 G with its 32.879."""
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        record = record_of(TemporalInteraction, channels, side)
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
