from __future__ import annotations

import torch

from benchmark.models.representations.convolution import Convolution


def test_starts_near_the_mean_of_the_frames_and_trains() -> None:
    torch.manual_seed(0)
    layer = Convolution(6, 7)
    assert sum(p.numel() for p in layer.parameters()) == 2646
    x = torch.randn(2, 6, 3, 20, 24)
    out = layer(x)
    assert out.shape == (2, 3, 20, 24)
    error = (out - x.mean(1)).std() / x.mean(1).std()
    assert 0 < error < 0.5
    out.square().mean().backward()
    assert layer.mix.weight.grad is not None
    assert layer.mix.weight.grad.isfinite().all()


def test_is_one_convolution_over_time_and_space() -> None:
    layer = Convolution(2, 3)
    x = torch.randn(1, 2, 3, 5, 5)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    by_hand = sum(
        padded[0, t, c, 2 + dy : 5 + dy, 3 + dx : 6 + dx] * layer.mix.weight[:, 3 * t + c, 1 + dy, 1 + dx, None, None]
        for t in range(2)
        for c in range(3)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    )
    assert isinstance(by_hand, torch.Tensor)
    torch.testing.assert_close(layer(x)[0, :, 1:4, 2:5], by_hand, atol=1e-5, rtol=1e-4)
