from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.config.representations import Activation, SqueezeConfig
from benchmark.cost.counters import count_network
from benchmark.models.modules.squeeze import TemporalSqueeze, hats
from benchmark.models.representations.squeezed_image import SqueezedImage

TABLE_3_1: list[tuple[Activation, Activation]] = [
    ("sigmoid", "tanh"),
    ("tanh", "sigmoid"),
    ("sigmoid", "sigmoid"),
    ("relu", "relu"),
    ("leaky_relu", "sigmoid"),
    ("sigmoid", "leaky_relu"),
]


def activation(name: Activation, z: np.ndarray) -> np.ndarray:
    if name == "sigmoid":
        return 1 / (1 + np.exp(-z))
    if name == "tanh":
        return np.tanh(z)
    return np.where(z > 0, z, 0.01 * z if name == "leaky_relu" else 0 * z)


def squeeze_by_equations(x: Tensor, m: TemporalSqueeze) -> tuple[np.ndarray, float]:
    """Eq. 3.1 to 3.5, value by value, with the inverse: y (N, D, C, H, W) and l_proj."""
    (w1, b1), (w2, b2) = ((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (m.w1, m.w2))
    y = np.zeros((x.shape[0], m.images, *x.shape[2:]))
    norms = []
    for n, clip in enumerate(x.detach().numpy()):
        z = np.array([frame.mean() for frame in clip])
        first, second = m.activations
        a = activation(second, w2 @ activation(first, w1 @ z + b1) + b2).reshape(m.frames, m.images)
        for i in range(clip[0].size):
            value = clip.reshape(m.frames, -1)[:, i]
            coefficients = np.linalg.inv(a.T @ a) @ a.T @ value
            y[n].reshape(m.images, -1)[:, i] = coefficients
            norms.append(np.linalg.norm(value - a @ coefficients))
    return y, float(np.mean(norms))


@pytest.mark.parametrize("activations", TABLE_3_1)
def test_equals_the_equations_value_by_value(activations: tuple[Activation, Activation]) -> None:
    torch.manual_seed(0)
    module = TemporalSqueeze(6, 2, activations).double()
    nn.init.normal_(module.w2.weight, std=0.3)
    x = torch.randn(2, 6, 4, 3, 5, dtype=torch.float64)
    y, l_proj = squeeze_by_equations(x, module)
    np.testing.assert_allclose(module(x).detach().numpy(), y, rtol=1e-8, atol=1e-8)
    assert module.residual is not None
    assert module.residual.item() == pytest.approx(l_proj, rel=1e-8)


@pytest.mark.parametrize("activations", TABLE_3_1)
def test_every_pair_of_activations_trains(activations: tuple[Activation, Activation]) -> None:
    torch.manual_seed(1)
    module = TemporalSqueeze(10, 3, activations)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    ramp = torch.linspace(-1, 1, 10).view(1, 10, 1, 1, 1)
    x = (torch.randn(8, 1, 3, 8, 8) * ramp.pow(3) + torch.randn(8, 1, 3, 8, 8) * ramp.pow(2)).contiguous()
    values = []
    for _ in range(100):
        y = module(x)
        assert module.residual is not None
        values.append(module.residual.item())
        optimizer.zero_grad()
        (module.residual + 1e-3 * y.square().mean()).backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
        optimizer.step()
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize("activations", TABLE_3_1)
@pytest.mark.parametrize(("frames", "images"), [(10, 3), (10, 1), (10, 9), (64, 16), (16, 4)])
def test_columns_are_independent_at_initialisation(
    activations: tuple[Activation, Activation], frames: int, images: int
) -> None:
    torch.manual_seed(2)
    module = TemporalSqueeze(frames, images, activations)
    for x in (torch.zeros(2, frames, 3, 4, 4), torch.randn(2, frames, 3, 4, 4), -torch.rand(2, frames, 1, 2, 2)):
        a = module.matrix(x)
        assert a.shape == (2, frames, images)
        assert torch.linalg.cond(a).max() < 20
        assert (a - hats(frames, images)).square().mean().sqrt() < 0.05


@pytest.mark.parametrize("activations", TABLE_3_1)
def test_at_initialisation_a_static_clip_gives_itself(activations: tuple[Activation, Activation]) -> None:
    torch.manual_seed(3)
    module = TemporalSqueeze(10, 3, activations)
    frame = torch.randn(2, 1, 3, 6, 6)
    y = module(frame.expand(2, 10, 3, 6, 6))
    assert module.residual is not None
    assert module.residual < 0.05 * frame.abs().mean() * 10**0.5
    torch.testing.assert_close(y, frame.expand_as(y), rtol=0, atol=0.2 * frame.abs().max().item())


def test_what_the_columns_span_is_squeezed_without_loss() -> None:
    torch.manual_seed(4)
    module = TemporalSqueeze(10, 3)
    nn.init.zeros_(module.w2.weight)
    keys = torch.randn(2, 3, 3, 5, 5)
    clip = torch.einsum("kd,ndchw->nkchw", hats(10, 3), keys)
    torch.testing.assert_close(module(clip), keys, rtol=1e-4, atol=1e-4)
    assert module.residual is not None
    assert module.residual < 1e-5


@pytest.mark.parametrize("activations", TABLE_3_1)
@pytest.mark.parametrize("value", [0.0, 1.0, -5.0])
def test_constant_clips_have_finite_gradients(activations: tuple[Activation, Activation], value: float) -> None:
    module = TemporalSqueeze(6, 2, activations)
    x = torch.full((2, 6, 3, 4, 4), value, requires_grad=True)
    y = module(x)
    assert module.residual is not None
    (y.sum() + module.residual).backward()
    for tensor in (x, *module.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


def test_bfloat16_autocast_gives_float32_values() -> None:
    torch.manual_seed(5)
    module = TemporalSqueeze()
    x = torch.randn(2, 10, 3, 8, 8)
    expected = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(x), expected)
        assert module(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(("size", "channels"), [(299, 3), (35, 320)])
def test_cost_and_parameters(size: int, channels: int) -> None:
    with torch.device("meta"):
        module = TemporalSqueeze(10, 3)
    record = count_network(module, (1, 10, channels, size, size))
    values = channels * size * size
    projection = 10 * 3 * values
    # fvcore sees the coefficients alone: nothing that leaves the module depends on A y, the input of the loss.
    assert record.macs == 10 * 10 + 10 * 30 + projection
    assert sum(record.torch_macs.values()) == 10 * 10 + 10 * 30 + 2 * projection
    if channels == 3:
        assert record.torch_gmacs == pytest.approx(0.016, abs=5e-4)
    assert record.params == 440


def test_squeezed_images_of_a_segment_are_consecutive() -> None:
    torch.manual_seed(6)
    module = SqueezedImage(**SqueezeConfig().model_dump())
    x = torch.randn(2, 10, 3, 12, 14)
    images = module(x)
    assert images.shape == (6, 3, 12, 14)
    torch.testing.assert_close(images[3:], module(x[1:]))
    assert module.has_residual
    assert module.residual is not None
    assert module.residual.requires_grad


def test_refuses_what_it_cannot_squeeze() -> None:
    with pytest.raises(ValueError, match="cannot be squeezed"):
        TemporalSqueeze(4, 4)
    with pytest.raises(ValueError, match="none of"):
        TemporalSqueeze(4, 2, ("sigmoid", "gelu"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="10 maps, got 4"):
        TemporalSqueeze()(torch.zeros(1, 4, 3, 2, 2))


def test_the_projection_loss_does_not_reach_the_maps() -> None:
    torch.manual_seed(0)
    layer = TemporalSqueeze(6, 2)
    x = torch.randn(2, 6, 4, 5, 5)
    fixed = layer(x), layer.residual
    live = x.clone().requires_grad_()
    y = layer(live)
    assert layer.residual is not None
    assert fixed[1] is not None
    torch.testing.assert_close(layer.residual, fixed[1])
    torch.testing.assert_close(y, fixed[0])
    layer.residual.backward(retain_graph=True)
    assert live.grad is None
    assert layer.w2.bias.grad is not None
    assert layer.w2.bias.grad.any()
    y.sum().backward()
    assert live.grad is not None
    assert live.grad.any()
