from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.models.modules.cbam import Cbam
from tests.models.modules.costs import BASELINE_PARAMS, BASELINE_THOP, of_five_blocks
from tests.models.modules.trained import normalised, trained


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
                        f = normalised(block.bn, f)
                    clip[t, :, i, j] *= sigmoid(f)
    return x


@pytest.mark.parametrize("kernel_size", [3, (1, 3, 5)])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_equals_the_equations_by_loops(kernel_size: Any, norm: bool, bias: bool) -> None:
    block = trained(Cbam(6, 2, kernel_size, norm, bias)).double().eval()
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


def test_zero_layers_leave_a_quarter() -> None:
    block = Cbam(16, 4, norm=False)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(block(x, 4), x / 4)


@pytest.mark.parametrize(("kernel_size", "reaches"), [(3, [2, 3, 4]), ((1, 3, 3), [3]), ((5, 1, 1), [1, 2, 3, 4, 5])])
def test_position_attention_reaches_as_far_as_the_kernel(kernel_size: Any, reaches: list[int]) -> None:
    block = trained(Cbam(4, 2, kernel_size)).eval()
    x = torch.rand(7, 4, 5, 5)
    changed = x.clone()
    changed[3] += 1
    difference = (block.position_gate(x, 7) - block.position_gate(changed, 7)).flatten(1).abs().amax(1)
    assert difference.nonzero().flatten().tolist() == reaches


def test_a_shift_of_the_content_shifts_the_result() -> None:
    block = trained(Cbam(4, 2, 3)).double().eval()
    x = torch.zeros(8, 4, 9, 9, dtype=torch.float64)
    x[2:5, :, 2:6, 2:6] = torch.rand(3, 4, 4, 4, dtype=torch.float64)

    def shift(x: Tensor) -> Tensor:
        return x.roll((1, 2, 1), (0, 2, 3))

    torch.testing.assert_close(block(shift(x), 8), shift(block(x, 8)))


def test_the_channel_gate_ignores_the_order_of_positions() -> None:
    block = trained(Cbam(8, 2)).double()
    x = torch.randn(4, 8, 3, 4, dtype=torch.float64)
    shuffled = x[torch.randperm(4)].flatten(2)[:, :, torch.randperm(12)].view_as(x)
    torch.testing.assert_close(block.gate(shuffled, 4), block.gate(x, 4))


def test_five_blocks_cost_nearly_what_the_thesis_prints() -> None:
    added = of_five_blocks(Cbam)
    assert added["params"] == 463_104 + 5 * (2 * 343 + 2)
    assert added["fvcore_core"] == 2 * 458_752 + 686 * (2 * 6272 + 3 * 1568)
    assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.90"
    assert f"{(BASELINE_PARAMS + added['params']) / 1e6:.4f}" == "24.7942"  # printed: 24.80
    over_frames = of_five_blocks(Cbam, kernel_size=(1, 7, 7))
    assert f"{(BASELINE_THOP + over_frames['thop_2001']) / 1e9:.2f}" == "32.89"


def test_no_kernel_gives_both_printed_numbers() -> None:
    # From 1 x 1 x 1 cost and parameters grow by one per weight, so the bounds of all kernels follow.
    smallest, positions = of_five_blocks(Cbam, kernel_size=1), 2 * 6272 + 3 * 1568
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
