from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.models.modules.projection import SMALLEST, mean_residual, orthogonalise, project, residual_frames


def well_conditioned(dims: int, *leading: int, frames: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    """Columns at large angles to each other, of unequal lengths."""
    q, _ = torch.linalg.qr(torch.randn(*leading, frames, dims, dtype=torch.float64))
    mixing = torch.eye(dims, dtype=torch.float64) + 0.3 * torch.rand(dims, dims, dtype=torch.float64)
    return (q @ mixing * torch.logspace(-1, 1, dims, dtype=torch.float64)).to(dtype)


def per_pixel(dims: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Two segments of 6 frames, 3 channels, 4 x 5 pixels: x (N, T, C, H, W) and A (N, T, D, H, W)."""
    x = torch.randn(2, 6, 3, 4, 5, dtype=torch.float64)
    a = well_conditioned(dims, 2, 4, 5, frames=6).permute(0, 3, 4, 1, 2)
    return x.to(dtype), a.contiguous().to(dtype)


def residual_by_lstsq(x: Tensor, a: Tensor) -> Tensor:
    """Of every pixel, by LAPACK: (N, T, C, H, W)."""
    x, a = x.permute(0, 3, 4, 1, 2), a.permute(0, 3, 4, 1, 2)
    return (x - a @ torch.linalg.lstsq(a, x).solution).permute(0, 3, 4, 1, 2)


@pytest.mark.parametrize("dims", [1, 2, 3, 5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_equals_least_squares(dims: int, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    a, x = well_conditioned(dims, 3, 7), torch.randn(3, 7, 8, 4, dtype=torch.float64)
    y, p = project(x.to(dtype), a.to(dtype))
    expected = torch.linalg.lstsq(a, x).solution
    assert y.shape == (3, 7, dims, 4)
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=100 * tolerance)
    torch.testing.assert_close(p.double(), x - a @ expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_residual_is_orthogonal_and_has_nothing_left_to_project(dims: int) -> None:
    torch.manual_seed(1)
    a = well_conditioned(dims, 50, dtype=torch.float32)
    _, p = project(torch.randn(50, 8, 4), a)
    assert (a.transpose(-1, -2) @ p).abs().max() < 1e-5 * a.norm(dim=-2).max() * 8
    again_y, again = project(p, a)
    torch.testing.assert_close(again, p, rtol=0, atol=1e-5)
    assert (a @ again_y).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1e4])
def test_scale_of_a_column_scales_its_coefficient_only(scale: float) -> None:
    torch.manual_seed(2)
    a, x = well_conditioned(3, 20, dtype=torch.float32), torch.randn(20, 8, 2)
    factors = torch.tensor([1.0, scale, 1.0])
    (y, p), (scaled_y, scaled_p) = project(x, a), project(x, a * factors)
    torch.testing.assert_close(scaled_p, p, rtol=0, atol=1e-5)
    torch.testing.assert_close(scaled_y * factors.unsqueeze(1), y, rtol=1e-4, atol=1e-4)


def test_orthogonal_factors_rebuild_the_columns() -> None:
    torch.manual_seed(3)
    columns = well_conditioned(4, 5).unbind(-1)
    v, floors, u = orthogonalise(columns, dim=-1)
    for d, column in enumerate(columns):
        torch.testing.assert_close(v[d] + sum((u[d][j] * v[j] for j in range(d)), torch.zeros(())), column)
        assert floors[d].max() < 1e-14 * column.square().sum(-1).max() + 2 * SMALLEST
        for j in range(d):
            assert (v[d] * v[j]).sum(-1).abs().max() < 1e-12


DEGENERATE = {
    "zero": lambda a: torch.zeros_like(a),
    "first zero": lambda a: a * torch.tensor([0.0, 1.0, 1.0]),
    "two alike": lambda a: a[..., [0, 0, 2]],
    "nearly alike": lambda a: a[..., [0, 0, 2]] + 1e-7 * a[..., [0, 1, 2]],
    "all multiples": lambda a: a[..., :1] * torch.tensor([1.0, -3.0, 1e-3]),
}


@pytest.mark.parametrize("kind", DEGENERATE)
def test_dependent_and_zero_columns_give_finite_values_and_gradients(kind: str) -> None:
    torch.manual_seed(4)
    a = DEGENERATE[kind](well_conditioned(3, 40, dtype=torch.float32)).requires_grad_()
    x = torch.randn(40, 8, 2, requires_grad=True)
    y, p = project(x, a)
    (y.sum() + p.square().sum()).backward()
    assert torch.isfinite(y).all()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    rank_deficient = torch.linalg.pinv(a.detach().double(), rtol=1e-4) @ x.detach().double()
    torch.testing.assert_close(p.double(), x - a.double() @ rank_deficient, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", DEGENERATE)
def test_dependent_and_zero_columns_of_pixels_too(kind: str) -> None:
    torch.manual_seed(5)
    a = DEGENERATE[kind](well_conditioned(3, 2, 4, 5, dtype=torch.float32)).permute(0, 3, 4, 1, 2).requires_grad_()
    mean, energy = mean_residual(torch.randn(2, 8, 3, 4, 5), a)
    (mean.sum() + energy).backward()
    assert torch.isfinite(mean).all()
    assert torch.isfinite(energy)
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_mean_and_energy_are_those_of_the_residual(dims: int, grad: bool) -> None:
    torch.manual_seed(6)
    x, a = per_pixel(dims)
    expected = residual_by_lstsq(x, a)
    with torch.set_grad_enabled(grad):
        mean, energy = mean_residual(x, a.requires_grad_(grad))
        p, energy_of_frames = residual_frames(x, a)
    torch.testing.assert_close(mean, expected.mean(1))
    torch.testing.assert_close(p, expected)
    for value in (energy, energy_of_frames):
        torch.testing.assert_close(value, expected.square().sum(1).mean())


@pytest.mark.parametrize("dims", [1, 2])
def test_gradients(dims: int) -> None:
    torch.manual_seed(7)
    x, a = per_pixel(dims)
    x, a = x[:1, :, :, :2, :2].clone().requires_grad_(), a[:1, :, :, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(mean_residual, (x, a))
    assert torch.autograd.gradcheck(lambda a: mean_residual(x.detach(), a), (a,))
    assert torch.autograd.gradcheck(lambda x: mean_residual(x, a.detach()), (x,))


def test_gradient_of_one_output_alone() -> None:
    torch.manual_seed(8)
    x, a = per_pixel(1)
    a.requires_grad_()
    for pick in (0, 1):
        fast = torch.autograd.grad(mean_residual(x, a)[pick].square().sum(), a)[0]
        p, energy = residual_frames(x, a)
        slow = torch.autograd.grad((p.mean(1), energy)[pick].square().sum(), a)[0]
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("dims", [1, 3])
def test_bfloat16_and_autocast_work_in_float32(dims: int) -> None:
    torch.manual_seed(9)
    a, x = well_conditioned(dims, 10, dtype=torch.float32), torch.randn(10, 8, 4)
    expected = project(x, a)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = project(x, a)
        of_halves = project(x.bfloat16(), a.bfloat16())
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one, other)
    assert all(value.dtype == torch.float32 for value in of_halves)
    assert torch.equal(of_halves[1], project(x.bfloat16().float(), a.bfloat16().float())[1])


def test_energy_keeps_its_digits_on_many_values() -> None:
    torch.manual_seed(10)
    x = 1 + 0.1 * torch.randn(2, 8, 3, 160, 160)
    a = torch.ones(2, 8, 1, 160, 160)
    exact = (x.double() - x.double().mean(1, keepdim=True)).square().sum(1).mean().item()
    assert mean_residual(x, a)[1].item() == pytest.approx(exact, rel=1e-4)
