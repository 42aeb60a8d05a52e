from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.motion_enhance import MotionEnhance

R50_INPUTS = {(64, 56): 1, (256, 56): 3, (512, 28): 4, (1024, 14): 6, (2048, 7): 2}
"""Channels and side of the inputs of ResNet-50's blocks at 224 x 224, and how many blocks have them."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class AtEightFrames(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x, 8)


def by_loops(module: MotionEnhance, x: Tensor, frames: int) -> Tensor:
    """The equation, frame by frame."""
    w1, w2, w3 = module.current.weight, module.following.weight, module.expand.weight
    u = x.clone()
    for start in range(0, x.shape[0], frames):
        for t in range(start, start + frames - 1):
            change = w2 @ x[t + 1].flatten(1).mean(1) - w1 @ x[t].flatten(1).mean(1)
            u[t] = x[t] / (1 + torch.exp(-(w3 @ change))).view(-1, 1, 1)
    return u


@pytest.mark.parametrize(("frames", "reduction"), [(2, 8), (3, 1), (5, 4), (2, 32)])
def test_equals_the_equation_by_loops(frames: int, reduction: int) -> None:
    module = MotionEnhance(16, reduction).double()
    x = 3 * torch.rand(2 * frames, 16, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


def test_gradients() -> None:
    module = MotionEnhance(8, 2).double()
    x = torch.randn(6, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]

    def call(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (x, 3))

    assert torch.autograd.gradcheck(call, (x, *module.parameters()))


def test_the_last_frame_of_every_clip_passes() -> None:
    module, x = MotionEnhance(8, 1), torch.rand(8, 8, 3, 3)
    y = module(x, 4)
    assert torch.equal(y[3::4], x[3::4])
    assert (y[:3] < x[:3]).all()


def test_a_frame_sees_the_next_one_and_no_other() -> None:
    module, x = MotionEnhance(16, 2).double(), torch.rand(6, 16, 3, 3, dtype=torch.float64)
    changed = x.clone()
    changed[3] += 1
    moved = (module.gate(x, 6) - module.gate(changed, 6)).abs().amax(1) > 1e-9
    assert moved.tolist() == [False, False, True, True, False, False]


def test_the_place_of_a_feature_does_not_matter() -> None:
    module, x = MotionEnhance(16, 2), torch.rand(6, 16, 3, 3)
    torch.testing.assert_close(module(x.roll(1, -1), 3), module(x, 3).roll(1, -1))


def test_clips_of_a_batch_do_not_mix() -> None:
    module, x = MotionEnhance(8, 1), torch.rand(12, 8, 3, 3)
    changed = x.clone()
    changed[4:] = torch.rand(8, 8, 3, 3)
    torch.testing.assert_close(module(x, 4)[:4], module(changed, 4)[:4], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(module(x, 4)[4:8], module(x[4:8], 4), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_keeps_shape_and_memory_format(layout: torch.memory_format) -> None:
    x = torch.rand(8, 16, 6, 5).contiguous(memory_format=layout)
    y = MotionEnhance(16)(x, 4)
    assert y.shape == x.shape
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_in_reduced_precision(dtype: torch.dtype) -> None:
    module = MotionEnhance(64)
    maps = (100 * torch.rand(8, 64, 6, 6)).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = module(maps, 4)
    y.float().square().mean().backward()
    assert y.dtype == dtype
    for tensor in (maps, *module.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


def test_costs_of_resnet50() -> None:
    """5.97 M parameters more on ResNet-50, and 0.042 GMACs: seven of eight frames have a gate to compute."""
    macs = params = 0
    for (channels, side), blocks in R50_INPUTS.items():
        with torch.device("meta"):
            network = AtEightFrames(MotionEnhance(channels))
        record = count_network(network, (8, channels, side, side))
        assert all(operator.kind != "unknown" for operator in record.uncounted)
        counted, weights = CONVENTIONS["fvcore"].macs(record), 3 * channels * channels // 8
        assert counted == 7 * weights == sum(record.torch_macs.values())
        assert CONVENTIONS["fvcore"].params(record) == weights
        macs += blocks * counted
        params += blocks * weights
    assert round(params / 1e6, 2) == 5.97
    assert round(macs / 1e9, 3) == 0.042


def test_impossible_arguments_are_refused() -> None:
    for arguments in ((0, 8), (8, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            MotionEnhance(*arguments)
    with pytest.raises(ValueError, match="no clips of 4 frames"):
        MotionEnhance(8)(torch.rand(6, 8, 2, 2), 4)
    with pytest.raises(ValueError, match="two frames or more"):
        MotionEnhance(8)(torch.rand(6, 8, 2, 2), 1)
