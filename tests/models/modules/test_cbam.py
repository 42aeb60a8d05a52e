from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.cbam import Cbam

BASELINE_PARAMS, BASELINE_THOP = 24_327_632, 32.8888e9
"""TSM-ResNet-50 with 400 classes on 8 frames of 224 x 224."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class AtEightFrames(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, 8)


def five_blocks(**settings: Any) -> dict[str, int]:
    """What two blocks in res3 and three in res4 add."""
    added = {"params": 0, "fvcore_core": 0, "thop_2001": 0}
    for blocks, channels, side in ((2, 512, 28), (3, 1024, 14)):
        with torch.device("meta"):
            network = AtEightFrames(Cbam(channels, **settings))
        record = count_network(network, (8, channels, side, side))
        assert all(operator.kind != "unknown" for operator in record.uncounted)
        added["params"] += blocks * CONVENTIONS["fvcore"].params(record)
        for name in ("fvcore_core", "thop_2001"):
            added[name] += blocks * CONVENTIONS[name].macs(record)
    return added


def randomised(block: Cbam) -> Cbam:
    """Every parameter and statistic at random, as after some training."""
    for name, tensor in (*block.named_parameters(), *block.named_buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 1.0) if "bn" in name else nn.init.normal_(tensor, std=0.5)
    return block


def sigmoid(value: Tensor) -> float:
    return 1 / (1 + math.exp(-float(value)))


def by_loops(block: Cbam, x: Tensor, frames: int) -> Tensor:
    """The equations, clip by clip, channel by channel and position by position, in evaluation mode."""
    x = x.clone()
    (_, channels, height, width), kernel = x.shape, block.conv.weight[0]
    half = [side // 2 for side in kernel.shape[1:]]

    def layers(s: Tensor) -> Tensor:
        return block.mlp.expand(block.mlp.reduce(s).clamp(min=0))

    for start in range(0, x.shape[0], frames):
        clip = x[start : start + frames]  # a view: x changes with it
        mean = torch.stack([clip[:, c].mean() for c in range(channels)])
        largest = torch.stack([clip[:, c].max() for c in range(channels)])
        gate = layers(mean) + layers(largest)
        for c in range(channels):
            clip[:, c] *= sigmoid(gate[c])
        pooled = [[frame.mean(0), frame.max(0).values] for frame in clip]
        pooled = [[m.clone() for m in maps] for maps in pooled]
        for t in range(frames):
            for i in range(height):
                for j in range(width):
                    f = torch.zeros((), dtype=x.dtype)
                    for kt in range(kernel.shape[1]):
                        for ki in range(kernel.shape[2]):
                            for kj in range(kernel.shape[3]):
                                s, a, b = t + kt - half[0], i + ki - half[1], j + kj - half[2]
                                if 0 <= s < frames and 0 <= a < height and 0 <= b < width:
                                    f += sum(kernel[m, kt, ki, kj] * pooled[s][m][a, b] for m in (0, 1))
                    if isinstance(block.bn, nn.BatchNorm3d):
                        assert block.bn.running_mean is not None
                        assert block.bn.running_var is not None
                        f = (f - block.bn.running_mean) / (block.bn.running_var + block.bn.eps).sqrt()
                        f = f * block.bn.weight + block.bn.bias
                    clip[t, :, i, j] *= sigmoid(f)
    return x


@pytest.mark.parametrize("kernel_size", [3, (1, 3, 5)])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_equals_the_equations_by_loops(kernel_size: Any, norm: bool, bias: bool) -> None:
    block = randomised(Cbam(6, 2, kernel_size, norm, bias)).double().eval()
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


def test_zero_layers_leave_a_quarter() -> None:
    block = Cbam(16, 4, norm=False)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(block(x, 4), x / 4)


@pytest.mark.parametrize("kernel_size", [7, (1, 7, 7)])
def test_clips_do_not_mix(kernel_size: Any) -> None:
    block = randomised(Cbam(32, 4, kernel_size)).eval()
    x = torch.randn(6, 32, 4, 4)
    changed = x.clone()
    changed[5] = 3 * torch.randn(32, 4, 4)
    same = [torch.equal(a, b) for a, b in zip(block(x, 3), block(changed, 3), strict=True)]
    assert same == [True, True, True, False, False, False]


@pytest.mark.parametrize(("kernel_size", "reaches"), [(3, [2, 3, 4]), ((1, 3, 3), [3]), ((5, 1, 1), [1, 2, 3, 4, 5])])
def test_position_attention_reaches_as_far_as_the_kernel(kernel_size: Any, reaches: list[int]) -> None:
    block = randomised(Cbam(4, 2, kernel_size)).eval()
    x = torch.rand(7, 4, 5, 5)
    changed = x.clone()
    changed[3] += 1
    difference = (block.position_gate(x, 7) - block.position_gate(changed, 7)).flatten(1).abs().amax(1)
    assert difference.nonzero().flatten().tolist() == reaches


def test_a_shift_of_the_content_shifts_the_result() -> None:
    block = randomised(Cbam(4, 2, 3)).double().eval()
    x = torch.zeros(8, 4, 9, 9, dtype=torch.float64)
    x[2:5, :, 2:6, 2:6] = torch.rand(3, 4, 4, 4, dtype=torch.float64)

    def shift(x: Tensor) -> Tensor:
        return x.roll((1, 2, 1), (0, 2, 3))

    torch.testing.assert_close(block(shift(x), 8), shift(block(x, 8)))


def test_the_channel_gate_ignores_the_order_of_positions() -> None:
    block = randomised(Cbam(8, 2)).double()
    x = torch.randn(4, 8, 3, 4, dtype=torch.float64)
    shuffled = x[torch.randperm(4)].flatten(2)[:, :, torch.randperm(12)].view_as(x)
    torch.testing.assert_close(block.channel_gate(shuffled, 4), block.channel_gate(x, 4))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_gradients(training: bool, norm: bool) -> None:
    block = randomised(Cbam(4, 2, 3, norm)).double().train(training)
    names, parameters = zip(*block.named_parameters(), strict=True)
    x = torch.randn(4, 4, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x, 2))

    assert torch.autograd.gradcheck(call, (x, *parameters))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_shape_layout_and_precision(layout: torch.memory_format, dtype: torch.dtype) -> None:
    block = randomised(Cbam(32, 4))
    x = torch.randn(8, 32, 4, 6).to(dtype, memory_format=layout).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = block(x, 4)
        assert block.channel_gate(x, 4).dtype == block.position_gate(x, 4).dtype == torch.float32
    y.float().square().sum().backward()
    assert (y.shape, y.dtype, y.is_contiguous(memory_format=layout)) == (x.shape, dtype, True)
    for name, tensor in (("x", x), *block.named_parameters()):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.abs().sum() > 0, name


def test_five_blocks_cost_nearly_what_the_thesis_prints() -> None:
    added = five_blocks()
    assert added["params"] == 463_104 + 5 * (2 * 343 + 2)
    assert added["fvcore_core"] == 2 * 458_752 + 686 * (2 * 6272 + 3 * 1568)
    assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.90"
    assert f"{(BASELINE_PARAMS + added['params']) / 1e6:.4f}" == "24.7942"  # printed: 24.80
    over_frames = five_blocks(kernel_size=(1, 7, 7))
    assert f"{(BASELINE_THOP + over_frames['thop_2001']) / 1e9:.2f}" == "32.89"


def test_no_kernel_gives_both_printed_numbers() -> None:
    # From 1 x 1 x 1 cost and parameters grow by one per weight, so the bounds of all kernels follow.
    smallest, positions = five_blocks(kernel_size=1), 2 * 6272 + 3 * 1568
    params_need = (24.795e6 - BASELINE_PARAMS - smallest["params"]) / 5 + 2
    cost_allows = (32.905e9 - BASELINE_THOP - smallest["thop_2001"]) / positions + 2
    assert params_need > 850
    assert cost_allows < 835


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "three odd sides, got \\(4, 4, 4\\)"),
        ({"kernel_size": (3, 3)}, "three odd sides, got \\(3, 3\\)"),
        ({"kernel_size": (3, 3, -1)}, "three odd sides, got \\(3, 3, -1\\)"),
        ({"reduction": 0}, "must be positive, got 8 and 0"),
        ({"channels": 0}, "must be positive, got 0 and 16"),
    ],
)
def test_refuses_what_it_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cbam(**{"channels": 8, **settings})


@pytest.mark.parametrize("frames", [0, 3, 16])
def test_refuses_maps_that_are_no_clips(frames: int) -> None:
    with pytest.raises(ValueError, match=f"8 maps are no clips of {frames} frames"):
        Cbam(8)(torch.randn(8, 8, 2, 2), frames)
