from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.models import LateralConfig, Stage
from benchmark.models.modules.lateral import LateralConnection, build_phi, directions, resample_time

BOTH = {"to_busy": True, "to_quiet": True}


def connection(stage: Stage = "res2", channels: int = 8, **settings: Any) -> LateralConnection:
    return LateralConnection(channels, True, True, stage, LateralConfig(**settings))


def open_gates(lateral: nn.Module) -> None:
    """Random gamma and beta, as after some training."""
    for module in lateral.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)


def maps(busy_frames: int = 4, quiet_frames: int = 4, quiet_side: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(2 * busy_frames, 8, 10, 10), torch.randn(2 * quiet_frames, 8, quiet_side, quiet_side)


def batch_norm(x: Tensor, bn: nn.BatchNorm2d) -> Tensor:
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + bn.eps).sqrt() * bn.weight.view(1, -1, 1, 1) + bn.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("mbpm", [True, False])
@pytest.mark.parametrize("phi", ["identity", "conv1x1", "bottleneck"])
@pytest.mark.parametrize("quiet_frames", [3, 4])
def test_adds_exactly_nothing_at_initialisation(mbpm: bool, phi: str, quiet_frames: int) -> None:
    busy, quiet = maps(quiet_frames=quiet_frames)
    new_busy, new_quiet = connection(mbpm=mbpm, phi=phi)(busy, quiet, 4, quiet_frames)
    assert torch.equal(new_busy, busy)
    assert torch.equal(new_quiet, quiet)


@pytest.mark.parametrize("quiet_side", [6, 10])
@pytest.mark.parametrize("phi", ["identity", "conv1x1", "bottleneck"])
@pytest.mark.parametrize("phi_after_mbpm", [False, True])
def test_equals_eq5_in_both_directions(quiet_side: int, phi: str, phi_after_mbpm: bool) -> None:
    busy, quiet = maps(quiet_side=quiet_side)
    lateral = connection(phi=phi, phi_after_mbpm=phi_after_mbpm)
    open_gates(lateral)
    assert lateral.to_busy is not None
    assert lateral.to_quiet is not None
    assert lateral.to_busy.mbpm is not None
    passed = lateral.to_busy.mbpm(quiet, 4)
    if phi_after_mbpm:
        assert lateral.to_busy.phi is not None
        passed = lateral.to_busy.phi(passed)
    filtered = F.interpolate(passed, size=(10, 10), mode="bilinear")
    # phi first and the resize after it: the other order of the two, which is the same function.
    linear = F.interpolate(lateral.to_quiet.phi(busy), size=(quiet_side, quiet_side), mode="bilinear")
    new_busy, new_quiet = lateral(busy, quiet, 4, 4)
    torch.testing.assert_close(new_busy, busy + batch_norm(filtered, lateral.to_busy.bn), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(new_quiet, quiet + batch_norm(linear, lateral.to_quiet.bn), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("phi", ["identity", "conv1x1"])
def test_without_mbpm_quiet_flows_through_phi(phi: str) -> None:
    busy, quiet = maps()
    lateral = connection(mbpm=False, phi=phi)
    open_gates(lateral)
    assert lateral.to_busy is not None
    assert lateral.to_busy.phi is not None
    expected = busy + batch_norm(
        F.interpolate(lateral.to_busy.phi(quiet), size=(10, 10), mode="bilinear"), lateral.to_busy.bn
    )
    torch.testing.assert_close(lateral(busy, quiet, 4, 4)[0], expected, rtol=1e-4, atol=1e-4)
    assert not any("mbpm" in name for name, _ in lateral.named_parameters())


def test_static_quiet_reaches_busy_only_without_mbpm() -> None:
    busy = torch.zeros(8, 8, 10, 10)
    quiet = torch.randn(2, 1, 8, 10, 10).expand(2, 4, 8, 10, 10).flatten(0, 1)
    for mbpm in (True, False):
        lateral = connection(mbpm=mbpm).eval()
        assert lateral.to_busy is not None
        nn.init.ones_(lateral.to_busy.bn.weight)
        passed = lateral(busy, quiet, 4, 4)[0].abs().max()
        assert (passed < 1e-2) == mbpm


@pytest.mark.parametrize(("stage", "side"), [("res2", 7), ("res3", 7), ("res4", 7), ("res5", 3)])
def test_res5_has_its_own_kernel(stage: Stage, side: int) -> None:
    lateral = connection(stage=stage)
    assert lateral.to_busy is not None
    assert lateral.to_busy.mbpm is not None
    assert (lateral.to_busy.mbpm.kernel_size, lateral.to_busy.mbpm.stride) == (side, 1)


@pytest.mark.parametrize(("frames", "target"), [(6, 8), (8, 6), (4, 8), (1, 3), (5, 5)])
def test_time_is_interpolated_between_centres_of_equal_parts(frames: int, target: int) -> None:
    x = torch.randn(2 * frames, 3, 2, 2)
    out = resample_time(x, frames, target).view(2, target, -1)
    centres = (np.arange(frames) + 0.5) / frames
    wanted = (np.arange(target) + 0.5) / target
    for clip in range(2):
        series = x.view(2, frames, -1)[clip].numpy()
        for feature in range(series.shape[1]):
            expected = np.interp(wanted, centres, series[:, feature])
            np.testing.assert_allclose(out[clip, :, feature].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("quiet_frames", [3, 4])
def test_gradient_reaches_every_parameter_once_gamma_moves(quiet_frames: int) -> None:
    lateral = connection(phi="bottleneck")
    open_gates(lateral)
    busy, quiet = maps(quiet_frames=quiet_frames)
    new_busy, new_quiet = lateral(busy, quiet, 4, quiet_frames)
    (new_busy.square().sum() + new_quiet.square().sum()).backward()
    for name, parameter in lateral.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient() -> None:
    lateral = LateralConnection(2, True, True, "res5", LateralConfig(phi="conv1x1")).double()
    open_gates(lateral)
    busy = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    quiet = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, q: lateral(b, q, 2, 2), (busy, quiet))


@pytest.mark.parametrize("channels", [2, 8])
def test_phi_is_linear(channels: int) -> None:
    x, y = torch.randn(2, 3, channels, 2, 2)
    for kind in ("identity", "conv1x1", "bottleneck"):
        phi = build_phi(kind, channels)
        torch.testing.assert_close(phi(2 * x - y), 2 * phi(x) - phi(y), rtol=1e-4, atol=1e-5)


def test_phi_refuses_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="unknown phi 'mlp'"):
        build_phi("mlp", 8)


def test_schedule() -> None:
    def way(direction: str, parity: str, number: int, block: int) -> tuple[bool, bool]:
        return directions(LateralConfig.model_validate({"direction": direction, "parity": parity}), number, block)

    to_busy, to_quiet, both = (True, False), (False, True), (True, True)
    for number, block in itertools.product(range(1, 5), range(1, 5)):
        for parity, index in (("connection", number), ("block", block)):
            assert way("alternating", parity, number, block) == (to_busy if index % 2 == 0 else to_quiet)
            assert way("bidirectional", parity, number, block) == both
            assert way("quiet_to_busy", parity, number, block) == to_busy
            assert way("busy_to_quiet", parity, number, block) == to_quiet
    assert way("alternating", "connection", 1, 1) == to_quiet  # the first connection of the released code


def test_needs_a_direction() -> None:
    with pytest.raises(ValueError, match="direction"):
        LateralConnection(8, False, False, "res2", LateralConfig())
