from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.cost.counters import count_network
from benchmark.models.representations.rgb_difference import RgbDifference


def test_channels_are_the_differences_in_the_order_of_time() -> None:
    x = torch.randn(2, 6, 3, 5, 4)
    out = RgbDifference(6)(x)
    assert out.shape == (2, 15, 5, 4)
    for n in range(2):
        for pair in range(5):
            for channel in range(3):
                expected = x[n, pair + 1, channel] - x[n, pair, channel]
                torch.testing.assert_close(out[n, 3 * pair + channel], expected, rtol=0, atol=0)


def test_static_clip_gives_exactly_nothing() -> None:
    assert RgbDifference(4)(torch.randn(2, 1, 3, 6, 6).expand(-1, 4, -1, -1, -1)).abs().max() == 0


def test_has_neither_parameters_nor_counted_operations() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.representation = RgbDifference(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.representation(x.unflatten(1, (-1, 6)).flatten(0, 1))

    record = count_network(Whole(), (1, 12, 3, 32, 32))
    assert (record.macs, record.params) == (0, 0)


def test_works_in_bfloat16() -> None:
    x = torch.randn(1, 3, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    out = RgbDifference(3)(x)
    out.float().square().sum().backward()
    assert out.dtype == torch.bfloat16
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_refuses_what_has_no_difference() -> None:
    with pytest.raises(ValueError, match="two frames"):
        RgbDifference(1)
    with pytest.raises(ValueError, match="expected 6 frames, got 5"):
        RgbDifference(6)(torch.zeros(1, 5, 3, 4, 4))
