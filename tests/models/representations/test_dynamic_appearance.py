from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.representations import PwtpConfig
from benchmark.cost.counters import count_network
from benchmark.models.representations.dynamic_appearance import (
    DynamicAppearance,
    compare_with_convolution,
    pair_products,
    upsample,
)

# (beta, B, r), and of Table 8: MACs in millions and parameters, as printed; the counts that truncate to them.
TABLE_8 = [
    ("#2", (0.25, 1, 1), 38.0, 7.4, 38_020_864, 7_431),
    ("#3", (0.25, 2, 1), 38.3, 7.9, 38_372_096, 7_914),
    ("#4", (0.25, 2, 4), 50.2, 23.3, 50_226_176, 23_328),
    ("#5", (1, 1, 4), 59.8, 35.5, 59_885_056, 35_592),
    ("#6", (0.25, 0, 4), 40.0, 10.0, 40_040_448, 10_056),
    ("#7", (0.25, 1, 2), 39.7, 9.7, 39_777_024, 9_734),
]


def build(**settings: Any) -> DynamicAppearance:
    torch.manual_seed(0)
    return DynamicAppearance(**settings)


def counted(segments: int, size: int = 224, **settings: Any) -> tuple[int, int]:
    """MACs, without the upsampling that the paper left out, and parameters."""
    with torch.device("meta"):
        module = DynamicAppearance(**settings)
    record = count_network(module, (segments, module.frames, 3, size, size))
    return record.macs - record.by_operator()["upsample_bilinear2d"], record.params


def pwtp_by_equations(x: Tensor, m: DynamicAppearance) -> tuple[Tensor, Tensor]:
    """Eq. 2 to 7 in evaluation mode, segment by segment and pixel by pixel: residual (N, T, C, H, W) and ENoPR."""

    def norm(z: Tensor, bn: Any) -> Tensor:
        return (z - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias

    def fc(z: Tensor, layer: Any) -> Tensor:
        return layer.weight.flatten(1) @ z + layer.bias

    out, energies = torch.zeros_like(x), []
    for n, segment in enumerate(x):
        local = m.local(segment)
        small = torch.zeros(m.frames * m.dims, *local.shape[-2:], dtype=x.dtype)
        for i, j in itertools.product(*(range(side) for side in local.shape[-2:])):
            f = torch.stack([norm(local[t, :, i, j], m.local_norm) for t in range(m.frames)])
            pairs = [f[s] @ f[t] / f.shape[1] for s, t in itertools.combinations(range(m.frames), 2)]
            z = F.gelu(fc(torch.stack(pairs), m.first))
            for block in m.blocks:
                hidden = F.gelu(fc(norm(z, block.norm), block.reduce))
                z = z + F.gelu(fc(hidden, block.expand))
            small[:, i, j] = fc(z, m.last)
        large = F.interpolate(small[None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0]
        for i, j in itertools.product(*(range(side) for side in x.shape[-2:])):
            a = large[:, i, j].reshape(m.frames, m.dims)
            pixel = segment[:, :, i, j]
            out[n, :, :, i, j] = pixel - a @ torch.linalg.inv(a.T @ a) @ a.T @ pixel
        energies.append(out[n].square().sum(0).mean())
    return out, torch.stack(energies).mean()


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("average_after_stem", [True, False])
@torch.no_grad()
def test_equals_the_equations_pixel_by_pixel(dims: int, average_after_stem: bool) -> None:
    module = build(frames=5, dims=dims, kernel_size=5, stride=4, blocks=2, average_after_stem=average_after_stem)
    module = module.double()
    x = torch.randn(2, 5, 3, 12, 10, dtype=torch.float64)
    module.train()
    module(x)
    module.eval()
    expected, energy = pwtp_by_equations(x, module)
    expected = expected.flatten(0, 1) if average_after_stem else expected.mean(1)
    torch.testing.assert_close(module(x), expected)
    assert module.residual is not None
    torch.testing.assert_close(module.residual, energy)


@pytest.mark.parametrize(("name", "mlp", "millions", "thousands", "macs", "params"), TABLE_8)
def test_costs_of_table_8(
    name: str, mlp: tuple[float, int, int], millions: float, thousands: float, macs: int, params: int
) -> None:
    bottleneck, blocks, expansion = mlp
    assert counted(1, bottleneck=bottleneck, blocks=blocks, expansion=expansion) == (macs, params)
    # The paper truncates (#2 to #7 all fit).
    assert (macs // 100_000 / 10, params // 100 / 10) == (millions, thousands)


def test_cost_of_table_6_and_of_x3d_in_table_4() -> None:
    assert counted(8, frames=6)[0] == pytest.approx(0.228e9, rel=2e-3)
    base = 0.6257e9
    assert (base + counted(4, size=160)[0]) / 1e9 == pytest.approx(0.707, abs=1e-3)


def test_cost_by_formula() -> None:
    frames, dims, features, positions, pairs = 6, 2, 10, 3 * 14 * 14, 15
    width, hidden = 2 * pairs, 7
    local = 5 * 5 * 3 * features * positions * frames + 2 * features * positions * frames
    fcs = pairs * width + 2 * width * hidden + width * frames * dims
    expected = local + positions * (fcs + 2 * width)
    settings = {"frames": frames, "dims": dims, "kernel_size": 5, "stride": 4, "features": features}
    assert counted(3, size=56, **settings)[0] == expected


def test_defaults_are_those_of_the_spec() -> None:
    config = PwtpConfig()
    default, spec = build(), build(**config.model_dump())
    assert default.state_dict().keys() == spec.state_dict().keys()
    assert [p.shape for p in default.parameters()] == [p.shape for p in spec.parameters()]


@pytest.mark.parametrize(("size", "stride", "kernel"), [(56, 8, 9), (50, 8, 9), (30, 4, 7), (20, 1, 3), (7, 8, 9)])
def test_shapes_at_any_size(size: int, stride: int, kernel: int) -> None:
    x = torch.randn(2, 4, 3, size, size + 3)
    images = build(frames=4, stride=stride, kernel_size=kernel)(x)
    assert images.shape == (2, 3, size, size + 3)
    frames = build(frames=4, stride=stride, kernel_size=kernel, average_after_stem=True)(x)
    torch.testing.assert_close(frames.unflatten(0, (2, 4)).mean(1), images, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [1, 2])
def test_a_constant_column_removes_static_clips_and_the_image_of_every_clip(dims: int) -> None:
    module = build(dims=dims)
    nn.init.zeros_(module.last.weight)
    moving = torch.randn(2, 8, 3, 24, 24)
    static = moving[:, :1].expand_as(moving)
    assert module(static).abs().max() < 1e-5
    assert module.residual is not None
    assert module.residual.abs() < 1e-5
    # The mean over time is the product with a constant, which the residual is orthogonal to.
    assert module(moving).abs().max() < 1e-5
    assert module.residual.item() == pytest.approx(8 - dims, rel=0.1)


def test_a_static_clip_leaves_something_where_no_column_is_constant() -> None:
    module = build(dims=1)
    nn.init.zeros_(module.last.weight)
    assert module.last.bias is not None
    with torch.no_grad():
        module.last.bias.copy_(torch.linspace(0.5, 1.5, 8))
    static = torch.randn(2, 1, 3, 24, 24).expand(2, 8, 3, 24, 24)
    a = torch.linspace(0.5, 1.5, 8)
    left = 1 - a.mean() ** 2 / a.square().mean()
    torch.testing.assert_close(module(static), static[:, 0] * left, rtol=1e-3, atol=1e-5)


def textures(shift: int) -> Tensor:
    base = F.interpolate(torch.randn(4, 3, 12, 12), size=(64, 64), mode="bicubic")
    return torch.stack([base.roll(shift * t, -1) for t in range(8)], dim=1)


@pytest.mark.parametrize("dims", [1, 3])
def test_at_initialisation_little_is_left_of_a_static_clip_and_the_image_is_not_empty(dims: int) -> None:
    module = build(dims=dims)
    for shift, most in ((0, 0.1), (2, 1.0)):
        x = textures(shift)
        image = module(x)
        assert module.residual is not None
        assert module.residual.item() < most * x.square().sum(1).mean()
        assert image.std() > 0.003 * x.std()
    assert module.residual is not None
    moving = module.residual.item()
    module(textures(0))
    assert moving > 1.5 * module.residual.item()


@pytest.mark.parametrize("dims", [1, 2, 4])
def test_columns_are_orthogonal_at_initialisation(dims: int) -> None:
    module = build(dims=dims)
    assert module.last.bias is not None
    a = module.last.bias.detach().view(8, dims)
    torch.testing.assert_close(a.T @ a, torch.diag(torch.tensor([8.0] + [4.0] * (dims - 1))), rtol=0, atol=1e-5)


def test_training_and_evaluation_paths_agree() -> None:
    module = build(dims=2).eval()
    x = torch.randn(2, 8, 3, 40, 40)
    with_graph = module(x)
    energy = module.residual
    assert with_graph.requires_grad
    assert energy is not None
    assert energy.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(module(x), with_graph.detach(), rtol=1e-4, atol=1e-5)
        assert module.residual is not None
        torch.testing.assert_close(module.residual, energy.detach())


@pytest.mark.parametrize("dims", [1, 3])
def test_every_parameter_has_a_finite_gradient_from_either_loss(dims: int) -> None:
    module = build(dims=dims)
    image = module(torch.randn(2, 8, 3, 40, 40))
    assert module.residual is not None
    for loss in (module.residual, image.square().mean()):
        gradients = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
        for (name, _), gradient in zip(module.named_parameters(), gradients, strict=True):
            assert torch.isfinite(gradient).all(), name
            # Batch normalisation takes the mean of the features away, and so the bias before it.
            assert gradient.abs().max() > 0 or name == "local.bias", name


def test_bfloat16_autocast_is_close_to_float32() -> None:
    module = build(dims=2)
    x = textures(2)
    expected = module(x)
    assert module.residual is not None
    energy = module.residual.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module(x)
    assert got.dtype == torch.float32
    assert (got - expected).norm() < 0.1 * expected.norm()
    assert module.residual.item() == pytest.approx(energy, rel=0.02)
    (got.sum() + module.residual).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_gradients_of_pair_products_and_upsampling() -> None:
    x = torch.randn(2, 4, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pair_products, (x,))
    maps = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: upsample(x, 7, 8), (maps,))


@pytest.mark.parametrize(("small", "large"), [((20, 20), (160, 160)), ((7, 5), (50, 41)), ((1, 1), (7, 10))])
def test_upsampling_is_bilinear_on_both_paths(small: tuple[int, int], large: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *small, requires_grad=True)
    expected = F.interpolate(x.detach(), size=large, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(x, *large), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(upsample(x.detach(), *large), expected, rtol=0, atol=0)


def test_pairs_are_in_ascending_order() -> None:
    x = torch.randn(1, 4, 5, 1, 1)
    vectors = x[0, :, :, 0, 0].numpy()
    expected = [float(np.dot(vectors[s], vectors[t])) / 5 for s in range(4) for t in range(s + 1, 4)]
    np.testing.assert_allclose(pair_products(x).flatten().numpy(), expected, rtol=1e-5)


def test_segments_do_not_mix_in_evaluation() -> None:
    module = build().eval()
    x = torch.randn(3, 8, 3, 24, 24)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]), rtol=1e-4, atol=1e-5)


def test_gradient_descent_on_the_residual_loss_lowers_it() -> None:
    module = build()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    x, values = textures(3), []
    for _ in range(25):
        module(x)
        assert module.residual is not None
        values.append(module.residual.item())
        optimizer.zero_grad()
        module.residual.backward()
        optimizer.step()
    assert values[-1] < 0.9 * values[0]


def test_refuses_another_number_of_frames() -> None:
    with pytest.raises(ValueError, match="8 frames, got 6"):
        build()(torch.zeros(1, 6, 3, 24, 24))


def test_the_speed_comparison_runs_and_leaves_the_threads_alone() -> None:
    threads = torch.get_num_threads()
    result = compare_with_convolution(size=32, segments=1, repeats=2)
    assert torch.get_num_threads() == threads
    best = min(result["convolution_contiguous"], result["convolution_channels_last"])
    assert result["ratio"] == pytest.approx(result["pwtp"] / best)
