from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.models.modules.squeeze_excitation import Form, Pool, SqueezeExcitation
from tests.models.modules.costs import BASELINE_PARAMS, BASELINE_THOP, RNL_PARAMS, RNL_THOP, of_five_blocks
from tests.models.modules.trained import normalised, trained

FORMS: list[tuple[Pool, Form]] = [("clip", "gate"), ("frame", "gate"), ("clip", "additive"), ("frame", "additive")]


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
            h = normalised(block.mlp.norm, h)
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
    block = trained(SqueezeExcitation(6, 2, pool, form, bias)).double().eval()
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


def test_a_gate_of_zero_layers_is_one_half() -> None:
    block = SqueezeExcitation(16, 4)
    nn.init.zeros_(block.mlp.expand.weight)
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(block(x, 4), x / 2)


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
    block = trained(SqueezeExcitation(8, 2, pool, "additive")).train()
    x = torch.randn(1, 8, 4, 4)
    before = {name: value.clone() for name, value in block.named_buffers()}
    in_training = block(x, 1)
    assert all(torch.equal(before[name], value) for name, value in block.named_buffers())
    torch.testing.assert_close(in_training, block.eval()(x, 1))


def test_five_blocks_cost_what_the_thesis_prints() -> None:
    gate, with_bias = of_five_blocks(SqueezeExcitation), of_five_blocks(SqueezeExcitation, bias=True)
    assert gate == {"params": 458_752, "fvcore": 458_752, "fvcore_core": 458_752, "thop_2001": 917_504}
    assert with_bias["params"] == 463_104
    for added in (gate, with_bias):
        assert f"{(BASELINE_PARAMS + added['params']) / 1e6:.2f}" == "24.79"
        assert f"{(BASELINE_THOP + added['thop_2001']) / 1e9:.2f}" == "32.89"


def test_other_readings_do_not_cost_what_the_thesis_prints() -> None:
    assert f"{(BASELINE_PARAMS + of_five_blocks(SqueezeExcitation, reduction=2)['params']) / 1e6:.2f}" == "28.00"
    assert f"{(BASELINE_THOP + of_five_blocks(SqueezeExcitation, pool='frame')['thop_2001']) / 1e9:.2f}" == "32.90"


def test_the_equations_of_the_chain_do_not_cost_what_the_thesis_prints() -> None:
    # "+5 [SE+RNL]" is printed as 35.95 M and 41.16 G.
    plain, with_bias = (of_five_blocks(SqueezeExcitation, form="additive", bias=bias) for bias in (False, True))
    assert (plain["params"], with_bias["params"]) == (459_264, 463_616)
    assert f"{(RNL_PARAMS + plain['params']) / 1e6:.2f}" == "35.94"
    assert f"{(RNL_PARAMS + with_bias['params']) / 1e6:.2f}" == "35.95"
    assert f"{(RNL_THOP + with_bias['thop_2001']) / 1e9:.2f}" == "41.15"


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
