from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.models.gates.channel_gate import Norm
from benchmark.models.modules.global_context import GlobalContext
from tests.models.modules.costs import BASELINE_PARAMS, BASELINE_THOP, RNL_PARAMS, RNL_THOP, of_five_blocks
from tests.models.modules.trained import normalised, trained

NORMS: list[Norm] = ["batch", "layer", "none"]


def by_loops(block: GlobalContext, x: Tensor, frames: int) -> Tensor:
    """The equations, clip by clip and position by position, in evaluation mode."""
    y, (channels, height, width) = x.clone(), x.shape[1:]
    w = block.mask.weight.view(-1)
    for start in range(0, x.shape[0], frames):
        positions = [(start + t, i, j) for t in range(frames) for i in range(height) for j in range(width)]
        weights = [math.exp(float(w @ x[n, :, i, j])) for n, i, j in positions]
        c = torch.zeros(channels, dtype=x.dtype)
        for weight, (n, i, j) in zip(weights, positions, strict=True):
            c += weight / sum(weights) * x[n, :, i, j]
        h, norm = block.mlp.reduce(c), block.mlp.norm
        if isinstance(norm, nn.BatchNorm1d):
            h = normalised(norm, h)
        if isinstance(norm, nn.LayerNorm):
            h = (h - h.mean()) / (h.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
        y[start : start + frames] += block.mlp.expand(h.clamp(min=0))[:, None, None]
    return y


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_equals_the_equations_by_loops(norm: Norm, bias: bool, layout: torch.memory_format) -> None:
    block = trained(GlobalContext(6, 2, norm, bias)).double().eval()
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64).contiguous(memory_format=layout)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


def test_equal_logits_give_the_plain_mean() -> None:
    block = GlobalContext(6).double()
    nn.init.zeros_(block.mask.weight)
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block.context(x, 3), x.view(2, 3, 6, 12).mean((1, 3)))


def test_one_position_can_take_all() -> None:
    block = GlobalContext(6).double()
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64)
    x[:, 0], x[4, 0, 1, 2], x[0, 0, 2, 0] = 0, 100, 100
    nn.init.zeros_(block.mask.weight)
    block.mask.weight.data[0, 0] = 1
    torch.testing.assert_close(block.context(x, 3), torch.stack([x[0, :, 2, 0], x[4, :, 1, 2]]))


def test_weights_of_a_clip_sum_to_one_and_ignore_the_bias() -> None:
    block = trained(GlobalContext(8)).double()
    x = torch.randn(6, 8, 3, 4, dtype=torch.float64)
    before = block.attention(x, 3)
    torch.testing.assert_close(before.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    assert block.mask.bias is not None
    nn.init.constant_(block.mask.bias, 3)
    torch.testing.assert_close(block.attention(x, 3), before)


def test_the_context_of_half_precision_stays_within_its_rounding() -> None:
    block = GlobalContext(16)
    x = (torch.randn(16, 16, 28, 28) + 2).bfloat16()
    exact = block.double().context(x.double(), 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = block.float().context(x, 8)
    torch.testing.assert_close(rounded, exact, rtol=2**-7, atol=0)


def test_a_lone_clip_is_normalised_by_the_running_statistics() -> None:
    block = trained(GlobalContext(8, 2)).train()
    x = torch.randn(3, 8, 4, 4)
    in_training = block(x, 3)
    torch.testing.assert_close(in_training, block.eval()(x, 3))


def test_five_blocks_cost_what_the_thesis_prints_as_gc() -> None:
    batch, layer, none = (of_five_blocks(GlobalContext, norm=norm) for norm in NORMS)
    assert (batch["params"], layer["params"], none["params"]) == (467_717, 467_717, 467_205)
    assert int((BASELINE_PARAMS + batch["params"]) / 1e4) / 100 == 24.79  # cut off: 24.7953
    assert f"{(BASELINE_PARAMS + none['params']) / 1e6:.2f}" == "24.79"
    for added in (batch, layer, none):
        assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.90"


def test_five_blocks_cost_what_the_thesis_prints_as_the_gate_of_the_chain() -> None:
    added = of_five_blocks(GlobalContext)
    assert f"{(RNL_PARAMS + added['params']) / 1e6:.2f}" == "35.95"
    assert f"{(RNL_THOP + added['thop_2001']) / 1e9:.2f}" == "41.16"


def test_multiplications_are_those_of_the_formula() -> None:
    expected = 2 * (2 * 512 * 6272 + 2 * 512 * 32) + 3 * (2 * 1024 * 1568 + 2 * 1024 * 64)
    assert of_five_blocks(GlobalContext)["fvcore_core"] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "group"}, "unknown normalisation 'group', choose from none, batch, layer"),
        ({"reduction": 0}, "must be positive, got 8 and 0"),
        ({"channels": 0}, "must be positive, got 0 and 16"),
    ],
)
def test_refuses_what_it_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GlobalContext(**{"channels": 8, **settings})
