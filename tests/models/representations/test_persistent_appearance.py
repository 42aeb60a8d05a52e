from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.counters import count_network
from benchmark.models.representations.persistent_appearance import PersistentAppearance


def distances_by_loops(clip: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve (T, 3, H, W) and compare neighbours, value by value."""
    frames, _, height, width = clip.shape
    features, _, k, _ = weight.shape
    padded = np.pad(clip, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    maps = np.zeros((frames, features, height, width))
    for t in range(frames):
        for f in range(features):
            for i in range(height):
                for j in range(width):
                    maps[t, f, i, j] = (padded[t, :, i : i + k, j : j + k] * weight[f]).sum() + bias[f]
    out = np.zeros((frames - 1, height, width))
    for t in range(frames - 1):
        for f in range(features):
            out[t] += (maps[t + 1, f] - maps[t, f]) ** 2
    return np.sqrt(out)


def test_equals_the_distance_over_channels_by_loops() -> None:
    module = PersistentAppearance(4, 5, 3).double()
    with torch.no_grad():
        module.conv.weight.normal_()
        assert module.conv.bias is not None
        module.conv.bias.normal_()
    x = torch.randn(2, 4, 3, 5, 7, dtype=torch.float64)
    weight, bias = module.conv.weight.detach().numpy(), module.conv.bias.detach().numpy()
    expected = np.stack([distances_by_loops(clip, weight, bias) for clip in x.numpy()])
    out = module(x)
    assert out.shape == (2, 3, 5, 7)
    # The epsilon moves a distance by up to 1e-6 sqrt(5).
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=3e-6)


def test_starts_small_and_without_bias() -> None:
    module = PersistentAppearance(2)
    assert module.conv.weight.std().item() == pytest.approx(1e-3, rel=0.15)
    assert module.conv.bias is not None
    assert module.conv.bias.abs().max() == 0


@pytest.mark.parametrize("autocast", [False, True])
def test_static_clip_gives_almost_nothing_and_a_finite_gradient(autocast: bool) -> None:
    module = PersistentAppearance(6)
    x = torch.randn(2, 1, 3, 12, 12).repeat(1, 6, 1, 1, 1).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = module(x)
    out.sum().backward()
    assert out.dtype == torch.float32
    assert out.max() < 1e-5
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_gradient_exists_where_the_epsilon_cancels() -> None:
    maps = torch.full((1, 1, 8, 2, 2), -1e-6, requires_grad=True)
    torch.linalg.vector_norm(maps + 1e-6, dim=2).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_the_convolution_learns_from_moving_frames() -> None:
    module = PersistentAppearance(3)
    module(torch.randn(1, 3, 3, 12, 12)).square().sum().backward()
    assert module.conv.weight.grad is not None
    assert module.conv.weight.grad.abs().max() > 0


def test_distance_is_the_same_forwards_and_backwards() -> None:
    module = PersistentAppearance(2)
    x = torch.randn(1, 2, 3, 12, 12)
    torch.testing.assert_close(module(x), module(x.flip(1)), atol=1e-5, rtol=1e-4)


def test_cost_of_48_frames() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.representation = PersistentAppearance(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.representation(x.unflatten(1, (-1, 6)).flatten(0, 1))

    with torch.device("meta"):
        network = Whole()
    record = count_network(network, (1, 48, 3, 224, 224))
    assert record.params == 1184
    assert record.macs == 48 * 224**2 * 8 * 3 * 49
    assert round(record.gmacs, 3) == 2.832


def test_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="two frames"):
        PersistentAppearance(1)
    with pytest.raises(ValueError, match="odd"):
        PersistentAppearance(2, kernel_size=4)
    with pytest.raises(ValueError, match="expected 6 frames, got 5"):
        PersistentAppearance(6)(torch.zeros(1, 5, 3, 8, 8))
