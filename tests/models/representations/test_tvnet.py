from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.counters import count_network
from benchmark.models.representations.tvnet import Tvnet, pixel_gaussian

STD = (0.229, 0.224, 0.225)
MEAN = (0.485, 0.456, 0.406)


def blurred(image: np.ndarray) -> np.ndarray:
    """5 x 5 Gaussian of sigma 0.8, each weight a fine Riemann sum over its pixel, borders repeated."""
    fine = np.arange(-2.5, 2.5, 1e-3) + 5e-4
    row = np.exp(-(fine**2) / (2 * 0.8**2)).reshape(5, -1).sum(1)
    row /= row.sum()
    padded = np.pad(image, 2, mode="edge")
    out = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            out[i, j] = (padded[i : i + 5, j : j + 5] * np.outer(row, row)).sum()
    return out


def tv_l1(a: np.ndarray, b: np.ndarray, n: int, tau: float, lam: float, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """TV-L1 between RGB images (3, H, W) from a zero flow, pixel by pixel, thresholding by its three cases."""
    grey_a, grey_b = (0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2] for x in (a, b))
    low, high = min(grey_a.min(), grey_b.min()), max(grey_a.max(), grey_b.max())
    grey_a, grey_b = (blurred(255 * (x - low) / (high - low)) for x in (grey_a, grey_b))
    height, width = grey_a.shape
    ix, iy = np.zeros_like(grey_b), np.zeros_like(grey_b)
    for y in range(height):
        for x in range(width):
            ix[y, x] = (grey_b[y, min(x + 1, width - 1)] - grey_b[y, max(x - 1, 0)]) / 2
            iy[y, x] = (grey_b[min(y + 1, height - 1), x] - grey_b[max(y - 1, 0), x]) / 2
    flow = {"u": np.zeros_like(grey_a), "v": np.zeros_like(grey_a)}
    p = {k: (np.zeros_like(grey_a), np.zeros_like(grey_a)) for k in "uv"}
    for _ in range(n):
        data = {k: np.zeros_like(grey_a) for k in "uv"}
        for y in range(height):
            for x in range(width):
                g = ix[y, x] ** 2 + iy[y, x] ** 2
                rho = grey_b[y, x] + ix[y, x] * flow["u"][y, x] + iy[y, x] * flow["v"][y, x] - grey_a[y, x]
                if rho < -lam * theta * g:
                    step = lam * theta
                elif rho > lam * theta * g:
                    step = -lam * theta
                else:
                    step = -rho / g if g > 1e-9 else 0.0
                data["u"][y, x] = flow["u"][y, x] + step * ix[y, x]
                data["v"][y, x] = flow["v"][y, x] + step * iy[y, x]
        for k in "uv":
            px, py = p[k]
            new = np.zeros_like(grey_a)
            for y in range(height):
                for x in range(width):
                    div = (px[y, x] if x < width - 1 else 0) - (px[y, x - 1] if x > 0 else 0)
                    div += (py[y, x] if y < height - 1 else 0) - (py[y - 1, x] if y > 0 else 0)
                    new[y, x] = data[k][y, x] + theta * div
            flow[k] = new
            next_px, next_py = np.zeros_like(px), np.zeros_like(py)
            for y in range(height):
                for x in range(width):
                    dx = new[y, x + 1] - new[y, x] if x < width - 1 else 0.0
                    dy = new[y + 1, x] - new[y, x] if y < height - 1 else 0.0
                    shrink = 1 + tau / theta * math.sqrt(dx**2 + dy**2)
                    next_px[y, x] = (px[y, x] + tau / theta * dx) / shrink
                    next_py[y, x] = (py[y, x] + tau / theta * dy) / shrink
            p[k] = (next_px, next_py)
    return flow["u"], flow["v"]


def normalised(frames: np.ndarray) -> Tensor:
    """(T, 3, H, W) in 0..255 as the network's input, (1, T, 3, H, W) in double precision."""
    scaled = (frames / 255 - np.array(MEAN).reshape(3, 1, 1)) / np.array(STD).reshape(3, 1, 1)
    return torch.from_numpy(scaled).unsqueeze(0)


def texture(height: int, width: int, shift_x: float = 0.0, shift_y: float = 0.0) -> np.ndarray:
    """A smooth texture, (3, H, W) in 0..255, moved right and down by the shift."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x -= shift_x
    y -= shift_y
    wave = np.sin(0.45 * x + 0.2 * y) + np.sin(0.5 * y - 0.15 * x + 1) + 0.5 * np.sin(0.3 * x - 0.4 * y)
    return np.stack([128 + 40 * wave, 128 + 35 * wave, 120 + 30 * wave])


def clips(n: int = 2, frames: int = 3, height: int = 12, width: int = 14) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, frames, 3, height, width, generator=generator)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("n", "tau", "lam", "theta"), [(1, 0.25, 0.15, 0.3), (7, 0.25, 0.15, 0.3), (5, 0.2, 0.05, 0.5)]
)
def test_equals_tv_l1_by_loops(training: bool, n: int, tau: float, lam: float, theta: float) -> None:
    rng = np.random.default_rng(0)
    frames = rng.uniform(0, 255, (3, 3, 9, 11))
    frames[2] = 0.8 * frames[1] + 0.2 * frames[2]
    out = Tvnet(3, n, tau, lam, theta).double().train(training)(normalised(frames))
    assert out.shape == (1, 4, 9, 11)
    expected = [*tv_l1(frames[0], frames[1], n, tau, lam, theta), *tv_l1(frames[1], frames[2], n, tau, lam, theta)]
    # The weights of the Gaussian and of the colours have single precision.
    np.testing.assert_allclose(out[0].detach().numpy(), np.stack(expected), atol=1e-5)
    assert out.abs().max() > 0.1


@pytest.mark.parametrize(("shift_x", "shift_y"), [(0.8, -0.5), (-0.6, 0.0), (0.0, 0.7)])
def test_finds_the_shift_of_a_texture_in_100_iterations(shift_x: float, shift_y: float) -> None:
    frames = np.stack([texture(48, 48), texture(48, 48, shift_x, shift_y)])
    flow = Tvnet(2, 100).train()(normalised(frames))[0].detach().numpy()
    inner = flow[:, 6:-6, 6:-6]
    assert inner[0].mean() == pytest.approx(shift_x, abs=0.1)
    assert inner[1].mean() == pytest.approx(shift_y, abs=0.1)
    assert inner.std(axis=(1, 2)).max() < 0.2


def test_10_iterations_find_the_sign() -> None:
    frames = np.stack([texture(48, 48), texture(48, 48, 0.8, -0.5)])
    flow = Tvnet(2, 10).eval()(normalised(frames))[0].detach()
    assert 0.2 < flow[0].mean() < 0.9
    assert -0.6 < flow[1].mean() < -0.1


def test_reversed_pair_has_the_opposite_flow() -> None:
    frames = np.stack([texture(40, 40), texture(40, 40, 0.5, 0.3), texture(40, 40)])
    flow = Tvnet(3, 60)(normalised(frames))[0].detach()
    torch.testing.assert_close(flow[:2].mean((1, 2)), -flow[2:].mean((1, 2)), atol=0.05, rtol=0)


@pytest.mark.parametrize("pairs_per_chunk", [1, 3, 100])
def test_training_and_evaluation_agree_once_every_weight_has_moved(
    pairs_per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.models.representations.tvnet.PAIRS_PER_CHUNK", pairs_per_chunk)
    module = Tvnet(3, 4).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.2)
    x = clips().double()
    torch.testing.assert_close(module.train()(x), module.eval()(x), atol=1e-10, rtol=1e-10)


def test_gradients_of_training_and_evaluation_agree() -> None:
    module = Tvnet(2, 3).double()
    grads = []
    for training in (True, False):
        module.zero_grad()
        module.train(training)(clips(2, 2).double()).square().sum().backward()
        grads.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
    assert len(grads[0]) == 4
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("training", [True, False])
def test_every_iteration_has_kernels_of_its_own(training: bool) -> None:
    module = Tvnet(2, 4).train(training)
    module(clips(2, 2)).square().sum().backward()
    assert module.gradient.grad is not None
    assert module.divergence.grad is not None
    assert (module.gradient.grad[:-1] != 0).all()
    assert (module.divergence.grad[1:] != 0).all()
    # Nothing reads the last dual step, and p is zero in the first iteration.
    assert (module.gradient.grad[-1] == 0).all()
    assert (module.divergence.grad[0] == 0).all()


def test_gradients_equal_finite_differences() -> None:
    module = Tvnet(2, 3).double()
    x = normalised(np.stack([texture(7, 8), texture(7, 8, 0.3, 0.2)]))
    # At whole pixels the warp has a kink, so the start moves off them.
    start = torch.tensor([0.21, -0.13, 0.05, 0.07], dtype=torch.float64, requires_grad=True)

    def call(gradient: Tensor, divergence: Tensor, centred: Tensor, start: Tensor) -> Tensor:
        weights = {"gradient": gradient, "divergence": divergence, "centred": centred, "start": start}
        return torch.func.functional_call(module, weights, (x,))

    assert torch.autograd.gradcheck(call, (module.gradient, module.divergence, module.centred, start), atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["noise", "static", "black", "half"])
def test_float32_gradients_are_finite(training: bool, kind: str) -> None:
    x = clips(2, 3, 24, 24)
    if kind == "static":
        x = x[:, :1].repeat(1, 3, 1, 1, 1)
    elif kind == "black":
        x = torch.full_like(x, -2.0)
    elif kind == "half":  # flat regions beside textured ones
        x[..., :12] = 0.3
    module = Tvnet(3, 10).train(training)
    out = module(x)
    out.square().mean().backward()
    assert out.isfinite().all()
    grads = [p.grad for p in module.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
    if kind == "noise":
        assert all(grad is not None and grad.abs().max() > 0 for grad in grads)


def test_static_clip_has_no_flow() -> None:
    x = clips(1, 1, 32, 32).repeat(1, 3, 1, 1, 1)
    assert Tvnet(3, 20)(x).abs().max() < 1e-3


def test_one_frame_size_does_not_bind_the_weights() -> None:
    module = Tvnet(2, 3)
    assert module(clips(1, 2, 16, 16)).shape == (1, 2, 16, 16)
    assert module(clips(1, 2, 9, 20)).shape == (1, 2, 9, 20)


def test_contrast_and_brightness_of_the_input_do_not_matter() -> None:
    module = Tvnet(2, 10).double()
    x = clips(1, 2).double()
    # Equal in grey levels only where all channels of the raw image move alike.
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    torch.testing.assert_close(module(3 * x + 0.4 / std), module(x))


def test_starting_flow_is_the_motion_of_a_camera() -> None:
    module = Tvnet(2, 1)
    with torch.no_grad():
        module.start.copy_(torch.tensor([1.0, -2.0, 0.0, 0.0]))
    flow, places = module._starting_flow(8, 8)
    assert flow[0, 0].unique().tolist() == [1.0]
    assert flow[0, 1].unique().tolist() == [-2.0]
    torch.testing.assert_close(places[0, 0, 0], torch.tensor([2 / 7 - 1, -4 / 7 - 1]))
    with torch.no_grad():
        module.start.copy_(torch.tensor([0.0, 0.0, 4.0, 0.0]))
    zoom = module._starting_flow(8, 8)[0][0]
    assert zoom[0, 0].tolist() == [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5]
    with torch.no_grad():
        module.start.copy_(torch.tensor([0.0, 0.0, 0.0, 4.0]))
    turn = module._starting_flow(8, 8)[0][0]
    torch.testing.assert_close(turn[1], zoom[0])
    torch.testing.assert_close(turn[0], -zoom[1])


def test_a_known_shift_as_the_start_extends_the_reach() -> None:
    frames = normalised(np.stack([texture(48, 48), texture(48, 48, 4.3, 0.0)]))
    module = Tvnet(2, 60)
    with torch.no_grad():
        module.start[0] = 4.0
    flow = module(frames)[0, :, 8:-8, 8:-8]
    assert flow[0].mean().item() == pytest.approx(4.3, abs=0.1)
    assert flow[1].mean().item() == pytest.approx(0, abs=0.1)


def test_gaussian_has_the_released_values() -> None:
    row = pixel_gaussian(5, 0.8)
    assert row.sum().item() == pytest.approx(1, abs=1e-6)
    square = torch.outer(row, row)
    for (i, j), value in {(2, 2): 0.2198, (2, 1): 0.1107, (1, 1): 0.0557, (0, 2): 0.0139, (0, 0): 0.0009}.items():
        assert square[i, j].item() == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(("n", "params", "gmacs"), [(10, 170, 0.4175), (12, 202, 0.4817), (100, 1610, 3.3076)])
def test_cost_of_40_pairs(n: int, params: int, gmacs: float) -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.representation = Tvnet(6, n)

        def forward(self, x: Tensor) -> Tensor:
            return self.representation(x.unflatten(1, (-1, 6)).flatten(0, 1))

    with torch.device("meta"):
        network = Whole()
    record = count_network(network, (1, 48, 3, 224, 224))
    assert record.params == params == 16 * n + 10
    assert record.by_operator() == {"conv": 40 * 224**2 * (16 * n + 48), "grid_sampler": 40 * 224**2 * 12}
    assert round(record.by_operator()["conv"] / 1e9, 4) == gmacs


def test_autocast_does_not_coarsen_the_flow() -> None:
    module, x = Tvnet(2, 5), clips(1, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, module(x), rtol=0, atol=0)


def test_fixed_kernels_have_the_same_keys() -> None:
    fixed = Tvnet(2, 5, trainable=False)
    assert not any(p.requires_grad for p in fixed.parameters())
    assert fixed.state_dict().keys() == Tvnet(2, 5).state_dict().keys()
    assert not fixed(clips(1, 2)).requires_grad


def test_refuses_what_has_no_flow() -> None:
    with pytest.raises(ValueError, match="two frames"):
        Tvnet(1)
    with pytest.raises(ValueError, match="expected 6 frames, got 5"):
        Tvnet(6)(torch.zeros(1, 5, 3, 8, 8))
