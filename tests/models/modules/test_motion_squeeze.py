from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.cost.tracing import TraceConvolutionShapes
from benchmark.models.modules.displacements import displacements, sharpening
from benchmark.models.modules.motion_squeeze import MotionSqueeze

SIZE = 28
FRAMES = 8


def build(channels: int = 8, **settings: Any) -> MotionSqueeze:
    return MotionSqueeze(channels, **{"reduced": 6, "patch": 5, **settings})


def field_by_equations(a: Tensor, b: Tensor, patch: int, tau: float, sigma: float | None) -> Tensor:
    """Eq. 1 to 5 for two maps (c, H, W), position by position: (3, H, W)."""
    k, (_, height, width) = patch // 2, a.shape
    a, b = (x / (x.square().sum(0) + 1e-6).sqrt() for x in (a, b))
    out = torch.zeros(3, height, width, dtype=a.dtype)
    for y in range(height):
        for x in range(width):
            scores = {}
            for dy in range(-k, k + 1):
                for dx in range(-k, k + 1):
                    inside = 0 <= y + dy < height and 0 <= x + dx < width
                    scores[dx, dy] = max(0.0, float(a[:, y, x] @ b[:, y + dy, x + dx])) if inside else 0.0
            best_x, best_y = max(scores, key=lambda p: scores[p])
            weights = {}
            for (dx, dy), score in scores.items():
                squared = (dx - best_x) ** 2 + (dy - best_y) ** 2
                mask = 1.0 if sigma is None else math.exp(-squared / (2 * sigma**2))
                weights[dx, dy] = math.exp(mask * score / tau)
            total = sum(weights.values())
            out[0, y, x] = sum(w * dx for (dx, _), w in weights.items()) / total / k
            out[1, y, x] = sum(w * dy for (_, dy), w in weights.items()) / total / k
            out[2, y, x] = scores[best_x, best_y]
    return out


@pytest.mark.parametrize(("estimator", "sigma"), [("kernel_soft_argmax", 2.0), ("soft_argmax", None)])
@torch.no_grad()
def test_displacement_equals_the_equations_position_by_position(estimator: Any, sigma: float | None) -> None:
    module = build(estimator=estimator, sigma=2.0, temperature=0.05, backward_displacement=True).double().eval()
    x = torch.randn(6, 8, 4, 5, dtype=torch.float64)
    assert module.reduction is not None
    reduced = module.reduction(x).view(2, 3, 6, 4, 5)
    found = module.displacement(x, 3)
    assert found.shape == (2, 2, 6, 4, 5)
    for clip in range(2):
        for t in range(2):
            here, there = reduced[clip, t], reduced[clip, t + 1]
            ways = [field_by_equations(*way, 5, 0.05, sigma) for way in ((here, there), (there, here))]
            torch.testing.assert_close(found[clip, t], torch.cat(ways), rtol=1e-6, atol=1e-6)


def layers_by_hand(field: Tensor, module: MotionSqueeze) -> Tensor:
    """Convolution, batch normalisation in evaluation mode and ReLU, in the order of the paper."""
    x = field
    for conv in (layer for layer in module.transformation if isinstance(layer, nn.Conv2d)):
        x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2, groups=conv.groups)
        x = (x / math.sqrt(1 + 1e-5)).clamp_min(0)
    return x


@pytest.mark.parametrize("fusion", ["add", "multiply", "concat", "replace"])
@pytest.mark.parametrize("transformation", ["separable", "1x(1,1)", "1x(3,3)", "4x(3,3)"])
@torch.no_grad()
def test_last_displacement_is_repeated_transformed_and_fused(fusion: Any, transformation: Any) -> None:
    module = build(fusion=fusion, transformation=transformation).double().eval()
    x = torch.randn(6, 8, 6, 7, dtype=torch.float64)
    field = module.displacement(x, 3)
    motion = torch.cat([layers_by_hand(clip[[0, 1, 1]], module) for clip in field])
    expected = {"add": x + motion, "multiply": x * motion, "replace": motion}
    if module.join is not None:
        mixed = torch.cat([x, motion], dim=1)
        expected["concat"] = torch.einsum("oi,nihw->nohw", module.join.weight.flatten(1), mixed)
    torch.testing.assert_close(module(x, 3), expected[fusion])


def test_content_that_moves_right_by_three_gives_three_sevenths() -> None:
    module = MotionSqueeze(64, reduced=None)
    x = torch.randn(1, 64, 20, 30)
    clip = torch.cat([x, x.roll(3, 3), x.roll((3 + 2, -1), (3, 2))])
    field = module.displacement(clip, 3)[0, :, :, 8:-8, 8:-8]
    expected = torch.tensor([[3 / 7, 0, 1], [2 / 7, -1 / 7, 1]]).view(2, 3, 1, 1).expand_as(field)
    torch.testing.assert_close(field, expected, rtol=0, atol=1e-4)


def test_identical_frames_give_no_flow_and_full_confidence() -> None:
    module = MotionSqueeze(64, reduced=None)
    field = module.displacement(torch.randn(1, 64, 9, 9).expand(4, -1, -1, -1), 4)
    torch.testing.assert_close(field[:, :, :2], torch.zeros(1, 3, 2, 9, 9), rtol=0, atol=1e-4)
    torch.testing.assert_close(field[:, :, 2], torch.ones(1, 3, 9, 9))


def test_positions_without_features_give_zeros_and_finite_gradients() -> None:
    module = MotionSqueeze(8, reduced=None, patch=5)
    x = torch.zeros(4, 8, 6, 6, requires_grad=True)
    module.displacement(x, 2).square().sum().backward()
    torch.testing.assert_close(module.displacement(x, 2), torch.zeros(2, 1, 3, 6, 6))
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_gaussian_suppresses_a_distant_rival() -> None:
    scores = torch.zeros(1, 225, 1, 1)
    scores[0, 7 * 15 + 1] = 0.50  # 6 to the left
    scores[0, 7 * 15 + 13] = 0.49  # 6 to the right, almost as good
    offsets = torch.linspace(-1, 1, 15)
    with_kernel = displacements(scores, sharpening(15, 0.01, 5.0), offsets).flatten()
    without = displacements(scores, sharpening(15, 0.01, None), offsets).flatten()
    torch.testing.assert_close(with_kernel, torch.tensor([-6 / 7, 0, 0.5]), rtol=0, atol=1e-3)
    share = 1 / (1 + math.e)
    torch.testing.assert_close(without, torch.tensor([(2 * share - 1) * 6 / 7, 0, 0.5]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("sigma", [5.0, None])
def test_gradient_of_displacements_is_that_of_autograd(sigma: float | None) -> None:
    """Over more positions than are worked on at a time."""
    scores = torch.randn(2, 9, 20, 30, dtype=torch.float64, requires_grad=True)
    factors, offsets = sharpening(3, 0.3, sigma).double(), torch.linspace(-1, 1, 3, dtype=torch.float64)
    found = displacements(scores, factors, offsets)
    positive = scores.permute(0, 2, 3, 1).relu()
    confidence, index = positive.max(-1)
    weights = (positive * factors[index]).softmax(-1)
    dx, dy = weights @ offsets.repeat(3), weights @ offsets.repeat_interleave(3)
    expected = torch.stack([dx, dy, confidence], dim=1)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(displacements(scores, factors, offsets), expected)
    g = torch.randn_like(expected)
    torch.testing.assert_close(torch.autograd.grad(found, scores, g), torch.autograd.grad(expected, scores, g))


@pytest.mark.parametrize("fusion", ["add", "concat"])
def test_gradients(fusion: Any) -> None:
    module = build(3, reduced=2, patch=3, fusion=fusion, temperature=0.5, backward_displacement=True, width=0.01)
    module = module.double().eval()
    x = torch.randn(3, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: module(x, 3), (x,))


@torch.no_grad()
def test_a_mirrored_clip_moves_the_other_way() -> None:
    module = build(patch=7).double().eval()
    x = torch.randn(4, 8, 9, 10, dtype=torch.float64)
    field, mirrored = module.displacement(x, 4), module.displacement(x.flip(3), 4).flip(4)
    torch.testing.assert_close(mirrored, field * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64).view(3, 1, 1))


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        ({"channels": 128}, 20_985),
        ({"channels": 512}, 70_905),
        ({"channels": 32, "reduced": None}, 4_217 + 66 * 32),
        ({"channels": 128, "fusion": "concat"}, 20_985 + 2 * 128 * 128),
    ],
)
def test_parameters(settings: dict[str, Any], params: int) -> None:
    assert sum(p.numel() for p in MotionSqueeze(**settings).parameters()) == params


def test_a_narrow_module_has_narrow_layers_of_four_channels_or_more() -> None:
    convs = [m for m in MotionSqueeze(16, width=0.125).modules() if isinstance(m, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [8, 3, 4, 4, 4, 4, 8, 8, 16]


def test_constants_are_not_part_of_the_state() -> None:
    assert {key.split(".")[0] for key in build(fusion="concat").state_dict()} == {"reduction", "transformation", "join"}


POSITIONS = FRAMES * SIZE**2
SEPARABLE = 147 + 48 + 144 + 512 + 288 + 2048 + 576
FT_BN = 3 + 16 + 16 + 32 + 32 + 64 + 64


@pytest.mark.parametrize(
    ("device", "channels", "settings", "conv", "normalised"),
    [
        ("cpu", 128, {}, 64 * 128 + SEPARABLE + 64 * 128, 64 + FT_BN + 128),
        ("meta", 128, {}, 64 * 128 + SEPARABLE + 64 * 128, 64 + FT_BN + 128),
        ("meta", 128, {"estimator": "soft_argmax"}, 64 * 128 + SEPARABLE + 64 * 128, 64 + FT_BN + 128),
        ("meta", 128, {"fusion": "concat"}, 64 * 128 + SEPARABLE + 64 * 128 + 2 * 128**2, 64 + FT_BN + 128),
        ("meta", 512, {}, 64 * 512 + SEPARABLE + 64 * 512, 64 + FT_BN + 512),
        ("meta", 512, {"transformation": "1x(1,1)"}, 64 * 512 + 3 * 512, 64 + 512),
        ("meta", 512, {"transformation": "1x(3,3)"}, 64 * 512 + 27 * 512, 64 + 512),
        (
            "meta",
            512,
            {"transformation": "4x(3,3)"},
            64 * 512 + 9 * (3 + 64 + 64) * 64 + 9 * 64 * 512,
            64 + 3 * 64 + 512,
        ),
    ],
)
def test_cost_is_that_of_the_formulae(
    device: str, channels: int, settings: dict[str, Any], conv: int, normalised: int
) -> None:
    """Convolutions and normalisation per position; no other operator is counted, and one correlation is seen."""

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = MotionSqueeze(channels, **settings)

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x, FRAMES)

    with torch.device(device):
        whole = Whole().eval()
    analysis = FlopCountAnalysis(whole, torch.zeros(FRAMES, channels, SIZE, SIZE, device=device))
    analysis.unsupported_ops_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("benchmark::local_correlation", lambda inputs, outputs: 1)
    with torch.no_grad():
        if device == "meta":
            with TraceConvolutionShapes():
                counted = analysis.by_operator()
        else:
            counted = analysis.by_operator()
    expected = {"conv": POSITIONS * conv, "batch_norm": 2 * POSITIONS * normalised, "local_correlation": 1}
    assert dict(counted) == expected


def test_impossible_arguments_are_refused() -> None:
    for wrong in ({"patch": 4}, {"patch": 1}, {"temperature": 0}, {"sigma": -1}, {"width": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build(**wrong)
    for name, value in (("estimator", "argmax"), ("transformation", "2x(3,3)"), ("fusion", "sum")):
        with pytest.raises(ValueError, match="unknown"):
            MotionSqueeze(8, **cast(dict[str, Any], {name: value}))
    for shape, frames in (((6, 8, 5, 5), 1), ((6, 7, 5, 5), 3)):
        with pytest.raises(ValueError, match="not clips"):
            build()(torch.zeros(shape), frames)
