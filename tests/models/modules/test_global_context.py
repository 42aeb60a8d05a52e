from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.global_context import GlobalContext
from benchmark.models.modules.squeeze_excitation import Norm

BASELINE_PARAMS, BASELINE_THOP = 24_327_632, 32.8888e9
"""TSM-ResNet-50 with 400 classes on 8 frames of 224 x 224."""

RNL_PARAMS, RNL_THOP = 35.4831e6, 41.1490e9
"""The same with five RNL blocks, as released."""

NORMS: list[Norm] = ["batch", "layer", "none"]


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
            network = AtEightFrames(GlobalContext(channels, **settings))
        record = count_network(network, (8, channels, side, side))
        assert all(operator.kind != "unknown" for operator in record.uncounted)
        added["params"] += blocks * CONVENTIONS["fvcore"].params(record)
        for name in ("fvcore_core", "thop_2001"):
            added[name] += blocks * CONVENTIONS[name].macs(record)
    return added


def randomised(block: GlobalContext) -> GlobalContext:
    """Every parameter and statistic at random, as after some training."""
    for name, tensor in (*block.named_parameters(), *block.named_buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 1.0) if "norm" in name else nn.init.normal_(tensor, std=0.5)
    return block


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
            assert norm.running_mean is not None
            assert norm.running_var is not None
            h = (h - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        if isinstance(norm, nn.LayerNorm):
            h = (h - h.mean()) / (h.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
        y[start : start + frames] += block.mlp.expand(h.clamp(min=0))[:, None, None]
    return y


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_equals_the_equations_by_loops(norm: Norm, bias: bool, layout: torch.memory_format) -> None:
    block = randomised(GlobalContext(6, 2, norm, bias)).double().eval()
    x = torch.randn(6, 6, 3, 4, dtype=torch.float64).contiguous(memory_format=layout)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_is_the_identity_at_first(norm: Norm, bias: bool) -> None:
    x = torch.randn(8, 32, 5, 5)
    assert torch.equal(GlobalContext(32, norm=norm, bias=bias)(x, 4), x)


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
    block = randomised(GlobalContext(8)).double()
    x = torch.randn(6, 8, 3, 4, dtype=torch.float64)
    before = block.attention(x, 3)
    torch.testing.assert_close(before.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    assert block.mask.bias is not None
    nn.init.constant_(block.mask.bias, 3)
    torch.testing.assert_close(block.attention(x, 3), before)


@pytest.mark.parametrize("norm", NORMS)
def test_clips_do_not_mix(norm: Norm) -> None:
    block = randomised(GlobalContext(32, 4, norm)).eval()
    x = torch.randn(6, 32, 4, 4)
    changed = x.clone()
    changed[5] = 3 * torch.randn(32, 4, 4)
    same = [torch.equal(a, b) for a, b in zip(block(x, 3), block(changed, 3), strict=True)]
    assert same == [True, True, True, False, False, False]


def test_order_of_positions_and_frames_does_not_matter() -> None:
    block = randomised(GlobalContext(8, 2)).double().eval()
    x = torch.randn(4, 8, 3, 4, dtype=torch.float64)
    frames, positions = torch.randperm(4), torch.randperm(12)

    def shuffle(x: Tensor) -> Tensor:
        return x[frames].flatten(2)[:, :, positions].view_as(x)

    torch.testing.assert_close(block(shuffle(x), 4), shuffle(block(x, 4)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients(norm: Norm, training: bool) -> None:
    block = randomised(GlobalContext(4, 2, norm)).double().train(training)
    names, parameters = zip(*block.named_parameters(), strict=True)
    x = torch.randn(6, 4, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x, 2))

    assert torch.autograd.gradcheck(call, (x, *parameters))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_shape_layout_and_precision(layout: torch.memory_format, dtype: torch.dtype) -> None:
    block = randomised(GlobalContext(32, 4))
    x = torch.randn(8, 32, 4, 6).to(dtype, memory_format=layout).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = block(x, 4)
        assert block.attention(x, 4).dtype == torch.float32
    y.float().square().sum().backward()
    assert (y.shape, y.dtype, y.is_contiguous(memory_format=layout)) == (x.shape, dtype, True)
    for name, tensor in (("x", x), *block.named_parameters()):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        # A softmax, and batch normalisation, are blind to the bias in front of them.
        assert tensor.grad.abs().sum() > 0 or name in ("mask.bias", "mlp.reduce.bias"), name


def test_the_context_of_half_precision_stays_within_its_rounding() -> None:
    block = GlobalContext(16)
    x = (torch.randn(16, 16, 28, 28) + 2).bfloat16()
    exact = block.double().context(x.double(), 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = block.float().context(x, 8)
    torch.testing.assert_close(rounded, exact, rtol=2**-7, atol=0)


def test_a_lone_clip_is_normalised_by_the_running_statistics() -> None:
    block = randomised(GlobalContext(8, 2)).train()
    x = torch.randn(3, 8, 4, 4)
    trained = block(x, 3)
    torch.testing.assert_close(trained, block.eval()(x, 3))


def test_five_blocks_cost_what_the_thesis_prints_as_gc() -> None:
    batch, layer, none = (five_blocks(norm=norm) for norm in NORMS)
    assert (batch["params"], layer["params"], none["params"]) == (467_717, 467_717, 467_205)
    assert int((BASELINE_PARAMS + batch["params"]) / 1e4) / 100 == 24.79  # cut off: 24.7953
    assert f"{(BASELINE_PARAMS + none['params']) / 1e6:.2f}" == "24.79"
    for added in (batch, layer, none):
        assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.90"


def test_five_blocks_cost_what_the_thesis_prints_as_the_gate_of_the_chain() -> None:
    added = five_blocks()
    assert f"{(RNL_PARAMS + added['params']) / 1e6:.2f}" == "35.95"
    assert f"{(RNL_THOP + added['thop_2001']) / 1e9:.2f}" == "41.16"


def test_multiplications_are_those_of_the_formula() -> None:
    expected = 2 * (2 * 512 * 6272 + 2 * 512 * 32) + 3 * (2 * 1024 * 1568 + 2 * 1024 * 64)
    assert five_blocks()["fvcore_core"] == expected


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


@pytest.mark.parametrize("frames", [0, 3, 16])
def test_refuses_maps_that_are_no_clips(frames: int) -> None:
    with pytest.raises(ValueError, match=f"8 maps are no clips of {frames} frames"):
        GlobalContext(8)(torch.randn(8, 8, 2, 2), frames)
