from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.squeeze_excitation import Form, Pool, SqueezeExcitation

BASELINE_PARAMS, BASELINE_THOP = 24_327_632, 32.8888e9
"""TSM-ResNet-50 with 400 classes on 8 frames of 224 x 224."""

FORMS: list[tuple[Pool, Form]] = [("clip", "gate"), ("frame", "gate"), ("clip", "additive"), ("frame", "additive")]


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
    added = {"params": 0, "fvcore": 0, "thop_2001": 0}
    for blocks, channels, side in ((2, 512, 28), (3, 1024, 14)):
        with torch.device("meta"):
            network = AtEightFrames(SqueezeExcitation(channels, **settings))
        record = count_network(network, (8, channels, side, side))
        assert all(operator.kind != "unknown" for operator in record.uncounted)
        added["params"] += blocks * CONVENTIONS["fvcore"].params(record)
        for name in ("fvcore", "thop_2001"):
            added[name] += blocks * CONVENTIONS[name].macs(record)
    return added


def randomised(block: nn.Module) -> nn.Module:
    """Every parameter and statistic at random, as after some training."""
    for name, tensor in (*block.named_parameters(), *block.named_buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 1.0) if "norm" in name else nn.init.normal_(tensor, std=0.5)
    return block


def by_loops(block: SqueezeExcitation, x: Tensor, frames: int) -> Tensor:
    """The equations, clip by clip and channel by channel, in evaluation mode."""
    y = torch.empty_like(x)
    step = frames if block.pool == "clip" else 1
    w1, w2 = block.mlp.reduce, block.mlp.expand
    for start in range(0, x.shape[0], step):
        maps = x[start : start + step]
        s = torch.stack([sum(m[c].sum() for m in maps) / maps[:, c].numel() for c in range(x.shape[1])])
        h = w1.weight @ s + (0 if w1.bias is None else w1.bias)
        if isinstance(block.mlp.norm, nn.BatchNorm1d):
            bn = block.mlp.norm
            assert bn.running_mean is not None
            assert bn.running_var is not None
            h = (h - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
        s = w2.weight @ h.clamp(min=0) + (0 if w2.bias is None else w2.bias)
        for c in range(x.shape[1]):
            if block.form == "gate":
                y[start : start + step, c] = maps[:, c] / (1 + torch.exp(-s[c]))
            else:
                y[start : start + step, c] = maps[:, c] + s[c]
    return y


@pytest.mark.parametrize(("pool", "form"), FORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_equations_by_loops(pool: Pool, form: Form, bias: bool) -> None:
    block = SqueezeExcitation(6, 2, pool, form, bias).double().eval()
    randomised(block)
    x = torch.randn(6, 6, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


def test_batch_norm_runs_over_the_clips_of_a_batch() -> None:
    block = SqueezeExcitation(4, 2, form="additive").double().train()
    nn.init.normal_(block.mlp.expand.weight)
    x = torch.randn(15, 4, 3, 3, dtype=torch.float64)
    h = x.view(5, 3, 4, 9).mean((1, 3)) @ block.mlp.reduce.weight.t()
    normal = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
    s = normal.clamp(min=0) @ block.mlp.expand.weight.t()
    expected = x + s.repeat_interleave(3, 0)[:, :, None, None]
    torch.testing.assert_close(block(x, 3), expected)


@pytest.mark.parametrize("pool", ["clip", "frame"])
@pytest.mark.parametrize("bias", [True, False])
def test_additive_is_the_identity_at_first(pool: Pool, bias: bool) -> None:
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(SqueezeExcitation(16, 4, pool, "additive", bias)(x, 4), x)


def test_a_gate_of_zero_layers_is_one_half() -> None:
    block = SqueezeExcitation(16, 4)
    nn.init.zeros_(block.mlp.expand.weight)
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(block(x, 4), x / 2)


@pytest.mark.parametrize(("pool", "form"), FORMS)
def test_does_not_mix_what_is_described_apart(pool: Pool, form: Form) -> None:
    block = randomised(SqueezeExcitation(32, 4, pool, form)).eval()
    x = torch.randn(6, 32, 4, 4)
    changed = x.clone()
    changed[5] = 3 * torch.randn(32, 4, 4)
    same = [torch.equal(a, b) for a, b in zip(block(x, 3), block(changed, 3), strict=True)]
    assert same == [True, True, True, pool == "frame", pool == "frame", False]


@pytest.mark.parametrize(("pool", "form"), FORMS)
def test_order_of_positions_and_frames_does_not_matter(pool: Pool, form: Form) -> None:
    block = randomised(SqueezeExcitation(8, 2, pool, form)).double().eval()
    x = torch.randn(4, 8, 3, 4, dtype=torch.float64)
    frames, positions = torch.randperm(4), torch.randperm(12)

    def shuffle(x: Tensor) -> Tensor:
        return x[frames].flatten(2)[:, :, positions].view_as(x)

    torch.testing.assert_close(block(shuffle(x), 4), shuffle(block(x, 4)))


@pytest.mark.parametrize(("pool", "form"), FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients(pool: Pool, form: Form, training: bool) -> None:
    block = randomised(SqueezeExcitation(4, 2, pool, form, bias=True)).double().train(training)
    names, parameters = zip(*block.named_parameters(), strict=True)
    x = torch.randn(6, 4, 2, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x, 2))

    assert torch.autograd.gradcheck(call, (x, *parameters))


@pytest.mark.parametrize(("pool", "form"), FORMS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_shape_layout_and_precision(
    pool: Pool, form: Form, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    block = randomised(SqueezeExcitation(32, 4, pool, form))
    x = torch.randn(8, 32, 4, 6).to(dtype, memory_format=layout).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = block(x, 4)
    y.float().square().sum().backward()
    assert (y.shape, y.dtype, y.is_contiguous(memory_format=layout)) == (x.shape, dtype, True)
    for name, tensor in (("x", x), *block.named_parameters()):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.abs().sum() > 0, name


def test_the_mean_of_half_precision_is_taken_in_float32() -> None:
    block = SqueezeExcitation(2, 1)
    described: list[Tensor] = []
    block.mlp.register_forward_pre_hook(lambda module, inputs: described.append(inputs[0]))
    x = (torch.rand(8, 2, 28, 28) + 1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        block(x, 8)
    # A mean rounded to bfloat16 would be off by up to 0.4 per cent.
    torch.testing.assert_close(described[0], x.double().mean((0, 2, 3))[None].float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("pool", ["clip", "frame"])
def test_a_lone_clip_is_normalised_by_the_running_statistics(pool: Pool) -> None:
    block = randomised(SqueezeExcitation(8, 2, pool, "additive")).train()
    x = torch.randn(1, 8, 4, 4)
    before = {name: value.clone() for name, value in block.named_buffers()}
    trained = block(x, 1)
    assert all(torch.equal(before[name], value) for name, value in block.named_buffers())
    torch.testing.assert_close(trained, block.eval()(x, 1))


def test_five_blocks_cost_what_the_thesis_prints() -> None:
    gate, with_bias = five_blocks(), five_blocks(bias=True)
    assert gate == {"params": 458_752, "fvcore": 458_752, "thop_2001": 917_504}
    assert with_bias["params"] == 463_104
    for added in (gate, with_bias):
        assert f"{(BASELINE_PARAMS + added['params']) / 1e6:.2f}" == "24.79"
        assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.89"


def test_other_readings_do_not_cost_what_the_thesis_prints() -> None:
    assert f"{(BASELINE_PARAMS + five_blocks(reduction=2)['params']) / 1e6:.2f}" == "28.00"
    assert f"{(BASELINE_THOP + five_blocks(pool='frame')['thop_2001']) / 1e9:.2f}" == "32.90"


def test_the_equations_of_the_chain_do_not_cost_what_the_thesis_prints() -> None:
    rnl_params, rnl_thop = 35.4831e6, 41.1490e9  # of "+5 RNL"; "+5 [SE+RNL]" is printed as 35.95 M and 41.16 G
    plain, with_bias = five_blocks(form="additive"), five_blocks(form="additive", bias=True)
    assert (plain["params"], with_bias["params"]) == (459_264, 463_616)
    assert f"{(rnl_params + plain['params']) / 1e6:.2f}" == "35.94"
    assert f"{(rnl_params + with_bias['params']) / 1e6:.2f}" == "35.95"
    assert f"{(rnl_thop + with_bias['thop_2001']) / 1e9:.2f}" == "41.15"


def test_a_narrow_network_keeps_an_inner_width_of_one() -> None:
    block = SqueezeExcitation(8)
    assert block.mlp.reduce.out_features == 1
    assert block(torch.randn(4, 8, 2, 2), 2).shape == (4, 8, 2, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": "video"}, "unknown pool 'video', choose from clip, frame"),
        ({"form": "multiply"}, "unknown form 'multiply', choose from gate, additive"),
        ({"reduction": 0}, "must be positive, got 8 and 0"),
        ({"channels": 0}, "must be positive, got 0 and 16"),
    ],
)
def test_refuses_what_it_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqueezeExcitation(**{"channels": 8, **settings})


@pytest.mark.parametrize("frames", [0, 3, 16])
def test_refuses_maps_that_are_no_clips(frames: int) -> None:
    with pytest.raises(ValueError, match=f"8 maps are no clips of {frames} frames"):
        SqueezeExcitation(8)(torch.randn(8, 8, 2, 2), frames)
