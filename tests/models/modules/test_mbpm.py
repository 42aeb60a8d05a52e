from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.models.modules.mbpm import Mbpm, laplacian_of_gaussian, reflect_pad


def log_kernel_eq2(k: int, sigma: float) -> np.ndarray:
    """Eq. 2, point by point, in double precision."""
    kernel = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            r2 = (i - k // 2) ** 2 + (j - k // 2) ** 2
            kernel[i, j] = -(1 - r2 / (2 * sigma**2)) * np.exp(-r2 / (2 * sigma**2)) / (np.pi * sigma**4)
    return kernel / kernel.sum()


def mbpm_by_loops(x: np.ndarray, frames: int, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Eq. 3 on (B * frames, C, H, W), output value by output value."""
    n, channels, height, width = x.shape
    p = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="reflect")
    edges = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            window = padded[:, :, i : i + 2 * p + 1, j : j + 2 * p + 1]
            edges[:, :, i, j] = (window * kernel).sum((-1, -2))
    clips = edges.reshape(n // frames, frames, channels, height, width)
    out = []
    for clip in clips:
        if stride == 3:
            triples = [(clip[t], clip[t + 1], clip[t + 2]) for t in range(0, frames, 3)]
        else:
            triples = [(clip[max(t - 1, 0)], clip[t], clip[min(t + 1, frames - 1)]) for t in range(frames)]
        out += [-a / 3 + 2 * b / 3 - c / 3 for a, b, c in triples]
    return np.stack(out)


@pytest.mark.parametrize(
    ("k", "sigma", "centre", "l1"), [(9, 1.1, 278.4, 1589), (7, 0.9, 226.8, 827), (3, 0.9, 0.644, 1.35)]
)
def test_kernel_has_the_known_values(k: int, sigma: float, centre: float, l1: float) -> None:
    kernel = laplacian_of_gaussian(k, sigma)
    assert kernel[k // 2, k // 2].item() == pytest.approx(centre, rel=1e-3)
    assert kernel.abs().sum().item() == pytest.approx(l1, rel=2e-3)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-3)
    # The raw sum cancels to a thousandth of its terms, so float32 keeps four digits of it.
    np.testing.assert_allclose(kernel.numpy(), log_kernel_eq2(k, sigma), rtol=2e-3)


@pytest.mark.parametrize(("stride", "frames"), [(1, 1), (1, 2), (1, 4), (3, 3), (3, 6)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_eq3_by_loops(stride: int, frames: int, training: bool) -> None:
    x = torch.randn(2 * frames, 4, 8, 6, dtype=torch.float64)
    module = Mbpm(4, 7, 1.3, stride).double().train(training)
    expected = mbpm_by_loops(x.numpy(), frames, module.spatial[0, 0].detach().numpy(), stride)
    np.testing.assert_allclose(module(x, frames).detach().numpy(), expected, atol=1e-9)


def test_filters_differ_by_channel_once_trained() -> None:
    module = Mbpm(3, 5, 1.0).double()
    x = torch.randn(3, 3, 6, 6, dtype=torch.float64)
    before = module(x, 3)
    with torch.no_grad():
        module.spatial[1] *= 2
        module.temporal[2] *= 5
    factors = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(module(x, 3), before * factors)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_gradients(stride: int, training: bool) -> None:
    module = Mbpm(2, 3, 0.9, stride).double().train(training)
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, spatial: Tensor, temporal: Tensor) -> Tensor:
        return torch.func.functional_call(module, {"spatial": spatial, "temporal": temporal}, (x, 3))

    assert torch.autograd.gradcheck(call, (x, module.spatial, module.temporal))


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_static_clip_gives_nothing_and_a_moving_one_does(stride: int, training: bool) -> None:
    module = Mbpm(3, 9, 1.1, stride).train(training)
    static = torch.rand(1, 3, 20, 20).repeat(6, 1, 1, 1)
    moving = torch.stack([static[t].roll(t, dims=-1) for t in range(6)])
    assert module(static, 6).abs().max() < 1e-3
    assert module(moving, 6).abs().max() > 10


def test_stride_1_repeats_the_end_frames() -> None:
    impulse = torch.zeros(4, 1, 1, 1)
    impulse[0] = 1
    response = Mbpm(1, 1, 1.0, stride=1)(impulse, 4).flatten()
    torch.testing.assert_close(response, torch.tensor([1 / 3, -1 / 3, 0.0, 0.0]))


def test_stride_3_keeps_triples_apart() -> None:
    module = Mbpm(3)
    x = torch.randn(6, 3, 12, 12)
    changed = x.clone()
    changed[3:] = torch.randn(3, 3, 12, 12)
    torch.testing.assert_close(module(x, 6)[0], module(changed, 6)[0])


def test_clips_of_a_batch_do_not_mix() -> None:
    module = Mbpm(3, stride=1)
    x = torch.randn(8, 3, 12, 12)
    torch.testing.assert_close(module(x, 4)[:4], module(x[:4], 4))


@pytest.mark.parametrize("side", [5, 6, 9])
def test_padding_is_plain_reflection_where_that_is_possible(side: int) -> None:
    x = torch.randn(2, 3, side, side + 1)
    torch.testing.assert_close(reflect_pad(x, 4), F.pad(x, (4, 4, 4, 4), mode="reflect"), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("side", "expected"),
    [(1, [0, 0, 0, 0, 0, 0, 0]), (2, [1, 1, 1, 0, 1, 0, 0, 0]), (3, [2, 2, 1, 0, 1, 2, 1, 0, 0])],
)
def test_small_maps_repeat_what_they_cannot_reflect(side: int, expected: list[int]) -> None:
    row = torch.arange(side, dtype=torch.float32).view(1, 1, 1, side)
    padded = reflect_pad(row.expand(1, 1, 9, side), 3)
    assert padded.shape == (1, 1, 15, side + 6)
    assert padded[0, 0, 7].tolist() == expected


def test_stem_has_252_parameters_which_can_be_fixed() -> None:
    trained, fixed = Mbpm(3), Mbpm(3, trainable=False)
    assert sum(p.numel() for p in trained.parameters()) == 252
    assert all(p.requires_grad for p in trained.parameters())
    assert not any(p.requires_grad for p in fixed.parameters())
    assert trained.state_dict().keys() == fixed.state_dict().keys()


def test_refuses_what_it_cannot_filter() -> None:
    with pytest.raises(ValueError, match="stride"):
        Mbpm(3, stride=2)
    with pytest.raises(ValueError, match="odd"):
        Mbpm(3, kernel_size=4)
    with pytest.raises(ValueError, match="do not fit"):
        Mbpm(3)(torch.zeros(4, 3, 12, 12), 4)
