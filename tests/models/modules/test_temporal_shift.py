from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.models.modules.temporal_shift import TemporalShift, temporal_shift


def shift_by_loops(x: Tensor, frames: int) -> Tensor:
    out = torch.zeros_like(x)
    fold = x.shape[1] // 8
    for n in range(x.shape[0]):
        t = n % frames
        for c in range(x.shape[1]):
            if c < fold:
                if t + 1 < frames:
                    out[n, c] = x[n + 1, c]
            elif c < 2 * fold:
                if t > 0:
                    out[n, c] = x[n - 1, c]
            else:
                out[n, c] = x[n, c]
    return out


@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize("channels", [8, 20, 64])
@pytest.mark.parametrize("channels_last", [False, True])
def test_equals_loops(frames: int, channels: int, channels_last: bool) -> None:
    x = torch.randn(2 * frames, channels, 3, 5)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    shifted = TemporalShift()(x, frames)
    torch.testing.assert_close(shifted, shift_by_loops(x, frames), rtol=0, atol=0)
    if channels_last:
        assert shifted.is_contiguous(memory_format=torch.channels_last)


def test_fewer_channels_than_the_fold_are_left_alone() -> None:
    x = torch.randn(4, 7, 2, 2)
    assert temporal_shift(x, 2) is x


def test_refuses_a_broken_clip() -> None:
    with pytest.raises(ValueError, match="not clips of 4 frames"):
        temporal_shift(torch.zeros(6, 8, 2, 2), 4)


def test_gradient() -> None:
    x = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: temporal_shift(v, 3), (x,))
